"""Sweeps as a user starts them: a process, a kernel a trial, an MLflow store."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncnet_lib.errors import InputError
from syncnet_lib.experiment import sweep
from tests.conftest import ROOT, write_notebook

TRIAL = """
from syncnet_lib import files
from syncnet_lib.experiment import mlflow_log
from syncnet_lib.paths import ROOT, reports
assert (ROOT / workdir / "pairs" / "here").exists()
tracked = mlflow_log.start(stage, {"lr": lr}, ROOT, experiment=mlflow_log.experiment_of(workdir))
tracked.numbers({"loss": lr}, 1)
if epochs == 13:
    raise ValueError("thirteen")
files.write_json(reports(workdir) / "metrics" / "train.json", {"val_auc": 10 * lr})
"""


@pytest.fixture
def swept(project: Path) -> Path:
    """A project whose training is one line, with its input in place."""
    shutil.copy(ROOT / "dvc.yaml", project)
    parameters = "\n".join(["stage = 'train'", "workdir = ''", "lr = 0.0", "epochs = 0", "seed = 0", "device = ''"])
    others = "\n".join(
        ["model = loss = ''", "margin = weight_decay = 0.0", "batch_size = samples_per_clip = validate_every = 0"]
    )
    write_notebook(project / "notebooks" / "04_train.ipynb", parameters, others, TRIAL)
    (project / "data" / "pairs").mkdir(parents=True)
    (project / "data" / "pairs" / "here").touch()
    return project


def start(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{project / 'mlflow.db'}"}
    command = [sys.executable, "-m", "syncnet_lib", "sweep", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def test_trials_are_nested_runs_and_a_failed_one_stops_no_other(swept: Path) -> None:
    done = start(swept, "train", "epochs=13,2", "lr=1e-3")
    assert done.returncode == 1
    assert "thirteen" in done.stderr
    table = pd.read_csv(swept / "data" / "sweeps" / "train" / "trials.csv", keep_default_na=False)
    assert table.error.astype(bool).tolist() == [True, False]
    assert table.val_auc.tolist() == ["", "0.01"]
    client = mlflow.MlflowClient(f"sqlite:///{swept / 'mlflow.db'}")
    (experiment,) = [found for found in client.search_experiments() if found.name != "Default"]
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [found for found in runs if found.data.tags["stage"] == "sweep"]
    children = [found for found in runs if found.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted(found.info.status for found in children) == ["FAILED", "FINISHED"]
    assert all(found.data.metrics["loss"] == 0.001 for found in children)
    assert client.list_artifacts(parent.info.run_id)[0].path == "trials.csv"


def test_a_trial_is_done_once(swept: Path) -> None:
    assert start(swept, "train", "epochs=2").returncode == 0
    assert start(swept, "train", "epochs=2").stdout.count("done before") == 1
    (swept / "data" / "pairs" / "here").write_text("other data")
    assert "done before" not in start(swept, "train", "epochs=2").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train", "lr=1e-3,fast"], "train.lr: "),
        (["train", "lrr=1e-3"], "train.lrr: unknown parameter; did you mean lr?"),
        (["train", "lr"], "lr: names no new parameter"),
        (["report", "lr=1"], "stage report: has no parameters"),
    ],
)
def test_bad_sweeps_begin_no_trial(arguments: list[str], told: str) -> None:
    stage, *values = arguments
    with pytest.raises(InputError) as refused:
        sweep.sweep(stage, sweep.grid(values))
    assert told in str(refused.value)


def test_missing_data_are_told(swept: Path) -> None:
    done = start(swept, "filter", "threshold=0.9")
    assert done.returncode == 2
    assert done.stderr == f"error: {swept / 'data' / 'models' / 'base'}: missing; run: make repro\n"
    assert not (swept / "data" / "sweeps").exists()


def test_a_name_is_given_once() -> None:
    with pytest.raises(InputError, match="names no new parameter"):
        sweep.grid(["lr=1", "lr=2"])


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(), min_size=1, max_size=4, unique=True)))
def test_combinations_are_all_and_distinct(values: dict[str, list[int]]) -> None:
    trials = sweep.combinations(values)
    assert len(trials) == len({tuple(trial.items()) for trial in trials})
    for name, tried in values.items():
        assert {trial[name] for trial in trials} == set(tried)
