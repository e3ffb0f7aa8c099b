"""Many videos: what to measure, one result each as it is done, and going on after an interruption.

Results are kept in a journal beside the output file, a line a video, until all are done. A run that was interrupted, by
Ctrl-C or by `kill -9`, finds it there and takes each result whose video, checkpoint and settings are still the same.

A single video is watched by a process of its own, which is at its first faces while this one still loads torch.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tqdm import tqdm

from syncnet_lib import files, parallel, prefetch
from syncnet_lib.dataset import exchange
from syncnet_lib.errors import InputError
from syncnet_lib.faces.track import TrackSettings
from syncnet_lib.measurement import checkpoints
from syncnet_lib.measurement.result import Result
from syncnet_lib.measurement.stream import Event, watch

if TYPE_CHECKING:
    from syncnet_lib.measurement.analyse import Edges, InferSettings
    from syncnet_lib.model.embed import Asked
    from syncnet_lib.model.networks import SyncNet

AHEAD = 32
"""Pieces of crops, of some frames each, that may wait for the network: 80 MB of faces."""
VERSION = 1
"""Raised when the same video and settings give another result: kept ones are then measured again."""


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
    seen: prefetch.Apart[Event] | None = None


@dataclass
class Outcome:
    """What became of one path.

    Attributes:
        path: as it was found.
        result: None where it failed.
        error: why it failed, "" where it did not.
    """

    path: Path
    result: Result | None = None
    error: str = ""

    def brief(self) -> Outcome:
        """The same without the confidence of single windows, which is most of it."""
        if self.result is None:
            return self
        tracks = [track.model_copy(update={"frame_confidence": []}) for track in self.result.tracks]
        return Outcome(self.path, self.result.model_copy(update={"tracks": tracks}))


def expand(names: Sequence[str], cropped: bool) -> tuple[list[Path], list[Outcome]]:
    """Files, folders and patterns as a list of videos.

    Args:
        names: a folder stands for all videos below it, or with `cropped` for its frames where it holds some.
        cropped: folders of frames are meant.

    Returns:
        The videos, each once, and what stands for none.
    """
    found: dict[Path, None] = {}
    failed = []
    for name in names:
        matches = (
            [Path(name)] if Path(name).exists() else [Path(each) for each in sorted(glob.glob(name, recursive=True))]
        )
        if not matches:
            failed.append(Outcome(Path(name), error="does not exist"))
        for match in map(Path, matches):
            videos = list(_below(match, cropped)) if match.is_dir() else [match]
            found |= dict.fromkeys(videos)
            if not videos:
                failed.append(Outcome(match, error="no video in this folder"))
    return list(found), failed


def _below(folder: Path, cropped: bool) -> Iterator[Path]:
    from syncnet_lib.media.decode import SUFFIXES

    if cropped and exchange.has_frames(folder):
        yield folder
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _below(path, cropped)
        elif path.suffix.lower() in SUFFIXES:
            yield path


def run(paths: Sequence[Path], options: Options, workers: int, journal: Journal) -> Iterator[Outcome]:
    """Measure videos and give each result as it is done; those of an interrupted run first.

    Args:
        paths: videos.
        options: what to measure them with.
        workers: processes; 0 works in this one.
        journal: keeps what is done.

    Raises:
        InputError: no such checkpoint or device.
    """
    alone = len(paths) == 1 and workers == 0 and not len(journal) and parallel.cores() > 1
    with _watching(paths[0], options) if alone else contextlib.nullcontext() as seen:
        model, info = checkpoints.load(options.checkpoint, options.device)
        same = [VERSION, info.sha256, _settings(model, options).model_dump()]
        todo = []
        for path in paths:
            kept = journal.find(path, same)
            if kept is None:
                todo.append(_Job(path, options, progress=len(paths) == 1, seen=seen))
            else:
                yield Outcome(path, kept)
        for job, done in parallel.run(_work, todo, workers=workers, progress=len(paths) > 1, describe="measure"):
            if isinstance(done, Exception):
                yield Outcome(job.path, error=_told(done))
            else:
                digest, result = done
                journal.keep(job.path, digest, same, result)
                yield Outcome(job.path, result)


def _watching(path: Path, options: Options) -> contextlib.closing[prefetch.Apart[Event]]:
    """A process that watches a video with the settings that measurements have."""
    arguments = path, TrackSettings(), checkpoints.crop(options.checkpoint), options.cropped, True
    return contextlib.closing(prefetch.Apart(_watch, *arguments, count=AHEAD))


def _watch(*arguments: Any) -> Iterator[Event]:
    import cv2

    cv2.setNumThreads(1)  # the tracker's pictures are small
    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a process that is killed leaves
    return watch(*arguments)


def _settings(model: SyncNet, options: Options) -> InferSettings:
    from syncnet_lib.measurement.analyse import settings_for

    return settings_for(model, options.vshift, options.edges, options.cropped, options.precision)


def _work(job: _Job) -> tuple[str, Result]:
    """Measure one video; returns the hash of its content and its result."""
    import cv2

    from syncnet_lib.measurement.verdict import measure

    cv2.setNumThreads(1)  # the tracker's pictures are small, and the processes are the parallelism
    model, info = checkpoints.load(job.options.checkpoint, job.options.device)
    result = measure(job.path, model, info, _settings(model, job.options), job.progress, job.seen)
    return _digest(job.path), result


def _digest(path: Path) -> str:
    """SHA-256 of a video, or of all that a folder of frames holds."""
    if not path.is_dir():
        return files.sha256(path)
    inside = [*exchange.frame_files(path), path / exchange.SOUND, path.parent / exchange.SOUND]
    return files.sha256(*[file for file in inside if file.is_file()])


def _told(error: Exception) -> str:
    """Why a video failed and what to do about it, without its name."""
    cure = error.cure if isinstance(error, InputError) else ""
    return parallel.reason(error) + (f"; {cure}" if cure else "")


class Journal:
    """Results on disk while a run lasts: a line a video, flushed to the disk as it comes.

    Args:
        target: the output file beside which it lies; None keeps results for this run only.
    """

    def __init__(self, target: Path | None) -> None:
        self.path = target.with_name(f".{target.name}.journal") if target else None
        self._file: IO[bytes]
        with contextlib.ExitStack() as stack:
            if self.path:
                self._file = stack.enter_context(self.path.open("a+b"))
            else:
                self._file = stack.enter_context(tempfile.TemporaryFile())
            self._stack = stack.pop_all()
        self._places: dict[str, int] = {}
        self._file.seek(0)
        place = 0
        for line in self._file:
            with contextlib.suppress(ValueError):  # the last line may have been cut off by a kill
                self._places[json.loads(line)["path"]] = place
            place += len(line)
        if place:
            self._file.write(b"\n")

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __len__(self) -> int:
        return len(self._places)

    def remove(self) -> None:
        """Delete it: all results are where they belong."""
        if self.path is not None:
            self.path.unlink()

    def result(self, path: Path) -> Result:
        """The kept result of a video."""
        return Result.model_validate(self._entry(path)["result"])

    def find(self, path: Path, same: list[Any]) -> Result | None:
        """The kept result, if it is of this very content and these settings."""
        if str(path) not in self._places or not path.exists():
            return None
        entry = self._entry(path)
        if entry["same"] != same or entry["sha256"] != _digest(path):
            return None
        return Result.model_validate(entry["result"])

    def keep(self, path: Path, digest: str, same: list[Any], result: Result) -> None:
        """Add a result."""
        self._file.seek(0, os.SEEK_END)
        self._places[str(path)] = self._file.tell()
        entry = {"path": str(path), "sha256": digest, "same": same, "result": result.to_dict()}
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _entry(self, path: Path) -> dict[str, Any]:
        self._file.seek(self._places[str(path)])
        entry: dict[str, Any] = json.loads(self._file.readline())
        return entry
