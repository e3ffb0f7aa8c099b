"""Sound to MFCC: [Agrawal]'s numbers, and the arithmetic that ties sound to frames."""

import numpy as np
import pytest
import python_speech_features

from syncnet_lib.media import features
from syncnet_lib.media.clock import SAMPLES_PER_FRAME


def voice(samples: int, seed: int = 0) -> np.ndarray:
    """A buzz with a moving formant: something whose cepstra change over time."""
    t = np.arange(samples) / 16000
    buzz = np.sign(np.sin(2 * np.pi * 120 * t)) * (1.2 + np.sin(2 * np.pi * 3 * t))
    noise = np.random.default_rng(seed).normal(0, 0.1, samples)
    return ((buzz + noise) * 3000).astype(np.int16)


def test_constants_of_the_seed():
    assert (features.MFCC_PER_FRAME, features.WINDOW_FRAMES, features.WINDOW_MFCC, features.HOP) == (4, 5, 20, 160)


def test_worked_example_of_the_seed():
    samples = np.zeros(575_616, np.int16)
    assert features.mfcc(samples).shape == (3597, 13)
    assert features.window_count(900, len(samples)) == 894


def test_frame_mfcc_is_the_reference_on_its_steps():
    samples = voice(75 * SAMPLES_PER_FRAME)
    ours, reference = features.frame_mfcc(samples), python_speech_features.mfcc(samples, 16000)
    assert ours.shape == (300, 13)
    np.testing.assert_allclose(ours[: len(reference) - 1], reference[:-1], rtol=1e-5, atol=1e-4)


def test_half_a_frame_of_sound_is_refused():
    with pytest.raises(ValueError, match="whole number"):
        features.frame_mfcc(np.zeros(1000, np.int16))


def test_loudness_of_full_scale_and_silence():
    samples = np.concatenate([np.full(640, 32767), np.zeros(640)]).astype(np.int16)
    np.testing.assert_allclose(features.loudness(samples), [0.0, -96.0], atol=0.01)


def test_speech_is_told_from_silence():
    sound = voice(20 * SAMPLES_PER_FRAME).reshape(20, 640)
    sound[5:12] //= 1000
    expected = np.ones(20, bool)
    expected[5:12] = False
    np.testing.assert_array_equal(features.speech(features.level(sound.ravel())), expected)
    assert not features.speech(features.level(np.zeros(6400, np.int16))).any()
