"""Augmentation: what does not bear on synchrony is changed at random, in batches on the device that trains."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from syncnet_lib.media.features import MFCC_PER_FRAME, WINDOW_MFCC
from syncnet_lib.model.spec import Spec
from syncnet_lib.training import acoustics
from syncnet_lib.training.randomness import SharedRandom
from syncnet_lib.training.settings import Strength

MASKED_COEFFICIENTS = 2
"""Most neighbouring coefficients that a mask hides: a sixth of the 13 (SpecAugment: up to 27 of 80 mel channels)."""
MASKED_STEPS = MFCC_PER_FRAME
"""Most steps of 10 ms that a mask hides: a frame. A longer one would hide the very audio that tells windows apart."""

SCALE, TURN, SHIFT, STRETCH = 0.15, 0.15, 0.10, 0.10
"""At a geometry of 1, the largest to either side: logarithm of the crop's scale, radians, share of half its side, and
logarithm of its width over its height (and shear). Crops of real faces differ by less."""
ELASTIC, CELLS = 0.019, 5
"""Standard deviation of the shifts, in sides of the crop, on a grid of so many by so many points over it: the lips of
another face."""


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
        audio: runs of MFCC without a mean taken off; windows / runs consecutive video windows belong to each.
        spec: of the model, which says the side of the crop.
        strength: how much.
        random: source of the random numbers.

    Returns:
        Pixels in 0..255, cut to the model's size, and MFCC.
    """
    return augment_video(video, spec, len(audio), strength, random), augment_audio(audio, strength, random)


def augment_video(
    video: UInt8[Tensor, "windows 5 height width *rgb"],
    spec: Spec,
    groups: int,
    strength: Strength,
    random: SharedRandom,
) -> Float[Tensor, "windows 5 size size *rgb"]:
    """Crop at random, mirror, tone curve (brightness and contrast too unless the model standardises them), and what
    `strength` adds.

    Args:
        video, spec, strength, random: as for `augment`.
        groups: so many groups of consecutive windows are changed in the same way.

    Returns:
        Pixels in 0..255.
    """
    each = len(video) // groups

    def spread(low: float, high: float) -> Tensor:
        """A random value a group, one to each of its windows, ready to multiply pixels."""
        values = random.uniform(groups) * (high - low) + low
        return values.repeat_interleave(each).to(video.device).view(-1, *[1] * (video.dim() - 1))

    if strength.geometry:
        pixels = _filmed_otherwise(video, spec.size, groups, strength.geometry, random)
    else:
        pixels = _cropped(video, spec, groups, random)
    # A curve through black and white that lifts or lowers the middle, as gamma does, without a power for each pixel.
    bend = spread(-0.6, 0.6)
    pixels = torch.addcmul(1 + bend, pixels, -bend / 255).mul_(pixels)
    if strength.light:
        side = torch.linspace(-1, 1, spec.size, device=video.device)
        from_left, from_above = (spread(-strength.light, strength.light) for _ in range(2))
        if spec.colours > 1:
            across, down = side[:, None], side[:, None, None]
        else:
            across, down = side, side[:, None]
        pixels = pixels * (1 + from_left * across + from_above * down)
    if not spec.standardise:
        # Where the model puts each window on its own scale, brightness and contrast need no augmentation.
        pixels = (pixels - 127.5).mul_(spread(0.8, 1.2)).add_(127.5 + spread(-20, 20)).clamp_(0, 255)
    return _blurred(pixels, spread(0, strength.blur)) if strength.blur else pixels


def _cropped(video: Tensor, spec: Spec, groups: int, random: SharedRandom) -> Tensor:
    """Cut at a random place and mirror at random."""
    device, size, each = video.device, spec.size, len(video) // groups
    places = [(random.uniform(groups) * (side - size + 1)).long() for side in video.shape[2:4]]
    mirrored = random.uniform(groups) < 0.5
    if device.type == "cpu":
        # A group after the other: each slice is copied once, converted on the way.
        pixels = torch.empty(*video.shape[:2], size, size, *video.shape[4:])
        drawn = [values.tolist() for values in (*places, mirrored)]
        for group, (top, left, mirror) in enumerate(zip(*drawn, strict=True)):
            own = slice(group * each, (group + 1) * each)
            cut = video[own, :, top : top + size, left : left + size]
            pixels[own] = cut.flip(3) if mirror else cut
        return pixels
    top, left = (place.repeat_interleave(each).to(device) for place in places)
    # Every crop that there is, as a view; one indexed read takes each window's own.
    crops = video.unfold(2, size, 1).unfold(3, size, 1)
    cut = crops[torch.arange(len(video), device=device), :, top, left]  # (N, 5, [3,] size, size)
    if spec.colours > 1:
        cut = cut.movedim(2, -1)
    turned = mirrored.repeat_interleave(each).to(device).view(-1, *[1] * (video.dim() - 1))
    return torch.where(turned, cut.flip(3), cut).float()


def _filmed_otherwise(video: Tensor, size: int, groups: int, geometry: float, random: SharedRandom) -> Tensor:
    """Scale, turn, shift, stretch, bend and mirror: one resampling of all of a group's frames.

    Args:
        video, groups, random: as for `augment_video`.
        size: side of the result, pixels.
        geometry: as in `Strength`.
    """

    def either(largest: float) -> Tensor:
        return (2 * random.uniform(groups) - 1) * largest * geometry

    scale = size / video.shape[2] * either(SCALE).exp()
    stretch, shear, angle = either(STRETCH).exp(), either(STRETCH), either(TURN)
    mirror = torch.where(random.uniform(groups) < 0.5, -1.0, 1.0)
    across = torch.stack([mirror * scale * stretch * angle.cos(), scale * (shear - angle.sin()), either(SHIFT)], 1)
    down = torch.stack([mirror * scale * stretch * angle.sin(), scale / stretch * angle.cos(), either(SHIFT)], 1)
    turned = torch.stack([across, down], 1).to(video.device)
    places = F.affine_grid(turned, [groups, 1, size, size], align_corners=False)
    # Coordinates run from -1 to 1: a side is 2.
    bends = (random.normal(groups, 2, CELLS, CELLS) * 2 * ELASTIC * geometry).to(video.device)
    places = places + F.interpolate(bends, (size, size), mode="bicubic", align_corners=True).movedim(1, -1)
    colours = video.shape[4:]
    planes = video.movedim(-1, 2) if colours else video
    planes = planes.reshape(groups, -1, *planes.shape[-2:]).float()  # a group's frames as channels of one picture
    found = F.grid_sample(planes, places, padding_mode="border", align_corners=False)
    found = found.view(len(video), video.shape[1], *colours, size, size)
    return found.movedim(2, -1) if colours else found


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
    """Gain and a smooth filter, another vocal tract, room and background, noise, masks.

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
    if strength.tract or strength.room or strength.background:
        energies = acoustics.envelope(audio)
        if strength.tract:
            energies = acoustics.another_tract(energies, strength.tract, random)
        if strength.room:
            energies = acoustics.in_a_room(energies, strength.room, random)
        if strength.background:
            energies = acoustics.with_background(energies, strength.background, random)
        audio = acoustics.cepstra(energies)
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
