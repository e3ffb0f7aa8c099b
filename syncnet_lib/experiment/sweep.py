"""The same stage with many values of its parameters: a notebook run and a nested MLflow run for each combination.

python -m syncnet_lib.experiment.sweep train lr=1e-3,3e-3 epochs=10                 two trainings
python -m syncnet_lib.experiment.sweep train loss=matching,contrastive margin=1.0   the rest as in params.yaml

A trial reads the pipeline's data and writes into `data/sweeps/<stage>/<trial>`: what `dvc repro` made stays untouched.
A trial that is done is not done again, an interrupted training goes on from its last finished epoch, and one that fails
does not stop the others.
"""

import argparse
import itertools
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from syncnet_lib.errors import InputError
from syncnet_lib.experiment import config, mlflow_log, stages
from syncnet_lib.experiment.notebook import NotebookError, code_cells
from syncnet_lib.files import write_aside, write_json
from syncnet_lib.paths import PIPELINE, ROOT


def grid(arguments: Iterable[str]) -> dict[str, list[Any]]:
    """Values to try, from words such as ``lr=1e-3,3e-3``, read as params.yaml is read.

    Raises:
        InputError: not of the form name=value,value, or a name given twice.
    """
    reader = YAML(typ="safe")
    values: dict[str, list[Any]] = {}
    for word in arguments:
        name, _, text = word.partition("=")
        if not name or not text or name in values:
            raise InputError(word, "names no new parameter and its values", "write name=value,value")
        values[name] = [reader.load(part) for part in text.split(",")]
    return values


def combinations(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of one value a parameter, the last parameter changing fastest."""
    return [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]


def sweep(stage: str, values: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Run a stage's notebook once for each combination of values.

    Args:
        stage: of the pipeline.
        values: parameter name to the values that are tried.

    Returns:
        A row a trial: `trial`, its values, the numbers of its metrics, `error` ("" where it went well).

    Raises:
        InputError: no such stage, a bad parameter, or inputs that are not there; no trial has begun then.
    """
    settings, section = config.stage_settings(stage), config.STAGES[stage]
    if section is None:
        raise InputError(f"stage {stage}", "has no parameters", "sweep another stage")
    own = config.settings_class(section)
    trials = combinations(values)
    for trial in trials:
        own.parse({name: value for name, value in settings.items() if name in own.model_fields} | trial, stage)
    pipeline = stages.stages(ROOT)
    data = ROOT / PIPELINE
    inputs = [data / path for path in stages.data_of(pipeline[stage], "deps")]
    for path in inputs:
        if not path.exists():
            raise InputError(path, "missing", "run: make repro")
    before = itertools.takewhile(lambda name: name != stage, config.STAGES)
    made = [path for name in before for path in stages.data_of(pipeline[name], "outs")]
    notebook = ROOT / stages.stage_notebook(stage, pipeline)
    given = stages.asked_for(notebook, settings)
    sources = stages.library_digest()
    sources.update("\0".join(code_cells(notebook).values()).encode())
    state = _state(inputs)
    folder = data / "sweeps" / stage
    rows = []
    experiment = mlflow_log.experiment_of(str(folder))
    with mlflow_log.start("sweep", {"stage": stage, **values}, ROOT, experiment=experiment) as parent:
        for number, trial in enumerate(trials, 1):
            name = ",".join(f"{key}={value}" for key, value in trial.items())
            print(f"[{number}/{len(trials)}] {name}", flush=True)
            place = folder / re.sub(r"[^\w.,=+-]+", "-", name)
            made_from = {"parameters": given | trial, "sources": sources.hexdigest(), "inputs": state}
            _link(data, made, place)
            with _nested(parent.id):
                error = _try(stage, notebook, place, made_from)
            metrics = {} if error else json.loads((place / "reports" / "metrics" / f"{stage}.json").read_text())
            rows.append({"trial": name, **trial, **metrics, "error": error})
            numbers = {key: value for key, value in metrics.items() if isinstance(value, int | float)}
            parent.epoch(numbers, number)
        table = pd.DataFrame(rows)
        with write_aside(folder / "trials.csv") as aside:
            table.to_csv(aside, index=False)
        parent.artifact(folder / "trials.csv")
    return table


def _link(data: Path, made: Iterable[Path], place: Path) -> None:
    """Show a trial what the stages before it made, as if its folder were the working folder."""
    for path in made:
        link = place / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(data / path)


def _state(inputs: Iterable[Path]) -> dict[str, list[list[int]]]:
    """Size and time of every file of the inputs: what tells a trial that its data are no longer those."""
    return {
        path.name: [[file.stat().st_size, file.stat().st_mtime_ns] for file in sorted(path.rglob("*"))]
        for path in inputs
    }


@contextmanager
def _nested(parent: str) -> Iterator[None]:
    """What the notebooks of trials inherit: their parent run, and not to make their inputs by themselves."""
    os.environ.update({mlflow_log.PARENT_RUN: parent, stages.ENSURING: "1"})
    try:
        yield
    finally:
        del os.environ[mlflow_log.PARENT_RUN], os.environ[stages.ENSURING]


def _try(stage: str, notebook: Path, place: Path, made_from: Mapping[str, Any]) -> str:
    """Run one trial, or find it done; returns why it failed, "" if it did not."""
    stamp = place / "trial.json"
    if stamp.is_file() and json.loads(stamp.read_text()) == made_from:
        print("done before", flush=True)
        return ""
    stamp.unlink(missing_ok=True)
    parameters = {**made_from["parameters"], "stage": stage, "workdir": str(place.relative_to(ROOT))}
    try:
        stages.execute_tracked(stage, notebook, parameters, place / "reports" / "notebooks" / f"{stage}.ipynb")
    except (InputError, NotebookError) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return str(error).strip().splitlines()[-1]
    write_json(stamp, made_from)
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sweep; exit code 0, 1 where a trial failed, 2 for what cannot be used, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m syncnet_lib.experiment.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stage", help=", ".join(name for name, section in config.STAGES.items() if section))
    parser.add_argument("values", nargs="+", help="parameter and the values to try: name=value,value")
    options = parser.parse_args(arguments)
    try:
        table = sweep(options.stage, grid(options.values))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sweep: interrupted; what is done stays", file=sys.stderr)
        return stages.INTERRUPTED
    with pd.option_context("display.width", 0, "display.max_columns", None):
        print(table.drop(columns="trial").to_string(index=False))
    return int((table.error != "").any())


if __name__ == "__main__":
    sys.exit(main())
