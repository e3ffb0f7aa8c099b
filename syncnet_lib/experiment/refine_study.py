"""The study of the refinement: clips are spoilt in a known way, and the loop's verdicts and gains are measured."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from syncnet_lib import files
from syncnet_lib.dataset import noise
from syncnet_lib.dataset.noise import NoiseSettings
from syncnet_lib.dataset.splits import Split
from syncnet_lib.experiment import corpora
from syncnet_lib.experiment.points import Study
from syncnet_lib.media.clock import FRAME_MS
from syncnet_lib.model import scoring
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.training import refinement, rounds
from syncnet_lib.training.refinement import KEPT, OFF_SYNC
from syncnet_lib.training.sampling import Sampler
from syncnet_lib.training.settings import FilterSettings, TrainSettings
from syncnet_lib.training.validation import split_distances

CORPORA: dict[str, noise.Kind] = {"synthetic": "dubbed", "grid_s1": "sentence"}
"""The corpora and whose sound their dubbed clips carry: grid_s1 is one talker."""
SHARES = (0.3, 0.0, 0.6, 0.1)
"""Of the noise; the one of the claims first."""
SEEDS = (0, 1, 2)
VARIANTS = ("noisy", "refined", "repaired")
"""What is trained on: all clips as they are; those that are kept; and the off-sync ones moved as well."""
FALSE_ACCEPTS = 0.01
"""Share of shifted clips that may pass for genuine by distance alone. Chosen, with the folds and the rounds, on two
seeds that the study does not use: with 0.05 three in ten other sentences of GRID's talker pass, with 0.01 one in 27."""
LENGTHS = ("5", "15")
"""Frames of the stretches on which the trained networks are compared."""


def points(steps: int, folds: int, most_rounds: int) -> list[dict[str, Any]]:
    """The settings of all points.

    Args:
        steps: of each training.
        folds, most_rounds: of the refinement.
    """
    return [
        {"corpus": corpus, "share": share, "seed": seed, "steps": steps, "folds": folds, "most_rounds": most_rounds}
        for share in SHARES
        for corpus in CORPORA
        for seed in SEEDS
    ]


def point(
    folder: Path, device: str, *, corpus: str, share: float, seed: int, steps: int, folds: int, most_rounds: int
) -> dict[str, Any]:
    """One noise share on one corpus with one seed.

    Args:
        folder: of the corpora.
        device: where to train.
        corpus, share, seed: what is spoilt, how much of it, and the seed of noise, folds and trainings.
        steps: of each training.
        folds, most_rounds: of the refinement.

    Returns:
        `rounds`: of each, `precision` and `recall` of what is kept, `rejected` (share of all clips), and of the truly
        off-sync clips `repaired_within_1` (share) and `repair_error_ms` (of those moved, one each); `k5` and `k15` of
        networks trained on "noisy", "refined" and "repaired" clips, a share for each test clip; and of those trained on
        what each round repaired, `after_k5` and `after_k15`, a list of such shares for each round.
    """
    splits = corpora.read(folder, corpus)
    kinds = NoiseSettings(share=share, kinds=[CORPORA[corpus], "shifted"])
    truth = noise.plan(splits["train"].index, kinds, seed)
    train = noise.spoil_split(splits["train"], truth)
    val = noise.spoil_split(splits["val"], noise.plan(splits["val"].index, kinds, seed))
    settings = FilterSettings(threshold=FALSE_ACCEPTS, folds=folds, rounds=most_rounds, repair=True)
    where = torch.device(device)
    figures: dict[str, Any] = {}
    with files.scratch() as scratch:
        trainer = rounds.Trainer(val, settings_for(train, steps), seed, where, Path(scratch))
        found = list(rounds.run(train, None, trainer, settings))
        figures["rounds"] = [judged(each.clips, truth) for each in found]
        after = [refinement.refine(train, each.clips, repair=True) for each in found]
        refined = refinement.refine(train, found[-1].clips, repair=False)
        measured = []
        for split in (train, refined, *after):
            trainer = rounds.Trainer(val, settings_for(split, steps), seed, where, Path(scratch))
            measured.append(test_accuracy(trainer.fit(split), splits["test"]))
    for frames in LENGTHS:
        noisy, refined_shares, *chain = (each[frames] for each in measured)
        figures[f"k{frames}"] = dict(zip(VARIANTS, (noisy, refined_shares, chain[-1]), strict=True))
        figures[f"after_k{frames}"] = chain
    return figures


def settings_for(split: Split, steps: int) -> TrainSettings:
    """The default training for about so many steps of 384, validated once: noisy clips are no ground to choose by.

    Args:
        split: that is trained on.
        steps: of 384 windows.
    """
    default = TrainSettings(batch_size=384)
    sampler = Sampler(split, default.batch_size, default.samples_per_clip, "candidates", 0)
    epochs = max(1, round(steps / sampler.steps))
    return default.model_copy(update={"epochs": epochs, "validate_every": epochs, "processes": 1})


def judged(table: Any, truth: Any) -> dict[str, Any]:
    """A round's verdicts against the truth; see `point`.

    Args:
        table: of `refinement.judge_clips`.
        truth: of `noise.plan`.
    """
    both = table.merge(truth.rename(columns={"offset": "true_offset"}), on="clip_id", validate="1:1")
    kept, genuine = both.verdict == KEPT, both.kind.isin(noise.IN_SYNC)
    shifted = both[both.kind == "shifted"]
    moved = shifted[shifted.verdict == OFF_SYNC]
    error = (moved.fine - moved.true_offset).abs()
    return {
        "precision": float(genuine[kept].mean()),
        "recall": float(kept[genuine].mean()),
        "rejected": float(1 - kept.mean()),
        "verdicts": {kind: rows.verdict.value_counts().to_dict() for kind, rows in both.groupby("kind")},
        "repaired_within_1": float((error <= scoring.TOLERANCE).sum() / len(shifted)) if len(shifted) else None,
        "repair_error_ms": (error * FRAME_MS).round(1).tolist(),
    }


def test_accuracy(model: SyncNet, test: Split) -> dict[str, list[float]]:
    """Share of the stretches of each test clip that are placed within a frame, by their length in frames.

    Args:
        model: in evaluation mode.
        test: clean clips that no training saw.
    """
    distances = split_distances(model, test, progress=False).values()
    return {
        frames: [round(float(np.mean(scoring.right_at(clip, int(frames)))), 4) for clip in distances]
        for frames in LENGTHS
    }


def study(corpora_folder: Path, points_folder: Path) -> Study:
    """The study as `points` has it.

    Args:
        corpora_folder, points_folder: where its data and its figures are.
    """
    return Study("refine", point, "experiment.refine_study", corpora_folder, points_folder)


POINTS = points(steps=400, folds=4, most_rounds=3)
"""All of them, as the study runs them."""
