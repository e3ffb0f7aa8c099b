"""The same stage with many values of its parameters: a notebook run and a nested MLflow run for each combination.

syncnet sweep train lr=1e-3,3e-3 epochs=10                 two trainings
syncnet sweep train loss=matching,contrastive margin=1.0   two more, the rest as in params.yaml

A trial reads the pipeline's data and writes into `data/sweeps/<stage>/<trial>`: what `dvc repro` made stays untouched.
A trial that is done is not done again, an interrupted training goes on from its last finished epoch, and one that fails
does not stop the others.
"""

import hashlib
import itertools
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from syncnet_lib import imports
from syncnet_lib.errors import InputError
from syncnet_lib.experiment import config, mlflow_log, pipeline, stages
from syncnet_lib.files import atomic, write_json
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


@dataclass(frozen=True)
class Plan:
    """What all trials of a sweep share.

    Attributes:
        stage, notebook: what is executed.
        folder: of the trials.
        parameters: those of params.yaml, over which a trial lays its own.
        made: what the stages before it made, relative to the working folder.
        sources: hash of the library and of the notebook's code.
        inputs: sizes and times of the files that the stage reads.
    """

    stage: str
    notebook: Path
    folder: Path
    parameters: dict[str, Any]
    made: list[Path]
    sources: str
    inputs: dict[str, list[list[int]]]


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
    trials = combinations(values)
    plan = _plan(stage, trials)
    experiment = mlflow_log.experiment_of(str(plan.folder))
    table = plan.folder / "trials.csv"
    rows = []
    with mlflow_log.start("sweep", {"stage": stage, **values}, ROOT, experiment=experiment) as parent:
        for number, trial in enumerate(trials, 1):
            name = ",".join(f"{key}={value}" for key, value in trial.items())
            print(f"[{number}/{len(trials)}] {name}", flush=True)
            place = plan.folder / re.sub(r"[^\w.,=+-]+", "-", name)
            _link(plan.made, place)
            with _nested(parent.id):
                error = _try(plan, trial, place)
            metrics = {} if error else json.loads((place / "reports" / "metrics" / f"{stage}.json").read_text())
            rows.append({"trial": name, **trial, **metrics, "error": error})
            parent.numbers(metrics, number)
        with atomic(table) as temporary:
            pd.DataFrame(rows).to_csv(temporary, index=False)
        parent.artifact(table)
    return pd.DataFrame(rows)


def _plan(stage: str, trials: Iterable[Mapping[str, Any]]) -> Plan:
    """Check a sweep before its first trial, and gather what the trials share."""
    settings, section = config.stage_settings(stage), config.STAGES[stage]
    if section is None:
        raise InputError(f"stage {stage}", "has no parameters", "sweep another stage")
    own = config.SECTIONS[section]
    for trial in trials:
        own.parse({name: value for name, value in settings.items() if name in own.model_fields} | dict(trial), stage)
    stages_of = pipeline.stages(ROOT)
    inputs = [ROOT / PIPELINE / path for path in pipeline.data_of(stages_of[stage], "deps")]
    for path in inputs:
        if not path.exists():
            raise InputError(path, "missing", "run: make repro")
    before = list(config.STAGES)[: list(config.STAGES).index(stage)]
    notebook = ROOT / pipeline.stage_notebook(stage, stages_of)
    code = "\0".join([imports.digest(imports.modules()), *pipeline.code_cells(notebook).values()])
    return Plan(
        stage,
        notebook,
        ROOT / PIPELINE / "sweeps" / stage,
        stages.asked_for(notebook, settings),
        [path for name in before for path in pipeline.data_of(stages_of[name], "outs")],
        hashlib.sha256(code.encode()).hexdigest(),
        _state(inputs),
    )


def _link(made: Iterable[Path], place: Path) -> None:
    """Show a trial what the stages before it made, as if its folder were the working folder."""
    for path in made:
        with atomic(place / path) as temporary:
            temporary.symlink_to(ROOT / PIPELINE / path)


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


def _try(plan: Plan, trial: Mapping[str, Any], place: Path) -> str:
    """Run one trial, or find it done; returns why it failed, "" if it did not."""
    stamp = place / "trial.json"
    parameters = {**plan.parameters, **trial}
    made_from = {"parameters": parameters, "sources": plan.sources, "inputs": plan.inputs}
    if stamp.is_file() and json.loads(stamp.read_text()) == made_from:
        print("done before", flush=True)
        return ""
    stamp.unlink(missing_ok=True)
    given = {**parameters, "stage": plan.stage, "workdir": str(place.relative_to(ROOT))}
    copy = place / "reports" / "notebooks" / f"{plan.stage}.ipynb"
    try:
        stages.execute_tracked(plan.stage, plan.notebook, given, copy)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return str(error).strip().splitlines()[-1]
    write_json(stamp, made_from)
    return ""
