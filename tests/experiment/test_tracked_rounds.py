"""A filter stage refuses what it cannot judge, and records each round."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.experiment import mlflow_log, tracked_rounds
from syncnet_lib.model import checkpoint
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.training.settings import FilterSettings, TrainSettings
from tests import packed

KEEP_HALF = FilterSettings(method="quantile", threshold=0.5, folds=0)
TRAIN = TrainSettings(epochs=1, batch_size=16, samples_per_clip=8)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A working folder with a base model and the validation split."""
    torch.manual_seed(0)
    about = {"stage": "train", "settings": TRAIN.model_dump(), "seed": 0}
    checkpoint.save(SyncNet("small").eval(), tmp_path / "models" / "base" / "model.safetensors", **about)
    val, folder = packed.split([40] * 2, seed=1), tmp_path / "pairs" / "val"
    folder.mkdir(parents=True)
    np.save(folder / "frames.npy", val.frames)
    np.save(folder / "mfcc.npy", val.mfcc)
    val.index.to_parquet(folder / "index.parquet")
    return tmp_path


def judge(data: Path, split: Split) -> tracked_rounds.Judged:
    with mlflow_log.start("filter", {}, data) as run:
        return tracked_rounds.run(data, split, KEEP_HALF, 0, torch.device("cpu"), run, data, mlflow_log.EXPERIMENT)


def test_a_round_is_judged_and_stands_beside_the_stage(data):
    judged = judge(data, packed.split([40] * 6))
    assert judged.settled == "One round."
    assert judged.table.clips.tolist() == [6]
    assert len(judged.last.windows) == 6 * 35
    assert 0 < judged.last.false_accepts("clip") < 1
    assert len(judged.last.surprising(1)) <= 2


def test_a_silent_corpus_is_one_line(data):
    split = packed.split([40] * 3)
    with pytest.raises(InputError, match="all 3 clips are silent"):
        judge(data, replace(split, mfcc=np.full_like(split.mfcc, -36.0)))


def test_one_clip_is_one_line(data):
    refused = pytest.raises(InputError, match="1 of 1 clips are left, and a batch needs 2")
    with pytest.warns(UserWarning, match="all 1 clips are kept"), refused:
        judge(data, packed.split([40]))


def test_a_base_model_must_say_how_it_was_trained(data):
    checkpoint.save(SyncNet("small"), data / "models" / "base" / "model.safetensors", stage="train")
    with pytest.raises(InputError, match="does not say how it was trained"):
        judge(data, packed.split([40] * 3))
