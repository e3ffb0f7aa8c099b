"""Two processes on a CPU do what one does with the whole batch."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from syncnet_lib import parallel
from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.training import launch, loop
from syncnet_lib.training.distributed import Ranks
from syncnet_lib.training.sampling import Sampler
from syncnet_lib.training.settings import TrainSettings
from syncnet_lib.training.state import Epoch
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
        made.write(folder / name)
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


@pytest.mark.parametrize(
    ("ranks", "runs", "line"),
    [
        (Ranks(0, 3, 3), 16, "16 clips or pairs a batch do not fall into 3 equal parts"),
        (Ranks(0, 2, 1), 16, "norm_parts: 1 is not divisible by 2 training processes"),
        (Ranks(0, 1, 16), 16, "16 windows a batch leave one for each of 16 parts"),
    ],
)
def test_a_batch_that_does_not_fall_into_parts_is_one_line(ranks, runs, line):
    with pytest.raises(InputError, match=line):
        ranks.check(runs, 16, CPU)


def train_by_both_losses(pairs: Path, folder: Path) -> None:
    """Two steps, of what two processes may do differently."""
    augmented = {"background": 1.0, "blur": 0.5, "noise": 0.1, "masks": 1.0, "precision": "fp32", "lr": 1.0e-4}
    augmented |= {"margin": 1.0, "epochs": 1}
    for loss in LOSSES:
        settings = TrainSettings(loss=loss, norm_parts=2, batch_size=32, samples_per_clip=8, **augmented)
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
assert "torch._dynamo" not in sys.modules  # 1.6 s of every rank
"""


def moments(optimiser: dict) -> dict[str, torch.Tensor]:
    """The running means of gradients in the state of Muon, those of AdamW in it included."""
    means = {f"matrix {number}": mean for number, mean in optimiser["means"].items()}
    # The contrastive loss knows nothing of the temperature.
    return means | {
        f"vector {number}": state["exp_avg"] for number, state in optimiser["state"].items() if state["step"]
    }


@pytest.mark.slow
def test_two_processes_give_what_one_gives(pairs, tmp_path):
    script = tmp_path / "step.py"
    script.write_text(SCRIPT.format(tests=str(ROOT), pairs=str(pairs), folder=str(tmp_path / "two")))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    train_by_both_losses(pairs, tmp_path / "one")
    for loss in LOSSES:
        one, two = (torch.load(tmp_path / part / loss / loop.STATE, weights_only=True) for part in ("one", "two"))
        assert two["history"][0]["loss"] == pytest.approx(one["history"][0]["loss"], rel=1e-5)
        # After two steps a running mean of gradients has about as much of the first as of the last one.
        own, shared = moments(one["optimiser"]), moments(two["optimiser"])
        assert len(own) > 20
        for name, mean in own.items():
            error = (shared[name] - mean).norm() / mean.norm()
            assert error < 0.01, f"the gradient of {name} differs by {error}"
        for name, value in one["model"].items():
            if name.endswith("num_batches_tracked"):
                continue  # pieces that this process has seen; nobody reads it
            # The step itself is as long as its rate even where a gradient is nothing but rounding.
            torch.testing.assert_close(two["model"][name], value, rtol=1e-4, atol=2.1e-4)


def forty_epochs(pairs: Path, folder: Path, **change: int) -> Iterator[Epoch]:
    """Forty epochs, in two processes unless said otherwise, on clips some of which a filter has rejected or moved."""
    split, val = Split.open(pairs / "train"), Split.open(pairs / "val")
    kept = split.kept.copy()
    kept[:20] = False
    moved = split.index.assign(moved=np.linspace(-1.1, 1.3, len(split.index)))
    split = replace(split, kept=kept, mfcc=np.array(split.mfcc) + 1, index=moved)
    settings = TrainSettings(
        **{
            "epochs": 40,
            "batch_size": 64,
            "samples_per_clip": 8,
            "validate_every": 40,
            "norm_parts": 2,
            "processes": 2,
            **change,
        }
    )
    return launch.fit(split, val, settings, 0, CPU, folder, PhaseTimer(CPU))


PARENT = """
import sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from tests.training import test_launch
for epoch in test_launch.forty_epochs(Path({pairs!r}), Path({folder!r})):
    print(epoch.number, flush=True)
"""


def trained_for(parent: int) -> list[int]:
    """The processes that train for another one, rank 0 first."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            if f"{parent}-syncnet-" in path.read_text():
                found.append(int(path.parent.name))
    return sorted(found)


@pytest.mark.slow
def test_two_processes_killed_then_interrupted_end_as_one(pairs, tmp_path, temporary):
    script = PARENT.format(tests=str(ROOT), pairs=str(pairs), folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "1\n"
        assert len(trained_for(parent.pid)) == 2
        parent.kill()
    deadline = time.monotonic() + 120
    while trained_for(parent.pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    running = forty_epochs(pairs, tmp_path)
    assert [epoch.number for epoch in itertools.islice(running, 30)] == [*range(1, 31)]
    running.close()
    # What the killed one has left too; torchinductor_ is torch's cache.
    assert not [path for path in temporary.iterdir() if not path.name.startswith("torchinductor_")]
    state = torch.load(tmp_path / loop.STATE, weights_only=True)
    assert state["key"]["settings"]["norm_parts"] == 2
    assert len({row[0] for row in state["timing"]}) == len(state["history"]) >= 30
    done = list(forty_epochs(pairs, tmp_path, processes=1))
    assert [epoch.number for epoch in done] == [*range(1, 41)]
    assert [epoch.loss for epoch in done[:30]] == [epoch["loss"] for epoch in state["history"][:30]]
    assert done[-1].validation["auc"] > 0
    assert loop.best(tmp_path).spec.name == "small"


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_others(pairs, tmp_path):
    running = forty_epochs(pairs, tmp_path)
    next(running)
    os.kill(trained_for(os.getpid())[1], signal.SIGKILL)
    with pytest.raises(RuntimeError, match="a training process failed"):
        list(running)
    assert not trained_for(os.getpid())


@pytest.mark.parametrize(
    ("cores", "free", "change", "parts", "processes"),
    [
        (1, None, {}, 2, 1),
        (2, None, {}, 2, 2),
        (8, None, {}, 2, 2),
        (2, 2**30, {}, 2, 1),  # of memory
        (3, None, {"norm_parts": 4}, 4, 2),
        (2, None, {"samples_per_clip": 64}, 1, 1),  # three clips a batch
        (2, None, {"batch_size": 96}, 1, 1),  # too few windows a part
        (2, None, {"model": "paper"}, 1, 1),
        (2, None, {"processes": 1}, 2, 1),
        (2, None, {"epochs": 100}, 2, 1),  # over before a second process pays
    ],
)
def test_auto_is_a_process_for_each_part_of_a_batch(pairs, monkeypatch, cores, free, change, parts, processes):
    monkeypatch.setattr(parallel, "cores", lambda: cores)
    monkeypatch.setattr(parallel, "free_memory", lambda: free)
    found = loop.resolve(TrainSettings(**{"epochs": 200, **change}), Split.open(pairs / "train"), CPU)
    assert (found.norm_parts, found.processes) == (parts, processes)


@pytest.mark.slow
def test_what_a_process_refuses_is_said_here(pairs, tmp_path):
    split, val = Split.open(pairs / "train"), Split.open(pairs / "val")
    settings = TrainSettings(epochs=1, batch_size=24, samples_per_clip=8, processes=2)
    with pytest.raises(InputError, match="norm_parts: 1 is not divisible by 2 training processes"):
        list(launch.fit(split, val, settings, 0, CPU, tmp_path / "state", PhaseTimer(CPU)))
