"""Many videos: one outcome each as it is done, and going on after an interruption.

A single video is decoded by a process of its own, which is at its first faces while this one still loads torch. What
happens to that process, a crash in a decoder's native code or a file that takes for ever, is that file's failure.
Nothing of torch, OpenCV or libav is imported here before there is something to measure.

Processes end by themselves when a video takes longer than extraction would let it: a decoder that hangs in native code
cannot be asked to stop.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from syncnet_lib import parallel, prefetch
from syncnet_lib.errors import InputError, shown
from syncnet_lib.failures import explained
from syncnet_lib.measurement import checkpoints, journal
from syncnet_lib.measurement.journal import Journal
from syncnet_lib.measurement.result import Failure, Result

if TYPE_CHECKING:
    from syncnet_lib.measurement.analyse import Edges, InferSettings
    from syncnet_lib.measurement.stream import Crop, Event
    from syncnet_lib.model.embed import Asked
    from syncnet_lib.model.networks import SyncNet

AHEAD = 32
"""Events, crops of some frames each, that may wait for the network: 80 MB of faces."""
TIME_LIMIT, LEAST_SECONDS = 20, 60
"""Longest work on a video in a process of its own, as a multiple of its duration, and what is always allowed; as in
extraction."""
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""
VERSION = 4
"""Raised when the same video and settings give another result: kept ones are then measured again."""

Outcome = Result | Failure
"""What became of one video."""


@dataclass(frozen=True)
class Options:
    """What all videos of a run are measured with.

    Attributes:
        checkpoint: name or file.
        device: auto, cpu or cuda.
        vshift, edges, cropped, precision: as for `analyse.settings_for`.
    """

    checkpoint: str
    device: str
    vshift: int
    edges: Edges | None
    cropped: bool
    precision: Asked = "auto"


@dataclass(frozen=True)
class _Job:
    path: Path
    options: Options
    progress: bool = False
    events: prefetch.Apart[Event] | None = None


def run(paths: Sequence[Path], options: Options, workers: int, kept: Journal) -> Iterator[Outcome]:
    """Measure videos and give each outcome as it is done; those of an interrupted run first.

    Args:
        paths: videos.
        options: what to measure them with.
        workers: processes; 0 works in this one.
        kept: keeps what is done.

    Raises:
        InputError: no such checkpoint or device.
    """
    alone = len(paths) == 1 and workers == 0 and not len(kept)
    with _decoding(paths[0], options) if alone else contextlib.nullcontext() as events:
        with stopping_at_once():
            model, info = checkpoints.load(options.checkpoint, options.device)
            same = [VERSION, info.sha256, _settings(model, options).model_dump()]
        todo = []
        for path in paths:
            result = kept.find(path, same)
            if result is None:
                todo.append(_Job(path, options, progress=len(paths) == 1, events=events))
            else:
                yield result
        for job, done in parallel.run(_work, todo, workers=workers, progress=len(paths) > 1, describe="measure"):
            if isinstance(done, Exception):
                yield failure(job.path, done)
            else:
                digest, result = done
                kept.keep(digest, same, result)
                yield result


def measure(path: Path, options: Options) -> Result:
    """Measure one video.

    Args:
        path: the video.
        options: what to measure it with.

    Raises:
        InputError: it cannot be measured.
    """
    with Journal(None) as kept:
        (outcome,) = run([path], options, 0, kept)
    if isinstance(outcome, Failure):
        raise InputError(outcome.path, outcome.error, outcome.cure)
    return outcome


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
    """An exception as the outcome of a video."""
    told = explained(error, path)
    trace = "" if isinstance(error, InputError) else "".join(traceback.format_exception(error))
    return Failure(path=shown(path), error=told.cause, cure=told.cure, trace=trace)


def _decoding(path: Path, options: Options) -> contextlib.closing[prefetch.Apart[Event]]:
    """A process that decodes a video with the settings that measurements have."""
    arguments = path, checkpoints.crop(options.checkpoint), options.cropped, options.vshift
    return contextlib.closing(prefetch.Apart(_decode, *arguments, count=AHEAD))


def _decode(path: Path, crop: Crop, cropped: bool, lead: int, least: float = LEAST_SECONDS) -> Iterator[Event]:
    import cv2
    from tqdm import tqdm

    from syncnet_lib.faces.settings import TrackSettings
    from syncnet_lib.measurement.stream import watch

    cv2.setNumThreads(1)  # the tracker's pictures are small
    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a process that is killed leaves
    with _limited(path, least):
        yield from watch(path, TrackSettings(), crop, cropped, lead, progress=True)


@contextlib.contextmanager
def _limited(path: Path, least: float = LEAST_SECONDS) -> Iterator[None]:
    """End this process, where it is a worker, if a video takes longer than a multiple of its duration, or `least`."""
    from syncnet_lib.media import decode

    if multiprocessing.parent_process() is None:
        yield
        return
    timer = _ending(least)  # to open a file may hang too
    try:
        with contextlib.suppress(InputError):  # which is told where the file is read
            duration = 0.0 if path.is_dir() else decode.probe(path).duration
            timer.cancel()
            timer = _ending(max(least, TIME_LIMIT * duration))
        yield
    finally:
        timer.cancel()


def _ending(seconds: float) -> threading.Timer:
    timer = threading.Timer(seconds, os._exit, [1])
    timer.daemon = True
    timer.start()
    return timer


def _settings(model: SyncNet, options: Options) -> InferSettings:
    from syncnet_lib.measurement.analyse import settings_for

    return settings_for(model, options.vshift, options.edges, options.cropped, options.precision)


def _work(job: _Job) -> tuple[str, Result]:
    """Measure one video; returns the hash of its content and its result."""
    import cv2

    from syncnet_lib.measurement.verdict import measure

    cv2.setNumThreads(1)  # the tracker's pictures are small, and the processes are the parallelism
    model, info = checkpoints.load(job.options.checkpoint, job.options.device)
    with _limited(job.path):
        result = measure(job.path, model, info, _settings(model, job.options), job.progress, job.events)
    return journal.digest(job.path), result
