"""Two processes on a CPU do what one does with the whole batch."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.training import launch, loop
from syncnet_lib.training.distributed import Ranks
from syncnet_lib.training.sampling import Sampler
from syncnet_lib.training.settings import TrainSettings
from syncnet_lib.training.timing import PhaseTimer
from tests import packed
from tests.conftest import ROOT

CPU = torch.device("cpu")
LOSSES = ("matching", "contrastive")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    for seed, (name, lengths) in enumerate({"train": [40] * 8, "val": [40] * 4}.items()):
        made = packed.split(lengths, seed)
        (folder / name).mkdir()
        np.save(folder / name / "frames.npy", made.frames)
        np.save(folder / name / "mfcc.npy", made.mfcc)
        made.index.to_parquet(folder / name / "index.parquet")
    return folder


@pytest.mark.parametrize("kind", ["pairs", "candidates"])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_parts_of_a_draw_are_the_draw(kind, world):
    for draw in Sampler(packed.split([40] * 8, side=2), 16, 4, kind, 0).epoch(1):
        parts = [Ranks(rank, world).part(draw) for rank in range(world)]
        for name in ("video", "audio", "variant", "label", "target", "mask"):
            whole = getattr(draw, name)
            if whole is not None:
                np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), whole)


def test_a_batch_that_does_not_fall_into_parts_is_one_line():
    with pytest.raises(InputError, match="do not fall into 3 equal parts"):
        Ranks(0, 3).check(16)


class Plain(SyncNet):
    """Without dropout, whose masks differ from rank to rank."""

    def __init__(self, name):
        super().__init__(name)
        for layer in self.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0


def train_by_both_losses(pairs: Path, folder: Path) -> None:
    """One step, of what two processes may do differently."""
    loop.SyncNet = Plain
    augmented = {"blur": 0.5, "noise": 0.1, "masks": 1.0, "precision": "fp32", "lr": 1.0e-4}
    for loss in LOSSES:
        settings = TrainSettings(loss=loss, margin=1.0, epochs=1, batch_size=64, samples_per_clip=8, **augmented)
        splits = Split.open(pairs / "train"), Split.open(pairs / "val")
        assert len(list(loop.fit(*splits, settings, 0, CPU, folder / loss, PhaseTimer(CPU)))) == 1


SCRIPT = """
import sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
import torch
from tests.training import test_launch
from syncnet_lib.training import distributed
torch.set_num_threads(1)
with distributed.joined("cpu"):
    test_launch.train_by_both_losses(Path({pairs!r}), Path({folder!r}))
"""


@pytest.mark.slow
def test_two_processes_give_what_one_gives_with_the_doubled_batch(pairs, tmp_path, monkeypatch):
    script = tmp_path / "step.py"
    script.write_text(SCRIPT.format(tests=str(ROOT), pairs=str(pairs), folder=str(tmp_path / "two")))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(loop, "SyncNet", Plain)
    train_by_both_losses(pairs, tmp_path / "one")
    for loss in LOSSES:
        one, two = (torch.load(tmp_path / part / loss / loop.STATE, weights_only=True) for part in ("one", "two"))
        assert two["history"][0]["loss"] == pytest.approx(one["history"][0]["loss"], rel=1e-5)
        # After one step AdamW's first moment is a tenth of the gradient.
        assert len(one["optimiser"]["state"]) > 20
        for number, state in one["optimiser"]["state"].items():
            if not state["step"]:
                continue  # the temperature, of which the contrastive loss knows nothing
            other = two["optimiser"]["state"][number]["exp_avg"]
            if not state["step"]:  # a parameter without a part in this loss
                assert not state["exp_avg"].any()
                assert not other.any()
                continue
            error = (other - state["exp_avg"]).norm() / state["exp_avg"].norm()
            assert error < 0.01, f"the gradient of parameter {number} differs by {error}"
        for name, value in one["model"].items():
            # The step itself is as long as its rate even where a gradient is nothing but rounding.
            torch.testing.assert_close(two["model"][name], value, rtol=1e-4, atol=2.1e-4)


@pytest.mark.slow
def test_a_notebook_trains_in_two_processes_and_goes_on_after_an_interruption(pairs, tmp_path, temporary):
    split, val = Split.open(pairs / "train"), Split.open(pairs / "val")
    kept = split.kept.copy()
    kept[:20] = False
    split = replace(split, kept=kept)
    settings = TrainSettings(epochs=3, batch_size=32, samples_per_clip=8, validate_every=3, processes=2)
    arguments = (split, val, settings, 0, CPU, tmp_path / "state")
    running = launch.fit(*arguments, PhaseTimer(CPU))
    assert next(running).number == 1
    running.close()
    assert not [path for path in temporary.iterdir() if not path.name.startswith("torchinductor_")]  # torch's cache
    timer = PhaseTimer(CPU)
    done = list(launch.fit(*arguments, timer))
    assert [epoch.number for epoch in done] == [1, 2, 3]
    assert done[-1].validation["auc"] > 0
    assert timer.table().groupby("epoch").size().tolist() == [2, 2, 2]
    state = torch.load(tmp_path / "state" / loop.STATE, weights_only=True)
    assert state["key"]["data"] == loop._digest(split)
    assert loop.best(tmp_path / "state").spec.name == "small"


@pytest.mark.slow
def test_what_a_process_refuses_is_said_here(pairs, tmp_path):
    split, val = Split.open(pairs / "train"), Split.open(pairs / "val")
    settings = TrainSettings(epochs=1, batch_size=24, samples_per_clip=8, processes=2)
    with pytest.raises(InputError, match="3 clips or pairs a batch do not fall into 2 equal parts"):
        list(launch.fit(split, val, settings, 0, CPU, tmp_path / "state", PhaseTimer(CPU)))
