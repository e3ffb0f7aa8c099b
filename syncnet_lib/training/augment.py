"""Variation of training windows, in batches on the device that trains: what does not bear on synchrony."""

from dataclasses import dataclass

import torch
from torch import Tensor

from syncnet_lib.media.features import MFCC_PER_FRAME, WINDOW_MFCC
from syncnet_lib.model.spec import Spec

MASKED_COEFFICIENTS = 2
"""Most neighbouring coefficients that a mask hides: a sixth of the 13 (SpecAugment: up to 27 of 80 mel channels)."""
MASKED_STEPS = MFCC_PER_FRAME
"""Most steps of 10 ms that a mask hides: a frame. A longer one would take the very sound that tells windows apart."""


@dataclass(frozen=True)
class Strength:
    """How much is varied beside crop, mirror, tone curve, gain and filter; 0 leaves a thing as it is.

    Attributes:
        blur: largest deviation of a Gaussian blur, in pixels of the frames as stored; at most 0.7.
        noise: deviation of the noise on each MFCC, as a share of that coefficient's own deviation in the run.
        masks: SpecAugment: masks a window of sound, half over time and half over coefficients.
    """

    blur: float = 0.0
    noise: float = 0.0
    masks: float = 0.0


@dataclass(frozen=True)
class Dice:
    """Random numbers that are the same whatever the device, and the same for a batch that several processes share.

    Attributes:
        generator: on the CPU, so that a GPU sees the same variation.
        rank, world: this process draws the whole batch's numbers and takes its own part.
    """

    generator: torch.Generator
    rank: int = 0
    world: int = 1

    def uniform(self, *shape: int) -> Tensor:
        """Uniform in [0, 1), the first axis that of this process."""
        return self._own(torch.rand(self.world * shape[0], *shape[1:], generator=self.generator), shape[0])

    def normal(self, *shape: int) -> Tensor:
        """Standard normal, the first axis that of this process."""
        return self._own(torch.randn(self.world * shape[0], *shape[1:], generator=self.generator), shape[0])

    def _own(self, values: Tensor, rows: int) -> Tensor:
        return values[self.rank * rows : (self.rank + 1) * rows]


def vary(video: Tensor, audio: Tensor, spec: Spec, strength: Strength, dice: Dice) -> tuple[Tensor, Tensor]:
    """Vary a batch; the windows of one run of sound (a clip's) vary together.

    Args:
        video: (N, 5, h, w) or (N, 5, h, w, 3) uint8.
        audio: (A, steps, 13) float32 runs; N / A consecutive windows belong to a run.
        spec: of the model, which says the side of the crop.
        strength: how much.
        dice: where the random numbers come from.

    Returns:
        (N, 5, size, size) or (N, 5, size, size, 3) float32 in 0..255, and (A, steps, 13) float32.
    """
    return vary_video(video, spec, len(audio), strength.blur, dice), vary_audio(audio, strength, dice)


def vary_video(video: Tensor, spec: Spec, groups: int, blur: float, dice: Dice) -> Tensor:
    """Crop at random, mirror, tone curve (brightness and contrast too where the model does not take them off), blur.

    Args:
        video, spec, dice: as for `vary`.
        groups: so many groups of consecutive windows share their variation.
        blur: as in `Strength`.

    Returns:
        (N, 5, size, size) or (N, 5, size, size, 3) float32 in 0..255.
    """
    device, size, each = video.device, spec.size, len(video) // groups

    def share(values: Tensor) -> Tensor:
        """A value a group to one a window, ready to multiply pixels."""
        return values.repeat_interleave(each).to(device).view(-1, *[1] * (video.dim() - 1))

    def spread(low: float, high: float) -> Tensor:
        return share(dice.uniform(groups) * (high - low) + low)

    places = [(dice.uniform(groups) * (side - size + 1)).long() for side in video.shape[2:4]]
    top, left = (place.repeat_interleave(each).to(device) for place in places)
    # Every crop that there is, as a view; one indexed read takes each window's own.
    crops = video.unfold(2, size, 1).unfold(3, size, 1)
    cut = crops[torch.arange(len(video), device=device), :, top, left]  # (N, 5, [3,] size, size)
    if spec.colours > 1:
        cut = cut.movedim(2, -1)
    mirrored = share(dice.uniform(groups)) < 0.5
    pixels = torch.where(mirrored, cut.flip(3), cut).float()
    # A curve through black and white that lifts or lowers the middle, as gamma does, without a power for each pixel.
    bend = spread(-0.6, 0.6)
    pixels = torch.addcmul(1 + bend, pixels, -bend / 255).mul_(pixels)
    if not spec.standardise:
        # Where the model puts each window on its own scale, brightness and contrast need no variation.
        pixels = (pixels - 127.5).mul_(spread(0.8, 1.2)).add_(127.5 + spread(-20, 20)).clamp_(0, 255)
    return _blurred(pixels, spread(0, blur)) if blur else pixels


def _blurred(pixels: Tensor, deviation: Tensor) -> Tensor:
    """Gaussian blur by the three-point kernel of the same variance, (v/2, 1 - v, v/2), along rows and columns."""
    half = deviation.square() / 2
    for axis in (2, 3):
        end = pixels.shape[axis] - 1
        before = torch.cat([pixels.narrow(axis, 0, 1), pixels.narrow(axis, 0, end)], axis)
        after = torch.cat([pixels.narrow(axis, 1, end), pixels.narrow(axis, end, 1)], axis)
        pixels = pixels + half * (before + after - 2 * pixels)
    return pixels


def vary_audio(audio: Tensor, strength: Strength, dice: Dice) -> Tensor:
    """Gain and a smooth filter, noise, masks.

    The masks are SpecAugment's (Park et al., 2019) on MFCC. torchaudio's take their places from torch's global numbers,
    which processes that share a batch do not have in common.

    Args:
        sound, strength, dice: as for `vary`.

    Returns:
        (A, steps, 13) float32.
    """
    runs, steps, size = audio.shape
    device = audio.device
    # Cepstra of a gain and of a smooth filter: an offset on each coefficient, smaller for the finer ones.
    change = dice.normal(runs, 1, size) * 6.0 / (1.0 + torch.arange(size))
    audio = audio + change.to(device)
    if strength.noise:
        noise = dice.normal(runs, steps, size).to(device)
        audio = audio + strength.noise * audio.std(dim=1, keepdim=True) * noise
    if strength.masks:
        masks = round(strength.masks * steps / WINDOW_MFCC)
        hidden = torch.zeros(runs, steps, size, dtype=torch.bool)
        for over in range(masks):
            axis, longest = (1, MASKED_STEPS) if over % 2 == 0 else (2, MASKED_COEFFICIENTS)
            length = audio.shape[axis]
            first = (dice.uniform(runs, 1) * length).long()
            stretch = (dice.uniform(runs, 1) * steps).long()  # a coefficient is hidden for a window, not for the run
            last = first + 1 + (dice.uniform(runs, 1) * longest).long()
            at = torch.arange(length)
            along = (at >= first) & (at < last)
            if axis == 1:
                hidden |= along[:, :, None]
            else:
                when = torch.arange(steps)
                hidden |= along[:, None] & ((when >= stretch) & (when < stretch + WINDOW_MFCC))[:, :, None]
        audio = torch.where(hidden.to(device), audio.mean(dim=1, keepdim=True), audio)
    return audio
