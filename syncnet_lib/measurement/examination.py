"""A video from its pictures to its verdict: near first, then along a drift, then far.

What is sure near is the answer, unless a search of all offsets within FAR frames would need more. A drift is followed
over the whole video (`speed`); where sync changes in steps, a drift is tried that they may be the steps of.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from syncnet_lib import verbosity
from syncnet_lib.errors import InputError, shown
from syncnet_lib.measurement import far, finding, speed, verdict
from syncnet_lib.measurement.analyse import Analysis, InferSettings, Watched, watched
from syncnet_lib.measurement.line import Line
from syncnet_lib.measurement.result import ModelInfo, Result
from syncnet_lib.measurement.stream import FAR, Event, Progress
from syncnet_lib.measurement.timeline import SURE_WINDOWS
from syncnet_lib.model.light import Small

if TYPE_CHECKING:
    from syncnet_lib.model.networks import SyncNet


def measure(
    path: Path,
    model: "SyncNet | Small",
    info: ModelInfo,
    settings: InferSettings,
    progress: Progress = False,
    events: Iterable[Event] | None = None,
) -> Result:
    """Measure one video; see `examine`."""
    return examine(path, model, info, settings, progress, events)[1]


def examine(
    path: Path,
    model: "SyncNet | Small",
    info: ModelInfo,
    settings: InferSettings,
    progress: Progress = False,
    events: Iterable[Event] | None = None,
) -> tuple[Analysis, Result]:
    """Measure one video and judge it; see `watched` and `judge`.

    Where nothing is found within the search, or no more than a search of all offsets within FAR frames would need, they
    are all tried: sentences of equal timing make a minimum near the search's end where the true one lies beyond it. Not
    where shifts beyond a track are compared with zeros.
    """
    with watched(path, model, settings, progress, events) as video:
        return examined(path, video, info, settings)


def examine_each(
    path: Path,
    model: "SyncNet | Small",
    info: ModelInfo,
    settings: InferSettings,
    progress: Progress = False,
    events: Iterable[Event] | None = None,
) -> list[Result | InputError]:
    """`examine` with each audio track of a video, whose faces are followed once; or why a track cannot be measured."""
    found: list[Result | InputError] = []
    with watched(path, model, settings, progress, events, each=True) as video:
        for number, sound in enumerate(video.sounds, 1):
            own = settings.model_copy(update={"audio_track": number})
            try:
                if isinstance(sound, InputError):
                    raise sound
                found.append(examined(path, video.beside(sound), info, own)[1])
            except InputError as error:
                found.append(error)
    return found


def examined(path: Path, video: Watched, info: ModelInfo, settings: InferSettings) -> tuple[Analysis, Result]:
    found = video.analysis()
    near = verdict.judge(path, found, info, settings)
    if near.sureness == "unknown":
        return found, near
    if finding.jumps(near.segments):
        return found, _stepping(path, video, found, near, info, settings)
    if drift := finding.significant(near.drift):
        followed = _followed(video, found, Line.of(drift), info)
        return found, verdict.judge(path, found, info, settings, followed=followed) if followed else near
    if _settled(near, info):
        return found, near
    verbosity.say(f"{shown(path)}: so far {near.verdict}; all offsets within ±{FAR} frames are tried")
    return _further(path, video, found, near, info, settings)


def _settled(near: Result, info: ModelInfo) -> bool:
    """Whether no offset further away needs to be tried."""
    if near.sureness != "sure":
        return False
    needed = verdict.needed_confidence(info, SURE_WINDOWS, far.SHIFTS)
    return needed is None or near.confidence >= needed


def _stepping(
    path: Path, video: Watched, found: Analysis, near: Result, info: ModelInfo, settings: InferSettings
) -> Result:
    """The verdict where sync changes, or seems to: steps may be those of a steep drift."""
    line = speed.search(far.compared(video, verdict.counting(found)))
    followed = _followed(video, found, line, info) if line else None
    seconds = [segment.end_s - segment.start_s for segment in near.segments]
    steps = np.average([segment.confidence for segment in near.segments], weights=seconds)
    if followed is None or followed.confidence <= steps:
        return near
    return verdict.judge(path, found, info, settings, followed=followed)


def _followed(video: Watched, found: Analysis, line: Line, info: ModelInfo) -> speed.Followed | None:
    """A drift that is sure."""
    followed = speed.follow(lambda line: [video.along(number, line) for number in verdict.counting(found)], line)
    if followed is None or followed.doubt:
        return None
    needed = verdict.needed_confidence(info, min(followed.windows, SURE_WINDOWS))
    return followed if needed is not None and followed.confidence >= needed else None


def _further(
    path: Path, video: Watched, found: Analysis, near: Result, info: ModelInfo, settings: InferSettings
) -> tuple[Analysis, Result]:
    """The verdict on a drift, or around the best of all offsets within FAR frames, or the near one with what the search
    says."""
    speakers = verdict.counting(found)
    if verdict.rivals(found.tracks, set(speakers)):
        return found, near
    rows = far.compared(video, speakers)
    if (line := speed.search(rows)) and (followed := _followed(video, found, line, info)):
        return found, verdict.judge(path, found, info, settings, followed=followed)
    candidate = far.candidate(rows.means)
    if candidate is None or settings.edges == "zero":
        return found, near
    beyond = abs(candidate.offset) >= settings.vshift
    if near.sureness == "sure" and not beyond:
        return found, near  # nothing further away fits better
    if beyond and not candidate.rivals:
        around = video.analysis(candidate.offset)
        if around.tracks:
            wide = verdict.judge(path, around, info, settings, candidate)
            if wide.sureness == "sure":
                return around, wide
    return found, verdict.judge(path, found, info, settings, candidate)
