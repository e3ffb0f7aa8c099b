"""Stages as a user starts them: real processes, real kernels, tiny notebooks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from syncnet_lib.errors import InputError
from syncnet_lib.experiment.notebook import parameter_names
from syncnet_lib.experiment.stages import check_cells, write_cells
from tests.conftest import write_notebook

PARAMETERS = 'stage = "report"\nworkdir = "data/smoke"\nseed = 1'


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "syncnet_lib.experiment.stages", *arguments]
    return subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(project: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(project, *arguments)
    out, err = process.communicate()
    return process.returncode, out, err


def pipeline(project: Path, notebook: str = "notebooks/07_report.ipynb") -> None:
    """A dvc.yaml of one stage, with the current cells of its notebook."""
    command = f"python -m syncnet_lib.experiment.stages report {notebook}"
    text = f"# kept\nstages:\n  report:\n    cmd: {command}  # here\n    params: []\n"
    (project / "dvc.yaml").write_text(text)
    assert write_cells(project)


def test_stage_runs_with_typed_parameters_and_the_same_copy_twice(project: Path) -> None:
    write_notebook(
        project / "notebooks" / "07_report.ipynb",
        "# A title",
        PARAMETERS,
        "import os\nfrom syncnet_lib.experiment import config\nprint(repr(seed), stage, workdir, config.ROOT)",
        "import sys, time\nfor step in range(3):\n    print(f'\\rbar {step}', end='', file=sys.stderr, flush=True)\n"
        "    time.sleep(0.3)",
    )
    pipeline(project)
    code, out, err = finish(project, "report", "notebooks/07_report.ipynb")
    assert code == 0, err
    assert "[report 1/5] A title" in out
    assert f"0 report data {project}" in out, "params.yaml's seed, and this project's library, not the installed one"
    copy = project / "reports" / "notebooks" / "report.ipynb"
    first = copy.read_text()
    assert str(project) not in first
    cells = nbformat.reads(first, as_version=4).cells
    assert cells[-1].outputs[0].text == "bar 2", "of a progress bar only its last state is kept"
    assert "workers" not in cells[2].source, "a common parameter that the notebook does not name is not passed"
    assert finish(project, "report", "notebooks/07_report.ipynb")[0] == 0
    assert copy.read_text() == first


def test_input_error_is_one_line(project: Path) -> None:
    cells = "from syncnet_lib.errors import InputError\nraise InputError('a: b', 'is bad', 'make it good')"
    write_notebook(project / "notebooks" / "07_report.ipynb", PARAMETERS, cells)
    code, out, err = finish(project, "report", "notebooks/07_report.ipynb", "--workdir", "data/smoke")
    assert (code, out, err) == (2, "", "error: a: b: is bad; make it good\n")
    assert not list(project.rglob("report*.ipynb")), "nothing is left behind"


def test_other_failure_keeps_traceback_and_copy(project: Path) -> None:
    write_notebook(project / "notebooks" / "07_report.ipynb", PARAMETERS, "1 / 0")
    code, _, err = finish(project, "report", "notebooks/07_report.ipynb", "--workdir", "data/smoke")
    assert code == 1
    assert "ZeroDivisionError: division by zero" in err
    assert "\x1b[" not in err
    failed = Path(err.strip().splitlines()[-1].removeprefix("The executed notebook: "))
    assert "ZeroDivisionError" in failed.read_text()
    write_notebook(project / "notebooks" / "07_report.ipynb", PARAMETERS, "1")
    assert finish(project, "report", "notebooks/07_report.ipynb", "--workdir", "data/smoke")[0] == 0
    assert not failed.exists()


def test_dead_kernel_is_told(project: Path) -> None:
    write_notebook(project / "notebooks" / "07_report.ipynb", PARAMETERS, "import os\nos._exit(9)")
    code, _, err = finish(project, "report", "notebooks/07_report.ipynb", "--workdir", "data/smoke")
    assert code == 1
    assert "the kernel died" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_ends_the_kernel(project: Path, number: signal.Signals, expected: int) -> None:
    slow = "import os, time\nprint(os.getpid())\ntry:\n    time.sleep(600)\nfinally:\n    open('closed', 'w')"
    write_notebook(project / "notebooks" / "07_report.ipynb", PARAMETERS, slow)
    process = start(project, "report", "notebooks/07_report.ipynb", "--workdir", "data/smoke")
    assert process.stdout
    kernel = int(process.stdout.readline())
    before = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == expected
    assert "Traceback" not in err
    assert time.monotonic() - before < 20
    assert (project / "notebooks" / "closed").exists(), "the cell could close what it had open"
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)


def test_bad_parameters_start_no_kernel(project: Path) -> None:
    write_notebook(project / "notebooks" / "07_report.ipynb", PARAMETERS, "open('started', 'w')")
    pipeline(project)
    (project / "params.yaml").write_text("common: {sead: 3}\n")
    code, _, err = finish(project, "report", "notebooks/07_report.ipynb")
    assert (code, err) == (2, "error: params.yaml: common.sead: unknown parameter; did you mean seed?\n")
    assert not (project / "notebooks" / "started").exists()


def test_code_cells_must_be_listed(project: Path) -> None:
    path = project / "notebooks" / "07_report.ipynb"
    write_notebook(path, "# Title", PARAMETERS, "1")
    pipeline(project)
    assert "# kept" in (project / "dvc.yaml").read_text()
    assert "# here" in (project / "dvc.yaml").read_text()
    check_cells("report", project)
    assert not write_cells(project), "a second time changes nothing"

    saved = nbformat.read(path, as_version=4)
    saved.cells[2].outputs = [nbformat.v4.new_output("stream", text="saved with outputs")]
    nbformat.write(saved, path)
    check_cells("report", project)

    write_notebook(path, "# Title", PARAMETERS, "## Between", "1")
    with pytest.raises(InputError, match=r"python -m syncnet_lib\.experiment\.stages cells"):
        check_cells("report", project)
    code, _, err = finish(project, "report", "notebooks/07_report.ipynb")
    assert code == 2
    assert err.count("\n") == 1
    assert write_cells(project)
    check_cells("report", project)


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"cells": 3}'])
def test_broken_notebook_is_one_line(project: Path, content: str | None) -> None:
    write_notebook(project / "notebooks" / "07_report.ipynb", PARAMETERS)
    pipeline(project)
    path = project / "notebooks" / "07_report.ipynb"
    path.unlink()
    if content is not None:
        path.write_text(content)
    code, _, err = finish(project, "report", "notebooks/07_report.ipynb")
    assert code == 2
    assert err.count("\n") == 1


def test_ensure_makes_what_is_missing_once(project: Path) -> None:
    ensure = "from syncnet_lib.experiment import stages\nfrom syncnet_lib.paths import ROOT"
    ensure += "\nstages.ensure(stage, workdir)\nfolder = ROOT / workdir"
    write = "(folder / '{0}').mkdir(exist_ok=True)\nwith open(folder / 'log', 'a') as log:\n    log.write('{0} ')"
    stages = {}
    for stage, out in (("corpus", "raw"), ("extract", "clips"), ("pairs", "pairs")):
        notebook = f"notebooks/{stage}.ipynb"
        write_notebook(
            project / notebook, f'stage = "{stage}"\nworkdir = "data/smoke"', f"{ensure}\n{write.format(out)}"
        )
        stages[stage] = {
            "cmd": f"python -m syncnet_lib.experiment.stages {stage} {notebook}",
            "outs": [f"data/{out}"],
            "params": [],
        }
    (project / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    command = [
        sys.executable,
        "-c",
        "from syncnet_lib.experiment import stages; stages.ensure('pairs', 'data/smoke')",
    ]
    log = project / "data" / "smoke" / "log"

    def ensured() -> str:
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return log.read_text()

    assert ensured() == "raw clips "
    assert ensured() == "raw clips ", "all is there"
    write_notebook(
        project / "notebooks" / "extract.ipynb",
        'stage = "extract"\nworkdir = "data/smoke"',
        f"{ensure}\n{write.format('clips')}  # other code",
    )
    assert ensured() == "raw clips clips ", "only what comes from the changed notebook is made again"
    (project / "data" / "smoke" / "raw").rmdir()
    assert ensured().startswith("raw clips clips raw ")

    in_pipeline = [
        sys.executable,
        "-c",
        "from syncnet_lib.experiment import stages; stages.ensure('pairs', 'data')",
    ]
    before = log.read_text()
    subprocess.run(in_pipeline, cwd=project, check=True)
    assert log.read_text() == before
    assert not (project / "data" / "raw").exists(), "the pipeline's folder is DVC's"


def test_ensure_passes_an_input_error_on(project: Path) -> None:
    raising = "from syncnet_lib.errors import InputError\nraise InputError('videos', 'none there', 'add one')"
    write_notebook(project / "notebooks" / "01.ipynb", 'stage = "corpus"\nworkdir = "data/smoke"', raising)
    stage = {
        "cmd": "python -m syncnet_lib.experiment.stages corpus notebooks/01.ipynb",
        "outs": ["data/raw"],
        "params": [],
    }
    (project / "dvc.yaml").write_text(json.dumps({"stages": {"corpus": stage}}))
    command = [
        sys.executable,
        "-c",
        "from syncnet_lib.experiment import stages; stages.ensure('extract', 'data/smoke')",
    ]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert "InputError: videos: none there; add one" in " ".join(done.stderr.splitlines()[-1].split())


def test_parameter_names(tmp_path: Path) -> None:
    write_notebook(tmp_path / "n.ipynb", "# T", "stage = 'x'\nlr = 1.0  # unit\nlayers = [1,\n 2]", "other = 3")
    assert parameter_names(tmp_path / "n.ipynb") == ["stage", "lr", "layers"]
