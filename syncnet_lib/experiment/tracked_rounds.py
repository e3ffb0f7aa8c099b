"""The rounds of refinement in the record: a run a round in MLflow, siblings linked by a tag."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from syncnet_lib import parallel
from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.experiment import mlflow_log
from syncnet_lib.model import checkpoint, header
from syncnet_lib.training import rounds
from syncnet_lib.training.rounds import SETTLED, Round
from syncnet_lib.training.settings import FilterSettings, TrainSettings

LINK = "refinement"
"""Tag of the runs of the rounds: the id of the stage's own run."""


@dataclass(frozen=True)
class Judged:
    """All rounds of a filter stage.

    Attributes:
        last: the round that counts.
        table: a row a round: the figures of each.
        asked: most rounds.
    """

    last: Round
    table: pd.DataFrame
    asked: int

    @property
    def settled(self) -> str:
        """How the rounds ended, in a sentence."""
        count = len(self.table)
        if self.asked == 1:
            return "One round."
        if self.last.changed <= SETTLED:
            return f"The verdicts settled in round {count}: {self.last.changed:.1%} of them changed."
        return f"The verdicts have not settled in {count} rounds: {self.last.changed:.1%} changed in the last one."


def run(
    data: Path,
    split: Split,
    settings: FilterSettings,
    seed: int,
    device: torch.device,
    tracked: mlflow_log.Run,
    root: Path,
    experiment: str,
) -> Judged:
    """Judge the training split of a working folder, round after round, each in a run of its own.

    Args:
        data: the working folder; its base model judges first, and networks that are trained to judge are trained as
            that was.
        split: the training split.
        settings: of the filter.
        seed: of folds and of networks that judge.
        device: where.
        tracked: the stage's own run.
        root: the project.
        experiment: of the runs.

    Raises:
        InputError: as `rounds.run`; clips without a sound; a base model that is fed with other crops than the clips
            hold, or whose header does not say how it was trained.
    """
    if not np.ptp(split.mfcc[0], axis=0).any():
        raise InputError(data / "pairs" / "train", f"all {len(split.index)} clips are silent", "give videos with sound")
    path = data / "models" / "base" / "model.safetensors"
    about = header.read(path).about
    if "settings" not in about:
        raise InputError(path, "does not say how it was trained", "run: dvc repro train")
    trainer = rounds.Trainer(
        Split.open(data / "pairs" / "val"),
        TrainSettings.parse(about["settings"], f"{path}: settings"),
        seed,
        device,
        data / "state" / "filter",
        processes=parallel.cores() if device.type == "cpu" else 0,
    )
    base = checkpoint.load(path, str(device))
    found = list(_followed(rounds.run(split, base, trainer, settings), settings, tracked, root, experiment))
    table = pd.DataFrame([each.figures() for each in found], index=range(1, len(found) + 1))
    return Judged(found[-1], table, settings.rounds)


def _followed(
    found: Iterable[Round], settings: FilterSettings, tracked: mlflow_log.Run, root: Path, experiment: str
) -> Iterable[Round]:
    for number, each in enumerate(found, 1):
        parameters = {**settings.model_dump(), "round": number}
        tags = {LINK: tracked.id}
        with mlflow_log.start("filter-round", parameters, root, experiment=experiment, tags=tags) as run:
            run.numbers({**each.figures(), "threshold": each.threshold}, number)
        yield each
