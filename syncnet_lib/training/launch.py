"""Training in several processes: a GPU each, or a share of the processor's cores each.

`fit` does it from a notebook, and starts them itself. By hand, or on several machines, torchrun starts them and a file
describes the training (`Job`):

    echo '{"pairs": "data/pairs", "state": "data/state/two", "train": {"model": "paper"}}' > job.json
    torchrun --nproc-per-node 2 -m syncnet_lib.training.launch job.json
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from syncnet_lib import files, parallel
from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.settings import Settings
from syncnet_lib.training import distributed, loop
from syncnet_lib.training.settings import TrainSettings
from syncnet_lib.training.state import Epoch
from syncnet_lib.training.timing import PhaseTimer

LAST_WORDS = 2.0
"""Seconds that the other ranks have when one has failed, until they are ended: rank 0 tells what all of them refuse."""


class Job(Settings):
    """A training as a JSON file describes it to its processes."""

    pairs: str
    """Folder with the packed splits `train` and `val`."""
    state: str
    """Folder of the running training; it goes on from what is there."""
    train: TrainSettings = TrainSettings()
    """The section `train` of params.yaml."""
    seed: int = 0
    """Random seed of the training."""
    device: Literal["cpu", "cuda"] = "cuda" if torch.cuda.is_available() else "cpu"
    """A GPU for every process, or the processor."""
    workers: int = 0
    """Processes of the folder loaders, for every training process."""
    kept: str | None = None
    """File of numpy, (F,) bool: the windows that may serve as positives; None for all of them."""
    init: str | None = None
    """The checkpoint that `train.init` names; None for random weights."""
    parent: int | None = None
    """Process that reads what rank 0 prints, and without which the training ends; None for a training of its own."""
    meeting: str | None = None
    """File at which the ranks of that process meet; None where torchrun has them meet."""


def fit(
    train: Split,
    val: Split,
    settings: TrainSettings,
    seed: int,
    device: torch.device,
    state_dir: Path,
    timer: PhaseTimer,
    workers: int = 0,
    init: Path | None = None,
) -> Iterator[Epoch]:
    """`loop.fit` in this process or, where `settings.processes` says so, in several others.

    Args:
        train, val: opened from the folders `train` and `val` of a pairs stage.
        settings, seed, device, state_dir, timer, workers, init: as for `loop.fit`; the timer gets the phases of rank 0.

    Yields:
        One record an epoch.

    Raises:
        InputError: more processes than GPUs, or what `loop.fit` refuses.
        RuntimeError: a process failed otherwise.
    """
    settings = loop.resolve(settings, train, device)
    processes = int(settings.processes)
    if processes > 1 and not (train.mapped and val.mapped):
        warnings.warn("a split is in the memory of this process, which trains alone", stacklevel=2)
        processes = 1
    if processes < 2:
        yield from loop.fit(train, val, settings, seed, device, state_dir, timer, workers, init)
        return
    if device.type == "cuda" and processes > torch.cuda.device_count():
        raise InputError("train.processes", f"{processes} on {torch.cuda.device_count()} GPUs", "use auto")
    with files.scratch() as folder:
        job_file, kept = Path(folder, "job.json"), Path(folder, "kept.npy")
        np.save(kept, train.kept)
        for name, split in {"train": train, "val": val}.items():
            split.write(Path(folder, name))
        job = Job(
            pairs=str(folder),
            state=str(state_dir),
            train=settings,
            seed=seed,
            device="cuda" if device.type == "cuda" else "cpu",
            workers=workers,
            kept=str(kept),
            init=str(init) if init else None,
            parent=os.getpid(),
            meeting=str(Path(folder, "meeting")),
        )
        job_file.write_text(job.model_dump_json())
        for record in _run(processes, job_file, job.device):
            timer.restore([*timer.rows(), *record["timing"]])
            yield Epoch(**record["epoch"])


def _run(processes: int, job_file: Path, device: str) -> Iterator[dict]:
    """Start the processes of a job, and give what rank 0 prints, a record an epoch.

    Raises:
        InputError: what rank 0 refused.
        RuntimeError: a process failed otherwise.
    """
    # torchrun would import torch in a process more, before the ranks do: two seconds of every training.
    command = [sys.executable, "-m", "syncnet_lib.training.launch", str(job_file)]
    shared = {parallel.THREADS[0]: "1", **os.environ, "WORLD_SIZE": str(processes)}
    if device == "cpu":
        shared[parallel.THREADS[0]] = str(max(1, parallel.cores() // processes))
    refusal = None
    with tempfile.TemporaryFile("w+") as log, contextlib.ExitStack() as running:
        ranks: list[subprocess.Popen[str]] = []
        for rank in range(processes):
            out = log if rank else subprocess.PIPE
            own = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            ranks.append(running.enter_context(subprocess.Popen(command, stdout=out, stderr=log, text=True, env=own)))
            running.callback(ranks[-1].terminate)  # where the training is given up; one that has ended hears nothing
        threading.Thread(target=_end_together, args=[ranks], daemon=True).start()
        assert ranks[0].stdout is not None
        for line in ranks[0].stdout:
            record = json.loads(line)
            if "error" in record:
                refusal = InputError(*record["error"])
            else:
                yield record
        codes = [rank.wait() for rank in ranks]
        log.seek(0)
        trace = log.read()
    if refusal:
        raise refusal
    if any(codes):
        raise RuntimeError(f"a training process failed\n{trace}")


def _end_together(ranks: list[subprocess.Popen[str]]) -> None:
    """When a rank has failed, end the others, which would wait for it."""
    codes: list[int | None] = [None]
    while None in codes and not any(codes):
        time.sleep(0.1)
        codes = [rank.poll() for rank in ranks]
    if any(codes):
        time.sleep(LAST_WORDS)
        for rank in ranks:
            rank.terminate()


def _end_without(parent: int) -> None:
    """End this process when another one has ended, which, killed, cannot tell it to."""
    while files.process_lives(parent):
        time.sleep(0.2)
    os._exit(1)


def main(job_file: str) -> int:
    """One of the processes of a training; rank 0 prints a line of JSON an epoch.

    Args:
        job_file: JSON, a `Job`.

    Returns:
        Exit code: 0, or 2 for an input that cannot be used.
    """
    try:
        job = Job.parse(json.loads(Path(job_file).read_text()), job_file)
    except (OSError, ValueError, InputError) as error:
        print(f"{job_file}: no job can be read from it ({error})", file=sys.stderr)
        return 2
    if job.parent is not None:
        threading.Thread(target=_end_without, args=[job.parent], daemon=True).start()
    with distributed.joined(job.device, job.meeting) as device:
        first = distributed.Ranks.here().first
        try:
            train, val = Split.open(Path(job.pairs, "train")), Split.open(Path(job.pairs, "val"))
            if job.kept:
                train.kept = np.load(job.kept)
            timer = PhaseTimer(device)
            init = Path(job.init) if job.init else None
            for epoch in loop.fit(train, val, job.train, job.seed, device, Path(job.state), timer, job.workers, init):
                if first:
                    timing = [row for row in timer.rows() if row[0] == epoch.number]
                    print(json.dumps({"epoch": asdict(epoch), "timing": timing}), flush=True)
        except InputError as error:
            if first:
                print(json.dumps({"error": [error.where, error.cause, error.cure]}), flush=True)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
