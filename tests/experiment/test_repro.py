"""The whole experiment by `dvc repro` in a clone: it ends, repeats nothing, and goes on after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from ruamel.yaml import YAML

from syncnet_lib.experiment import mlflow_log
from syncnet_lib.files import sha256
from tests.conftest import wait_for_the_last

GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
SMALL = {
    "common": {"workers": 2},
    "corpus": {"clips": 14, "identities": 7, "seconds": 2.0, "noisy_share": 0.25},
    "pairs": {"train_share": 0.5, "val_share": 0.25, "warps": [0, 1]},
    "train": {"epochs": 12, "batch_size": 16, "samples_per_clip": 8, "validate_every": 4},
    "filter": {"method": "quantile", "threshold": 0.8, "folds": 0},
}
STAGES = ["corpus", "extract", "pairs", "train", "filter", "retrain", "evaluate", "report"]


def dvc(folder: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
    }
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def change(folder: Path, **sections: dict) -> None:
    yaml = YAML()
    content = yaml.load((folder / "params.yaml").read_text())
    for name, values in sections.items():
        content[name].update(values)
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(content, file)


def stages_run(log: str) -> list[str]:
    return [name for name in STAGES if f"Running stage '{name}'" in log]


def is_clean(folder: Path) -> bool:
    # The experiment's own stages: an exploration beside it may be stale while its library is being changed.
    return "up to date" in dvc(folder, "status", "dvc.yaml")


@pytest.mark.timeout(1500)
def test_from_a_fresh_clone_to_a_report(clone):
    assert " " in clone.name
    change(clone, **SMALL)

    # Killed in the middle of the extraction: what was finished stays, and the rest is done by the next run.
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(clone),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "extract"], cwd=clone, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    cache = clone / "data" / "cache" / "clips"
    deadline = time.monotonic() + 600
    while process.poll() is None and time.monotonic() < deadline and len(list(cache.glob("*/result.json"))) < 3:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = {path: path.stat().st_mtime_ns for path in cache.glob("*/result.json")}
    assert len(finished) >= 3
    wait_for_the_last(clone)
    lock = clone / ".dvc" / "tmp" / "rwlock"
    lock.unlink(missing_ok=True)

    log = dvc(clone, "repro")
    assert stages_run(log)[-6:] == STAGES[2:]
    assert {path: path.stat().st_mtime_ns for path in finished} == finished

    metrics = json.loads((clone / "reports" / "metrics" / "evaluate.json").read_text())
    for model in ("base", "refined"):
        assert set(metrics[model]["accuracy_by_frames"]) == {"5", "7", "9", "11", "13", "15"}
        assert {"clip_accuracy", "auc", "clips", "windows"} <= set(metrics[model])
    assert (clone / "reports" / "report.html").read_text().count("<img") >= 5
    for stage in STAGES:
        executed = (clone / "reports" / "notebooks" / f"{stage}.ipynb").read_text()
        assert str(clone) not in executed, "an absolute path in an executed notebook"

    assert stages_run(dvc(clone, "repro")) == []
    first = contents(clone)
    known = outputs(clone)
    left = {path for path in first if not any(path == out or path.startswith(f"{out}/") for out in known)}
    assert not left, "what no stage calls its output would not come back with an earlier run"
    subprocess.run([*GIT, "add", "-A"], cwd=clone, check=True)
    subprocess.run([*GIT, "commit", "-q", "-m", "the first run"], cwd=clone, check=True)

    half = ["exp", "run", "--name", "half", "--set-param", "filter.threshold=0.5"]
    assert stages_run(dvc(clone, *half)) == ["filter", "retrain", "evaluate", "report"]
    second = contents(clone)
    changed = {path for path in first if first[path] != second[path]}
    assert "data/models/refined/model.safetensors" in changed
    assert "data/models/base/model.safetensors" not in changed
    assert {"reports/metrics/headline.json", "reports/report.html", "reports/notebooks/filter.ipynb"} <= changed

    # Old values again run nothing, be it by `dvc repro`, with one value by hand, or as another experiment.
    change(clone, filter={"threshold": 0.8})
    assert stages_run(dvc(clone, "repro")) == []
    assert contents(clone) == first
    assert stages_run(dvc(clone, "exp", "run", "--name", "again", "--set-param", "filter.threshold=0.5")) == []
    assert contents(clone) == second
    compare_with_mlflow(clone, {"half", "again"})

    # A notebook that was run and saved in place is not a change; its code is.
    path = clone / "notebooks" / "05_filter.ipynb"
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["execution_count"] = 7
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["ran by hand\n"]}]
    path.write_text(json.dumps(notebook))
    assert is_clean(clone), dvc(clone, "status")
    notebook["cells"][-1]["source"].append("\n# another thought")
    path.write_text(json.dumps(notebook))
    assert "05_filter.ipynb" in dvc(clone, "status")


OURS = {"data/cache", "data/extra", "data/state", "data/videos", "reports/bench"}
"""What the library, a user or a benchmark keeps beside the outputs of the stages."""
SECTIONS = {"train": "train", "filter": "filter", "retrain": "train", "evaluate": "evaluate"}
"""Stages with a run in MLflow, and the section of params.yaml that is theirs."""
HEADLINE = "reports/metrics/headline.json"


def contents(folder: Path) -> dict[str, str]:
    """Hashes of the files that the stages have left in data/ and reports/."""
    found = [path for name in ("data", "reports") for path in (folder / name).rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in found}
    return {name: sha256(path) for name, path in names.items() if "/".join(name.split("/")[:2]) not in OURS}


def outputs(folder: Path) -> list[str]:
    stages = YAML(typ="safe").load((folder / "dvc.lock").read_text())["stages"]
    return [out["path"] for stage in stages.values() for out in stage["outs"]]


def compare_with_mlflow(folder: Path, experiments: set[str]) -> None:
    """What DVC and MLflow say of every experiment: the same parameters and figures by the same names.

    An experiment that DVC restored from its run cache has the runs of the one that ran; they are found by the hashes of
    what they were made from.
    """
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    found = client.get_experiment_by_name(mlflow_log.EXPERIMENT)
    assert found
    runs = client.search_runs([found.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    told = json.loads(dvc(folder, "exp", "show", "--json"))
    saved = [state for each in told for experiment in each["experiments"] or [] for state in experiment["revs"]]
    states = [*told, *saved]
    assert {state["name"] for state in states} >= experiments
    for state in states:
        data = state["data"]
        parameters = data["params"]["params.yaml"]["data"]
        for stage, section in SECTIONS.items():
            same = [run for run in runs if run.data.tags["stage"] == stage and made_from(run, data["outs"])]
            expected = {"seed": parameters["common"]["seed"], **parameters[section]}
            (run,) = (run for run in same if agree(run.data.params, expected))
            if stage == "evaluate":
                figures = {name: value for name, value in run.data.metrics.items() if name.startswith("headline/")}
                shown = data["metrics"][HEADLINE]["data"]
                assert figures == {f"headline/{name}": value for name, value in shown.items()}, state["name"]


def made_from(run: Run, outs: dict) -> bool:
    inputs = {name.removeprefix("data."): md5 for name, md5 in run.data.tags.items() if name.startswith("data.")}
    assert inputs, "a run without the hashes of its data"
    return all(outs[path]["hash"] == md5 for path, md5 in inputs.items())


def agree(params: dict[str, str], expected: dict) -> bool:
    """Whether a run has these parameters; what is "auto" it has decided."""
    assert params.keys() <= expected.keys()
    return all(expected[name] in ("auto", value) or str(expected[name]) == value for name, value in params.items())


def test_bad_input_is_one_line(clone):
    change(clone, corpus={"source": "folder", "path": "data/no such folder"})
    done = subprocess.run(
        [sys.executable, "-m", "syncnet_lib", "stage", "corpus", "notebooks/01_corpus.ipynb"],
        cwd=clone, env={**os.environ, "PYTHONPATH": str(clone)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert "no such folder" in line
