"""Offsets finer than a frame, with an interval.

The MFCC grid has a step each 10 ms, four a picture. The audio is embedded from each of the four on, so that there is a
distance at every 10 ms; a parabola through the seven means around the least one gives what lies between. No network is
trained for it. Distances are kept as sums over blocks of windows: the blocks are what the bootstrap draws from, and
what a stretch of a video is put together from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, UInt8
from scipy.special import ndtri, stdtrit

from syncnet_lib.media.clock import FRAME_MS
from syncnet_lib.media.features import MFCC_PER_FRAME

PHASES = MFCC_PER_FRAME
"""Starts of a window between two pictures."""
STEP_MS = FRAME_MS / PHASES
"""Milliseconds between two distances."""
BLOCK = 5
"""Windows a row, 0.2 s; rows are counted from the first picture of the video."""
FITTED = 7
"""Means that the parabola is fitted to: ±30 ms, where the valley of a window of 200 ms is one."""
DRAWS = 400
"""Resamples of the bootstrap."""
DRAWN = 2
"""Rows that are drawn together, 0.4 s: windows of 0.2 s that touch share what they see and hear."""
LEVEL = 95
"""Percent of the interval."""

_AT = np.arange(FITTED) - FITTED // 2
_BEND, _SLOPE, _ = np.linalg.pinv(np.stack([_AT**2, _AT, np.ones(FITTED)], axis=1))


@dataclass
class Rows:
    """Distances of a face track at steps of 10 ms, a row each BLOCK windows.

    Attributes:
        first: row of the video with which they begin.
        sums: of the windows whose distance at that step is known.
        counts: how many these are.
    """

    first: int
    sums: Float32[np.ndarray, "rows steps"]
    counts: UInt8[np.ndarray, "rows steps"]

    @classmethod
    def empty(cls, first: int, windows: int, shifts: int) -> "Rows":
        """Rows to be filled by `add`.

        Args:
            first: frame of the video at which the first window begins.
            windows: of the track.
            shifts: whole frames that are searched.
        """
        shape = (first + windows - 1) // BLOCK - first // BLOCK + 1, shifts * PHASES
        return cls(first // BLOCK, np.zeros(shape, np.float32), np.zeros(shape, np.uint8))

    def add(self, first: int, distances: Float32[np.ndarray, "windows steps"]) -> None:
        """Add windows that follow each other.

        Args:
            first: frame of the video at which the first of them begins.
            distances: column 4 i + p is shift i, p steps later; NaN where there is no audio.
        """
        row = (first + np.arange(len(distances))) // BLOCK - self.first
        known = ~np.isnan(distances)
        starts = np.flatnonzero(np.diff(row, prepend=-1))
        self.sums[row[starts]] += np.add.reduceat(np.where(known, distances, 0), starts)
        self.counts[row[starts]] += np.add.reduceat(known, starts, dtype=np.uint8)


@dataclass(frozen=True)
class Estimate:
    """An offset in milliseconds; above 0 the sound is ahead.

    Attributes:
        ms: where the distance is least.
        low, high: ends of the 95 % interval, given that the frame is right.
    """

    ms: float
    low: float
    high: float

    def moved(self, frames: int) -> "Estimate":
        """The same where the audio was moved by so many frames before."""
        ms = frames * FRAME_MS
        return Estimate(self.ms + ms, self.low + ms, self.high + ms)

    @property
    def interval(self) -> tuple[float, float]:
        """Its ends, the lower one first."""
        return self.low, self.high


def estimate(
    tracks: Sequence[Rows], weights: Sequence[float], offset: int, start: int = 0, stop: int | None = None
) -> Estimate:
    """Refine an offset in frames.

    Args:
        tracks: rows of the faces that speak, of a search of the same width.
        weights: what a window of each counts for.
        offset: frames, of `scoring.offset`; the least distance is looked for within a frame of it.
        start, stop: rows of the video, the last one not included; None for all that follow.
    """
    middle = (tracks[0].sums.shape[1] // PHASES // 2 - offset) * PHASES
    first = max(middle - PHASES - FITTED // 2, 0)
    columns = slice(first, middle + PHASES + FITTED // 2 + 1)
    sums, counts = [], []
    for rows, weight in zip(tracks, weights, strict=True):
        cut = slice(max(start - rows.first, 0), None if stop is None else max(stop - rows.first, 0))
        sums.append(rows.sums[cut, columns].astype(np.float64) * weight)
        counts.append(rows.counts[cut, columns].astype(np.float64) * weight)
    blocks, counted = (_together(np.concatenate(each)) for each in (sums, counts))
    size = len(blocks)
    total, count = redrawn(blocks, counted, DRAWS)
    means = np.divide(total, count, out=np.full(total.shape, np.inf), where=count > 0)
    found = (middle - first - lowest(means, middle - first, PHASES)) * STEP_MS + offset * FRAME_MS
    spread = (100 - LEVEL) / 2
    low, high = np.percentile(found[1:], (spread, 100 - spread))
    ms, most = float(found[0]), FRAME_MS + FITTED // 2 * STEP_MS
    below, above = (min(widened(max(side, 0.0), size), most) for side in (ms - low, high - ms))
    return Estimate(ms, ms - below, ms + above)


def redrawn(
    sums: Float[np.ndarray, "blocks shifts"], counts: Float[np.ndarray, "blocks shifts"], draws: int
) -> tuple[Float[np.ndarray, "{draws}+1 shifts"], Float[np.ndarray, "{draws}+1 shifts"]]:
    """Sums and counts of distances over all blocks, and over as many drawn again with replacement.

    Args:
        sums: of each block at each shift.
        counts: what they are sums of.
        draws: how often the blocks are drawn, always the same ones.

    Returns:
        Both sums, the first row of the blocks as they are.
    """
    size = len(sums)
    drawn = np.random.default_rng(0).multinomial(size, np.full(size, 1 / size), draws)
    chosen = np.concatenate([np.ones((1, size)), drawn])
    return chosen @ sums, chosen @ counts


def widened(side: float, blocks: int) -> float:
    """An interval's side by the bootstrap, as few blocks ask for it: Student's t in place of the normal deviate, and
    n - 1 in place of n under the root; without bound where there is one block."""
    if blocks < 2:
        return np.inf
    quantile = (100 + LEVEL) / 200
    return side * float(stdtrit(blocks - 1, quantile) / ndtri(quantile)) * (blocks / (blocks - 1)) ** 0.5


def _together(rows: np.ndarray) -> np.ndarray:
    """Sums over DRAWN rows each."""
    return np.add.reduceat(rows, np.arange(0, len(rows), DRAWN))


def lowest(curves: Float[np.ndarray, "draws steps"], middle: int, reach: int) -> Float[np.ndarray, " draws"]:
    """Where each curve is lowest within `reach` steps of one, in steps: by the parabola through FITTED points around
    the least, or that itself where they are none."""
    low = max(middle - reach, 0)
    least = low + curves[:, low : middle + reach + 1].argmin(axis=1)
    begin = np.clip(least - FITTED // 2, 0, curves.shape[1] - FITTED)
    around = np.take_along_axis(curves, begin[:, None] + np.arange(FITTED), axis=1)
    whole = np.isfinite(around).all(axis=1)
    around = np.where(whole[:, None], around, 0)
    bend, slope = around @ _BEND, around @ _SLOPE
    lowest = np.divide(-slope, 2 * bend, out=np.zeros(len(bend)), where=whole & (bend > 0)) + begin + FITTED // 2
    return np.where(whole & (bend > 0) & (np.abs(lowest - least) <= FITTED // 2), lowest, least)
