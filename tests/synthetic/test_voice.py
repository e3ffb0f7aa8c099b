# ruff: noqa: RUF001  (phonetic letters look like others)
"""voice: what espeak-ng says, and that its phonemes are where their sounds are."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncnet_lib.errors import InputError
from syncnet_lib.media.clock import SAMPLE_RATE
from syncnet_lib.synthetic.voice import Phoneme, Voice, pauses_between, speak

BRITISH = Voice("en", rate=160, pitch=50)


def loudness(samples: np.ndarray, start: float, end: float) -> float:
    part = samples[max(0, round(start * SAMPLE_RATE)) : round(end * SAMPLE_RATE)]
    return float(np.sqrt(np.mean(part**2)))


def test_phonemes_are_named_ordered_and_inside_the_sound() -> None:
    samples, phonemes = speak("bin blue", BRITISH)
    assert [p.ipa for p in phonemes if p.ipa] == ["b", "ɪ", "n", "b", "l", "u"]
    assert [p.ipa for p in phonemes if p.stressed] == ["ɪ", "u"]
    assert all(a.end == b.start for a, b in pairwise(phonemes))
    assert phonemes[-1].end == pytest.approx(len(samples) / SAMPLE_RATE, abs=1e-3)
    assert samples.dtype == np.float32
    assert 0.05 < np.abs(samples).max() <= 1.0


def test_a_stop_is_silent_before_its_event_and_a_vowel_is_loud_in_its_own() -> None:
    samples, phonemes = speak("my papa", BRITISH)
    stop = [p for p in phonemes if p.ipa == "p"][1]
    vowel = phonemes[-1] if phonemes[-1].ipa else phonemes[-2]
    closed = loudness(samples, stop.start - 0.03, stop.start - 0.005)
    assert closed < 0.1 * loudness(samples, vowel.start + 0.02, vowel.end - 0.02)


def test_an_utterance_does_not_depend_on_what_was_said_before() -> None:
    first, phonemes = speak("seven", BRITISH)
    speak("something else", Voice("de+f3", rate=220, pitch=90))
    speak("and more", Voice("en-us+klatt4", rate=120, pitch=20))
    again, phonemes_again = speak("seven", BRITISH)
    np.testing.assert_array_equal(first, again)
    assert phonemes == phonemes_again


def test_a_shorter_vocal_tract_raises_all_frequencies_and_moves_the_phonemes_along() -> None:
    low, low_phonemes = speak("again", BRITISH)
    high, high_phonemes = speak("again", Voice("en", rate=160, pitch=50, tract=1.1))
    factor = len(low) / len(high)
    assert factor == pytest.approx(1.1, abs=0.02)
    for a, b in zip(low_phonemes, high_phonemes, strict=True):
        assert a.start / factor == pytest.approx(b.start, abs=1e-3)


@pytest.mark.parametrize(("text", "name"), [("hello", "no-such-voice"), ("", "en"), (" ... ", "en")])
def test_bad_input_is_named(text: str, name: str) -> None:
    with pytest.raises(InputError):
        speak(text, Voice(name, rate=160, pitch=50))


@given(st.lists(st.floats(0.01, 1.0), max_size=8), st.floats(0, 1))
def test_pauses_fill_every_gap(steps: list[float], before: float) -> None:
    edges = np.cumsum([before, *steps])
    said = [Phoneme("a", float(a), float(b)) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    end = float(edges[-1]) + 0.5
    whole = pauses_between(said, 0.0, end)
    assert [p for p in whole if p.ipa] == said
    assert whole[0].start == 0.0 or whole[0].start == pytest.approx(0.0, abs=1e-6)
    assert whole[-1].end == end
    assert all(b.start == pytest.approx(a.end, abs=2e-6) for a, b in pairwise(whole))
