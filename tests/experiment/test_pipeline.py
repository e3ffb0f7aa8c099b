"""dvc.yaml against the code that it is derived from."""

import json
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest

from syncnet_lib.errors import InputError
from syncnet_lib.experiment import pipeline
from tests.conftest import ROOT, write_notebook

PARAMETERS = 'stage = "report"'


def library(code: str, **outputs: list) -> list[str]:
    return pipeline.library(outputs, {"cells.0.source": code})


def test_the_library_of_a_stage_is_the_closure_of_its_imports() -> None:
    code = "%matplotlib inline\nfrom syncnet_lib.experiment import evaluate, mlflow_log\nfrom syncnet_lib import plots"
    found = library(code)
    assert "syncnet_lib/experiment/evaluate.py" in found
    assert "syncnet_lib/experiment/baseline.py" in found, "imported by evaluate"
    assert {"syncnet_lib/dataset", "syncnet_lib/media", "syncnet_lib/model"} <= set(found)
    assert not [path for path in found if "mlflow_log" in path or "files.py" in path], "they compute nothing"
    assert found == sorted(set(found))


def test_drawing_counts_where_a_picture_is_an_output() -> None:
    code = "from syncnet_lib.plots import figures"
    assert library(code, metrics=["reports/metrics/train.json"], outs=["data/models"]) == []
    assert "syncnet_lib/plots" in library(code, plots=[{"reports/figures/result.png": {"cache": False}}])
    assert "syncnet_lib/plots" in library(code, outs=["reports/report.html"])


@pytest.mark.parametrize(
    ("stage", "dep"),
    [
        ("evaluate", "syncnet_lib/plots"),  # result.png
        ("evaluate", "syncnet_lib/dataset"),  # the scan of further videos
        ("filter", "syncnet_lib/media"),
        ("train", "syncnet_lib/model"),
    ],
)
def test_a_dep_that_was_forgotten_is_found(project: Path, stage: str, dep: str) -> None:
    shutil.copy(ROOT / "dvc.yaml", project)
    shutil.copytree(ROOT / "notebooks", project / "notebooks", dirs_exist_ok=True)
    pipeline.check_derived(stage, project)
    text = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(text.replace(f"      - {dep}\n", ""))
    with pytest.raises(InputError, match=f"stage {stage} does not depend on the library .*; run: syncnet cells"):
        pipeline.check_derived(stage, project)
    assert pipeline.write_derived(project) == ["dvc.yaml"]
    assert (project / "dvc.yaml").read_text() == text


def test_code_cells_must_be_listed(project: Path) -> None:
    path = project / "notebooks" / "07_report.ipynb"
    write_notebook(path, "# Title", PARAMETERS, "1")
    command = "python -m syncnet_lib stage report notebooks/07_report.ipynb"
    (project / "dvc.yaml").write_text(f"# kept\nstages:\n  report:\n    cmd: {command}  # here\n    deps: [data/x]\n")
    assert pipeline.write_derived(project) == ["dvc.yaml"]
    text = (project / "dvc.yaml").read_text()
    assert "# kept" in text
    assert "# here" in text
    assert pipeline.stages(project)["report"]["deps"] == ["data/x"]
    pipeline.check_derived("report", project)
    assert pipeline.write_derived(project) == [], "a second time changes nothing"

    saved = nbformat.read(path, as_version=4)
    saved.cells[2].outputs = [nbformat.v4.new_output("stream", text="saved with outputs")]
    nbformat.write(saved, path)
    pipeline.check_derived("report", project)

    write_notebook(path, "# Title", PARAMETERS, "## Between", "1")
    with pytest.raises(InputError, match="run: syncnet cells"):
        pipeline.check_derived("report", project)


def test_data_of_a_stage() -> None:
    stage = {"deps": ["data/raw", "syncnet_lib/media", "data/videos"], "outs": ["data/clips", {"x": {"cache": False}}]}
    assert pipeline.data_of(stage, "deps") == [Path("raw"), Path("videos")]
    assert pipeline.data_of(stage, "outs") == [Path("clips")]


def test_compiled_modules_are_no_dep() -> None:
    assert "__pycache__" in (ROOT / ".dvcignore").read_text().splitlines()


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"cells": 3})])
def test_a_broken_notebook_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "n.ipynb").write_text(text)
    with pytest.raises(InputError, match="is not a notebook"):
        pipeline.code_cells(tmp_path / "n.ipynb")


def test_how_to_get_back_what_dvc_removed(tmp_path: Path) -> None:
    metric = "reports/metrics/headline.json"
    stage = {"cmd": "x", "outs": ["data/models/base", "data/timing"], "metrics": [{metric: {"cache": False}}]}
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": {"train": stage}}))
    assert pipeline.taken_away("train", tmp_path) == "", "it has never run"
    locked = {"outs": [{"path": path, "md5": "x"} for path in ("data/models/base", "data/timing", metric)]}
    (tmp_path / "dvc.lock").write_text(json.dumps({"stages": {"train": locked}}))
    assert pipeline.taken_away("train", tmp_path) == f"dvc checkout train && git checkout {metric}"
    (tmp_path / metric).parent.mkdir(parents=True)
    (tmp_path / metric).touch()
    assert pipeline.taken_away("train", tmp_path) == "dvc checkout train"


def test_no_output_keeps_dvc_from_remembering_a_run() -> None:
    for name, stage in pipeline.stages(ROOT).items():
        assert all(isinstance(out, str) for out in stage["outs"]), f"{name}: an output with options is in no run cache"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git is asked")
def test_git_keeps_no_output_that_dvc_keeps() -> None:
    outs = [out for stage in pipeline.stages(ROOT).values() for out in stage["outs"]]
    kept = subprocess.run(["git", "ls-files", "--", *outs], cwd=ROOT, capture_output=True, text=True, check=True)
    assert kept.stdout == "", "DVC refuses an output that git tracks"
