"""DVC as its users know it, on a state of a few bytes in the place of an experiment: nothing is run here."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from syncnet_lib.experiment import evaluate, pipeline
from tests.conftest import ROOT, make_clone
from tests.plots.examples import METRICS

pytestmark = pytest.mark.slow
GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
TABLES = {
    "data/models/base/history.csv": "epoch,loss,auc\n1,3.0,\n2,2.0,0.8\n",
    "data/models/refined/history.csv": "epoch,loss,auc\n1,2.5,\n2,1.5,0.9\n",
    "data/evaluation/accuracy.csv": "frames,base,refined\n5,40,45\n15,75,79\n",
    "data/evaluation/roc.csv": "swapped,base,refined\n0,80,85\n100,100,100\n",
    "data/evaluation/shifts.csv": "shift,base,refined\n1,1.0,1.1\n0,0.5,0.4\n-1,1.0,1.1\n",
}


def dvc(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "80"}
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commit(folder: Path) -> None:
    for arguments in (["add", "-A"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*GIT, *arguments], cwd=folder, check=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with small files for all that the stages make, which `dvc commit` takes for their results."""
    clone = make_clone(tmp_path_factory.mktemp("made") / "a clone")
    every = [stage for file in pipeline.FILES for stage in pipeline.stages(clone, file).values()]
    for stage in every:
        for entry in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]:
            path = clone / (entry if isinstance(entry, str) else next(iter(entry)))
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.suffix:
                path.mkdir()
                (path / "made").write_text(path.name)
            elif not path.exists():
                path.write_text(path.name)
    for name, text in TABLES.items():
        (clone / name).write_text(text)
    (clone / "reports" / "metrics" / "headline.json").write_text(json.dumps(evaluate.headline(METRICS)))
    dvc(clone, "commit", "--force", "--quiet")
    commit(clone)
    return clone


@pytest.fixture
def done(made: Path, tmp_path: Path) -> Path:
    """A copy of it, for a test of its own."""
    return Path(shutil.copytree(made, tmp_path / "a clone", symlinks=True))


def shown(folder: Path, *more: str) -> str:
    """What `make exps` runs."""
    recipe = re.search(r"-m dvc (exp show .*)", (ROOT / "Makefile").read_text())
    assert recipe
    words = recipe[1].replace("$$", "$").split()
    return dvc(folder, *(word.strip("'") for word in words), *more)


def test_experiments_fit_a_screen_with_the_headline_and_what_differs(done: Path) -> None:
    figures = evaluate.headline(METRICS)
    yaml = YAML()
    content = yaml.load((done / "params.yaml").read_text())
    content["train"]["lr"] = 1e-3
    with (done / "params.yaml").open("w") as file:
        yaml.dump(content, file)
    (done / "reports" / "metrics" / "headline.json").write_text(json.dumps(figures | {"k15": 95.0}))
    dvc(done, "commit", "--force", "--quiet")
    dvc(done, "exp", "save", "-n", "slow-lr", "-q")
    rows = list(csv.DictReader(io.StringIO(shown(done, "--csv"))))
    assert set(rows[0]) == {"Experiment", "rev", "typ", "train.lr", *figures}
    assert {row["Experiment"]: row["k15"] for row in rows if row["rev"] != "workspace"} == {
        "": "90.0",
        "slow-lr": "95.0",
    }
    table = shown(done)
    assert max(map(len, table.splitlines())) <= 80
    assert "slow-lr" in table
    assert "…" not in table
    headline = dvc(done, "metrics", "show")
    assert max(map(len, headline.splitlines())) <= 80


def test_plots_are_drawn(done: Path) -> None:
    dvc(done, "plots", "show", "-o", "plots")
    page = (done / "plots" / "index.html").read_text()
    for title in ("Training loss", "Validation AUC", "Offsets within", "told from another", "Mean distance over shift"):
        assert title in page


def test_who_clones_pulls_and_runs_nothing(done: Path, tmp_path: Path) -> None:
    dvc(done, "remote", "add", "--default", "team", str(tmp_path / "remote"))
    dvc(done, "push", "--quiet")
    commit(done)
    other = tmp_path / "another clone"
    subprocess.run(["git", "clone", "-q", str(done), str(other)], check=True)
    shutil.rmtree(done)
    dvc(other, "pull", "--quiet")
    assert (other / "data" / "models" / "refined" / "made").read_text() == "refined"
    log = dvc(other, "repro", "dvc.yaml")
    assert "Running stage" not in log
    assert log.count("didn't change, skipping") == len(pipeline.stages(other))
