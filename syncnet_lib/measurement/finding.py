"""What was found, in words, and what follows from it: what a sentence says, and what a gate lets pass.

Within ±1 frame counts as right in the field [Chung16, section 4], so nobody is told to move audio by that little. What
is not sure is no answer: the sentence then says why, and what to try, and gives no number.
"""

import itertools
from collections.abc import Sequence
from typing import Literal

from syncnet_lib.errors import InputError
from syncnet_lib.measurement import conversion
from syncnet_lib.measurement.result import Compliance, Drift, Result, Segment, Sureness
from syncnet_lib.media.clock import FRAME_MS
from syncnet_lib.model.scoring import TOLERANCE

JUMP = 2
"""Frames by which an edit moves sync at least; a drift passes them one by one."""
FURTHER = 60
"""Frames to each side, 2.4 s, of the wider search that is advised: captures and calls are late by up to that."""


def sentence(
    offset: int,
    ms: float,
    sureness: Sureness,
    segments: Sequence[Segment],
    drift: Drift | None,
    doubts: Sequence[str],
    vshift: int,
    mute: str = "",
) -> str:
    """The finding as a sentence that says what to do.

    Args:
        offset: of the whole video, frames.
        ms: the same in milliseconds.
        sureness: of that.
        segments: stretches of constant offset.
        drift: None where there is none to speak of.
        doubts: why it is not sure, and what to try.
        vshift: frames that were searched to each side.
        mute: why there is no speech to be found at any shift, and what to try; "" where there may be.
    """
    if mute and sureness in ("none", "doubtful"):
        return f"not sure: {mute}"
    if sureness == "unknown":
        return f"no threshold known for this checkpoint, so check by eye; least distance where {words(offset, ms)}"
    if vshift < FURTHER and (sureness == "none" or (sureness == "doubtful" and abs(offset) == vshift)):
        return f"nothing found within ±{vshift * FRAME_MS} ms: search further with --vshift {FURTHER}"
    if sureness == "none":
        return f"nothing found within ±{vshift * FRAME_MS / 1000:g} s: {'; '.join(doubts)}"
    if sureness != "sure":
        return f"not sure: {'; '.join(doubts)}"
    if drift:
        speed = f"{drift.frames_per_minute:+.2f} frames a minute, {drift.ppm:+.0f} ppm"
        if name := conversion.named(drift):
            speed += f": {name} of its speed"
        return f"the sound drifts ({speed}): no single shift cures it"
    if jumps(segments):
        offsets = [segment.offset_frames for segment in segments]
        spread = f"{signed(min(offsets))} to {signed(max(offsets))} frames"
        return f"sync changes within the video ({spread}): correct each part alone"
    return words(offset, ms)


def covered(result: Result) -> str:
    """How much of the speech was judged, and why the rest was not; looked at only, where no judgement came of it."""
    found = result.coverage
    if not found.speech_s:
        return "no speech is heard"
    verb = "looked at" if result.sureness in ("doubtful", "none") else "judged"
    rest = "; ".join(f"{each.seconds:.1f} s: {each.reason}" for each in found.unjudged)
    return f"{verb} {found.judged_s:.1f} s of {found.speech_s:.1f} s of speech" + (f" ({rest})" if rest else "")


def is_answer(result: Result) -> bool:
    """Whether the offset of a video answers for the whole of it: it is sure, and the same throughout."""
    return result.sureness == "sure" and not jumps(result.segments) and not significant(result.drift)


def words(offset: int, ms: float) -> str:
    """An offset in frames and in milliseconds as words that say what to do."""
    if abs(offset) <= TOLERANCE:
        return f"in sync (±{TOLERANCE} frame)"
    side, cure = ("ahead", "delay it") if offset > 0 else ("behind", "advance it")
    return f"audio is {abs(round(ms))} ms {side}: {cure}"


def signed(frames: int) -> str:
    """A number of frames with its sign; 0 has none."""
    return f"{frames:+d}" if frames else "0"


def jumps(segments: Sequence[Segment]) -> list[tuple[Segment, Segment]]:
    """Neighbours between which sync changes."""
    pairs = itertools.pairwise(segments)
    return [(one, two) for one, two in pairs if abs(two.offset_frames - one.offset_frames) >= JUMP]


def significant(drift: Drift | None) -> Drift | None:
    """A drift that is one: 0 lies outside its interval, and it amounts to a frame over the stretch it was seen in."""
    if drift is None or drift.ppm_low <= 0 <= drift.ppm_high:
        return None
    frames = abs(drift.frames_per_minute) * (drift.end_s - drift.start_s) / 60
    return drift if frames >= 1 else None


def line(result: Result, segment: Segment) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """The significant drift of a video within a segment.

    Returns:
        (seconds, offset in ms) at both ends; None where the offset is constant there.
    """
    drift = significant(result.drift)
    if drift is None:
        return None
    start, end = max(segment.start_s, drift.start_s), min(segment.end_s, drift.end_s)
    if start >= end:
        return None
    slope = (drift.end_frames - drift.start_frames) / (drift.end_s - drift.start_s)
    first, last = (FRAME_MS * (drift.start_frames + slope * (time - drift.start_s)) for time in (start, end))
    return (start, first), (end, last)


def uneven(result: Result) -> str:
    """Why no single shift of the sound cures a video; "" where one does."""
    if jumps(result.segments):
        offsets = [segment.offset_frames for segment in result.segments]
        return f"sync changes within it ({signed(min(offsets))} to {signed(max(offsets))} frames)"
    if drift := significant(result.drift):
        return f"the sound drifts by {drift.frames_per_minute:+.2f} frames a minute, which no single shift cures"
    return ""


def check_sure(result: Result, min_confidence: float | None) -> None:
    """Stop where what was found is not sure enough to act on.

    Args:
        result: of the video.
        min_confidence: confidence that counts as sure, in place of the checkpoint's threshold.

    Raises:
        InputError: it is not.
    """
    cure = "look at it, and give --offset N to move it all the same"
    if min_confidence is None and result.sureness != "sure":
        cause = f"{result.meaning} (confidence {result.confidence:.3g}); nothing is written"
        raise InputError(result.path, cause, cure)
    if min_confidence is not None and result.confidence < min_confidence:
        cause = f"confidence {result.confidence:.3g} is below {min_confidence:g}; nothing is written"
        raise InputError(result.path, cause, cure)


Gate = Literal["in", "out", "unsure"]
GATES: dict[Compliance, Gate] = {"pass": "in", "fail": "out", "cannot be told": "unsure"}
"""What a standard's verdict lets pass."""


def gate(result: Result, tolerance: int, min_confidence: float | None = None) -> Gate:
    """Whether all of a video is within a tolerance.

    Args:
        result: of the video.
        tolerance: frames to either side of 0.
        min_confidence: confidence that counts as sure, in place of the checkpoint's threshold.

    Returns:
        "in" or "out" where that is sure; a stretch or a drift that leaves the tolerance makes a video "out".
    """
    sure = result.sureness == "sure" if min_confidence is None else result.confidence >= min_confidence
    if not sure:
        return "unsure"
    offsets = [result.offset_frames, *(segment.offset_frames for segment in result.segments)]
    drift = significant(result.drift)
    if drift:
        offsets += [round(drift.start_frames), round(drift.end_frames)]
    return "in" if max(map(abs, offsets)) <= tolerance else "out"
