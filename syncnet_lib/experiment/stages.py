"""A stage is its notebook, executed with the parameters of params.yaml, and the record of that in MLflow."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from syncnet_lib import imports
from syncnet_lib.errors import InputError
from syncnet_lib.experiment import config, mlflow_log, pipeline
from syncnet_lib.experiment.notebook import execute, failed_copy, parameter_names, raised_inside
from syncnet_lib.experiment.settings import CommonSettings
from syncnet_lib.files import locked, remove, scratch
from syncnet_lib.paths import PIPELINE, ROOT, is_pipeline, reports

ENSURING = "SYNCNET_ENSURING"
"""Environment: set while `ensure` executes the stages before a notebook, which must not start over by themselves."""


def run(stage: str, notebook: str, workdir: str = PIPELINE) -> None:
    """Execute a stage, and print how long it took: what dvc.yaml runs.

    Args:
        stage: one of `config.STAGES`.
        notebook: its notebook, absolute or relative to the project.
        workdir: working folder; in any but the pipeline's the notebook's own small parameters hold.

    Raises:
        InputError: no such stage, a bad parameter, a stale dvc.yaml, or the notebook stopped with an exception.
    """
    if stage not in config.STAGES:
        raise InputError(f"stage {stage}", "unknown", f"use one of {', '.join(config.STAGES)}")
    began = time.monotonic()
    parameters: dict[str, Any] = {"stage": stage, "workdir": workdir}
    copy = reports(workdir) / "notebooks" / f"{stage}.ipynb"
    if not is_pipeline(workdir):
        execute_tracked(stage, ROOT / notebook, parameters, copy)
        return
    try:
        pipeline.check_derived(stage, ROOT)
        parameters |= asked_for(ROOT / notebook, config.stage_settings(stage))
        execute_tracked(stage, ROOT / notebook, parameters, copy)
    except BaseException:
        if taken := pipeline.taken_away(stage, ROOT):
            print(f"DVC had removed what stage {stage} made last; to have it back: {taken}", file=sys.stderr)
        raise
    print(f"[{stage}] {time.monotonic() - began:.0f} s", flush=True)


_FOLDERS = (
    ("corpus", "path", ()),
    ("corpus", "portraits", ("builtin", "london")),
    ("corpus", "voices", ("espeak",)),
    ("evaluate", "extra_path", ()),
)
"""Parameters that name a folder, by section, and the words that may stand there instead."""


def check() -> None:
    """Find in seconds what would stop a stage after an hour, before DVC removes the results of any.

    Raises:
        InputError: a bad parameter of any section or profile, a folder that is not there, a stale dvc.yaml.
    """
    sections = config.read(ROOT / "params.yaml").sections
    for section, name, words in _FOLDERS:
        folder = ROOT / sections[section][name]
        if sections[section][name] not in words and not folder.is_dir():
            raise InputError(f"params.yaml: {section}.{name}", f"no folder {folder}", "make it, or correct the path")
    for file in filter(lambda file: (ROOT / file).exists(), pipeline.FILES):
        for stage in pipeline.stages(ROOT, file):
            pipeline.check_derived(stage, ROOT, file)


def asked_for(notebook: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values without those of the common parameters that a notebook has no use for, and so does not name."""
    unused = set(CommonSettings.model_fields) - set(parameter_names(notebook))
    return {name: value for name, value in values.items() if name not in unused}


def execute_tracked(stage: str, notebook: Path, parameters: Mapping[str, Any], copy: Path) -> None:
    """`execute`, and the MLflow runs that the notebook opened get the executed copy and end as the notebook did.

    FINISHED says that every cell was executed and every assertion held; an exception in any cell leaves a FAILED run,
    an interruption a KILLED one.

    A run that finished is ended by the kernel, which has MLflow loaded: that takes seconds in each process. What the
    kernel did not end, because it failed or died, is ended here.
    """
    with _opened_runs() as opened:

        def last() -> str:
            return _closing(opened, "FINISHED", copy) if opened.stat().st_size else ""

        try:
            execute(stage, notebook, parameters, copy, last)
        except InputError:
            mlflow_log.close_opened(opened, "FAILED", failed_copy(copy), ROOT)
            raise
        except BaseException:  # Ctrl-C, or SIGTERM as SystemExit
            mlflow_log.close_opened(opened, "KILLED", failed_copy(copy), ROOT)
            raise
        mlflow_log.close_opened(opened, "FINISHED", copy, ROOT)


def _closing(opened: Path, status: str, copy: Path) -> str:
    """`mlflow_log.close_opened`, as code for a kernel."""
    arguments = f"Path({str(opened)!r}), {status!r}, Path({str(copy)!r}), Path({str(ROOT)!r})"
    imports = "from pathlib import Path\nfrom syncnet_lib.experiment import mlflow_log"
    return f"{imports}\nmlflow_log.close_opened({arguments})"


@contextmanager
def _opened_runs() -> Iterator[Path]:
    """A file in which `mlflow_log.start`, in the notebook's kernel, notes the runs that it opens."""
    with scratch() as folder:
        opened = Path(folder) / "runs"
        opened.touch()
        os.environ[mlflow_log.OPENED_RUNS] = str(opened)
        try:
            yield opened
        finally:
            del os.environ[mlflow_log.OPENED_RUNS]


def ensure(stage: str, workdir: str) -> None:
    """Make what a notebook run by hand needs: execute the stages before it, with their own small parameters.

    Nothing happens in the pipeline's working folder, nor for stages whose outputs are there and were made by the
    same notebooks and the same library, be it here or by hand.

    Args:
        stage: the notebook's own stage.
        workdir: working folder, relative to the project or absolute.

    Raises:
        InputError: one of these stages failed.
    """
    if is_pipeline(workdir) or os.environ.get(ENSURING):
        return
    folder = ROOT / workdir
    folder.mkdir(parents=True, exist_ok=True)
    stages = pipeline.stages(ROOT)
    made_from = imports.digest(imports.modules())
    with locked(folder / ".lock"):  # two notebooks may be run at once
        for name in list(config.STAGES)[: list(config.STAGES).index(stage) + 1]:
            notebook = pipeline.stage_notebook(name, stages)
            made_from = _digest(made_from, *pipeline.code_cells(ROOT / notebook).values())
            made, begun = (folder / f".{name}.{mark}" for mark in ("made", "begun"))
            if name == stage:
                begun.write_text(made_from)  # by hand, and now
                return
            outputs = [folder / path for path in pipeline.data_of(stages[name], "outs")]
            if all(output.exists() for output in outputs):
                if made.exists() and made.read_text() == made_from:
                    continue
                metrics = reports(workdir) / "metrics" / f"{name}.json"
                if begun.exists() and begun.read_text() == made_from and _newer(metrics, begun):
                    continue  # what a stage writes after its outputs
            print(f"making {workdir} ready: {name}", flush=True)
            remove(made)
            remove(begun)
            _run_apart(name, notebook, workdir)
            made.write_text(made_from)


def _newer(path: Path, than: Path) -> bool:
    return path.exists() and path.stat().st_mtime_ns > than.stat().st_mtime_ns


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _run_apart(stage: str, notebook: str, workdir: str) -> None:
    """Execute a stage in a process of its own: this one may be a kernel, with a running event loop."""
    command = [sys.executable, "-m", "syncnet_lib", "stage", stage, notebook, "--workdir", workdir]
    environment = {**os.environ, ENSURING: "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"stage {stage}: ended with exit code {done.returncode}"])[-1]
        raise raised_inside(last.removeprefix("error: "))
