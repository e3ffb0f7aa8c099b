"""The one clock: 25 frames and 16,000 samples a second, and how timestamps are put on it."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from syncnet_lib.errors import InputError

FPS = 25
"""Pictures per second of the grid [Agrawal: 5 frames at 25 fps against 0.2 s of sound]."""
SAMPLE_RATE = 16_000
"""Samples per second of the sound [Agrawal: 16 kHz mono]."""
FRAME_MS = 1000 // FPS
"""Milliseconds of a picture of the grid."""
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS
"""640 samples of sound belong to one picture."""

MAX_GAP = 3600
"""Seconds without a picture or sound that still count as a pause; a longer one is a jump of the file's clock."""
TOLERANCE = Fraction(3, 1000)
"""Seconds by which sound timestamps may wander before they count as a gap: Matroska and Flash round them to 1 ms."""


T = TypeVar("T")


def on_grid(timed: Iterable[tuple[Fraction, Fraction, T]], path: Path | str = "video") -> Iterator[tuple[int, T]]:
    """Place timed pictures on the 25 fps grid that starts with the first of them.

    Grid picture k shows what is on the screen at (k + 1/2)/25 s, the middle of its own interval. A change of the source
    therefore appears within half a grid interval (20 ms) of its true instant, early as often as late.

    Args:
        timed: (start, duration, picture) in order of their start, seconds.
        path: what to name in an error.

    Yields:
        (k, picture) for k = 0, 1, 2 ... without a gap.

    Raises:
        InputError: two neighbours are more than MAX_GAP apart.
    """
    k = 0
    shown: tuple[Fraction, Fraction, T] | None = None  # what is on the screen, since when and until when
    origin = Fraction(0)
    for start, duration, picture in timed:
        if shown is None:
            origin = start
        else:
            last, _, before = shown
            if abs(start - last) > MAX_GAP:
                raise jump(path, last - origin, start - origin)
            if start <= last:
                continue  # a repeated or reordered timestamp: the earlier picture stays
            while Fraction(2 * k + 1, 2 * FPS) < start - origin:
                yield k, before
                k += 1
        shown = start, start + duration, picture
    if shown is None:
        return
    _, end, before = shown
    while k == 0 or Fraction(2 * k + 1, 2 * FPS) < end - origin:
        yield k, before
        k += 1


def jump(path: Path | str, last: Fraction, now: Fraction) -> InputError:
    """What is said of times that no pause explains, by the seconds from the first picture."""
    cause = f"timestamps jump from {math.floor(last)} s to {math.floor(now)} s"
    return InputError(
        path, cause, f"give what is before as a file: ffmpeg -i FILE -t {math.floor(last)} -c copy new.mkv"
    )
