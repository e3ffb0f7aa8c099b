"""Distances to a verdict: offset and confidence, who speaks, where an edit moves sync, and drift.

**Who speaks.** Of two faces that are seen together for half of the shorter track or more, the one with the higher
confidence over the windows in which the sound carries speech; below 3 s of them confidence counts for less, by the
square root. A face speaks if there is speech in its track and no face beside it has more confidence.

**The video's verdict** comes from the mean over the speaking tracks' curves of mean distances, each weighted by its
confidence times its windows.
"""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from syncnet_lib.errors import shown
from syncnet_lib.measurement import far, finding, fine, speed, standing
from syncnet_lib.measurement.analyse import Analysis, Edges, InferSettings, Measured
from syncnet_lib.measurement.coverage import coverage
from syncnet_lib.measurement.result import Drift, ModelInfo, Result, Segment, Sureness, TrackResult
from syncnet_lib.measurement.stream import FAR
from syncnet_lib.measurement.timeline import SURE_WINDOWS, Timeline
from syncnet_lib.media.clock import FPS, FRAME_MS, SAMPLE_RATE
from syncnet_lib.media.features import WINDOW_FRAMES
from syncnet_lib.model import scoring

USUAL_SHIFTS = 2 * scoring.VSHIFT + 1
"""Shifts of the search that thresholds are measured with."""
WIDER = 3 / 8
"""A search of more than 2 VSHIFT + 1 shifts needs more confidence, by this power of how many times more there are: each
brings another chance of a low minimum. With others' audio (195 pairs of clips of GRID, a studio and talks) 99 % of the
confidences that are below the threshold at ±15 are below 1.3, 1.6 and 1.8 times that at ±30, ±50 and ±75."""
LONGER, LEAST_NEED = 1 / 4, 0.5
"""A longer video needs less confidence, by this power of its length over the threshold's, and this share of the
threshold at least. With another's audio, 99 % of the confidences of 2, 4 and 8 validation clips one after another are
below 0.69, 0.49 and 0.37 of that of one (television), 0.63, 0.40 and 0.28 (drawn talkers): the square root of the
length, or less. But of GRID, whose sentences share their timing, 0.75, 0.62 and 0.50: this power allows for that."""
RIVAL = 0.7
"""Share of a speaker's confidence from which a face beside it, with another offset, may as well be the speaker."""
LEAST_WEIGHT = 1e-6
"""Of a track that has no minimum: where all are so, the mean is over them all the same."""
SHARED = 0.5
"""Share of the shorter of two tracks that both must be seen in to be compared."""


def judge(
    path: Path,
    found: Analysis,
    model: ModelInfo,
    settings: InferSettings,
    candidate: far.Candidate | None = None,
    followed: speed.Followed | None = None,
) -> Result:
    """The verdict on a measured video.

    Args:
        path: what to call it.
        found: of `Watched.analysis`.
        model: which model measured.
        settings: those that it was watched with.
        candidate: of a search further away, where there was one.
        followed: a drift that is sure.
    """
    speakers = speaking(found.tracks)
    used = [track for track in found.tracks if track.number in speakers] or found.tracks
    curves = [scoring.mean_distances(track.distances) for track in used]
    weights = [max(scoring.confidence(curve), LEAST_WEIGHT) for curve in curves]
    means = _combined(curves, [weight * track.windows for weight, track in zip(weights, used, strict=True)])
    local, confidence = scoring.offset(means), scoring.confidence(means)
    offset = found.centre + local
    near = fine.estimate([track.rows for track in used], weights, local).moved(found.centre)
    # Of the shift that most of them reach: at the others noise is brought down to the same (scoring.even_means).
    windows = sum(int((~np.isnan(track.distances)).sum(axis=0).max()) for track in used)
    shifts = _shifts(found.centre, settings)
    faces = _beside(found.tracks, used)
    needed = needed_confidence(model, windows, shifts, faces)
    # A part of a long video has no more windows to average over than a short video.
    for_a_part = needed_confidence(model, min(windows, SURE_WINDOWS), shifts, faces)
    timeline = Timeline(used, found.frames, for_a_part, found.timecode, found.centre)
    segments = timeline.segments()
    sure = sureness(confidence, needed)
    # A least distance at the end of the search is no minimum: it may go on falling beyond.
    at_the_end = not found.centre and abs(local) == settings.vshift
    if at_the_end and sure == "sure":
        sure = "doubtful"
    chance = standing.doubt([track.distances for track in used], weights, local) if sure == "sure" else ""
    if chance:
        sure = "doubtful"
    drift = followed.drift if followed else timeline.drift(segments)
    # Where sync changes or drifts, the mean over the whole need not be sure for each stretch, or the line, to be.
    if followed or (sure in ("doubtful", "none") and finding.jumps(segments)):
        sure = "sure"
    # An offset beyond the search that fits better, if not clearly enough to be an answer, leaves this one none either.
    beaten = candidate is not None and not found.centre and abs(candidate.offset) >= settings.vshift
    if beaten and sure == "sure":
        sure = "doubtful"
    constant = not finding.jumps(segments) and finding.significant(drift) is None
    differing = timeline.apart(found.looked) if sure == "sure" and settings.sample and constant else None
    if differing:
        sure = "doubtful"
    doubts = list(_doubts(used, windows))
    if differing:
        parts = " and ".join(f"{each.offset_ms:+.0f} ms at {each.start_timecode}" for each in differing)
        doubts = [f"the stretches do not agree ({parts}): measure the whole video, without --sample"]
    if chance:
        doubts = [f"{chance}: give a longer stretch"]
    if at_the_end:
        doubts.insert(0, f"the least distance is at the end of the search (±{settings.vshift} frames): search further")
    if candidate is not None and sure != "sure":
        if candidate.rivals:
            several = f"several offsets fit ({_spoken(candidate)}), as of repeated sentences or music"
            doubts = [f"{several}: give another stretch"]
        elif beaten:
            there = f"{candidate.offset * FRAME_MS:+d} ms, beyond the search, fits better, but not clearly"
            doubts = [f"{there}: give a longer stretch"]
    covered = coverage(found, used)
    mute = "" if sure in ("sure", "unknown") else _mute(covered.speech_s, used, not speakers)
    if rivals(found.tracks, speakers) and sure != "unknown":
        doubts = ["which of the faces speaks cannot be told: crop the video to the one that does"]
        sure = "doubtful"
    searched = settings.vshift if candidate is None else FAR
    return Result(
        path=shown(path),
        offset_frames=offset,
        offset_ms=near.ms,
        offset_interval_ms=near.interval,
        offset_file_frames=near.ms * float(found.timecode.rate) / 1000,
        confidence=confidence,
        sureness=sure,
        verdict=finding.sentence(offset, near.ms, sure, segments, finding.significant(drift), doubts, searched, mute),
        min_distance=float(np.nanmin(means)),
        mean_distances=means.tolist(),
        search_centre=found.centre,
        frame_rate=float(found.timecode.rate),
        frames_used=found.report.used,
        frames_in_file=max(found.report.pictures, found.report.used),
        tracks=[_track_result(track, track.number in speakers, settings.edges, found.centre) for track in found.tracks],
        segments=segments,
        points=followed.points if followed else timeline.points(),
        coverage=covered,
        drift=drift,
        model=model,
        settings=settings.model_dump(),
        warnings=[
            *_warnings(found, local, sure, segments, drift, settings, not speakers),
            *found.notes,
            *found.report.texts,
        ],
    )


def _shifts(centre: int, settings: InferSettings) -> int:
    """How many shifts were searched for a minimum: an offset at the end of the usual search, that a search of all
    offsets confirms, is one of a search that is a frame wider."""
    usual = 2 * settings.vshift + 1
    if not centre:
        return usual
    return usual + 2 * scoring.TOLERANCE if _at_the_end(centre, settings) else far.SHIFTS


def _at_the_end(centre: int, settings: InferSettings) -> bool:
    """Whether a search of all offsets led to the end of the usual one, and not beyond it."""
    return 0 < abs(centre) <= settings.vshift + scoring.TOLERANCE


def needed_confidence(model: ModelInfo, windows: int, shifts: int = USUAL_SHIFTS, faces: int = 1) -> float | None:
    """The confidence from which a verdict is sure: the threshold, or more where chance alone reaches further.

    Args:
        model: whose threshold holds; None is returned where it has none.
        windows: whose mean it is. The noise of a mean goes with the inverse square root of their number: fewer than the
            threshold was measured on need more confidence. More need less, but only by the fourth root, no less than
            LEAST_NEED of the threshold.
        shifts: how many were searched.
        faces: how many were seen at a time, of which the surest is taken: the largest of n values of noise grows with
            the square root of log n.
    """
    if model.threshold is None:
        return None
    usual = model.threshold_windows or SURE_WINDOWS
    ratio = usual / max(windows, 1)
    length = ratio**0.5 if ratio > 1 else max(LEAST_NEED, ratio**LONGER)
    wider = max(1.0, shifts / USUAL_SHIFTS) ** WIDER
    more = (math.log(USUAL_SHIFTS * faces) / math.log(USUAL_SHIFTS)) ** 0.5
    return model.threshold * length * max(1.0, wider * more)


def sureness(confidence: float, needed: float | None) -> Sureness:
    """What a confidence is worth.

    Args:
        confidence: median less minimum of the mean distances.
        needed: of `needed_confidence`.
    """
    if needed is None:
        return "unknown"
    return "sure" if confidence >= needed else "doubtful" if confidence >= needed / 2 else "none"


def _mute(speech: float, used: list[Measured], unspoken: bool) -> str:
    """Why there is no speech that a face could have said, and what to try; "" where there may be."""
    if unspoken:
        return "no face speaks while it is seen: give a stretch in which the talker is seen"
    loud = sum(int(track.speech.sum()) for track in used)
    if loud >= SURE_WINDOWS and not speech:
        return "the sound is music or noise, no speech is heard in it: give a stretch in which the talker is heard"
    return ""


def _doubts(used: list[Measured], windows: int) -> Iterator[str]:
    """Why a verdict may not be sure, and what to try."""
    speech = sum(int(track.speech.sum()) for track in used)
    if windows < SURE_WINDOWS:
        yield f"a face is seen for {windows / FPS:.1f} s only: give a longer video"
    elif speech < SURE_WINDOWS:
        yield f"too little speech ({speech / FPS:.1f} s): give a stretch with more of it"
    else:
        yield "the network may not know such video: give a longer stretch, or another --checkpoint"


def speaking(tracks: list[Measured]) -> set[int]:
    """Numbers of the tracks whose face speaks; the rule stands at the top of this module."""
    silent = {track.number for track in tracks if not track.speech.any()}
    for one, other in itertools.combinations(tracks, 2):
        if _together(one, other):
            sure = [_speech_confidence(track) for track in (one, other)]
            silent.add(other.number if sure[0] >= sure[1] else one.number)
    return {track.number for track in tracks} - silent


def counting(found: Analysis) -> list[int]:
    """Numbers of the tracks that count: those of `speaking`, or all."""
    return sorted(speaking(found.tracks) or {track.number for track in found.tracks})


def rivals(tracks: list[Measured], speakers: set[int]) -> bool:
    """Whether a face beside one that is taken for the speaker may as well be it, and says another offset."""
    for one, other in itertools.permutations(tracks, 2):
        if one.number in speakers and other.number not in speakers and other.speech.any() and _together(one, other):
            offsets = [scoring.offset(scoring.mean_distances(track.distances)) for track in (one, other)]
            close = _speech_confidence(other) >= RIVAL * _speech_confidence(one)
            if close and abs(offsets[0] - offsets[1]) > scoring.TOLERANCE:
                return True
    return False


def _together(one: Measured, other: Measured) -> bool:
    """Whether two faces are seen at the same time for so long that they can be compared."""
    start, stop = max(one.first, other.first), min(one.first + one.windows, other.first + other.windows)
    return stop - start >= SHARED * min(one.windows, other.windows)


def _beside(tracks: list[Measured], used: list[Measured]) -> int:
    """Most faces that are seen together with one of those that are used, itself included."""
    return max(sum(other is one or _together(one, other) for other in tracks) for one in used)


def _speech_confidence(track: Measured) -> float:
    """Confidence over the windows in which the sound carries speech, on the scale of SURE_WINDOWS of them."""
    heard = track.distances[track.speech]
    if np.isnan(heard).all():
        return 0.0
    return scoring.confidence(scoring.mean_distances(heard)) * min(1.0, (len(heard) / SURE_WINDOWS) ** 0.5)


def _combined(curves: list[np.ndarray], weights: list[float]) -> np.ndarray:
    """(S,) float32 weighted mean of curves; where a curve is nan the others count."""
    stack = np.stack(curves)
    heavy = np.where(np.isnan(stack), 0.0, np.array(weights)[:, None])
    total = heavy.sum(axis=0)
    sums = (np.nan_to_num(stack) * heavy).sum(axis=0)
    return np.divide(sums, total, out=np.full(len(total), np.nan), where=total > 0).astype(np.float32)


def _track_result(track: Measured, speaks: bool, edges: Edges, centre: int) -> TrackResult:
    means = scoring.mean_distances(track.distances)
    offset = scoring.offset(means)
    near = fine.estimate([track.rows], [1.0], offset).moved(centre)
    return TrackResult(
        track=track.number,
        shot=track.shot,
        start_s=track.first / FPS,
        end_s=(track.first + track.frames) / FPS,
        speaking=speaks,
        offset_frames=centre + offset,
        offset_ms=near.ms,
        offset_interval_ms=near.interval,
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
    if abs(longer) * FPS >= WINDOW_FRAMES and settings.whole:
        what = ("sound", "pictures") if longer > 0 else ("pictures", "sound")
        yield f"the {what[0]} end {abs(longer):.2f} s before the {what[1]}".replace("sound end", "sound ends")
    if unspoken:
        yield "no face speaks while it is seen"
    if _at_the_end(found.centre, settings):
        yield f"at the end of ±{settings.vshift * FRAME_MS} ms: no offset within ±{FAR // FPS} s fits better"
    elif found.centre:
        yield f"nothing within ±{settings.vshift * FRAME_MS} ms: found by a search of ±{FAR // FPS} s"
    if sure == "unknown" and abs(offset) == settings.vshift:
        yield f"the least distance is at the end of the search (±{settings.vshift} frames): search further"
    if sure == "sure":
        for before, after in finding.jumps(segments):
            change = f"from {finding.signed(before.offset_frames)} to {finding.signed(after.offset_frames)} frames"
            yield f"sync changes at {after.start_s:.1f} s {change}"
        if drift := finding.significant(drift):
            yield f"the sound drifts by {drift.frames_per_minute:+.2f} frames a minute ({drift.ppm:+.0f} ppm)"


def _spoken(candidate: far.Candidate) -> str:
    """The offsets between which a search cannot decide."""
    return ", ".join(f"{offset * FRAME_MS:+d} ms" for offset in sorted({candidate.offset, *candidate.rivals[:3]}))
