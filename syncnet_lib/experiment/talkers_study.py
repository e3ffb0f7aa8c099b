"""The study of the number of talkers: the same network, steps and augmentation, over how many people it learns from."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool

from syncnet_lib import files
from syncnet_lib.dataset.splits import Split
from syncnet_lib.experiment import corpora
from syncnet_lib.experiment.points import Study
from syncnet_lib.experiment.refine_study import settings_for
from syncnet_lib.model import scoring
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.training import refinement, rounds
from syncnet_lib.training.validation import split_distances

CORPUS = "talkers"
"""The corpus, of `python -m benchmarks.corpora --talkers`: its train split has drawn people and one real talker."""
REAL = "s1"
"""The real talker: grid_s1, without the last 90 clips."""
TESTS = {"apart": True, "strangers": True, "television": False}
"""The splits that are measured, and whether their clips are in sync: drawn people kept apart, GRID talkers that no
training saw, and television, whose people have offsets of their own."""
LENGTHS = ("5", "15")
"""Frames of the stretches that are placed."""
EVERY_CLIP, EVERYBODY = 21, 96
"""Clips of each drawn talker, and drawn talkers that may be trained on."""
AUGMENTED = {"geometry": 0.5, "light": 0.2, "tract": 0.2, "room": 0.5, "background": 1.0, "blur": 0.7}
"""The augmentation of the shipped recipe (params.yaml)."""
SEEDS = (0, 1)
OTHERS = 3
"""Least clips of a talker whose median answer is taken for the talker's own offset."""


def points(steps: int) -> list[dict[str, Any]]:
    """The settings of all points: over the drawn talkers, with the real one as well, and many against few at an equal
    number of clips.

    Args:
        steps: of each training.
    """
    curve = [(talkers, EVERY_CLIP, False) for talkers in (1, 3, 10, 30, EVERYBODY)]
    real = [(talkers, EVERY_CLIP, True) for talkers in (0, 10, EVERYBODY)]
    equal = [(30, 7, False), (EVERYBODY, 2, False)]  # about the 210 clips of 10 talkers
    return [
        {"corpus": CORPUS, "talkers": talkers, "clips": clips, "real": with_real, "seed": seed, "steps": steps}
        for part in (curve, real + equal)
        for seed in SEEDS
        for talkers, clips, with_real in part
    ]


def choose(index: pd.DataFrame, talkers: int, clips: int, real: bool, seed: int) -> Bool[np.ndarray, " clips"]:
    """The clips to train on; with one seed the talkers of a smaller number are among those of a greater.

    Args:
        index: of the train split: `speaker` is REAL or a drawn talker.
        talkers: how many drawn ones.
        clips: most clips of each of them.
        real: take those of the real talker as well.
        seed: of the drawing.
    """
    drawn = np.sort(index.speaker[index.speaker != REAL].unique())
    taken = np.random.default_rng([seed, 13]).permutation(drawn)[:talkers]
    place = index.groupby("speaker").cumcount()
    return (index.speaker.isin(taken) & (place < clips) | (index.speaker == REAL) & real).to_numpy()


def point(
    folder: Path, device: str, *, corpus: str, talkers: int, clips: int, real: bool, seed: int, steps: int
) -> dict[str, Any]:
    """One training.

    Args:
        folder: of the corpora.
        device: where to train.
        corpus, talkers, clips, real: what is trained on; see `choose`.
        seed: of the choice, of weights, draws and augmentation.
        steps: of the training.

    Returns:
        `clips` (trained on), and for each of TESTS: `k5`, `k15` and `whole`, a share for each clip, and `talker`.
    """
    splits = corpora.read(folder, corpus)
    train = splits["train"]
    chosen = choose(train.index, talkers, clips, real, seed)
    part = subset(train, chosen)
    with files.scratch() as scratch:
        settings = settings_for(part, steps).model_copy(update=AUGMENTED)
        trainer = rounds.Trainer(splits["apart"], settings, seed, torch.device(device), Path(scratch))
        model = trainer.fit(part)
    return {"clips": int(chosen.sum()), **{name: measured(model, splits[name], sync) for name, sync in TESTS.items()}}


def subset(split: Split, chosen: Bool[np.ndarray, " clips"]) -> Split:
    """Some clips of a split by themselves.

    Args:
        split: of packed clips.
        chosen: which.
    """
    frames = refinement.of_frames(split, chosen)
    sound = np.repeat(frames, split.mfcc.shape[1] // len(frames))
    index = split.index[chosen].reset_index(drop=True)
    index["start"] = index.frames.cumsum().shift(fill_value=0)
    return Split(split.frames[frames], split.mfcc[:, sound], index, split.kept[frames])


def measured(model: SyncNet, split: Split, in_sync: bool) -> dict[str, list[Any]]:
    """Share of the stretches of each clip that are placed within a frame, and whether the whole clip is.

    Args:
        model: in evaluation mode.
        split: of clips that no training saw.
        in_sync: whether the truth is 0; else it is the median answer of the talker's other clips.

    Returns:
        `k5`, `k15`, `whole` and `talker`, one each a clip whose truth is known.
    """
    distances = list(split_distances(model, split, progress=False).values())
    found = np.array([scoring.offset(scoring.mean_distances(clip)) for clip in distances])
    rows: dict[str, list[Any]] = {**{f"k{frames}": [] for frames in LENGTHS}, "whole": [], "talker": []}
    speakers = split.index.speaker.to_numpy()
    for number, clip in enumerate(distances):
        others = found[(speakers == speakers[number]) & (np.arange(len(found)) != number)]
        if not in_sync and len(others) < OTHERS:
            continue
        truth = 0 if in_sync else round(float(np.median(others)))
        for frames in LENGTHS:
            rows[f"k{frames}"].append(round(float(scoring.right_at(clip, int(frames), truth).mean()), 4))
        rows["whole"].append(float(abs(found[number] - truth) <= scoring.TOLERANCE))
        rows["talker"].append(str(speakers[number]))
    return rows


def study(corpora_folder: Path, points_folder: Path) -> Study:
    """The study as `points` has it.

    Args:
        corpora_folder, points_folder: where its data and its figures are.
    """
    return Study("talkers", point, "experiment.talkers_study", corpora_folder, points_folder)


POINTS = points(steps=378)
"""All of them, as the study runs them: three passes over the clips of all drawn talkers."""
