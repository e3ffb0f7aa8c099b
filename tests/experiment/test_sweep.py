"""Sweeps as a user starts them: a process, a kernel a trial, an MLflow store."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncnet_lib.errors import InputError
from syncnet_lib.experiment import search, space, sweep
from tests.conftest import ROOT, wait_for_the_last, write_notebook

TRACKED = """
from syncnet_lib.experiment import mlflow_log
from syncnet_lib.paths import ROOT
tracked = mlflow_log.start(stage, {"lr": lr}, ROOT, experiment=mlflow_log.experiment_of(workdir))
tracked.numbers({"loss": lr}, 1)
"""
TRIAL = """
from syncnet_lib import files
from syncnet_lib.paths import ROOT, reports
assert (ROOT / workdir / "pairs" / "here").exists()
with open(ROOT / "begun", "a") as begun:
    begun.write(f"{workdir}\\n")
if (epochs, lr) == (3, 0.4):
    raise ValueError("thirteen")
files.write_json(reports(workdir) / "metrics" / "train.json", {"val_auc": 10 * lr + 0.01 * seed})
"""


@pytest.fixture
def swept(project: Path, empty_store: Path) -> Path:
    """A project whose training is one line, with its input in place."""
    shutil.copy(empty_store, project)
    shutil.copy(ROOT / "dvc.yaml", project)
    write_training(project, TRIAL)
    shutil.copy(ROOT / "notebooks" / "sweep.ipynb", project / "notebooks")
    (project / "data" / "pairs").mkdir(parents=True)
    (project / "data" / "pairs" / "here").touch()
    return project


def write_training(project: Path, *cells: str) -> None:
    """Cells with the training's parameters before them."""
    parameters = "\n".join(["stage = 'train'", "workdir = ''", "lr = 0.0", "epochs = 0", "seed = 0", "device = ''"])
    others = "\n".join(
        ["model = loss = ''", "margin = weight_decay = 0.0", "batch_size = samples_per_clip = validate_every = 0"]
    )
    write_notebook(project / "notebooks" / "04_train.ipynb", parameters, others, *cells)


def start(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{project / 'mlflow.db'}"}
    command = [sys.executable, "-m", "syncnet_lib", "sweep", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def test_a_killed_sweep_goes_on_and_does_nothing_twice(swept: Path) -> None:
    """Four trials, two at a time, one of which fails and stops no other; the driver is killed and the same command
    given again. The trials are nested runs."""
    write_training(swept, TRACKED, TRIAL)
    sweeping = ["train", "lr=0.1,0.4", "epochs=2,3", "--jobs", "2"]
    folder = swept / "data" / "sweeps" / "train"
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{swept / 'mlflow.db'}"}
    command = [sys.executable, "-m", "syncnet_lib", "sweep", *sweeping]
    driver = subprocess.Popen(command, cwd=swept, env=environment, stdout=subprocess.DEVNULL)
    while driver.poll() is None and not list(folder.glob("*/trial.json")):
        time.sleep(0.02)
    driver.kill()
    driver.wait()
    finished = {path: path.stat().st_mtime_ns for path in folder.glob("*/trial.json")}
    assert 1 <= len(finished) < 4
    wait_for_the_last(swept)
    begun = len((swept / "begun").read_text().splitlines())

    done = start(swept, *sweeping)
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("ValueError: thirteen") >= 1
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert len((swept / "begun").read_text().splitlines()) == begun + 4 - len(finished)
    client = mlflow.MlflowClient(f"sqlite:///{swept / 'mlflow.db'}")
    (experiment,) = [found for found in client.search_experiments() if found.name != "Default"]
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [found for found in runs if found.data.tags["stage"] == "sweep"]
    assert parent.info.status == "FINISHED"
    children = [found for found in runs if found is not parent]
    assert {found.data.tags["mlflow.parentRunId"] for found in children} == {parent.info.run_id}
    assert sorted(found.info.status for found in children) == ["FAILED"] + 3 * ["FINISHED"]
    assert len({found.info.run_name for found in children}) == 4
    table = pd.read_csv(folder / "trials.csv", keep_default_na=False)
    assert table.trial.tolist() == ["lr=0.1,epochs=2", "lr=0.1,epochs=3", "lr=0.4,epochs=2", "lr=0.4,epochs=3"]
    assert table.error.astype(bool).tolist() == [False, False, False, True]
    assert table.val_auc.tolist() == ["1.0", "1.0", "4.0", ""]
    losses = {found.data.params["lr"]: found.data.metrics["loss"] for found in children}
    assert losses == {"0.1": 0.1, "0.4": 0.4}
    assert {kept.path for kept in client.list_artifacts(parent.info.run_id)} == {"trials.csv", "summary.ipynb"}


def test_a_search_proposes_from_what_was_reached_and_does_a_trial_once(swept: Path) -> None:
    def found(count: int) -> list[float]:
        done = start(swept, "train", "lr=1e-4..1e-1", "--search", str(count))
        assert done.returncode == 0, done.stderr
        return pd.read_csv(swept / "data" / "sweeps" / "train" / "trials.csv").lr.tolist()

    def begun() -> int:
        return len((swept / "begun").read_text().splitlines())

    first = found(1)
    more = found(2)
    assert more[:1] == first
    assert len(set(more)) == 2
    assert begun() == 2, "the first was done before"
    (swept / "data" / "pairs" / "here").write_text("other data")
    assert found(1) == first
    assert begun() == 3, "the same trial, of other data"


def test_a_search_finds_the_better_values() -> None:
    proposals = search.propose({"x": space.Range(0.0, 1.0), "kind": ["a", "b"]}, "y", 40, 2, 0)
    reached = []
    for batch, tell in proposals:
        values = [None if trial["x"] < 0.1 else -((trial["x"] - 0.7) ** 2) - (trial["kind"] == "b") for trial in batch]
        tell(values)
        reached += [(trial["x"], trial["kind"]) for trial in batch]
    assert len(reached) == 40
    late = reached[20:]
    assert sum(kind == "a" for _, kind in late) > 12
    assert abs(sum(x for x, _ in late) / 20 - 0.7) < 0.15


def test_importance_is_of_what_decides() -> None:
    table = pd.DataFrame([{"lr": lr, "seed": seed, "y": lr + 0.001 * seed} for lr in range(5) for seed in range(5)])
    importance = search.importance(table, ["lr", "seed"], "y")
    assert list(importance) == ["lr", "seed"]
    assert importance["lr"] > 0.9
    assert search.importance(table[:1], ["lr", "seed"], "y") == {}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train", "lr=1e-3,fast"], "train.lr: "),
        (["train", "lrr=1e-3"], "train.lrr: unknown parameter; did you mean lr?"),
        (["train", "lr"], "lr: names no new parameter"),
        (["train", "lr=2..1"], "lr=2..1: is no range of numbers"),
        (["train", "lr=1e-4..1e-2"], "lr: is a range, whose values cannot all be tried; add --random N or --search N"),
        (["train", "seed=one"], "train.seed: "),
        (["report", "lr=1"], "stage report: has no parameters"),
    ],
)
def test_bad_sweeps_begin_no_trial(arguments: list[str], told: str) -> None:
    stage, *values = arguments
    with pytest.raises(InputError) as refused:
        sweep.sweep(stage, space.values_of(values))
    assert told in str(refused.value)


def test_missing_data_are_told(swept: Path) -> None:
    done = start(swept, "filter", "threshold=0.9")
    assert done.returncode == 2
    assert done.stderr == f"error: {swept / 'data' / 'models' / 'base'}: missing; run: make repro\n"
    assert not (swept / "data" / "sweeps").exists()


def test_a_name_is_given_once() -> None:
    with pytest.raises(InputError, match="names no new parameter"):
        space.values_of(["lr=1", "lr=2"])


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(), min_size=1, max_size=4, unique=True)))
def test_combinations_are_all_and_distinct(values: dict[str, list[int]]) -> None:
    trials = space.combinations(values)
    assert len(trials) == len({tuple(trial.items()) for trial in trials})
    for name, tried in values.items():
        assert {trial[name] for trial in trials} == set(tried)


@given(st.integers(1, 30), st.integers(0, 5))
def test_draws_differ_lie_within_and_come_again(count: int, seed: int) -> None:
    values = space.values_of(["lr=1e-4..1e-1", "epochs=2..4", "model=small,paper"])
    trials = space.draws(values, count, seed)
    assert trials == space.draws(values, count, seed)
    assert len({tuple(trial.items()) for trial in trials}) == len(trials) == count
    for trial in trials:
        assert 1e-4 <= trial["lr"] <= 1e-1
        assert trial["epochs"] in (2, 3, 4)
        assert trial["model"] in ("small", "paper")
    assert len(space.draws(space.values_of(["epochs=2..4"]), count, seed)) == min(count, 3)


def test_a_search_needs_something_to_search_for() -> None:
    with pytest.raises(InputError, match="stage filter: has no val_auc to search for"):
        sweep.sweep("filter", space.values_of(["threshold=0.5..1.5"]), search=3)
