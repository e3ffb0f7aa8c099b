"""Stages as a user starts them: real processes, real kernels, tiny notebooks."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import nbformat
import pytest

from syncnet_lib.experiment.pipeline import write_derived
from tests.conftest import write_notebook

PARAMETERS = 'stage = "report"\nworkdir = "data/smoke"\nseed = 1'


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "syncnet_lib", "stage", *arguments]
    return subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(project: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(project, *arguments)
    out, err = process.communicate()
    return process.returncode, out, err


def pipeline(project: Path, notebook: str = "notebooks/07_report.ipynb") -> None:
    """A dvc.yaml of one stage, with the current cells of its notebook."""
    command = f"python -m syncnet_lib stage report {notebook}"
    (project / "dvc.yaml").write_text(f"stages:\n  report:\n    cmd: {command}\n")
    write_derived(project)


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
    assert re.search(r"^\[report\] \d+ s$", out, re.MULTILINE), "what a stage costs"
    assert f"0 report data {project}" in out, "params.yaml's seed, and this project's library, not the installed one"
    copy = project / "reports" / "notebooks" / "report.ipynb"
    first = copy.read_text()
    assert str(project) not in first
    cells = nbformat.reads(first, as_version=4).cells
    assert not cells[-1].outputs, "a progress bar is nothing to read"
    assert cells[1].source == PARAMETERS.replace("seed = 1", "seed = 0").replace("data/smoke", "data").replace('"', "'")
    assert len(cells) == 4, "the values stand in the parameters cell"
    assert "workers" not in cells[1].source, "a common parameter that the notebook does not name is not passed"
    assert finish(project, "report", "notebooks/07_report.ipynb")[0] == 0
    assert copy.read_text() == first


def test_input_error_is_one_line(project: Path) -> None:
    cells = "from syncnet_lib.errors import InputError\nraise InputError('a: b', 'is bad', 'make it good')"
    write_notebook(project / "notebooks" / "07_report.ipynb", PARAMETERS, cells)
    code, out, err = finish(project, "report", "notebooks/07_report.ipynb", "--workdir", "data/smoke")
    assert (code, out, err) == (2, "", "error: a: b: is bad; make it good\n")
    assert "is bad" in (project / "data" / "smoke" / "reports" / "notebooks" / "report.failed.ipynb").read_text()


def test_other_failure_is_one_line_and_keeps_the_trace(project: Path) -> None:
    write_notebook(project / "notebooks" / "07_report.ipynb", PARAMETERS, "1 / 0")
    code, _, err = finish(project, "report", "notebooks/07_report.ipynb", "--workdir", "data/smoke")
    copy = "data/smoke/reports/notebooks/report.failed.ipynb"
    told = f"notebooks/07_report.ipynb: ZeroDivisionError: division by zero; the executed notebook: {copy}"
    assert (code, err) == (2, f"error: {told}\n")
    failed = project / copy
    assert "Traceback" in failed.read_text()
    write_notebook(project / "notebooks" / "07_report.ipynb", PARAMETERS, "1")
    assert finish(project, "report", "notebooks/07_report.ipynb", "--workdir", "data/smoke")[0] == 0
    assert not failed.exists()


RUN = """
from syncnet_lib.experiment import mlflow_log
from syncnet_lib.paths import ROOT
tracked = mlflow_log.start(stage, {}, ROOT)
tracked.numbers({"loss": 1.0}, 1)
"""


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> str:
    """One MLflow database for all tests of this file."""
    return f"sqlite:///{shutil.copy(empty_store, tmp_path_factory.mktemp('tracking'))}"


def newest(uri: str) -> mlflow.entities.Run:
    return mlflow.MlflowClient(uri).search_runs(["1"], order_by=["start_time DESC"], max_results=1)[0]


STAGE = """
import sys
from syncnet_lib.experiment import stages
try:
    stages.run("report", "notebooks/07_report.ipynb", "data/x")
finally:
    print("mlflow" in sys.modules)
"""


def recorded(project: Path, uri: str, *cells: str) -> tuple[str, list[str], bool]:
    """State of the MLflow run of a stage whose notebook opens one, the names of the notebooks kept with it, and whether
    the stage's own process has imported MLflow, and not the kernel alone."""
    write_notebook(project / "notebooks" / "07_report.ipynb", PARAMETERS, RUN, *cells)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    done = subprocess.run(
        [sys.executable, "-c", STAGE], cwd=project, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    run = newest(uri)
    kept = mlflow.MlflowClient(uri).list_artifacts(run.info.run_id, "notebook")
    imported = done.stdout.endswith("True\n")
    assert (done.returncode == 0) == (run.info.status == "FINISHED")
    return run.info.status, [Path(artifact.path).name for artifact in kept], imported


def test_a_claim_that_fails_at_the_end_leaves_a_failed_run(project: Path, uri: str) -> None:
    assert recorded(project, uri, "assert 1 > 2, 'the claim'") == ("FAILED", ["report.failed.ipynb"], True)


def test_a_run_ends_with_its_notebook(project: Path, uri: str) -> None:
    assert recorded(project, uri, "assert 2 > 1") == ("FINISHED", ["report.ipynb"], False)


def test_a_run_ends_though_the_kernel_dies_while_it_ends_it(project: Path, uri: str) -> None:
    dying = "import os\nmlflow_log.close = lambda *_: os._exit(9)"
    assert recorded(project, uri, dying) == ("FINISHED", ["report.ipynb"], True)


def test_an_interruption_leaves_a_killed_run(project: Path, uri: str) -> None:
    interrupt = "import os, signal, time\nos.kill(os.getppid(), signal.SIGINT)\ntime.sleep(60)"
    assert recorded(project, uri, interrupt)[0] == "KILLED"


def test_a_kernel_run_by_hand_that_never_finished_leaves_a_failed_run(project: Path, uri: str) -> None:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    subprocess.run([sys.executable, "-c", f"stage = 'train'\n{RUN}"], cwd=project, env=environment, check=True)
    assert newest(uri).info.status == "FAILED"


def test_dead_kernel_is_told(project: Path) -> None:
    write_notebook(project / "notebooks" / "07_report.ipynb", PARAMETERS, "import os\nos._exit(9)")
    code, _, err = finish(project, "report", "notebooks/07_report.ipynb", "--workdir", "data/smoke")
    assert code == 2
    assert "the kernel died" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_ends_the_kernel(project: Path, number: signal.Signals, expected: int) -> None:
    slow = "import os, time\nprint(os.getpid())\ntry:\n    time.sleep(600)\nfinally:\n    open('closed', 'w')"
    write_notebook(project / "notebooks" / "07_report.ipynb", PARAMETERS, slow)
    process = start(project, "report", "notebooks/07_report.ipynb", "--workdir", "data/smoke")
    assert process.stdout
    kernel = int(process.stdout.readline())
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == expected
    assert "Traceback" not in err
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


def checked(project: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "syncnet_lib", "check"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_all_parameters_are_checked_before_the_first_stage(project: Path) -> None:
    write_notebook(project / "notebooks" / "07_report.ipynb", PARAMETERS, "1")
    pipeline(project)
    for folder in ("videos", "extra"):
        (project / "data" / folder).mkdir(parents=True)
    assert checked(project) == (0, "")
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("vshift: 15", "vshift: many"))
    code, err = checked(project)
    assert code == 2
    assert err.startswith("error: params.yaml: evaluate.vshift: ")
    (project / "params.yaml").write_text(text.replace("path: data/videos", "path: data/nowhere"))
    cure = "make it, or correct the path"
    assert checked(project) == (2, f"error: params.yaml: corpus.path: no folder {project}/data/nowhere; {cure}\n")
    (project / "params.yaml").write_text(text.replace("portraits: builtin", "portraits: london"))
    assert checked(project) == (0, ""), "what is downloaded is not asked for by a check"
    (project / "params.yaml").write_text(text.replace("portraits: builtin", "portraits: faces"))
    assert checked(project) == (2, f"error: params.yaml: corpus.portraits: no folder {project}/faces; {cure}\n")


def test_a_stale_dvc_yaml_is_refused(project: Path) -> None:
    path = project / "notebooks" / "07_report.ipynb"
    write_notebook(path, "# Title", PARAMETERS, "1")
    pipeline(project)
    write_notebook(path, "# Title", PARAMETERS, "## Between", "1")
    code, out, err = finish(project, "report", "notebooks/07_report.ipynb")
    told = "the code cells of notebooks/07_report.ipynb are not those of stage report; run: syncnet cells"
    assert (code, out, err) == (2, "", f"error: dvc.yaml: {told}\n")


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


@pytest.mark.slow
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
            "cmd": f"python -m syncnet_lib stage {stage} {notebook}",
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

    # By hand, with other code than was kept: what it leaves serves the next notebook.
    by_hand = f"stage, workdir = 'extract', 'data/smoke'\n{ensure}\n{write.format('clips')}\n"
    by_hand += "from syncnet_lib import files\nfiles.write_json(folder / 'reports' / 'metrics' / 'extract.json', {})"
    write_notebook(project / "notebooks" / "extract.ipynb", 'stage = "extract"\nworkdir = "data/smoke"', by_hand)
    before = log.read_text()
    subprocess.run([sys.executable, "-c", by_hand], cwd=project, check=True)
    assert ensured() == f"{before}clips "

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
        "cmd": "python -m syncnet_lib stage corpus notebooks/01.ipynb",
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
