"""What a network is fed: crops reduced and cut, windows stacked, cepstral mean."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from syncnet_lib.model import prepare, windows
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.model.spec import SPECS


def test_prepared_frames_are_reduced_by_area():
    frames = np.zeros((2, 120, 120), np.uint8)
    frames[:, ::2] = 200  # every other line
    reduced = prepare.prepare_frames(frames, replace(SPECS["small"], stored=60))
    assert reduced.shape == (2, 60, 60)
    assert (reduced == 100).all(), "the mean of the area is half"
    assert prepare.prepare_frames(frames, SPECS["small"]).mean() == pytest.approx(100, abs=0.5)
    assert prepare.prepare_frames(frames, SPECS["paper"]) is frames


def test_cepstral_mean_is_taken_off_each_clip():
    mfcc = np.random.default_rng(0).normal(size=(2, 4 * 15, 13)).astype(np.float32)
    clean = prepare.prepare_mfcc(mfcc, SPECS["small"], np.array([10, 5]))
    np.testing.assert_allclose(clean[:, :40].mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(clean[:, 40:].mean(1), 0, atol=1e-5)
    assert prepare.prepare_mfcc(mfcc, SPECS["paper"], np.array([10, 5])) is mfcc


def test_centre():
    frames = torch.arange(36).view(1, 6, 6)
    assert torch.equal(windows.centre(frames, 2)[0], torch.tensor([[14, 15], [20, 21]]))
    colour = frames[..., None].expand(-1, -1, -1, 3)
    assert torch.equal(windows.centre(colour, 2)[0, ..., 0], torch.tensor([[14, 15], [20, 21]]))


def test_windows_on_their_own_scale_are_the_models():
    model = SyncNet("small")
    frames = torch.randint(20, 200, (9, 48, 48), dtype=torch.uint8)
    stacked = torch.stack([frames[at : at + 5] for at in range(5)])
    torch.testing.assert_close(
        windows.standardised_windows(frames, model.spec), model.planes(stacked), rtol=1e-5, atol=1e-5
    )


def test_windows_of_colour_are_the_models():
    model = SyncNet("v2")
    frames = torch.randint(0, 256, (7, 224, 224, 3), dtype=torch.uint8)
    stacked = torch.stack([frames[at : at + 5] for at in range(3)])
    assert torch.equal(windows.stacked_windows(frames, model.spec).float(), model.planes(stacked))
