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
from syncnet_lib.measurement.result import Drift, ModelInfo, Result, Segment, Sureness, TrackResult
from syncnet_lib.measurement.stream import Event
from syncnet_lib.measurement.timeline import JUMP, SURE_WINDOWS, Timeline
from syncnet_lib.media.clock import FPS, FRAME_MS, SAMPLE_RATE
from syncnet_lib.media.features import WINDOW_FRAMES
from syncnet_lib.model import scoring
from syncnet_lib.model.networks import SyncNet

SURE = {"small": 0.25, "v2": 3.0}
"""Confidence from which a verdict counts as sure, by the network. For `small`: 99 % of the verdicts of the shipped
checkpoint on swapped sound are below (190 clips of 10 talkers of GRID, of which 30 had said 0.14; the control of
benchmarks/equivariance.py); for `v2`: the bound by which LatentSync's data pipeline keeps videos."""
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
    time = Timeline(used, found.frames, model.threshold)
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
    seen: Iterable[Event] | None = None,
) -> Result:
    """Measure one video; see `analyse` and `judge`."""
    found = analyse(path, model, settings, str(model.mfcc_mean.device), progress, seen)
    return judge(path, found, info, settings)
