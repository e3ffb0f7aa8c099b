"""Distances along a video: where an edit changes sync, and drift."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from syncnet_lib.measurement import fine
from syncnet_lib.measurement.analyse import Measured
from syncnet_lib.measurement.finding import JUMP
from syncnet_lib.measurement.fine import BLOCK
from syncnet_lib.measurement.result import Drift, Point, Segment
from syncnet_lib.media.clock import FPS, FRAME_MS
from syncnet_lib.media.features import WINDOW_FRAMES
from syncnet_lib.media.timecode import Timecode
from syncnet_lib.model import scoring

SURE_WINDOWS = 3 * FPS - WINDOW_FRAMES
"""Windows for which a threshold holds where its checkpoint does not say, 3 s; fewer need more confidence, as the noise
of a mean goes with their inverse square root."""
CHANGE = 4 * FPS
"""Windows of full evidence, 4 s, that a change of sync must bring to be believed."""
DRIFT_BLOCK = 4 * FPS
"""Windows whose offset is one point of the drift's line, 4 s."""
DRIFT_SECONDS, DRIFT_POINTS = 60, 8
"""Shortest stretch, and fewest points, that a line is fitted to."""


class Timeline:
    """Distances over shifts along a video, of all tracks that speak, a row each BLOCK windows, which place edits.

    Args:
        tracks: they.
        frames: length of the video.
        needed: confidence from which a stretch is sure; None where no threshold is known.
        timecode: how the file's own pictures are counted.
        centre: offset in frames around which was searched.
    """

    def __init__(
        self, tracks: list[Measured], frames: int, needed: float | None, timecode: Timecode, centre: int = 0
    ) -> None:
        self._needed, self._timecode, self._centre = needed, timecode, centre
        self._rows = [track.rows for track in tracks]
        shape = frames // BLOCK + 1, tracks[0].distances.shape[1]
        self._reach = shape[1] // 2
        self._sums, self._counts = np.zeros(shape), np.zeros(shape, np.int64)
        for track in tracks:
            row = (track.first + np.arange(track.windows)) // BLOCK
            # Less each window's level, so that a shift without sound counts as neither near nor far.
            known = ~np.isnan(track.distances)
            distances = np.nan_to_num(track.distances)
            level = distances.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
            np.add.at(self._sums, row, (distances - level[:, None]) * known)
            np.add.at(self._counts, row, known)
        self._windows = self._counts.max(axis=1)
        self._end = max(track.first + track.frames for track in tracks)

    def segments(self) -> list[Segment]:
        """Stretches of constant offset: the path over the shifts of least distance, on which a change costs what CHANGE
        windows of full evidence bring (Viterbi); stretches that are not sure for themselves join a neighbour."""
        filled = np.flatnonzero(self._windows)
        edges = [int(filled[0]), *self._changes(), int(filled[-1]) + 1]
        edges = [edges[0], *(edge for edge in edges[1:-1] if edges[0] < edge < edges[-1]), edges[-1]]
        while len(edges) > 2:
            pairs = list(itertools.pairwise(edges))
            # How sure each is, on the scale of a stretch of SURE_WINDOWS.
            weights = [
                self._confidence(*pair) * min(1.0, (self._length(*pair) / SURE_WINDOWS) ** 0.5) for pair in pairs
            ]
            weakest = int(np.argmin(weights))
            offsets = [scoring.offset(self._curve(*pair)) for pair in pairs]
            equal = [n for n in range(len(pairs) - 1) if offsets[n] == offsets[n + 1]]
            if equal:
                del edges[equal[0] + 1]
            elif weights[weakest] < (self._needed or np.inf):
                left = weakest > 0 and (weakest == len(pairs) - 1 or weights[weakest - 1] > weights[weakest + 1])
                del edges[weakest if left else weakest + 1]
            else:
                break
        return [self._segment(start, stop, last=stop == edges[-1]) for start, stop in itertools.pairwise(edges)]

    def apart(self, stretches: Sequence[tuple[int, int]]) -> tuple[Segment, Segment] | None:
        """The two of some stretches, those that are sure for themselves, whose offsets are furthest apart.

        Args:
            stretches: first frame of each and the one after its last.

        Returns:
            The lower and the higher; None where they agree: within a frame, or within their intervals.
        """
        rows = [(first // BLOCK, -(-stop // BLOCK)) for first, stop in stretches]
        sure = [
            self._segment(*pair, last=False)
            for pair in rows
            if self._confidence(*pair) >= (self._needed or np.inf) * max(1.0, SURE_WINDOWS / self._length(*pair)) ** 0.5
        ]
        if not sure:
            return None
        low, high = min(sure, key=lambda each: each.offset_ms), max(sure, key=lambda each: each.offset_ms)
        clear = low.offset_interval_ms[1] < high.offset_interval_ms[0]
        return (low, high) if clear and high.offset_ms - low.offset_ms > FRAME_MS else None

    def _segment(self, start: int, stop: int, last: bool) -> Segment:
        begin = start * BLOCK / FPS
        end = min(stop * BLOCK + WINDOW_FRAMES, self._end) / FPS if last else stop * BLOCK / FPS
        offset = scoring.offset(self._curve(start, stop))
        near = fine.estimate(self._rows, [1.0] * len(self._rows), offset, start, stop).moved(self._centre)
        return Segment(
            start_s=begin,
            end_s=end,
            start_timecode=self._timecode.at(begin),
            end_timecode=self._timecode.at(end),
            offset_frames=self._centre + offset,
            offset_ms=near.ms,
            offset_interval_ms=near.interval,
            confidence=self._confidence(start, stop),
        )

    def _changes(self) -> list[int]:
        """Rows at which the path over the shifts of least distance changes."""
        cost = CHANGE * self._evidence()
        best = np.zeros(self._sums.shape[1])
        came = np.empty(self._sums.shape, np.int64)
        stay = np.arange(len(best))
        for n, row in enumerate(self._sums):
            cheapest = int(best.argmin())
            moved = best[cheapest] + cost < best
            came[n] = np.where(moved, cheapest, stay)
            best = np.where(moved, best[cheapest] + cost, best) + row
        changes = []
        at = int(best.argmin())
        for n in range(len(came) - 1, 0, -1):
            if came[n, at] != at:
                changes.append(n)
            at = int(came[n, at])
        return changes[::-1]

    def _curve(self, start: int, stop: int) -> np.ndarray:
        """(S,) float64 mean distances of a stretch of rows; nan where a shift has no sound."""
        return scoring.even_means(self._sums[start:stop].sum(axis=0), self._counts[start:stop].sum(axis=0))

    def _confidence(self, start: int, stop: int) -> float:
        curve = self._curve(start, stop)
        return 0.0 if np.isnan(curve).all() else scoring.confidence(curve)

    def _length(self, start: int, stop: int) -> int:
        return int(self._windows[start:stop].sum())

    def _points(self, start: int, stop: int) -> Iterator[tuple[int, np.ndarray]]:
        """Stretches of DRIFT_BLOCK windows that are at least half filled: first row and (S,) mean distances."""
        each = DRIFT_BLOCK // BLOCK
        for row in range(start, stop - each + 1, each):
            curve = self._curve(row, row + each)
            if self._length(row, row + each) >= DRIFT_BLOCK / 2 and not np.isnan(curve).any():
                yield row, curve

    def points(self) -> list[Point]:
        """The offset of each DRIFT_BLOCK windows by themselves."""
        return [
            Point(
                time_s=(row * BLOCK + DRIFT_BLOCK / 2) / FPS,
                offset_ms=(self._centre + self._reach - _lowest(curve)) * FRAME_MS,
                confidence=scoring.confidence(curve),
            )
            for row, curve in self._points(0, len(self._sums))
        ]

    def _evidence(self) -> float:
        """Confidence of a typical stretch of DRIFT_BLOCK windows, on which an edit elsewhere has no influence."""
        found = [scoring.confidence(curve) for _, curve in self._points(0, len(self._sums))]
        return float(np.median(found)) if found else np.inf

    def drift(self, segments: list[Segment]) -> Drift | None:
        """A robust line through the offsets of the longest stretch without an edit."""
        stretches: list[list[float]] = []
        last = None
        for segment in segments:
            if last is None or abs(segment.offset_frames - last) >= JUMP:
                stretches.append([segment.start_s, segment.end_s])
            stretches[-1][1] = segment.end_s
            last = segment.offset_frames
        start, end = max(stretches, key=lambda stretch: stretch[1] - stretch[0])
        points = list(self._points(round(start * FPS / BLOCK), round(end * FPS / BLOCK)))
        confidences = np.array([scoring.confidence(curve) for _, curve in points])
        sure = [n for n, confidence in enumerate(confidences) if confidence >= np.median(confidences) / 2]
        seconds = [(points[n][0] * BLOCK + DRIFT_BLOCK / 2) / FPS for n in sure]
        if len(sure) < DRIFT_POINTS or seconds[-1] - seconds[0] < DRIFT_SECONDS:
            return None
        from scipy.stats import theilslopes

        offsets = np.array([self._reach - _lowest(points[n][1]) for n in sure])
        slope, at_zero, low, high = theilslopes(offsets, seconds)
        if np.median(np.abs(offsets - at_zero - slope * np.array(seconds))) > JUMP / 2:
            return None  # no line: the points are of noise
        million = 1_000_000 / FPS
        return Drift(
            frames_per_minute=60 * slope,
            ppm=slope * million,
            ppm_low=low * million,
            ppm_high=high * million,
            start_s=start,
            end_s=end,
            start_frames=self._centre + at_zero + slope * start,
            end_frames=self._centre + at_zero + slope * end,
        )


def _lowest(curve: np.ndarray) -> float:
    """Where a curve is lowest, between its points by the parabola through three of them."""
    k = int(curve.argmin())
    if k in (0, len(curve) - 1):
        return float(k)
    before, at, after = curve[k - 1 : k + 2]
    bend = before - 2 * at + after
    return k + 0.5 * (before - after) / bend if bend > 0 else float(k)
