"""articulation: lips close where they must, and gestures of neighbours blend."""

import numpy as np
import pytest

from syncnet_lib.synthetic.articulation import GESTURES, Style, gestures, shape_of
from syncnet_lib.synthetic.voice import Phoneme, Voice, pauses_between, speak

APERTURE, JAW, ROUND, TUCK = (GESTURES.index(name) for name in ("aperture", "jaw", "round", "tuck"))


def said(*sounds: tuple[str, float]) -> list[Phoneme]:
    phonemes, at = [], 0.0
    for ipa, length in sounds:
        phonemes.append(Phoneme(ipa, at, at + length))
        at += length
    return phonemes


@pytest.mark.parametrize("consonant", ["p", "b", "m"])
def test_a_bilabial_closes_the_lips_between_open_vowels_for_at_least_a_frame(consonant: str) -> None:
    times = np.arange(0, 0.5, 0.005)
    track = gestures(said(("a", 0.2), (consonant, 0.07), ("a", 0.23)), times, Style())
    closed = times[track[:, APERTURE] < 0.03]
    assert closed[-1] - closed[0] >= 0.04
    assert 0.12 < closed[0] < closed[-1] < 0.28
    assert track[:, APERTURE].max() > 0.4


def test_a_measured_closure_lasts_from_its_start_to_its_release() -> None:
    times = np.arange(0, 0.6, 0.005)
    vowels = [Phoneme("a", 0.0, 0.2), Phoneme("a", 0.36, 0.6)]
    aligned = Phoneme("p", 0.2, 0.36, release=0.3)  # closed at 0.20 s, then aspirated
    synthesised = Phoneme("p", 0.3, 0.36)  # of espeak-ng: its start is the release
    closed = {
        name: times[gestures([vowels[0], stop, vowels[1]], times, Style())[:, APERTURE] < 0.03]
        for name, stop in (("aligned", aligned), ("synthesised", synthesised))
    }
    assert closed["aligned"][0] == pytest.approx(0.19, abs=0.015)
    assert closed["synthesised"][0] == pytest.approx(0.235, abs=0.015)
    for name in closed:
        assert closed[name][-1] == pytest.approx(0.325, abs=0.015), name


def test_rounding_is_anticipated_and_fricatives_tuck_the_lip() -> None:
    times = np.arange(0, 0.6, 0.01)
    track = gestures(said(("a", 0.2), ("s", 0.1), ("u", 0.2), ("f", 0.1)), times, Style())
    during_s = (times > 0.22) & (times < 0.3)
    assert track[during_s, ROUND].max() > 0.3
    assert times[track[:, TUCK].argmax()] == pytest.approx(0.55, abs=0.06)
    assert track[times < 0.2, TUCK].max() < 0.1


def test_the_mouth_rests_in_a_pause_as_far_open_as_its_owner_leaves_it() -> None:
    times = np.array([0.3])
    pause = said(("", 1.0))
    assert gestures(pause, times, Style())[0, APERTURE] == pytest.approx(0, abs=0.01)
    assert gestures(pause, times, Style(parted=0.1))[0, APERTURE] == pytest.approx(0.1, abs=0.01)


def test_style_scales_and_delays() -> None:
    times = np.arange(0, 0.6, 0.01)
    sounds = said(("", 0.2), ("a", 0.2), ("", 0.2))
    plain = gestures(sounds, times, Style())
    wide = gestures(sounds, times, Style(opening=1.5))
    late = gestures(sounds, times, Style(late=0.05))
    np.testing.assert_allclose(wide[:, JAW], 1.5 * plain[:, JAW], atol=1e-9)
    np.testing.assert_allclose(late[5:], plain[:-5], atol=1e-9)


def test_every_sound_that_english_makes_has_a_shape() -> None:
    rest = shape_of("")
    sentence = "the quick beige fox jumps over a lazy dog with joy, church thing, hear our boat vision"
    _, phonemes = speak(sentence, Voice("en", rate=160, pitch=50))
    for ipa in {p.ipa for p in phonemes if p.ipa}:
        assert not np.array_equal(shape_of(ipa), rest), ipa
    assert pauses_between(phonemes, 0, phonemes[-1].end)
