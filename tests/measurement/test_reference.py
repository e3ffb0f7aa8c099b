"""Sound against sound, to the sample."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from syncnet_lib.errors import InputError
from syncnet_lib.measurement import reference, standard
from syncnet_lib.media.clock import SAMPLE_RATE

SECONDS = 40


def programme(seed: int) -> np.ndarray:
    """Noise whose level and colour change as speech over music."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 1, SECONDS * SAMPLE_RATE)
    level = np.repeat(rng.uniform(0.02, 1, SECONDS * 8), SAMPLE_RATE // 8)
    return (3000 * noise * level).astype(np.int16)


def write(path: Path, samples: np.ndarray) -> Path:
    wavfile.write(path, SAMPLE_RATE, samples)
    return path


@pytest.mark.parametrize("ahead", [0, 1, -777, 16_013, -80_001])
def test_the_offset_is_found_to_the_sample(ahead, tmp_path):
    original = programme(0)
    moved = original[ahead:] if ahead >= 0 else np.concatenate([np.zeros(-ahead, np.int16), original[:ahead]])
    noisy = moved + np.random.default_rng(1).normal(0, 300, len(moved)).astype(np.int16)
    found = reference.compare(write(tmp_path / "dub.wav", noisy), 1, str(write(tmp_path / "original.wav", original)))
    assert found.sure, found.verdict
    assert found.offset_samples == ahead
    assert found.offset_ms == pytest.approx(ahead / 16, abs=0.01)
    held = found.held_against(standard.STANDARDS["ebu-r37"])
    assert held.compliance == ("pass" if -960 <= ahead <= 640 else "fail")


def test_another_programme_is_no_answer(tmp_path):
    paths = [write(tmp_path / f"{seed}.wav", programme(seed)) for seed in (0, 1)]
    found = reference.compare(paths[0], 1, str(paths[1]))
    assert not found.sure
    assert "another programme" in found.verdict
    assert found.held_against(standard.STANDARDS["atsc"]).compliance == "cannot be told"


def test_an_edit_is_no_single_offset(tmp_path):
    original = programme(0)
    half = len(original) // 3 * 2
    edited = np.concatenate([original[:half], np.zeros(3840, np.int16), original[half:-3840]])
    found = reference.compare(write(tmp_path / "edited.wav", edited), 1, str(write(tmp_path / "whole.wav", original)))
    assert not found.sure
    assert "an offset that changes" in found.verdict


def test_what_cannot_be_compared_is_one_line(tmp_path):
    long, short = write(tmp_path / "long.wav", programme(0)), write(tmp_path / "short.wav", programme(0)[:16_000])
    for other, cause in ((str(short), "shorter than 9 s"), ("none.wav", "does not exist"), ("2", "no audio track 2")):
        with pytest.raises(InputError, match=cause):
            reference.compare(long, 1, other)
