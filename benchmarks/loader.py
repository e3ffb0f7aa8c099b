"""How fast the loaders are, alone and in a training, and whether their memory stays flat.

    python -m benchmarks.loader                                        # writes reports/bench/loader.json
    python -m benchmarks.loader --clips 3261 --samples-per-clip 5      # [Agrawal]'s 15 steps an epoch

The data are made on the spot. `samples_per_s` is each loader alone, batches of 120x120x5, out of which a step cuts its
111x111x5 on the device; `first_step_ratio` is of a training of the small model by the same loader: the first step of an
epoch over the median step, the worst epoch after the first.
"""

import json
import tempfile
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks import machine
from syncnet_lib import files, parallel
from syncnet_lib.experiment import studies
from syncnet_lib.media.features import WINDOW_FRAMES
from syncnet_lib.model.spec import SPECS
from syncnet_lib.paths import ROOT
from syncnet_lib.training import timing
from syncnet_lib.training.settings import TrainSettings

FAST_EPOCHS = 12
"""Epochs of a loader that takes milliseconds a batch; the others take the few that the command line says."""


def measure(clips: int, frames: int, batch_size: int, samples_per_clip: int, epochs: int, workers: int) -> dict:
    """All figures of the benchmark; see the module."""
    alone = TrainSettings(
        loss="contrastive",
        batch_size=batch_size,
        samples_per_clip=samples_per_clip,
        epochs=epochs,
        validate_every=epochs,
    )
    result: dict = {
        "machine": machine.describe(),
        "batch": batch_size,
        "window": [WINDOW_FRAMES, SPECS["paper"].stored, SPECS["paper"].stored],
        "clips": clips,
        "workers": workers,
        "samples_per_s": {},
        "first_step_ratio": {},
        "first_step_share": {},
        "data_share": {},
        "memory_growth_mib": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        split = studies.make_split(scratch / "split", clips, frames, SPECS["paper"], seed=0)
        for name in studies.LOADERS:
            fast = not name.startswith("folder")
            settings = alone.model_copy(update={"epochs": FAST_EPOCHS}) if fast else alone
            table, memory = studies.load_only(name, split, SPECS["paper"], settings, workers, scratch)
            later = table[table.epoch > 1]
            figures = timing.summarise(later, batch_size)
            result["samples_per_s"][name] = round(figures["samples_per_s"])
            result["memory_growth_mib"][name] = round(memory[-1] - memory[1], 1)
            print(f"{name} alone: {figures['samples_per_s']:,.0f} samples/s", flush=True)
        result["mapped_over_folder"] = round(result["samples_per_s"]["mapped"] / result["samples_per_s"]["folder"], 1)
        tables = studies.train_by_each(studies.LOADERS, split, alone, 0, workers, scratch)
        for name, row in studies.compare(tables, batch_size).iterrows():
            for figure in ("first_step_ratio", "first_step_share", "data_share"):
                result[figure][name] = round(row[figure], 4)
    return result


def main(
    clips: Annotated[int, typer.Option(help="clips of the split")] = 256,
    frames: Annotated[int, typer.Option(help="frames of a clip")] = 30,
    batch_size: Annotated[int, typer.Option(help="windows a batch")] = 1024,
    samples_per_clip: Annotated[int, typer.Option(help="windows drawn from a clip an epoch")] = 20,
    epochs: Annotated[int, typer.Option(help="epochs of the slow loaders and of the training")] = 3,
    workers: Annotated[int, typer.Option(help="processes of the folder loaders")] = 2,
    out: Annotated[Path, typer.Option(help="file of the result")] = ROOT / "reports" / "bench" / "loader.json",
) -> None:
    """How fast the loaders are, alone and in a training, and whether their memory stays flat."""
    torch.set_num_threads(parallel.cores())
    result = measure(clips, frames, batch_size, samples_per_clip, epochs, workers)
    files.write_json(out, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    typer.run(main)
