"""The study of the loaders: data of any size made on the spot, and the same training by each loader."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from syncnet_lib import files
from syncnet_lib.dataset.splits import Split
from syncnet_lib.faces.crops import FACE_SIZE, MOUTH_SIZE
from syncnet_lib.media.features import MFCC_PER_FRAME, MFCC_SIZE
from syncnet_lib.model.spec import Spec
from syncnet_lib.training import loaders, loop, timing
from syncnet_lib.training.loaders import LoaderName
from syncnet_lib.training.sampling import Sampler
from syncnet_lib.training.settings import TrainSettings
from syncnet_lib.training.timing import PHASES, PhaseTimer

LOADERS: tuple[LoaderName, ...] = get_args(LoaderName)
COARSE = 8
"""Side of the random picture that a made frame is an enlargement of: it compresses about as a mouth does."""


def make_split(folder: Path, clips: int, frames: int, spec: Spec, seed: int) -> Split:
    """Write a packed split of made clips, for measuring speed: there is nothing in it to learn.

    Args:
        folder: of the split; one that is there already is taken as it is.
        clips, frames: how many, and how long each.
        spec: of the model that will be trained, which decides between mouths and faces.
        seed: of the contents.
    """
    if not folder.is_dir():
        rng = np.random.default_rng(seed)
        extracted = (MOUTH_SIZE, MOUTH_SIZE) if spec.crop == "mouth" else (FACE_SIZE, FACE_SIZE, 3)
        with files.atomic(folder) as temporary:
            temporary.mkdir(parents=True)
            pixels = np.lib.format.open_memmap(temporary / "frames.npy", "w+", np.uint8, (clips * frames, *extracted))
            for at in tqdm(range(0, len(pixels), frames), "making clips", leave=False, disable=None):
                coarse = rng.integers(0, 256, (frames, COARSE, COARSE, *extracted[2:]), dtype=np.uint8)
                for number, picture in enumerate(coarse):
                    pixels[at + number] = cv2.resize(picture, extracted[:2], interpolation=cv2.INTER_CUBIC)
            pixels.flush()
            mfcc = rng.normal(size=(1, clips * frames * MFCC_PER_FRAME, MFCC_SIZE))
            np.save(temporary / "mfcc.npy", mfcc.astype(np.float32))
            names = [f"clip{number:05d}" for number in range(clips)]
            index = pd.DataFrame({"clip_id": names, "frames": frames, "start": np.arange(clips) * frames})
            index.to_parquet(temporary / "index.parquet")
    return Split.open(folder)


def load_only(
    name: LoaderName, split: Split, spec: Spec, settings: TrainSettings, workers: int, scratch: Path
) -> tuple[pd.DataFrame, list[float]]:
    """A loader without a step: every batch is asked for, frames as stored, of which a step would cut its own crop.

    Args:
        name: which loader.
        split, spec: of what, and for which model.
        settings: batch size, samples a clip and epochs.
        workers: processes of the folder loaders.
        scratch: for what the loaders write; a tree of single files in it is used again.

    Returns:
        The table of `PhaseTimer`, and the memory of this process after each epoch but what it maps of files, in MiB.
    """
    cpu = torch.device("cpu")
    tree = scratch / "tree"
    if name.startswith("folder") and not tree.is_dir():
        loaders.write_tree(split, tree)
    loader = loaders.make(name, split, spec, cpu, scratch, tree, workers)
    sampler = Sampler(split, settings.batch_size, settings.samples_per_clip, "pairs", 0)
    timer, memory = PhaseTimer(cpu), []
    batches = loader.batches(map(sampler.epoch, range(1, settings.epochs + 1)))
    for number in range(1, settings.epochs + 1):
        for step in range(sampler.steps):
            timer.at(number, step)
            with timer.phase("data"):
                next(batches)
        memory.append(_own_memory())
    batches.close()
    return timer.table(), memory


def _own_memory() -> float:
    """MiB that belong to this process alone; pages of mapped files are the system's to drop."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def train_by_each(
    names: Iterable[LoaderName], split: Split, settings: TrainSettings, seed: int, workers: int, scratch: Path
) -> dict[str, pd.DataFrame]:
    """The same training by each loader: the same data, model, draws and steps.

    Args:
        names: of the loaders.
        split: to train on, and, since nothing is to be learned, to validate on after the last epoch.
        settings: how; its loader and interval of validation are not used.
        seed: of the training.
        workers: processes of the folder loaders.
        scratch: for the states, which are removed.

    Returns:
        The table of `PhaseTimer` by loader.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    val = Split(split.frames, split.mfcc, split.index.head(1), split.kept)
    tables: dict[str, pd.DataFrame] = {}
    for name in names:
        timer, state = PhaseTimer(device), scratch / name
        files.remove(state)
        begin = time.perf_counter()
        chosen = settings.model_copy(update={"loader": name, "validate_every": settings.epochs})
        for _ in loop.fit(split, val, chosen, seed, device, state, timer, workers):
            pass
        print(f"{name}: {settings.epochs} epochs in {time.perf_counter() - begin:.1f} s", flush=True)
        files.remove(state)
        tables[name] = timer.table()
    return tables


def compare(tables: Mapping[str, pd.DataFrame], batch_size: int) -> pd.DataFrame:
    """A row a loader of `timing.summarise`."""
    rows = {name: timing.summarise(table, batch_size) for name, table in tables.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def expectations(table: pd.DataFrame) -> dict[str, bool]:
    """What packed data ought to gain, and whether these figures show it.

    Args:
        table: of `compare`, with all of LOADERS.

    Returns:
        The expectation in words to whether it holds.
    """
    speed = table.samples_per_s
    packed, folders = ["resident", "mapped"], ["folder", "folder_persistent"]
    return {
        "either packed loader is faster than both that open files": bool(speed[packed].min() > speed[folders].max()),
        "an epoch's first step weighs less from a mapped file than from a folder": bool(
            table.first_step_share["folder"] > table.first_step_share["mapped"]
        ),
        "a resident split makes no step wait (less than a tenth of all time)": bool(table.data_share["resident"] < 0.1),
    }


def conclude(table: pd.DataFrame) -> str:
    """The study's conclusion in words, out of `compare`'s figures."""
    slow, fast = table.samples_per_s.idxmin(), table.samples_per_s.idxmax()
    worst, best = table.loc[slow], table.loc[fast]
    shares = [f"{name}_share" for name in PHASES]
    largest = str(best[shares].astype(float).idxmax()).removesuffix("_share")
    return (
        f"With {slow} the first step of an epoch takes {worst.first_step_ratio:.1f} times a median step, "
        f"{worst.first_step_share:.0%} of the epoch, and loading {worst.data_share:.0%} of all time. "
        f"With {fast} it takes {best.first_step_ratio:.2f} times, loading {best.data_share:.1%} of all time: "
        f"{best.samples_per_s / worst.samples_per_s:.1f} times as many samples a second, and {largest} is what is left."
    )
