"""Sound of another speed: an offset that grows, followed over the whole of a video.

**Search.** Along every line through the distances of `far`, within ±FASTEST, the mean is taken over SEARCHED frames at
most. What counts is the depth of a mean times the root of how many windows it is of, which noise has alike in long and
in short lines.

**Fit.** The line is undone: the audio is looked for around it, at steps of 10 ms, and what is left is a line again, the
one of least mean distance. This is repeated until it stays. Its interval comes from drawing pieces of GROUP again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from syncnet_lib.measurement import far, fine, standing
from syncnet_lib.measurement.fine import BLOCK, PHASES
from syncnet_lib.measurement.line import Line
from syncnet_lib.measurement.result import Drift, Point
from syncnet_lib.measurement.stream import FAR
from syncnet_lib.media.clock import FPS, FRAME_MS
from syncnet_lib.media.features import WINDOW_FRAMES
from syncnet_lib.model import scoring

FASTEST = 0.064
"""Frames a frame, more than film at 24 frames a second that is shown at 25."""
SEARCHED = 120 * FPS
"""Frames from the first face on that the search looks at; the fit then takes the whole video."""
LEAST = 10 * FPS
"""Windows along a line."""
RISE = 2
"""Frames by which a line rises or falls at least; what does less is a constant offset."""
GROUP, GROUPS = 4 * FPS // BLOCK, 256
"""Rows that are drawn together, 4 s, which is longer than most sentences, and pieces at most."""
PASSES = 5
"""Of undoing and fitting; the second mostly stays."""
STAYS = 1 / PHASES
"""Frames at the ends of the video by which another pass would change nothing."""
WIDE = np.arange(-2 * scoring.VSHIFT, 2 * scoring.VSHIFT + 1, dtype=np.float64)
"""Frames by which what is left may rise over the video, tried first."""
CLOSE = np.arange(-12, 13) / PHASES
"""Around the best of these."""
DRAWS = 200
_AT = np.arange(fine.FITTED) - fine.FITTED // 2
_SMOOTH = np.linalg.pinv(np.stack([_AT**2, _AT, np.ones(fine.FITTED)], axis=1))[2]
"""The value in the middle of the parabola through FITTED points."""


@dataclass(frozen=True)
class Followed:
    """A line that was fitted to a whole video.

    Attributes:
        drift: it, with its interval.
        points: offset over time, around the line.
        confidence: median of the mean distances over the shifts around it, less their minimum.
        windows: how many it is of.
        doubt: why it may be chance; "" where it stands.
    """

    drift: Drift
    points: list[Point]
    confidence: float
    windows: int
    doubt: str


def search(rows: far.Rows) -> Line | None:
    """The line of most evidence through the distances of a video.

    Args:
        rows: of `far.compared`.

    Returns:
        None where a constant offset fits better, or another line nearly as well.
    """
    filled = np.flatnonzero(rows.counts.any(axis=1))
    if not len(filled):
        return None
    used = slice(filled[0], min(filled[-1] + 1, filled[0] + SEARCHED // far.ROW))
    sums, counts = _levelled(rows.sums[used], rows.counts[used])
    frames = far.ROW * np.arange(used.start, used.stop) + (far.ROW - far.STRIDE) / 2
    middle = (frames[0] + frames[-1]) / 2
    span = max(frames[-1] - frames[0], 1.0)
    steps = int(FASTEST * span)
    reach = int(np.ceil(FASTEST * span / 2))
    rates = np.arange(-steps, steps + 1) / span
    evidence = np.empty((len(rates), far.SHIFTS + 2 * reach))
    for number, rate in enumerate(rates):
        shift = np.rint(rate * (frames - middle)).astype(int)
        total, count = (_sheared(each, shift, reach).sum(axis=0) for each in (sums, counts))
        depth = -total / np.maximum(count, 1)
        evidence[number] = np.where(count * far.STRIDE >= LEAST, np.maximum(depth, 0) * np.sqrt(count), 0)
    chosen, column = (int(each) for each in np.unravel_index(int(evidence.argmax()), evidence.shape))
    best, rate = evidence[chosen, column], float(rates[chosen])
    there = FAR + reach - column  # the offset in the middle
    seen = np.abs(there + rate * (frames - middle)) <= FAR
    if best == 0 or abs(rate) * np.ptp(frames[seen]) < RISE:
        return None
    rivals = evidence.copy()
    rivals[:, max(column - scoring.VSHIFT, 0) : column + scoring.VSHIFT + 1] = 0
    if rivals.max() >= far.RIVAL * best:
        return None
    return Line(there - rate * (middle + WINDOW_FRAMES / 2), rate)


def follow(along: Callable[[Line], list[fine.Rows]], line: Line) -> Followed | None:
    """Fit a line to a whole video.

    Args:
        along: the distances of its tracks around a line, as `Watched.along` has them.
        line: to begin with.

    Returns:
        None where nothing is left along it.
    """
    for _ in range(PASSES):
        around = _Around(line, along(line))
        if around.windows < LEAST:
            return None
        fitted = around.fitted()
        moved = np.abs(fitted.at(around.ends) - line.at(around.ends)).max()
        line = fitted
        if moved < STAYS:
            break
    else:
        return None
    return around.followed()


class _Around:
    """Distances around a line at steps of 10 ms.

    Args:
        line: which.
        tracks: of `Watched.along`.
    """

    def __init__(self, line: Line, tracks: list[fine.Rows]) -> None:
        self._line = line
        size = max(rows.first + len(rows.sums) for rows in tracks)
        sums, counts = np.zeros((2, size, tracks[0].sums.shape[1]))
        for rows in tracks:
            span = slice(rows.first, rows.first + len(rows.sums))
            sums[span] += rows.sums
            counts[span] += rows.counts
        filled = np.flatnonzero(counts.any(axis=1))
        begin, end = (filled[0], filled[-1] + 1) if len(filled) else (0, 1)
        self._sums, self._counts = _levelled(sums[begin:end], counts[begin:end])
        self._frames = BLOCK * np.arange(begin, end) + (BLOCK - 1) / 2
        self._middle = (self._frames[0] + self._frames[-1]) / 2
        self._span = max(float(np.ptp(self._frames)), 1.0)
        self.ends = self._frames[[0, -1]]
        self.windows = int(self._counts.sum(axis=0).max())
        each = max(GROUP, -(-(end - begin) // GROUPS))
        self._groups = np.arange(0, end - begin, each)

    def fitted(self) -> Line:
        """The line with what is left added."""
        return self._added(*(float(each[0]) for each in self._left(self._best(), 0)))

    def followed(self) -> Followed:
        """What is known of the line."""
        best = self._best()
        rates, offsets = self._left(best, DRAWS)
        line = self._added(float(rates[0]), float(offsets[0]))
        spread = (100 - fine.LEVEL) / 2
        low, high = np.percentile(rates[1:], (spread, 100 - spread))
        size = len(self._groups)
        below, above = (fine.widened(max(side, 0.0), size) for side in (rates[0] - low, high - rates[0]))
        half = self._span / 2
        apart = [offsets - offsets[0] + side * half * (rates - rates[0]) for side in (-1, 1)]
        agreed = (np.maximum(*np.abs(apart))[1:] <= scoring.TOLERANCE).mean()
        curve = self._curves(np.array([rates[0]]), None)[0].ravel()
        known = curve[~np.isinf(curve)]
        depth = float(np.median(known) - known.min())
        least = int(curve.argmin())
        near = PHASES * standing.NEAR
        others = np.delete(curve, slice(max(least - near, 0), least + near + 1))
        doubt = ""
        if not len(others) or others.min() - curve[least] < standing.DEPTH * depth:
            doubt = "another offset fits nearly as well"
        elif agreed < standing.AGREED:
            doubt = "moments of it say other offsets"
        begin, end = self.ends[0] / FPS, (self.ends[1] + WINDOW_FRAMES) / FPS
        drift = line.drift(float(begin), float(end), line.rate - below, line.rate + above)
        return Followed(drift, list(self._points()), depth, self.windows, doubt)

    def _best(self) -> float:
        """Frames a frame of what is left, of WIDE."""
        curves = self._curves(WIDE / self._span, None)
        return float(WIDE[curves.min(axis=2).argmin(axis=1)[0]] / self._span)

    def _left(self, rate: float, draws: int) -> tuple[np.ndarray, np.ndarray]:
        """(1 + draws,) rates of what is left, frames a frame, and its offsets in the middle, frames: of all pieces, and
        of as many drawn again."""
        rates = rate + CLOSE / self._span
        curves = self._curves(rates, draws)
        values = curves.min(axis=2)
        chosen = rate + fine.lowest(values, len(rates) // 2, len(rates) // 2) * (rates[1] - rates[0])
        chosen = chosen - len(rates) // 2 * (rates[1] - rates[0])
        nearest = np.clip(np.rint((chosen - rates[0]) / (rates[1] - rates[0])).astype(int), 0, len(rates) - 1)
        own = curves[np.arange(len(curves)), nearest]
        columns = fine.lowest(own, own.shape[1] // 2, own.shape[1] // 2)
        return chosen, scoring.VSHIFT - columns / PHASES

    def _added(self, rate: float, offset: float) -> Line:
        middle = self._middle + WINDOW_FRAMES / 2
        return Line(self._line.start + offset - rate * middle, self._line.rate + rate)

    def _curves(self, rates: np.ndarray, draws: int | None) -> Float[np.ndarray, "draws rates steps"]:
        """Mean distances of all lines of some rates, smoothed, of all pieces and of as many drawn again; infinite where
        a line leaves what was compared."""
        pieces = []
        for each in (self._sums, self._counts):
            sheared = []
            for rate in rates:
                shift = np.rint(PHASES * rate * (self._frames - self._middle)).astype(int)
                sheared.append(np.add.reduceat(_sheared(each, shift, 0), self._groups, axis=0))
            pieces.append(np.stack(sheared, axis=1))
        sums, counts = pieces
        shape = sums.shape[1:]
        sums, counts = fine.redrawn(sums.reshape(len(sums), -1), counts.reshape(len(counts), -1), draws or 0)
        return _smoothed(scoring.even_means(sums, counts).reshape(-1, *shape))

    def _points(self) -> Iterator[Point]:
        """The offset of each piece by itself."""
        for start in self._groups:
            span = slice(start, start + GROUP)
            counts = self._counts[span].sum(axis=0)
            if counts.max() < BLOCK * GROUP / 2:
                continue
            means = scoring.even_means(self._sums[span].sum(axis=0), counts)
            curve = _smoothed(means[None, None])[0, 0]
            if np.isinf(curve).all():
                continue
            frame = float(self._frames[span].mean())
            left = scoring.VSHIFT - int(curve.argmin()) / PHASES
            yield Point(
                time_s=(frame + WINDOW_FRAMES / 2) / FPS,
                offset_ms=float(self._line.at(np.array([frame]))[0] + left) * FRAME_MS,
                confidence=float(np.median(curve[~np.isinf(curve)]) - curve.min()),
            )


def _levelled(sums: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums less each row's level, so that what has no sound counts as neither near nor far; and the counts."""
    level = sums.sum(axis=1) / np.maximum(counts.sum(axis=1), 1)
    return sums - level[:, None] * counts, counts


def _sheared(values: np.ndarray, shift: np.ndarray, reach: int) -> np.ndarray:
    """Rows moved: column c of the result is column c - reach - shift of a row; 0 beyond its ends."""
    size = values.shape[1] + 2 * reach
    most = int(np.abs(shift).max(initial=0))
    padded = np.pad(values, ((0, 0), (reach + most, reach + most)))
    return np.lib.stride_tricks.sliding_window_view(padded, size, axis=1)[np.arange(len(values)), most - shift]


def _smoothed(curves: np.ndarray) -> np.ndarray:
    """Curves over steps, each value that of the parabola through FITTED of them; infinite at the ends."""
    side = fine.FITTED // 2
    padded = np.pad(curves, ((0, 0), (0, 0), (side, side)), constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, fine.FITTED, axis=2)
    return np.where(np.isfinite(around).all(axis=3), around @ _SMOOTH, np.inf)
