"""A tiny real training: it learns, it repeats, and an interruption changes nothing."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from syncnet_lib import imports
from syncnet_lib.errors import InputError
from syncnet_lib.model import checkpoint
from syncnet_lib.model.header import Header
from syncnet_lib.model.spec import SPECS
from syncnet_lib.training import loop
from syncnet_lib.training.settings import TrainSettings
from syncnet_lib.training.state import Epoch
from syncnet_lib.training.timing import PhaseTimer
from tests import packed

CPU = torch.device("cpu")
TINY = TrainSettings(epochs=4, batch_size=32, samples_per_clip=8, validate_every=2, lr=2.0e-3)


def run(
    folder: Path, settings: TrainSettings = TINY, epochs: int | None = None, seed: int = 0, init: Path | None = None
) -> list[Epoch]:
    splits = packed.split([40] * 8), packed.split([40] * 4, seed=1)
    done = []
    for epoch in loop.fit(*splits, settings, seed, CPU, folder, PhaseTimer(CPU), init=init):
        done.append(epoch)
        if epoch.number == epochs:
            break
    return done


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / loop.STATE, weights_only=True)["model"]


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "epochs"), [("matching", 8), ("contrastive", 12)])
def test_it_learns(tmp_path, loss, epochs):
    # Without augmentation of the audio: its level, all that the contrastive loss needs here, would be hidden too long.
    settings = TrainSettings(
        loss=loss, margin=1.0, epochs=epochs, batch_size=64, samples_per_clip=32, validate_every=epochs, augment=False
    )
    done = run(tmp_path, settings)
    assert done[-1].loss < 0.8 * done[0].loss
    assert done[-1].validation["auc"] > 0.75
    assert done[-1].best
    assert "val auc" in done[-1].line(epochs)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> tuple[Path, list[Epoch]]:
    """Folder of a training that nothing interrupted, and its epochs."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder)


@pytest.mark.slow
def test_an_interrupted_training_ends_with_the_same_weights(tmp_path, uninterrupted):
    folder, whole = uninterrupted
    run(tmp_path / "parts", epochs=2)
    assert not (tmp_path / "parts" / ".state.pt").exists()
    resumed = run(tmp_path / "parts")
    assert [epoch.loss for epoch in resumed] == [epoch.loss for epoch in whole]
    for name, value in weights(folder).items():
        assert torch.equal(value, weights(tmp_path / "parts")[name]), name
    assert (folder / loop.BEST).read_bytes() == (tmp_path / "parts" / loop.BEST).read_bytes()


SCRIPT = """
import sys
sys.path[:0] = [{tests!r}]
import torch; torch.set_num_threads(1)
from tests.training import test_loop as test_train
from pathlib import Path
for epoch in test_train.run(Path({folder!r})): print(epoch.number, flush=True)
"""


@pytest.mark.slow
def test_kill_minus_nine_in_the_middle_of_a_step(tmp_path, uninterrupted):
    _, whole = uninterrupted
    script = SCRIPT.format(tests=str(Path(__file__).parents[2]), folder=str(tmp_path / "killed"))
    process = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
    state = tmp_path / "killed" / loop.STATE
    deadline = time.monotonic() + 120
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert state.exists()
    resumed = run(tmp_path / "killed")
    assert [epoch.loss for epoch in resumed] == pytest.approx([epoch.loss for epoch in whole], rel=1e-5)
    assert loop.best(tmp_path / "killed").spec.name == "small"


def test_another_trainings_state_is_not_taken_up(tmp_path):
    run(tmp_path, epochs=2)
    other = run(tmp_path, TINY.model_copy(update={"lr": 1.0e-3}))
    assert [epoch.number for epoch in other] == [1, 2, 3, 4]
    assert torch.load(tmp_path / loop.STATE, weights_only=True)["key"]["settings"]["lr"] == 1.0e-3


def test_what_chooses_the_best_epoch_decides_a_training():
    closure = imports.closure(["training.loop"])
    assert {"model.scoring", "model.embed", "training.validation", "training.loss", "dataset.splits"} <= closure
    assert not {name for name in closure if name.startswith(("experiment", "measurement", "plots"))}


def test_another_version_of_any_module_that_decides_is_another_training(project, tmp_path):
    run(tmp_path, epochs=1)
    key = torch.load(tmp_path / loop.STATE, weights_only=True)["key"]
    assert key["code"] == imports.digest(["training.loop"])

    def digest() -> str:
        code = "from syncnet_lib import imports; print(imports.digest(['training.loop']))"
        return subprocess.run(
            [sys.executable, "-c", code], cwd=project, env=environment, check=True, capture_output=True, text=True
        ).stdout.strip()

    environment = {**os.environ, "PYTHONPATH": str(project)}
    assert digest() == key["code"]
    with (project / "syncnet_lib" / "cli.py").open("a") as file:
        file.write("# decides nothing\n")
    assert digest() == key["code"]
    with (project / "syncnet_lib" / "model" / "embed.py").open("a") as file:
        file.write("# loop.py imports it only by way of others\n")
    assert digest() != key["code"]


def test_warm_up_and_cosine():
    rates = [loop.learning_rate(step, 100, 1.0) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 3)
    assert max(rates) == 1.0
    assert rates[-1] < 0.001
    assert rates[3:] == sorted(rates[3:], reverse=True)


def test_a_number_that_is_none_stops_with_the_last_good_state(tmp_path):
    run(tmp_path, epochs=2)
    state = torch.load(tmp_path / loop.STATE, weights_only=True)
    state["model"]["video.0.weight"].fill_(float("nan"))
    torch.save(state, tmp_path / loop.STATE)
    with pytest.raises(FloatingPointError, match=r"epoch 3 step 0.*clip.*state\.pt"):
        run(tmp_path)


@pytest.mark.slow
def test_follow_reports_and_publishes(tmp_path):
    timer = PhaseTimer(CPU)
    seen = {}
    splits = packed.split([40] * 8), packed.split([40] * 4, seed=1)
    epochs = loop.fit(*splits, TINY, 0, CPU, tmp_path / "state", timer)
    history = loop.follow(epochs, 4, timer, lambda record, step: seen.update({step: record}))
    assert history.epoch.tolist() == [1, 2, 3, 4]
    assert history.auc.notna().tolist() == [False, True, False, True]
    assert seen[2]["ms_backward"] > 0
    assert "auc" not in seen[1]
    best = loop.best(tmp_path / "state")
    path = loop.publish(best, packed.split([40] * 4, seed=1), history, tmp_path / "models", stage="train")
    assert path.is_file()
    assert (tmp_path / "models" / "history.csv").read_text().startswith("epoch,loss,lr")
    figures = loop.summarise(history, splits[0])
    assert figures["positives"] == 8 * 35
    assert figures["val_auc"] == pytest.approx(history.auc.max(), abs=1e-6)


def test_tenths_by_steps():
    rates = [loop.learning_rate(step, 100, 1.0, "step") for step in range(100)]
    assert [rates[step] for step in (10, 49, 50, 74, 75, 99)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores
@pytest.mark.parametrize("loader", ["mapped", "folder", "folder_persistent"])
def test_an_interruption_changes_nothing_whatever_the_loader(tmp_path, loader):
    settings = TINY.model_copy(update={"loader": loader, "epochs": 3})
    whole = run(tmp_path / "whole", settings)
    run(tmp_path / "parts", settings, epochs=1)
    resumed = run(tmp_path / "parts", settings)
    assert [epoch.loss for epoch in resumed] == [epoch.loss for epoch in whole]
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "parts")[name]), name


@pytest.mark.slow
def test_resident_and_mapped_train_the_same_weights(tmp_path):
    settings = TINY.model_copy(update={"epochs": 2})
    for loader in ("resident", "mapped"):
        run(tmp_path / loader, settings.model_copy(update={"loader": loader}))
    for name, value in weights(tmp_path / "resident").items():
        assert torch.equal(value, weights(tmp_path / "mapped")[name]), name


def test_what_auto_means_is_decided_by_the_machine():
    settings = loop.resolve(TINY, packed.split([40] * 8), CPU)
    assert settings.loader == "resident"
    assert settings.processes == 1  # the split is in memory
    assert settings.norm_parts == 1  # so small a batch
    assert settings.precision == loop.native_precision(CPU)
    given = TINY.model_copy(
        update={"loader": "mapped", "precision": "fp32", "norm_parts": 1, "processes": 2, "optimiser": "muon"}
    )
    assert loop.resolve(given, packed.split([40] * 8), CPU) == given


@pytest.mark.slow
def test_bf16_learns_what_fp32_learns(tmp_path):
    losses = {}
    for precision in ("fp32", "bf16"):
        done = run(tmp_path / precision, TINY.model_copy(update={"precision": precision, "epochs": 2}))
        losses[precision] = [epoch.loss for epoch in done]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)
    assert losses["bf16"] != losses["fp32"]


@pytest.mark.slow
def test_early_stopping_waits_for_its_patience_and_is_not_undone_by_a_resume(tmp_path):
    def epoch(number: int, best: bool) -> Epoch:
        return Epoch(number, 1.0, 0.0, 0.0, {"auc": 0.5}, best)

    history = [epoch(1, True), epoch(2, False), epoch(3, True), epoch(4, False)]
    assert not loop.stopped_early(history, 2)
    assert loop.stopped_early([*history, epoch(5, False)], 2)
    assert not loop.stopped_early([*history, epoch(5, False)], 0)
    # A rate of nearly nothing: the first validation stays the best.
    settings = TINY.model_copy(update={"lr": 1e-12, "epochs": 9, "validate_every": 1, "early_stopping": 2})
    done = run(tmp_path, settings)
    assert len(done) < 9
    assert loop.stopped_early(done, 2)
    assert run(tmp_path, settings) == done


MEMORY = """
import resource, sys
sys.path[:0] = [{tests!r}]
import torch; torch.set_num_threads(1)
from tests.training import test_loop as test_train
from pathlib import Path
test_train.run(Path({folder!r}) / "small", test_train.TINY.model_copy(update=dict(epochs=1)))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 320 * 2**20,) * 2)
large = dict(epochs=1, batch_size=2048, samples_per_clip=256)
test_train.run(Path({folder!r}) / "large", test_train.TINY.model_copy(update=large))
"""


@pytest.mark.slow
def test_lack_of_memory_names_the_batch_that_fits(tmp_path):
    script = MEMORY.format(tests=str(Path(__file__).parents[2]), folder=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    line = done.stderr.splitlines()[-1]
    found = re.search(r"train\.batch_size on cpu: no memory for 2048 windows a process; a batch of (\d+) fits", line)
    assert found, done.stderr
    assert 512 <= int(found[1]) < 2048
    assert int(found[1]) % 512 == 0  # a clip in each half


def test_a_training_starts_from_a_checkpoint(tmp_path):
    run(tmp_path / "first")
    start = tmp_path / "first.safetensors"
    checkpoint.save(loop.best(tmp_path / "first"), start)
    still = TINY.model_copy(update={"lr": 1e-9, "weight_decay": 0.0, "epochs": 1})
    run(tmp_path / "second", still, init=start)
    before, after = checkpoint.load(start).state_dict(), loop.best(tmp_path / "second").state_dict()
    learned = [name for name in before if name.endswith("weight")]
    for name in learned:
        torch.testing.assert_close(after[name], before[name], atol=1e-6, rtol=0)


def test_a_start_from_another_network_names_both(tmp_path):
    other = tmp_path / "paper.safetensors"
    save_file({}, other, Header(SPECS["paper"], {}, None).metadata())  # no weights are read for it
    with pytest.raises(InputError, match=r"its network is paper, and train\.model is small"):
        run(tmp_path, init=other)
