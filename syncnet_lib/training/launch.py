"""Training in several processes: a GPU each, or a part of the processor's cores each.

    torchrun --nproc-per-node 2 -m syncnet_lib.training.launch data/pairs data/state/two --settings '{"model": "paper"}'

`fit` does the same from a notebook.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.training import distributed, loop
from syncnet_lib.training.loop import Epoch
from syncnet_lib.training.settings import TrainSettings
from syncnet_lib.training.timing import PhaseTimer

KEPT = "kept.npy"
"""In the state's folder: which windows a filter left, for the processes to read."""


def fit(
    train_split: Split,
    val: Split,
    settings: TrainSettings,
    seed: int,
    device: torch.device,
    state_dir: Path,
    timer: PhaseTimer,
    workers: int = 0,
) -> Iterator[Epoch]:
    """`loop.fit`, here or, where `settings.processes` says so, in several processes by torchrun.

    Args:
        train_split, val: opened from the folders `train` and `val` of a pairs stage.
        settings, seed, device, state_dir, timer, workers: as for `loop.fit`; the timer gets the phases of process 0.

    Yields:
        One record an epoch.

    Raises:
        InputError: more processes than GPUs, or what `loop.fit` refuses.
        RuntimeError: a process failed otherwise.
    """
    settings = loop.resolve(settings, train_split, device)
    processes = int(settings.processes)
    if processes < 2:
        yield from loop.fit(train_split, val, settings, seed, device, state_dir, timer, workers)
        return
    if device.type == "cuda" and processes > torch.cuda.device_count():
        raise InputError("train.processes", f"{processes} on {torch.cuda.device_count()} GPUs", "use auto")
    assert train_split.folder is not None, "several processes open the split themselves"
    state_dir.mkdir(parents=True, exist_ok=True)
    kept = state_dir.with_name(f"{state_dir.name}.{KEPT}")  # beside it: another training's state is thrown away
    np.save(kept, train_split.kept)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"),
        *("-m", "syncnet_lib.training.launch", str(train_split.folder.parent), str(state_dir), "--kept", str(kept)),
        *("--settings", settings.model_dump_json(), "--seed", str(seed), "--device", device.type),
        *("--workers", str(workers)),
    ]
    failure = None
    with tempfile.TemporaryFile("w+") as log:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    record = json.loads(line)
                    if "error" in record:
                        failure = InputError(*record["error"])
                        continue
                    timer.restore([*timer.rows(), *record["timing"]])
                    yield Epoch(**record["epoch"])
            finally:
                process.terminate()  # where the training was given up; one that ended hears nothing
        log.seek(0)
        trace = log.read()
    kept.unlink()
    if failure:
        raise failure
    if process.returncode:
        raise RuntimeError(f"a training process failed\n{trace}")


def main(arguments: Sequence[str] | None = None) -> int:
    """One of the processes that torchrun starts; the first prints a line of JSON an epoch.

    Returns:
        Exit code: 0, or 2 for an input that cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog="torchrun -m syncnet_lib.training.launch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pairs", type=Path, help="folder with the packed splits train and val")
    parser.add_argument("state", type=Path, help="folder of the running training; it goes on from what is there")
    parser.add_argument("--settings", default="{}", help="JSON: names and values of the section train of params.yaml")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=0, help="processes of the folder loaders, each training process")
    parser.add_argument("--kept", type=Path, help="numpy file: (F,) bool, the windows that may serve as positives")
    options = parser.parse_args(arguments)
    with distributed.joined(options.device) as device:
        first = distributed.Ranks.here().rank == 0
        try:
            settings = TrainSettings.parse(json.loads(options.settings), "--settings")
            split = Split.open(options.pairs / "train")
            if options.kept:
                split.kept = np.load(options.kept)
            val = Split.open(options.pairs / "val")
            timer = PhaseTimer(device)
            for epoch in loop.fit(split, val, settings, options.seed, device, options.state, timer, options.workers):
                if first:
                    timing = [row for row in timer.rows() if row[0] == epoch.number]
                    print(json.dumps({"epoch": asdict(epoch), "timing": timing}), flush=True)
        except InputError as error:
            if first:
                print(json.dumps({"error": [error.where, error.cause, error.cure]}), flush=True)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
