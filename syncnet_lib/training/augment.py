"""Augmentation: what does not bear on synchrony is changed at random, in batches on the device that trains."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from syncnet_lib.media.features import MFCC_PER_FRAME, WINDOW_MFCC
from syncnet_lib.model.spec import Spec
from syncnet_lib.training.settings import Strength

MASKED_COEFFICIENTS = 2
"""Most neighbouring coefficients that a mask hides: a sixth of the 13 (SpecAugment: up to 27 of 80 mel channels)."""
MASKED_STEPS = MFCC_PER_FRAME
"""Most steps of 10 ms that a mask hides: a frame. A longer one would hide the very audio that tells windows apart."""


@dataclass(frozen=True)
class SharedRandom:
    """Random numbers that do not depend on the device, nor on how many ranks share a batch.

    Every rank draws the numbers of the whole batch and takes its own part.

    Attributes:
        generator: on the CPU, in the same state on every rank.
        rank, world: this process, and how many there are.
    """

    generator: torch.Generator
    rank: int = 0
    world: int = 1

    def uniform(self, *shape: int) -> Tensor:
        """Uniform in [0, 1); the first axis is this rank's part."""
        return self._own(torch.rand(self.world * shape[0], *shape[1:], generator=self.generator), shape[0])

    def normal(self, *shape: int) -> Tensor:
        """Standard normal; the first axis is this rank's part."""
        return self._own(torch.randn(self.world * shape[0], *shape[1:], generator=self.generator), shape[0])

    def _own(self, values: Tensor, rows: int) -> Tensor:
        return values[self.rank * rows : (self.rank + 1) * rows]


def augment(
    video: UInt8[Tensor, "windows 5 height width *rgb"],
    audio: Float[Tensor, "runs steps 13"],
    spec: Spec,
    strength: Strength,
    random: SharedRandom,
) -> tuple[Float[Tensor, "windows 5 size size *rgb"], Float[Tensor, "runs steps 13"]]:
    """Augment a batch; the video windows that belong to one run of audio (a clip's) are changed in the same way.

    Args:
        video: mouth crops as stored, or faces with a last axis of 3.
        audio: runs of MFCC; windows / runs consecutive video windows belong to each.
        spec: of the model, which says the side of the crop.
        strength: how much.
        random: source of the random numbers.

    Returns:
        Pixels in 0..255, cut to the model's size, and MFCC.
    """
    return augment_video(video, spec, len(audio), strength.blur, random), augment_audio(audio, strength, random)


def augment_video(
    video: UInt8[Tensor, "windows 5 height width *rgb"], spec: Spec, groups: int, blur: float, random: SharedRandom
) -> Float[Tensor, "windows 5 size size *rgb"]:
    """Crop at random, mirror, tone curve (brightness and contrast too unless the model standardises them), blur.

    Args:
        video, spec, random: as for `augment`.
        groups: so many groups of consecutive windows are changed in the same way.
        blur: as in `Strength`.

    Returns:
        Pixels in 0..255.
    """
    device, size, each = video.device, spec.size, len(video) // groups

    def share(values: Tensor) -> Tensor:
        """A value a group to one a window, ready to multiply pixels."""
        return values.repeat_interleave(each).to(device).view(-1, *[1] * (video.dim() - 1))

    def spread(low: float, high: float) -> Tensor:
        return share(random.uniform(groups) * (high - low) + low)

    places = [(random.uniform(groups) * (side - size + 1)).long() for side in video.shape[2:4]]
    top, left = (place.repeat_interleave(each).to(device) for place in places)
    # Every crop that there is, as a view; one indexed read takes each window's own.
    crops = video.unfold(2, size, 1).unfold(3, size, 1)
    cut = crops[torch.arange(len(video), device=device), :, top, left]  # (N, 5, [3,] size, size)
    if spec.colours > 1:
        cut = cut.movedim(2, -1)
    mirrored = share(random.uniform(groups)) < 0.5
    pixels = torch.where(mirrored, cut.flip(3), cut).float()
    # A curve through black and white that lifts or lowers the middle, as gamma does, without a power for each pixel.
    bend = spread(-0.6, 0.6)
    pixels = torch.addcmul(1 + bend, pixels, -bend / 255).mul_(pixels)
    if not spec.standardise:
        # Where the model puts each window on its own scale, brightness and contrast need no augmentation.
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


def augment_audio(
    audio: Float[Tensor, "runs steps 13"], strength: Strength, random: SharedRandom
) -> Float[Tensor, "runs steps 13"]:
    """Gain and a smooth filter, noise, masks.

    The masks are SpecAugment's (Park et al., 2019) on MFCC. torchaudio's own draw their places from torch's global
    generator, which the ranks that share a batch do not have in common.

    Args:
        audio, strength, random: as for `augment`.

    Returns:
        MFCC.
    """
    runs, steps, size = audio.shape
    device = audio.device
    # Cepstra of a gain and of a smooth filter: an offset on each coefficient, smaller for the finer ones.
    change = random.normal(runs, 1, size) * 6.0 / (1.0 + torch.arange(size))
    audio = audio + change.to(device)
    if strength.noise:
        noise = random.normal(runs, steps, size).to(device)
        audio = audio + strength.noise * audio.std(dim=1, keepdim=True) * noise
    if strength.masks:
        masks = round(strength.masks * steps / WINDOW_MFCC)
        hidden = torch.zeros(runs, steps, size, dtype=torch.bool)
        for over in range(masks):
            axis, longest = (1, MASKED_STEPS) if over % 2 == 0 else (2, MASKED_COEFFICIENTS)
            length = audio.shape[axis]
            first = (random.uniform(runs, 1) * length).long()
            stretch = (random.uniform(runs, 1) * steps).long()  # a coefficient is hidden for a window, not for the run
            last = first + 1 + (random.uniform(runs, 1) * longest).long()
            at = torch.arange(length)
            along = (at >= first) & (at < last)
            if axis == 1:
                hidden |= along[:, :, None]
            else:
                when = torch.arange(steps)
                hidden |= along[:, None] & ((when >= stretch) & (when < stretch + WINDOW_MFCC))[:, :, None]
        audio = torch.where(hidden.to(device), audio.mean(dim=1, keepdim=True), audio)
    return audio
