"""Results on disk while a run lasts, so that one that was interrupted goes on where it stopped."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from syncnet_lib import files
from syncnet_lib.errors import shown
from syncnet_lib.measurement.inputs import audio_of
from syncnet_lib.measurement.result import Failure, Result


class Journal:
    """A line a video, flushed to the disk as it comes.

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
        self._places: dict[tuple[str, Any], int] = {}
        self._file.seek(0)
        place = 0
        for line in self._file:
            with contextlib.suppress(ValueError):  # the last line may have been cut off by a kill
                entry = json.loads(line)
                self._places[_name(entry["path"], entry["result"]["settings"])] = place
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

    def whole(self, outcomes: Iterable[Result | Failure]) -> Iterator[Result | Failure]:
        """Outcomes with the confidence of single windows, which lies here and not in memory."""
        for outcome in outcomes:
            yield (
                outcome
                if isinstance(outcome, Failure)
                else Result.model_validate(self._entry(_name(outcome.path, outcome.settings))["result"])
            )

    def find(self, path: Path, settings: Mapping[str, Any], same: list[Any]) -> Result | None:
        """The kept result of a video.

        Args:
            path: the video.
            settings: those that it is measured with.
            same: what else it depends on; a result is given only if this and the content are what they were.
        """
        name = _name(shown(path), settings)
        if name not in self._places or not path.exists():
            return None
        entry = self._entry(name)
        if entry["same"] != same or entry["sha256"] != digest(path):
            return None
        return Result.model_validate(entry["result"])

    def keep(self, sha256: str, same: list[Any], result: Result) -> None:
        """Add a result; arguments as for `find`."""
        self._file.seek(0, os.SEEK_END)
        self._places[_name(result.path, result.settings)] = self._file.tell()
        entry = {"path": result.path, "sha256": sha256, "same": same, "result": result.to_dict()}
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _entry(self, name: tuple[str, Any]) -> dict[str, Any]:
        self._file.seek(self._places[name])
        entry: dict[str, Any] = json.loads(self._file.readline())
        return entry


def _name(path: str, settings: Mapping[str, Any]) -> tuple[str, Any]:
    """What a result is kept under: its video and audio track, as each track of a video may be measured."""
    return path, settings["audio_track"]


def digest(path: Path) -> str:
    """SHA-256 of a video, or of all that a folder of frames holds."""
    if not path.is_dir():
        return files.sha256(path)
    from syncnet_lib.dataset import exchange

    return files.sha256(*exchange.frame_files(path), audio_of(path))
