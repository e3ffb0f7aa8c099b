"""Distances to a verdict: offset and confidence, who speaks, where an edit moves sync, and drift.

**Who speaks.** Of two faces that are seen together for half of the shorter track or more, the one with the higher
confidence over the windows in which the sound carries speech; below 3 s of them confidence counts for less, by the
square root. A face speaks if there is speech in its track and no face beside it has more confidence.

**The video's verdict** comes from the mean over the speaking tracks' curves of mean distances, each weighted by its
confidence times its windows.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from syncnet_lib.errors import shown
from syncnet_lib.measurement import finding
from syncnet_lib.measurement.analyse import Analysis, Edges, InferSettings, Measured, analyse
from syncnet_lib.measurement.result import Drift, ModelInfo, Result, Segment, Sureness, TrackResult
from syncnet_lib.measurement.stream import Event
from syncnet_lib.measurement.timeline import SURE_WINDOWS, Timeline
from syncnet_lib.media.clock import FPS, FRAME_MS, SAMPLE_RATE
from syncnet_lib.media.features import WINDOW_FRAMES
from syncnet_lib.model import scoring
from syncnet_lib.model.networks import SyncNet

SHARED = 0.5
"""Share of the shorter of two tracks that both must be seen in to be compared."""


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
    timeline = Timeline(used, found.frames, model.threshold)
    segments = timeline.segments()
    drift = timeline.drift(segments)
    sure = sureness(confidence, windows, model)
    doubts = list(_doubts(used, windows, not speakers))
    return Result(
        path=shown(path),
        offset_frames=offset,
        offset_ms=offset * FRAME_MS,
        confidence=confidence,
        sureness=sure,
        verdict=finding.sentence(offset, sure, segments, finding.significant(drift), doubts, settings.vshift),
        min_distance=float(np.nanmin(means)),
        mean_distances=means.tolist(),
        tracks=[_track_result(track, track.number in speakers, settings.edges) for track in found.tracks],
        segments=segments,
        drift=drift,
        model=model,
        settings=settings.model_dump(),
        warnings=[*_warnings(found, offset, sure, segments, drift, settings, not speakers), *found.notes],
    )


def sureness(confidence: float, windows: int, model: ModelInfo) -> Sureness:
    """What a confidence is worth.

    Args:
        confidence: median less minimum of the mean distances.
        windows: whose mean it is; fewer than the threshold was measured on need more confidence, as the noise of a mean
            does (inverse square root).
        model: whose threshold holds.
    """
    if model.threshold is None:
        return "unknown"
    usual = model.threshold_windows or SURE_WINDOWS
    needed = model.threshold * max(1.0, (usual / max(windows, 1)) ** 0.5)
    return "sure" if confidence >= needed else "doubtful" if confidence >= needed / 2 else "none"


def _doubts(used: list[Measured], windows: int, unspoken: bool) -> Iterator[str]:
    """Why a verdict may not be sure, and what to try."""
    speech = sum(int(track.speech.sum()) for track in used)
    if unspoken:
        yield "no face speaks while it is seen: give a stretch in which the talker is seen"
    elif windows < SURE_WINDOWS:
        yield f"a face is seen for {windows / FPS:.1f} s only: give a longer video"
    elif speech < SURE_WINDOWS:
        yield f"too little speech ({speech / FPS:.1f} s): give a stretch with more of it"
    else:
        yield "the network may not know such video: give a longer stretch, or another --checkpoint"


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
    if sure != "none" and abs(offset) == settings.vshift:
        yield f"the least distance is at the end of the search (±{settings.vshift} frames): search further"
    if sure != "none":
        for before, after in finding.jumps(segments):
            change = f"from {before.offset_frames:+d} to {after.offset_frames:+d} frames"
            yield f"sync changes at {after.start_s:.1f} s {change}"
        if drift := finding.significant(drift):
            yield f"the sound drifts by {drift.frames_per_minute:+.2f} frames a minute ({drift.ppm:+.0f} ppm)"


def measure(
    path: Path,
    model: SyncNet,
    info: ModelInfo,
    settings: InferSettings,
    progress: bool = False,
    events: Iterable[Event] | None = None,
) -> Result:
    """Measure one video; see `analyse` and `judge`."""
    found = analyse(path, model, settings, str(model.mfcc_mean.device), progress, events)
    return judge(path, found, info, settings)
