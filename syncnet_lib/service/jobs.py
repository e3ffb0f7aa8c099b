"""Uploaded videos: each is measured by a process, which can be ended, and deleted when that is over.

A job has a folder of its own, which is also where its process puts what is temporary, so that nothing of a video stays
when the folder goes. What was found stays for KEPT_SECONDS. All calls come from one thread.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from syncnet_lib import files, parallel
from syncnet_lib.errors import InputError, shown
from syncnet_lib.measurement import batch
from syncnet_lib.measurement.result import Failure, Limits, Result

if TYPE_CHECKING:
    from pebble import ProcessFuture

RESULT, PAGE, PROGRESS = "result.json", "report.html", "progress"
"""Files of a job: the result with every window, the page, and the number of its process with the share that is done."""
KEPT_SECONDS = 3600
"""How long a result can be had."""
ENDED_SECONDS = 5.0
"""Longest wait for a process that was told to end."""
LONGEST_SUFFIX = 8
"""Of a name that is kept, with its dot: libav takes some formats by it."""


@dataclass
class Job:
    """A video that waits, is measured, or was.

    Attributes:
        key: its name in addresses, which nobody can guess.
        name: of the video, as its owner has it.
        folder: of its files.
        future: of the result.
        ended: when that was there, seconds of the monotonic clock; None before.
    """

    key: str
    name: str
    folder: Path
    future: "ProcessFuture[Result]"
    ended: float | None = None

    @property
    def waits(self) -> bool:
        """Whether no process works on it yet."""
        return not self.future.running() and not self.future.done()

    @property
    def progress(self) -> float:
        """The share of its pictures that were looked at."""
        return 1.0 if self.future.done() else self._told()[1]

    def outcome(self) -> Result | Failure | None:
        """What became of it; None while that is open."""
        if not self.future.done():
            return None
        try:
            found = parallel.outcome(self.future)
        except CancelledError:
            return Failure(path=self.name, error="cancelled")
        if isinstance(found, InputError):  # of a file with a name that nobody knows
            return Failure(path=self.name, error=found.cause, cure=found.cure)
        return batch.failure(self.name, found) if isinstance(found, Exception) else found

    async def end(self) -> None:
        """End its process, and delete all that there is of it."""
        process, _ = self._told()
        self.future.cancel()
        deadline = time.monotonic() + ENDED_SECONDS
        while process and files.process_lives(process) and self.future.cancelled() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _told(self) -> tuple[int, float]:
        """The number of its process, 0 where there is none yet, and the share that is done."""
        with contextlib.suppress(OSError, ValueError):
            process, share = (self.folder / PROGRESS).read_text().split()
            return int(process), float(share)
        return 0, 0.0


class Jobs:
    """The jobs of a service.

    Args:
        options: what all videos are measured with.
        workers: processes.
        seconds: longest work on a video.
    """

    def __init__(self, options: batch.Options, workers: int, seconds: float) -> None:
        self._options, self._seconds = options, seconds
        self._pool = parallel.processes(workers)
        self._jobs: dict[str, Job] = {}
        self._scratch = files.scratch()
        self._folder = Path(self._scratch.name)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def find(self, key: str) -> Job | None:
        """A job by its key; None where there is none."""
        return self._jobs.get(key)

    @contextlib.contextmanager
    def place(self, name: str) -> Iterator[Path]:
        """A new file for an upload, which is deleted again if that fails.

        Args:
            name: of the video, as its owner has it.

        Yields:
            A path that does not exist yet, in the folder of the job to be.
        """
        folder = self._folder / secrets.token_urlsafe(16)
        folder.mkdir()
        suffix = Path(name).suffix
        try:
            yield folder / f"video{suffix if len(suffix) <= LONGEST_SUFFIX and suffix[1:].isalnum() else ''}"
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def add(self, video: Path, name: str, limits: Limits | None) -> Job:
        """Measure a video.

        Args:
            video: of `place`.
            name: as its owner has it.
            limits: what it is held against.
        """
        with parallel.interrupts_blocked():
            arguments = video, name, self._options, limits
            future = self._pool.schedule(_measure, args=arguments, timeout=self._seconds)
        job = Job(video.parent.name, name, video.parent, future)
        self._jobs[job.key] = job

        def over(_: object) -> None:
            # Nothing else is needed any more, whatever became of it: a process that was ended leaves the sound.
            for path in set(job.folder.glob("*")) - {job.folder / name for name in (RESULT, PAGE, PROGRESS)}:
                with contextlib.suppress(OSError):
                    files.remove(path)
            job.ended = time.monotonic()

        future.add_done_callback(over)
        return job

    async def remove(self, key: str) -> None:
        """End and forget a job."""
        await self._jobs.pop(key).end()

    def forget(self) -> None:
        """Delete what is over and old."""
        for job in list(self):
            if job.ended is not None and time.monotonic() - job.ended > KEPT_SECONDS:
                del self._jobs[job.key]
                shutil.rmtree(job.folder, ignore_errors=True)

    def close(self) -> None:
        """End all processes, and delete all that there is."""
        self._pool.stop()
        self._pool.join()
        self._scratch.cleanup()


def _measure(video: Path, name: str, options: batch.Options, limits: Limits | None) -> Result:
    """What a process does: measure, and write the result and its page beside the video."""
    from syncnet_lib.measurement import compliance, pages

    folder = video.parent
    tempfile.tempdir = str(folder)
    with (folder / PROGRESS).open("w") as file:

        def tell(share: float) -> None:
            file.seek(0)
            file.write(f"{os.getpid():010d} {share:.3f}\n")  # of one length, so that none is read in parts of two
            file.flush()

        tell(0.0)
        found = batch.measure_here(video, options, tell)
    result = found.model_copy(update={"path": shown(name)})
    if limits is not None:
        result = compliance.held_against(result, limits)
    pages.write_page(video, folder / PAGE, result)
    files.write_bytes(folder / RESULT, result.to_json().encode())
    return result.brief()
