"""Several channels of sound to one, so that a voice stays: what a plain mix can cancel or bury."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int16

from syncnet_lib.errors import InputError

OPPOSED = -0.2
"""Correlation of two channels below which something in them cancels when they are added. Two independent microphones
have 0; a voice that is upside down in one of them, louder than what both share, is far below."""
BURIED = 10.0
"""Decibels by which the mix may be below its loudest channel; a plain mean of two, one of them silent, loses 6."""
CENTRE = "FC"
"""libav's name of the channel that carries the dialogue of surround sound."""
NAMES = {"left": "FL", "right": "FR", "centre": CENTRE}
"""Names of channels to libav's."""
UNNAMED = {"", "NONE"}
"""What libav calls a channel of which the file says nothing."""
USUAL = {
    2: ("FL", "FR"),
    6: ("FL", "FR", CENTRE, "LFE", "BL", "BR"),
    8: ("FL", "FR", CENTRE, "LFE", "BL", "BR", "SL", "SR"),
}
"""Number of channels to the order in which they usually come."""
CENTRE_RANGE = 20.0
"""Decibels by which the centre may be below the loudest channel and still be what is spoken."""


def to_mono(
    mix: Int16[np.ndarray, "samples"], channels: Int16[np.ndarray, "channels samples"], names: Sequence[str]
) -> tuple[Int16[np.ndarray, "samples"], str]:
    """The one signal in which speech is heard best.

    Args:
        mix: libav's mono mix of the channels.
        channels: each by itself.
        names: libav's names of them, e.g. FL, FR, FC.

    Returns:
        Samples, and why they are not the mix; "" where they are.
    """
    levels = [_level(channel) for channel in channels]
    loudest = int(np.argmax(levels))
    if CENTRE in names and len(channels) > 2 and levels[names.index(CENTRE)] > levels[loudest] - CENTRE_RANGE:
        return channels[names.index(CENTRE)], "the centre channel is used, which carries the dialogue"
    if len(channels) == 2 and _correlation(*channels) < OPPOSED:
        return channels[loudest], "the channels are in opposite phase and cancel each other: one of them is used"
    if _level(mix) < levels[loudest] - BURIED:
        return channels[loudest], "the mix of the channels is too quiet: the loudest of them is used"
    return mix, ""


def only(channels: Int16[np.ndarray, "channels samples"] | None, names: Sequence[str], wanted: str) -> np.ndarray:
    """One channel.

    Args:
        channels, names: as for `to_mono`; None where there is but one.
        wanted: by one of NAMES, or libav's name.

    Raises:
        InputError: there is no such channel.
    """
    name = NAMES.get(wanted, wanted)
    if channels is not None and set(names) <= UNNAMED:
        names = USUAL.get(len(channels), names)
    if channels is None or name not in names:
        words = {libav: word for word, libav in NAMES.items()}
        known = ", ".join(words.get(each, each) for each in names)
        raise InputError(
            "--channel", f"the audio has no channel {wanted}", f"it has {known}" if known else "it is mono"
        )
    return channels[list(names).index(name)]


def _level(samples: Int16[np.ndarray, "samples"]) -> float:
    """Mean power, decibels relative to full scale."""
    return 10 * float(np.log10(np.square(samples, dtype=np.float32).mean() / 2**30 + 1e-12)) if len(samples) else -120.0


def _correlation(one: Int16[np.ndarray, "samples"], other: Int16[np.ndarray, "samples"]) -> float:
    """Correlation of the differences of neighbouring samples: speech counts for more in them than rumble and music."""
    left, right = (np.diff(samples.astype(np.float32)) for samples in (one, other))
    return float(left @ right / (np.sqrt((left @ left) * (right @ right)) + 1))
