"""Distances to a verdict: offset and confidence, who speaks, where an edit moves sync, and drift.

**Who speaks.** Of two faces that are seen together for half of the shorter track or more, the one with the higher
confidence over the windows in which the sound carries speech; below 3 s of them confidence counts for less, by the
square root. A face speaks if there is speech in its track and no face beside it has more confidence.

**The video's verdict** comes from the mean over the speaking tracks' curves of mean distances, each weighted by its
confidence times its windows.
"""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from syncnet_lib import files
from syncnet_lib.measurement.analyse import Analysis, Edges, InferSettings, Measured, analyse
from syncnet_lib.measurement.result import FRAME_MS, Drift, ModelInfo, Result, Segment, Sureness, TrackResult
from syncnet_lib.measurement.stream import Seen
from syncnet_lib.media.decode import FPS, SAMPLE_RATE
from syncnet_lib.media.features import WINDOW_FRAMES
from syncnet_lib.model import scoring
from syncnet_lib.model.networks import SyncNet

SURE = {"small": 0.25, "v2": 3.0}
"""Confidence from which a verdict counts as sure, by the network. For `small`: 99 % of the verdicts of the shipped
checkpoint on swapped sound are below (190 clips of 10 talkers of GRID, of which 30 had said 0.14; the control of
benchmarks/equivariance.py); for `v2`: the bound by which LatentSync's data pipeline keeps videos."""
SURE_WINDOWS = 3 * FPS - WINDOW_FRAMES
"""Windows for which SURE holds, 3 s; fewer windows need more, as the noise of a mean does (inverse square root)."""
SHARED = 0.5
"""Share of the shorter of two tracks that both must be seen in to be compared."""
BLOCK = 5
"""Windows that an edit is placed by, 0.2 s."""
CHANGE = 4 * FPS
"""Windows of full evidence, 4 s, that a change of sync must bring to be believed."""
DRIFT_BLOCK = 4 * FPS
"""Windows whose offset is one point of the drift's line, 4 s."""
DRIFT_SECONDS, DRIFT_POINTS = 60, 8
"""Shortest stretch, and fewest points, that a line is fitted to."""
JUMP = 2
"""Frames by which an edit moves sync at least; a drift passes them one by one."""


def judge(path: Path, found: Analysis, model: ModelInfo, settings: InferSettings) -> Result:
    """The verdict on a measured video.

    Args:
        path: what to call it.
        found: of `analyse`.
        model: which model measured.
        settings: those of `analyse`.
    """
    speakers = speaking(found.tracks)
    used = [track for track in found.tracks if track.number in speakers] or found.tracks
    curves = [scoring.mean_distances(track.distances) for track in used]
    weights = [max(scoring.confidence(curve), 0.0) * track.windows for curve, track in zip(curves, used, strict=True)]
    means = _combined(curves, weights)
    windows = sum(track.windows for track in used)
    offset, confidence = scoring.offset(means), scoring.confidence(means)
    time = _Timeline(used, found.frames, model.threshold)
    segments = time.segments()
    drift = time.drift(segments)
    sure = sureness(confidence, windows, model.threshold)
    return Result(
        path=str(path),
        offset_frames=offset,
        offset_ms=offset * FRAME_MS,
        confidence=confidence,
        sureness=sure,
        min_distance=float(np.nanmin(means)),
        mean_distances=means.tolist(),
        tracks=[_track_result(track, track.number in speakers, settings.edges) for track in found.tracks],
        segments=segments,
        drift=drift,
        model=model,
        settings=settings.model_dump(),
        warnings=[*_warnings(found, offset, sure, segments, drift, settings, not speakers), *found.notes],
    )


def sureness(confidence: float, windows: int, threshold: float | None) -> Sureness:
    """A confidence in words.

    Args:
        confidence: median less minimum of the mean distances.
        windows: whose mean it is; below SURE_WINDOWS more confidence is asked for.
        threshold: of the model; None where it has none: then nothing is sure, and nothing is denied.
    """
    if threshold is None:
        return "doubtful"
    needed = threshold * max(1.0, (SURE_WINDOWS / max(windows, 1)) ** 0.5)
    return "sure" if confidence >= needed else "doubtful" if confidence >= needed / 2 else "none"


def speaking(tracks: list[Measured]) -> set[int]:
    """Numbers of the tracks whose face speaks; the rule stands at the top of this module."""
    silent = {track.number for track in tracks if not track.speech.any()}
    for n, one in enumerate(tracks):
        for other in tracks[n + 1 :]:
            start, stop = max(one.first, other.first), min(one.first + one.windows, other.first + other.windows)
            if stop - start < SHARED * min(one.windows, other.windows):
                continue
            sure = [_speech_confidence(track) for track in (one, other)]
            silent.add(other.number if sure[0] >= sure[1] else one.number)
    return {track.number for track in tracks} - silent


def _speech_confidence(track: Measured) -> float:
    """Confidence over the windows in which the sound carries speech, on the scale of SURE_WINDOWS of them."""
    heard = track.distances[track.speech]
    if np.isnan(heard).all():
        return 0.0
    return scoring.confidence(scoring.mean_distances(heard)) * min(1.0, (len(heard) / SURE_WINDOWS) ** 0.5)


def _combined(curves: list[np.ndarray], weights: list[float]) -> np.ndarray:
    """(S,) float32 weighted mean of curves; where a curve is nan the others count."""
    stack = np.stack(curves)
    heavy = np.where(np.isnan(stack), 0.0, np.array(weights)[:, None] + np.finfo(np.float32).tiny)
    total = heavy.sum(axis=0)
    sums = (np.nan_to_num(stack) * heavy).sum(axis=0)
    return np.divide(sums, total, out=np.full(len(total), np.nan), where=total > 0).astype(np.float32)


def _track_result(track: Measured, speaks: bool, edges: Edges) -> TrackResult:
    means = scoring.mean_distances(track.distances)
    offset = scoring.offset(means)
    return TrackResult(
        track=track.number,
        shot=track.shot,
        start_s=track.first / FPS,
        end_s=(track.first + track.frames) / FPS,
        speaking=speaks,
        offset_frames=offset,
        offset_ms=offset * FRAME_MS,
        confidence=scoring.confidence(means),
        min_distance=float(np.nanmin(means)),
        frame_confidence=scoring.frame_confidence(track.distances, edges).tolist(),
    )


def _warnings(
    found: Analysis,
    offset: int,
    sure: Sureness,
    segments: list[Segment],
    drift: Drift | None,
    settings: InferSettings,
    unspoken: bool,
) -> Iterator[str]:
    longer = found.frames / FPS - found.samples / SAMPLE_RATE
    if abs(longer) * FPS >= WINDOW_FRAMES:
        what = ("sound", "pictures") if longer > 0 else ("pictures", "sound")
        yield f"the {what[0]} end {abs(longer):.2f} s before the {what[1]}".replace("sound end", "sound ends")
    if unspoken:
        yield "no face speaks while it is seen"
    if abs(offset) == settings.vshift:
        yield f"the least distance is at the end of the search (±{settings.vshift} frames): search further"
    if sure != "none":
        for before, after in itertools.pairwise(segments):
            if abs(after.offset_frames - before.offset_frames) >= JUMP:
                yield (
                    f"sync changes at {after.start_s:.1f} s from {before.offset_frames:+d} to "
                    f"{after.offset_frames:+d} frames"
                )
        if drift and not drift.ppm_low <= 0 <= drift.ppm_high and _drifted(drift) >= 1:
            yield f"the sound drifts by {drift.frames_per_minute:+.2f} frames a minute ({drift.ppm:+.0f} ppm)"


def _drifted(drift: Drift) -> float:
    """Frames that a drift amounts to over the stretch that it was seen in."""
    return abs(drift.frames_per_minute) * (drift.end_s - drift.start_s) / 60


class _Timeline:
    """Distances over shifts along a video, of all tracks that speak, a row each BLOCK windows.

    Args:
        tracks: they.
        frames: length of the video.
        threshold: confidence from which the model is sure; None where none is known.
    """

    def __init__(self, tracks: list[Measured], frames: int, threshold: float | None) -> None:
        self._threshold = threshold
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
            elif weights[weakest] < (self._threshold or np.inf):
                left = weakest > 0 and (weakest == len(pairs) - 1 or weights[weakest - 1] > weights[weakest + 1])
                del edges[weakest if left else weakest + 1]
            else:
                break
        return [
            Segment(
                start_s=start * BLOCK / FPS,
                end_s=min(stop * BLOCK + WINDOW_FRAMES, self._end) / FPS if stop == edges[-1] else stop * BLOCK / FPS,
                offset_frames=scoring.offset(self._curve(start, stop)),
                confidence=self._confidence(start, stop),
            )
            for start, stop in itertools.pairwise(edges)
        ]

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
        counts = self._counts[start:stop].sum(axis=0)
        return np.divide(self._sums[start:stop].sum(axis=0), counts, out=np.full(len(counts), np.nan), where=counts > 0)

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

        slope, _, low, high = theilslopes([self._reach - _lowest(points[n][1]) for n in sure], seconds)
        million = 1_000_000 / FPS
        return Drift(
            frames_per_minute=60 * slope,
            ppm=slope * million,
            ppm_low=low * million,
            ppm_high=high * million,
            start_s=start,
            end_s=end,
        )


def _lowest(curve: np.ndarray) -> float:
    """Where a curve is lowest, between its points by the parabola through three of them."""
    k = int(curve.argmin())
    if k in (0, len(curve) - 1):
        return float(k)
    before, at, after = curve[k - 1 : k + 2]
    bend = before - 2 * at + after
    return k + 0.5 * (before - after) / bend if bend > 0 else float(k)


def model_info(model: SyncNet, checkpoint: str, path: Path) -> ModelInfo:
    """What a result says about the model that measured.

    Args:
        model: it.
        checkpoint: as it was asked for.
        path: its file.
    """
    return ModelInfo(
        name=model.spec.name, checkpoint=checkpoint, sha256=files.sha256(path), threshold=SURE.get(model.spec.name)
    )


def measure(
    path: Path,
    model: SyncNet,
    info: ModelInfo,
    settings: InferSettings,
    progress: bool = False,
    seen: Iterable[Seen] | None = None,
) -> Result:
    """Measure one video; see `analyse` and `judge`."""
    found = analyse(path, model, settings, str(model.mfcc_mean.device), progress, seen)
    return judge(path, found, info, settings)
