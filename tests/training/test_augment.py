"""Augmentation of windows: shapes, groups that change together, parts of a batch that make the whole."""

import pytest
import torch

from syncnet_lib.model.spec import SPECS
from syncnet_lib.training.augment import augment, augment_audio, augment_video
from syncnet_lib.training.randomness import SharedRandom
from syncnet_lib.training.settings import Strength

ALL = Strength(geometry=1.0, light=0.4, tract=0.2, room=1.0, blur=0.7, noise=0.2, masks=1.0)
"""All but the background: another talker behind is the neighbour in a rank's own part of the batch."""


def random(rank: int = 0, world: int = 1) -> SharedRandom:
    return SharedRandom(torch.Generator().manual_seed(0), rank, world)


def test_a_clips_windows_change_together_and_clips_apart():
    video = torch.randint(0, 256, (6, 5, 60, 60), dtype=torch.uint8)
    video[1], video[2] = video[0], video[0]  # one clip's windows, all alike
    video[3] = video[0]  # another clip's
    pixels, steps = augment(video, torch.zeros(2, 44, 13), SPECS["small"], Strength(blur=0.7), random())
    assert pixels.shape == (6, 5, 48, 48)
    assert torch.equal(pixels[0], pixels[1])
    assert torch.equal(pixels[1], pixels[2])
    assert not torch.equal(pixels[0], pixels[3])
    assert pixels.min() >= 0
    assert pixels.max() <= 255
    assert (steps == steps[:, :1]).all()
    assert not torch.equal(steps[0], steps[1])


def test_nothing_but_crop_mirror_and_curve_without_strength():
    ramp = torch.arange(60, dtype=torch.uint8).expand(4, 5, 60, 60).contiguous()
    pixels = augment_video(ramp, SPECS["small"], 4, Strength(), random())
    rising = pixels[..., 1:] > pixels[..., :-1]
    for window in rising:
        assert window.all() or not window.any(), "a row is still monotone, forwards or mirrored"


def test_colour_keeps_its_planes_and_changes_in_brightness():
    video = torch.full((8, 5, 224, 224, 3), 100, dtype=torch.uint8)
    video[..., 1] = 140
    pixels = augment_video(video, SPECS["v2"], 8, Strength(blur=0.3), random())
    assert pixels.shape == video.shape
    assert (pixels[..., 1] > pixels[..., 0]).all()
    assert pixels[:, 0, 0, 0, 0].unique().numel() == 8
    assert pixels.min() >= 0
    assert pixels.max() <= 255


@pytest.mark.parametrize("name", ["small", "v2"])
def test_geometry_changes_a_clips_frames_alike_and_keeps_their_mean(name):
    spec = SPECS[name]
    frame = torch.zeros(spec.stored, spec.stored, *[3] * (spec.colours > 1), dtype=torch.uint8)
    frame[spec.stored // 4 : -spec.stored // 4, spec.stored // 4 : -spec.stored // 4] = 200
    video = frame.expand(4, 5, *frame.shape).contiguous()
    pixels = augment_video(video, spec, 2, Strength(geometry=1.0, light=0.3), random())
    assert pixels.shape == (4, *spec.window)
    assert torch.equal(pixels[0], pixels[1])
    assert torch.equal(pixels[:, 0], pixels[:, 4])
    assert not torch.equal(pixels[0], pixels[2])
    shown = (pixels[:, 0] > 100).float().mean(dim=tuple(range(1, pixels.dim() - 1)))
    assert (shown > 0.1).all(), "the bright square is still there"
    assert (shown < 0.6).all()


@pytest.mark.parametrize("strength", [Strength(), ALL])
def test_parts_of_a_batch_make_the_whole(strength):
    video = torch.randint(0, 256, (8, 5, 60, 60), dtype=torch.uint8)
    audio = torch.randn(4, 44, 13)
    whole = augment(video, audio, SPECS["small"], strength, random())
    parts = [
        augment(
            video[4 * rank : 4 * rank + 4], audio[2 * rank : 2 * rank + 2], SPECS["small"], strength, random(rank, 2)
        )
        for rank in range(2)
    ]
    for side in (0, 1):
        # A mask stands in for a mean over the run, which sums in another order.
        torch.testing.assert_close(torch.cat([part[side] for part in parts]), whole[side])


def test_blur_has_the_deviation_that_it_says():
    point = torch.zeros(1, 1, 21, 21)
    point[..., 10, 10] = 1
    from syncnet_lib.training.augment import _blurred

    spread = _blurred(point, torch.tensor(0.6).view(1, 1, 1, 1))[0, 0]
    assert spread.sum() == pytest.approx(1)
    at = torch.arange(21.0) - 10
    assert (spread.sum(0) * at.square()).sum() == pytest.approx(0.36, rel=1e-5)


def test_masks_hide_a_little_by_the_runs_mean():
    audio = torch.randn(64, 20, 13)
    plain = augment_audio(audio, Strength(), random())
    masked = augment_audio(audio, Strength(masks=2.0), random())
    hidden = plain != masked
    assert 0.02 < hidden.float().mean() < 0.3
    means = plain.mean(dim=1, keepdim=True).expand_as(plain)
    assert torch.equal(masked[hidden], means[hidden])


def test_noise_is_a_share_of_each_coefficients_own_deviation():
    audio = torch.randn(32, 400, 13) * torch.arange(1, 14)
    noise = augment_audio(audio, Strength(noise=0.3), random()) - augment_audio(audio, Strength(), random())
    share = noise.std(dim=(0, 1)) / audio.std(dim=(0, 1))
    torch.testing.assert_close(share, torch.full((13,), 0.3), rtol=0.05, atol=0)
