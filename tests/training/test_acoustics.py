"""Voices, rooms and backgrounds on MFCC, held against the same done to samples."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from syncnet_lib.dataset.warp import warped_mfcc
from syncnet_lib.media.clock import SAMPLE_RATE
from syncnet_lib.media.features import frame_mfcc
from syncnet_lib.training import acoustics
from syncnet_lib.training.randomness import SharedRandom


def random(seed: int = 0) -> SharedRandom:
    return SharedRandom(torch.Generator().manual_seed(seed))


class Fixed(SharedRandom):
    """All uniform numbers alike, so that what is drawn is known."""

    def __init__(self, value: float) -> None:
        super().__init__(torch.Generator().manual_seed(0))
        object.__setattr__(self, "value", value)

    def uniform(self, *shape: int) -> torch.Tensor:
        return torch.full(shape, self.value)


def vowels() -> np.ndarray:
    """2 s of pulses through formants that change every 0.2 s, int16."""
    rng = np.random.default_rng(0)
    pieces = []
    for _ in range(10):
        pulses = rng.normal(0, 0.01, SAMPLE_RATE // 5)
        pulses[:: int(rng.integers(80, 140))] += 1
        for formant in rng.uniform([300, 900, 2300], [800, 2200, 3000]):
            angle, radius = 2 * np.pi * formant / SAMPLE_RATE, 0.97
            pulses = lfilter([1], [1, -2 * radius * np.cos(angle), radius**2], pulses)
        pieces.append(pulses / np.abs(pulses).max())
    return (np.concatenate(pieces) * 12000).astype(np.int16)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 5))
def test_mfcc_to_envelope_and_back_is_exact(seed, spread):
    energies = torch.from_numpy(np.random.default_rng(seed).normal(10, spread, (2, 7, 26)))
    mfcc = acoustics.cepstra(energies)
    torch.testing.assert_close(acoustics.cepstra(acoustics.envelope(mfcc)), mfcc)


def test_the_envelope_is_that_of_the_reference_mfcc():
    mfcc = torch.from_numpy(frame_mfcc(vowels()))[None]
    torch.testing.assert_close(acoustics.cepstra(acoustics.envelope(mfcc)), mfcc, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("warp", [-2, 2])
def test_another_tract_is_near_what_resampling_gives(warp):
    samples = vowels()
    plain, moved = frame_mfcc(samples), warped_mfcc(samples, warp)
    factor = np.log(20 / (20 - warp))
    energies = acoustics.envelope(torch.from_numpy(plain)[None])
    # The filters are spaced as mel, so a factor on their places is near one on frequencies, not the same.
    drawn = Fixed((1 - factor / 0.2) / 2)
    ours = acoustics.cepstra(acoustics.another_tract(energies, 0.2, drawn))[0].numpy()
    closer = np.abs(ours - moved)[:, 1:].mean() / np.abs(plain - moved)[:, 1:].mean()
    assert closer < 0.9


def test_a_room_rings_after_a_sound_and_not_before():
    energies = torch.full((1, 80, 26), -5.0)
    energies[:, 20] = 10.0
    heard = acoustics.in_a_room(energies, 1.0, Fixed(0.4))
    assert (heard[:, :20] - energies[:, :20]).max() < np.log(1.5), "nothing but its own steady sound before"
    assert (heard[:, 21:40] > energies[:, 21:40] + 1).all()
    assert (heard[:, 22:40] < heard[:, 21:39]).all(), "it decays"


def test_background_fills_pauses_and_leaves_loud_speech():
    energies = torch.full((4, 100, 26), -10.0)
    energies[:, :50] = 12.0
    heard = acoustics.with_background(energies, 1.0, random())
    assert (heard[:, 50:] > energies[:, 50:] + 2).float().mean() > 0.9
    assert (heard[:, :50] - energies[:, :50]).abs().mean() < 0.5
    torch.testing.assert_close(acoustics.with_background(energies, 0.0, random()), energies)
