"""A stage is its notebook, executed by papermill with the parameters of params.yaml.

python -m syncnet_lib.experiment.stages train notebooks/04_train.ipynb     what dvc.yaml runs
python -m syncnet_lib.experiment.stages cells                              after editing a notebook: update dvc.yaml
python -m syncnet_lib.experiment.stages results                            what `make repro` says at its end
"""

import argparse
import fcntl
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from syncnet_lib.errors import InputError
from syncnet_lib.experiment import config, mlflow_log
from syncnet_lib.experiment.notebook import NotebookError, code_cells, execute, parameter_names, raised_inside
from syncnet_lib.files import remove, write_aside
from syncnet_lib.paths import PIPELINE, ROOT, is_pipeline, reports

ENSURING = "SYNCNET_ENSURING"
"""Environment: set while `ensure` executes the stages before a notebook, which must not start over by themselves."""

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""


def execute_tracked(stage: str, notebook: Path, parameters: Mapping[str, Any], copy: Path) -> None:
    """`execute`, and the executed copy goes to the MLflow runs that the notebook opened."""
    with tempfile.NamedTemporaryFile("r", prefix="syncnet-", suffix=".runs") as runs:
        os.environ[mlflow_log.OPENED_RUNS] = runs.name
        execute(stage, notebook, parameters, copy)
        opened = runs.read().split()
    for run_id in opened:
        mlflow_log.attach(run_id, copy, ROOT)


def ensure(stage: str, workdir: str) -> None:
    """Make what a notebook run by hand needs: execute the stages before it, with their own small parameters.

    Nothing happens in the pipeline's working folder, nor for stages whose outputs are there and were made by the
    same notebooks and the same library.

    Args:
        stage: the notebook's own stage.
        workdir: working folder, relative to the project or absolute.

    Raises:
        InputError: raised by one of these stages.
        RuntimeError: one of them failed otherwise; carries its traceback.
    """
    if is_pipeline(workdir) or os.environ.get(ENSURING):
        return
    folder = ROOT / workdir
    folder.mkdir(parents=True, exist_ok=True)
    pipeline = stages(ROOT)
    digest = library_digest()
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two notebooks may be run at once
        for name in list(config.STAGES)[: list(config.STAGES).index(stage)]:
            notebook = stage_notebook(name, pipeline)
            digest.update("\0".join(code_cells(ROOT / notebook).values()).encode())
            stamp = folder / f".{name}.made"
            outputs = [folder / path for path in data_of(pipeline[name], "outs")]
            current = stamp.exists() and stamp.read_text() == digest.hexdigest()
            if current and all(output.exists() for output in outputs):
                continue
            print(f"making {workdir} ready: {name}", flush=True)
            remove(stamp)
            _execute_apart(name, notebook, workdir)
            stamp.write_text(digest.hexdigest())


def write_cells(root: Path) -> bool:
    """Write the code cells of every stage's notebook into dvc.yaml and studies/dvc.yaml, comments kept.

    Args:
        root: folder of dvc.yaml.

    Returns:
        Whether a file changed.
    """
    files = [root / "dvc.yaml", root / "studies" / "dvc.yaml"]
    written = [_write_cells(path, root) for path in files if path.exists()]
    return any(written)


def _write_cells(path: Path, root: Path) -> bool:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    content = yaml.load(path.read_text(encoding="utf-8"))
    for name, stage in content["stages"].items():
        notebook = stage_notebook(name, content["stages"])
        cells = list(code_cells(root / notebook))
        for entry in stage["params"]:
            if isinstance(entry, dict) and notebook in entry:
                if list(entry[notebook]) != cells:
                    entry[notebook][:] = cells
                break
        else:
            stage["params"].append({notebook: cells})
    before = path.read_text(encoding="utf-8")
    with write_aside(path) as aside, aside.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)
    return path.read_text(encoding="utf-8") != before


def check_cells(stage: str, root: Path) -> None:
    """Refuse a stage whose notebook has code cells that dvc.yaml does not watch.

    DVC watches the notebook's code through `params: - notebook.ipynb: [cells.1.source, ...]`, because the file as a
    whole changes whenever somebody opens and saves it.

    Raises:
        InputError: dvc.yaml's list is not the notebook's code cells.
    """
    pipeline = stages(root)
    notebook = stage_notebook(stage, pipeline)
    listed = [
        cell
        for entry in pipeline[stage].get("params", [])
        if isinstance(entry, dict)
        for cell in entry.get(notebook, [])
    ]
    if listed != list(code_cells(root / notebook)):
        cause = f"the code cells of {notebook} are not those that stage {stage} watches"
        raise InputError("dvc.yaml", cause, "run: python -m syncnet_lib.experiment.stages cells")


def stage_notebook(stage: str, pipeline: Mapping[str, Any]) -> str:
    """The notebook in a stage's `cmd`, relative to the project.

    Raises:
        InputError: the stage is not in dvc.yaml, or its cmd has no notebook.
    """
    words = shlex.split(pipeline.get(stage, {}).get("cmd", ""))
    notebooks = [word for word in words if word.startswith("notebooks/") and word.endswith(".ipynb")]
    if len(notebooks) != 1:
        raise InputError(f"dvc.yaml: {stage}", "no stage that runs a notebook", "restore dvc.yaml")
    return notebooks[0]


def library_digest() -> "hashlib._Hash":
    """A running SHA-256 over the library's sources, to which more may be added."""
    digest = hashlib.sha256()
    for source in sorted((ROOT / "syncnet_lib").rglob("*.py")):
        digest.update(source.read_bytes())
    return digest


def stages(root: Path) -> dict[str, Any]:
    """The stages of dvc.yaml by name."""
    return dict(config.load_yaml(root / "dvc.yaml").get("stages", {}))


def data_of(stage: Mapping[str, Any], role: str) -> list[Path]:
    """What a stage of dvc.yaml reads ("deps") or makes ("outs") in the working folder, relative to it."""
    paths = [Path(path) for path in stage.get(role, []) if isinstance(path, str)]
    return [path.relative_to(PIPELINE) for path in paths if path.is_relative_to(PIPELINE)]


def _execute_apart(stage: str, notebook: str, workdir: str) -> None:
    """Execute a stage in a process of its own: this one may be a kernel, with a running event loop."""
    command = [sys.executable, "-m", "syncnet_lib.experiment.stages", stage, notebook, "--workdir", workdir]
    environment = {**os.environ, ENSURING: "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 2:
        raise raised_inside(done.stderr.strip().splitlines()[-1].removeprefix("error: "))
    if done.returncode:
        raise RuntimeError(f"stage {stage} failed\n{done.stderr}")


def _run(stage: str, notebook: str, workdir: str) -> None:
    path = Path(notebook) if Path(notebook).is_absolute() else ROOT / notebook
    if stage not in config.STAGES:
        raise InputError(f"stage {stage}", "unknown", f"use one of {', '.join(config.STAGES)}")
    if is_pipeline(workdir):
        check_cells(stage, ROOT)
        parameters = asked_for(path, config.stage_settings(stage))
        folder = ROOT / "reports" / "notebooks"
    else:
        parameters = {}
        folder = reports(workdir) / "notebooks"
    execute_tracked(stage, path, {**parameters, "stage": stage, "workdir": workdir}, folder / f"{stage}.ipynb")


def asked_for(notebook: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values without those of the common parameters that a notebook has no use for, and so does not name."""
    unused = set(config.CommonSettings.model_fields) - set(parameter_names(notebook))
    return {name: value for name, value in values.items() if name not in unused}


def show_results() -> None:
    """Print the table of base against refined model, and where the report is."""
    import pandas as pd

    from syncnet_lib.plots import tables

    metrics = ROOT / "reports" / "metrics" / "evaluate.json"
    if not metrics.exists():
        raise InputError(metrics, "missing", "run: make repro")
    with pd.option_context("display.width", 0, "display.max_columns", None):
        print(tables.comparison(json.loads(metrics.read_text())).to_string())
    print(f"\nthe whole report: {ROOT / 'reports' / 'report.html'}")


def _stop(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage.

    Returns:
        Exit code: 0; 2 for an input that cannot be used, told in one line; 1 for any other failure, with the
        notebook's traceback; 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        prog="python -m syncnet_lib.experiment.stages",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stage", help=f"{', '.join(config.STAGES)}; or one of cells, results (see above)")
    parser.add_argument("notebook", nargs="?", help="the stage's notebook, relative to the project")
    parser.add_argument(
        "--workdir",
        default=PIPELINE,
        help=f"working folder; in any but {PIPELINE} the notebook's own small parameters hold",
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)  # as Ctrl-C: the kernel must not outlive this process
    try:
        if options.stage == "cells":
            print("dvc.yaml: " + ("written" if write_cells(ROOT) else "is current"))
            return 0
        if options.stage == "results":
            show_results()
            return 0
        if options.notebook is None:
            raise InputError(
                f"stage {options.stage}", "no notebook given", "see: python -m syncnet_lib.experiment.stages --help"
            )
        _run(options.stage, options.notebook, options.workdir)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except NotebookError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{options.stage}: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
