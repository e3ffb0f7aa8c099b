"""Other voices, rooms and backgrounds, on MFCC: what a recording would have been, without its samples.

The 13 coefficients of a step are the cosine transform of 26 log mel energies, cut off after 13, and the log of the
whole energy in place of the first [python_speech_features]. Turned back they give the energies as a smooth envelope:
enough to move the filters as another vocal tract would, to let sound decay as a room does, and to add power. Without a
change the way there and back is exact.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from syncnet_lib.media.features import MFCC_RATE, MFCC_SIZE
from syncnet_lib.training.randomness import SharedRandom

FILTERS, LIFTER = 26, 22
"""Mel filters and lifter of `python_speech_features.mfcc`, by default."""
DECAY = (0.08, 0.7)
"""Seconds in which a room's sound decays by 60 dB: a furnished room to a hall (RT60)."""
SNR = (5.0, 45.0)
"""Decibels by which speech is louder than the steady noise behind it: a street to a studio."""
BABBLE_SNR, BABBLE_SHARE = (5.0, 25.0), 0.3
"""The same for another talker behind, and the share of runs that have one."""
NEPERS = 13.8
"""60 dB as a logarithm of power: ln(10^6)."""
_KNOTS = 5
"""Points of a random smooth spectrum, linear between."""


def envelope(mfcc: Float[Tensor, "*runs steps 13"]) -> Float[Tensor, "*runs steps 26"]:
    """Log mel energies whose MFCC these are, smoothed by the cut after 13 coefficients.

    Args:
        mfcc: without a mean taken off.
    """
    smooth = (mfcc[..., 1:] / _lift(mfcc)) @ _cosines(mfcc)
    return smooth + (mfcc[..., :1] - smooth.logsumexp(-1, keepdim=True))


def cepstra(energies: Float[Tensor, "*runs steps 26"]) -> Float[Tensor, "*runs steps 13"]:
    """MFCC of log mel energies; the whole energy is their sum."""
    return torch.cat(
        [energies.logsumexp(-1, keepdim=True), (energies @ _cosines(energies).T) * _lift(energies)], dim=-1
    )


def _cosines(like: Tensor) -> Tensor:
    """(12, 26) orthonormal cosine transform without its first row."""
    place = torch.arange(FILTERS, device=like.device, dtype=like.dtype)
    order = torch.arange(1, MFCC_SIZE, device=like.device, dtype=like.dtype)[:, None]
    return (2 / FILTERS) ** 0.5 * torch.cos(torch.pi * order * (2 * place + 1) / (2 * FILTERS))


def _lift(like: Tensor) -> Tensor:
    order = torch.arange(1, MFCC_SIZE, device=like.device, dtype=like.dtype)
    return 1 + LIFTER / 2 * torch.sin(torch.pi * order / LIFTER)


def another_tract(
    energies: Float[Tensor, "runs steps 26"], strength: float, random: SharedRandom
) -> Float[Tensor, "runs steps 26"]:
    """The same words from a longer or shorter vocal tract: the envelope is stretched over the filters.

    Args:
        energies: logarithms.
        strength: largest logarithm of the factor on the filters' places; 0.2 is more than people differ.
        random: source of the random numbers.
    """
    factor = ((2 * random.uniform(len(energies)) - 1) * strength).exp()
    place = (torch.arange(FILTERS) + 0.5) * factor[:, None] - 0.5
    below = place.clamp(0, FILTERS - 1).floor().long()
    share = (place.clamp(0, FILTERS - 1) - below)[:, None].to(energies.device)
    index = below[:, None].expand(-1, energies.shape[1], -1).to(energies.device)
    return energies.gather(2, index) * (1 - share) + energies.gather(2, (index + 1).clamp_max(FILTERS - 1)) * share


def in_a_room(
    energies: Float[Tensor, "runs steps 26"], strength: float, random: SharedRandom
) -> Float[Tensor, "runs steps 26"]:
    """Reverberation: each step's power rings on, exponentially, in half of the runs.

    Args:
        energies: logarithms.
        strength: largest power of the reverberation, the direct sound's being 1.
        random: source of the random numbers.
    """
    runs, device = len(energies), energies.device
    low, high = DECAY
    seconds = random.uniform(runs, 1) * (high - low) + low
    power = random.uniform(runs, 1) * strength * (random.uniform(runs, 1) < 0.5)
    tail = torch.exp(-NEPERS * torch.arange(1, round(high * MFCC_RATE)) / MFCC_RATE / seconds)
    kernel = torch.cat([torch.ones(runs, 1), power * tail / tail.sum(1, keepdim=True)], 1).to(device)
    padded = F.pad(energies.exp().permute(2, 0, 1), (kernel.shape[1] - 1, 0))
    return F.conv1d(padded, kernel.flip(1)[:, None], groups=runs).permute(1, 2, 0).log()


def with_background(
    energies: Float[Tensor, "runs steps 26"], strength: float, random: SharedRandom
) -> Float[Tensor, "runs steps 26"]:
    """Noise of a random spectrum behind the speech, and, in some runs, another run's speech.

    Args:
        energies: logarithms.
        strength: factor on the power of what is added.
        random: source of the random numbers.
    """
    runs, steps, _ = energies.shape
    device = energies.device
    power = energies.exp()
    level = power.mean((1, 2), keepdim=True)
    knots = 1.5 * random.normal(runs, 1, _KNOTS)
    shape = F.interpolate(knots, FILTERS, mode="linear", align_corners=True).exp()
    shape = shape / shape.mean(2, keepdim=True)
    # The power of noise in a filter varies about its mean; less than a single bin's, of which a filter has several.
    varies = 0.5 - 0.5 * random.uniform(runs, steps, FILTERS).to(device).clamp_min(1e-6).log()
    noise = level * (_ratio(SNR, random, runs) * shape).to(device) * varies
    behind = (power / level).roll((1, steps // 3), (0, 1))  # the run before, from elsewhere in it
    loud = _ratio(BABBLE_SNR, random, runs) * (random.uniform(runs) < BABBLE_SHARE)[:, None, None]
    babble = level * behind * loud.to(device)
    return (power + strength * (noise + babble)).log()


def _ratio(decibels: tuple[float, float], random: SharedRandom, runs: int) -> Tensor:
    """(runs, 1, 1) power over speech, at a uniform number of decibels below it."""
    low, high = decibels
    return 10 ** (-(low + (high - low) * random.uniform(runs, 1, 1)) / 10)
