"""Many videos: one outcome each as it is done, and going on after an interruption.

No video is opened in this process. A single one is decoded by a process of its own, while this one loads its network;
several are measured by a pool of processes; copies are written by one. What happens to such a process, a crash in a
decoder's native code or a file that takes for ever, is that file's failure. Nothing of torch, OpenCV or libav is
imported here before there is something to measure.

Processes end by themselves when a video takes longer than extraction would let it: a decoder that hangs in native code
cannot be asked to stop.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from syncnet_lib import files, parallel, prefetch, verbosity
from syncnet_lib.errors import InputError, shown
from syncnet_lib.failures import explained
from syncnet_lib.measurement import checkpoints, inputs, journal
from syncnet_lib.measurement.journal import Journal
from syncnet_lib.measurement.result import Failure, Result
from syncnet_lib.measurement.settings import WatchSettings

if TYPE_CHECKING:
    from syncnet_lib.measurement.analyse import Edges, InferSettings
    from syncnet_lib.measurement.reference import ReferenceOffset
    from syncnet_lib.measurement.stream import Crop, Event, Progress
    from syncnet_lib.media.correction import Copy, Cure
    from syncnet_lib.model.light import Small
    from syncnet_lib.model.networks import SyncNet
    from syncnet_lib.model.spec import Asked

AHEAD = 32
"""Events, crops of some frames each, that may wait for the network: 80 MB of faces."""
TIME_LIMIT, LEAST_SECONDS = 20, 60
"""Longest work on a video in a process of its own, as a multiple of its duration, and what is always allowed; as in
extraction."""
SHARES: dict[str, int] = {"small": 200 * 2**20, "paper": 700 * 2**20, "v2": 1000 * 2**20}
"""Bytes that a worker takes, by its network: all but the first need torch (`python -m benchmarks.workers`)."""
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""
VERSION = 9
"""Raised when the same video and settings give another result: kept ones are then measured again."""

Made = TypeVar("Made")

Outcome = Result | Failure
"""What became of one video."""


@dataclass(frozen=True)
class Options:
    """What all videos of a run are measured with.

    Attributes:
        checkpoint: name or file.
        device: auto, cpu or cuda.
        vshift, edges, cropped, precision, watching: as for `analyse.settings_for`.
        each_track: measure every audio track, a result each.
    """

    checkpoint: str
    device: str
    vshift: int
    edges: Edges | None
    cropped: bool
    precision: Asked = "auto"
    watching: WatchSettings = field(default_factory=WatchSettings)
    each_track: bool = False


@dataclass(frozen=True)
class _Job:
    path: Path
    options: Options
    progress: bool = False
    events: prefetch.Apart[Event] | None = None


def run(paths: Sequence[Path], options: Options, workers: int | None, kept: Journal) -> Iterator[Outcome]:
    """Measure videos and give each outcome as it is done; those of an interrupted run first.

    Args:
        paths: videos.
        options: what to measure them with.
        workers: processes; None for one a core, and for a single video one that decodes beside this one's network.
        kept: keeps what is done.

    Raises:
        InputError: no such checkpoint or device.
    """
    # Of products as small as those of `small` a second thread of numpy, which is not imported yet, only waits its turn.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    alone = len(paths) == 1 and workers is None
    with _decoding(paths[0], options) if alone else contextlib.nullcontext() as events:
        with stopping_at_once():
            model, info = checkpoints.load(options.checkpoint, options.device)
            settings = _settings(model, options).model_dump()
            same = [VERSION, info.sha256, settings, _other_audio(options)]
        todo = []
        for path in paths:
            results = _kept(path, kept, options, settings, same)
            if results is None:
                todo.append(_Job(path, options, progress=len(paths) == 1, events=events))
            else:
                yield from results
        verbosity.say(f"{len(todo)} of {len(paths)} videos to measure{', decoded beside the network' if alone else ''}")
        count = 0 if alone else workers or parallel.cores()
        for job, done in parallel.run(
            _work, todo, workers=count, progress=len(paths) > 1, describe="measure", share=SHARES[info.name]
        ):
            if isinstance(done, Exception):
                yield failure(job.path, done)
            else:
                digest, found = done
                for number, result in enumerate(found, 1):
                    if isinstance(result, Result):
                        kept.keep(digest, same, result)
                        yield result
                    else:
                        told = failure(job.path, result)
                        yield told.model_copy(update={"error": f"audio track {number}: {told.error}"})


def _kept(
    path: Path, kept: Journal, options: Options, settings: dict[str, Any], same: list[Any]
) -> list[Result] | None:
    """The results of a video that an interrupted run has left; None where one is missing."""
    tracks = [settings["audio_track"]]
    if options.each_track:
        if kept.find(path, settings | {"audio_track": 1}, same) is None:
            return None
        tracks = list(range(1, audio_tracks(path) + 1))
    found = [kept.find(path, settings | {"audio_track": track}, same) for track in tracks]
    whole = [each for each in found if each is not None]
    return whole if len(whole) == len(found) else None


def measure(path: Path, options: Options) -> Result:
    """Measure one video.

    Args:
        path: the video.
        options: what to measure it with.

    Raises:
        InputError: it cannot be measured.
    """
    with Journal(None) as kept:
        (outcome,) = run([path], options, None, kept)
    if isinstance(outcome, Failure):
        raise InputError(outcome.path, outcome.error, outcome.cure)
    return outcome


def measure_here(
    path: Path, options: Options, progress: Progress = False, events: Iterator[Event] | None = None
) -> Result:
    """Measure one video in this process, a worker, which ends where that takes too long.

    Args:
        path: the video.
        options: what to measure it with.
        progress, events: as for `analyse.watched`.

    Raises:
        InputError: it cannot be measured.
    """
    from syncnet_lib.measurement.examination import measure

    return _here(measure, path, options, progress, events)


def _here(
    measured: Callable[..., Made], path: Path, options: Options, progress: Progress, events: Iterator[Event] | None
) -> Made:
    """Call a function of `examination` with what the options say, within the time limit of the video."""
    import cv2

    cv2.setNumThreads(1)  # the tracker's pictures are small, and the processes are the parallelism
    model, info = checkpoints.load(options.checkpoint, options.device)
    with _limited(path):
        return measured(path, model, info, _settings(model, options), progress, events)


def audio_tracks(path: Path) -> int:
    """How many audio tracks of a video can be measured; looked up by a process of its own.

    Raises:
        InputError: it cannot be read, and where the process is lost.
    """
    return _apart(_audio_tracks, path)


def retime(path: Path, out: Path, cure: Cure) -> Copy:
    """`retime.retime` in a process of its own.

    Raises:
        InputError: as there, and where the process is lost.
    """
    return _apart(_retime, path, out, cure, folder=out.absolute().parent)


@dataclass(frozen=True)
class Move:
    """A copy of a video that is wanted, and what is done to its sound."""

    path: Path
    out: Path
    cure: Cure


def move_sounds(moves: Sequence[Move], workers: int | None) -> Iterator[tuple[Move, Copy | Exception]]:
    """`retime.retime` of many videos in a few processes; each with what became of it, as it is done.

    Args:
        moves: they.
        workers: processes; None for one a core.
    """
    count = min(workers or parallel.cores(), max(1, len(moves)))
    try:
        yield from parallel.run(_move, moves, workers=count, describe="correct")
    finally:
        for folder in {move.out.absolute().parent for move in moves}:
            files.sweep(folder)


def rewrite_sound(path: Path, out: Path, cure: Cure) -> list[str]:
    """`resound.rewrite_sound` in a process of its own.

    Raises:
        InputError: as there, and where the process is lost.
    """
    return _apart(_rewrite_sound, path, out, cure, folder=out.absolute().parent)


def write_pages(pages: Sequence[tuple[Path, Path, Result]]) -> None:
    """`pages.write_page` of many videos in processes of their own; one that cannot be read any more gets no pictures.

    Args:
        pages: video, HTML file and result of each.

    Raises:
        OSError: the folder cannot be written.
    """
    from syncnet_lib.measurement.pages import write_page

    workers = min(parallel.cores(), max(1, len(pages)))
    for (path, out, result), made in parallel.run(
        _write_page, pages, workers=workers, progress=len(pages) > 1, describe="report"
    ):
        if isinstance(made, OSError) and not isinstance(made, TimeoutError):
            raise made
        if isinstance(made, Exception):
            note = f"no pictures: {explained(made, path)}"
            write_page(None, out, result.model_copy(update={"warnings": [*result.warnings, note]}))


def render(path: Path, out: Path, options: Options) -> tuple[Result, list[str]]:
    """Measure a video and draw what was found on a copy of it, in a process of its own; see `overlay.render`.

    Returns:
        What was found, and what the copy lacks.

    Raises:
        InputError: it cannot be measured, or `out` not be written.
    """
    return _apart(_render, path, out, options, folder=out.absolute().parent)


def preview(path: Path, corrected: Path, out: Path, start: float, before: str, after: str) -> None:
    """`preview.write` in a process of its own.

    Raises:
        InputError: as there, and where the process is lost.
    """
    _apart(_preview, path, corrected, out, start, before, after, folder=out.absolute().parent)


def compare(path: Path, track: int, reference: str) -> ReferenceOffset:
    """`reference.compare` in a process of its own.

    Raises:
        InputError: as there, and where the process is lost.
    """
    return _apart(_compare, path, track, reference)


@contextlib.contextmanager
def stopping_at_once() -> Iterator[None]:
    """Ctrl-C in here ends the process without unwinding: for the import of torch, whose native parts turn the
    KeyboardInterrupt into errors of their own, or lose it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may answer signals
        return

    def stop(*_: object) -> None:
        os.write(2, b"stopped\n")
        os._exit(INTERRUPTED)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def failure(path: Path | str, error: Exception) -> Failure:
    """An exception as the outcome of a video; what else is at fault, a sound file or an option, is named too."""
    told = explained(error, path)
    trace = "" if isinstance(error, InputError) else "".join(traceback.format_exception(error))
    cause = told.cause if told.where == shown(path) else f"{told.where}: {told.cause}"
    return Failure(path=shown(path), error=cause, cure=told.cure, trace=trace)


def _decoding(path: Path, options: Options) -> contextlib.closing[prefetch.Apart[Event]]:
    """A process that decodes a video with the settings that measurements have."""
    crop = checkpoints.crop(options.checkpoint)
    arguments = path, crop, options.cropped, options.vshift, options.watching, options.each_track
    return contextlib.closing(prefetch.Apart(_decode, *arguments, count=AHEAD))


def _decode(
    path: Path,
    crop: Crop,
    cropped: bool,
    vshift: int,
    watching: WatchSettings,
    each: bool = False,
    least: float = LEAST_SECONDS,
) -> Iterator[Event]:
    import cv2

    from syncnet_lib.measurement.stream import FAR, watch

    cv2.setNumThreads(1)  # the tracker's pictures are small
    _use_own_bars()
    with _limited(path, least):
        yield from watch(path, watching, crop, cropped, vshift + FAR, progress=True, each=each)


@contextlib.contextmanager
def _limited(path: Path, least: float = LEAST_SECONDS) -> Iterator[None]:
    """End this process, where it is a worker, if a video takes longer than a multiple of its duration, or `least`."""
    from syncnet_lib.media import decode

    if multiprocessing.parent_process() is None:  # and then another one opens the video
        yield
        return
    duration = 0.0
    with parallel.ended_after(least), contextlib.suppress(InputError):  # which is told where the file is read
        duration = 0.0 if path.is_dir() else decode.probe(path).duration
    with parallel.ended_after(max(least, TIME_LIMIT * duration)):
        yield


def _apart(function: Callable[..., Made], path: Path, *arguments: Any, folder: Path | None = None) -> Made:
    """Call a function on a video in a process of its own, within the time limit of the video.

    Args:
        function: picklable, as are the arguments and what it gives.
        path: the video, its first argument.
        arguments: its others.
        folder: where it makes a file, of which a process that is ended leaves a half.
    """
    task = functools.partial(_limited_call, function, arguments)
    try:
        ((_, made),) = parallel.run(task, [path], workers=1, progress=False)
    finally:
        if folder is not None:
            files.sweep(folder)
    if isinstance(made, Exception):
        raise explained(made, path) from made
    return made


def _limited_call(function: Callable[..., Made], arguments: tuple[Any, ...], path: Path) -> Made:
    _use_own_bars()
    with _limited(path):
        return function(path, *arguments)


def _use_own_bars() -> None:
    """Progress bars without the lock that all processes share: it is a semaphore of the system, which a process that is
    killed leaves."""
    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())


def _audio_tracks(path: Path) -> int:
    from syncnet_lib.media import decode

    return len(decode.probe(path).audio)


def _retime(path: Path, out: Path, cure: Cure) -> Copy:
    from syncnet_lib.media import retime

    return retime.retime(path, out, cure)


def _move(move: Move) -> Copy:
    _use_own_bars()
    with _limited(move.path):
        return _retime(move.path, move.out, move.cure)


def _rewrite_sound(path: Path, out: Path, cure: Cure) -> list[str]:
    from syncnet_lib.media import resound

    return resound.rewrite_sound(path, out, cure)


def _write_page(page: tuple[Path, Path, Result]) -> None:
    from syncnet_lib.measurement import pages

    path, out, result = page
    with _limited(path):
        pages.write_page(path, out, result)


def _preview(path: Path, corrected: Path, out: Path, start: float, before: str, after: str) -> None:
    from syncnet_lib.measurement import preview

    preview.write(path, corrected, out, start, before, after)


def _compare(path: Path, track: int, reference: str) -> ReferenceOffset:
    from syncnet_lib.measurement.reference import compare

    return compare(path, track, reference)


def _render(path: Path, out: Path, options: Options) -> tuple[Result, list[str]]:
    from syncnet_lib.measurement import examination, overlay

    model, info = checkpoints.load(options.checkpoint, options.device)
    found, result = examination.examine(path, model, info, _settings(model, options), progress=True)
    return result, overlay.render(path, out, found, result)


def _settings(model: SyncNet | Small, options: Options) -> InferSettings:
    from syncnet_lib.measurement.analyse import settings_for

    return settings_for(model, options.vshift, options.edges, options.cropped, options.precision, options.watching)


def _other_audio(options: Options) -> str:
    """The content of the file that the audio is taken from, where it is one of its own."""
    if not options.watching.audio:
        return ""
    inputs.check(Path(options.watching.audio), cropped=False)
    return journal.digest(Path(options.watching.audio))


def _work(job: _Job) -> tuple[str, list[Result | InputError]]:
    """Measure one video; returns the hash of its content, and its result, or one for each audio track."""
    from syncnet_lib.measurement.examination import examine_each

    found: list[Result | InputError] = []
    if job.options.each_track:
        found += _here(examine_each, job.path, job.options, job.progress, job.events)
    else:
        found.append(measure_here(job.path, job.options, job.progress, job.events))
    return journal.digest(job.path), found
