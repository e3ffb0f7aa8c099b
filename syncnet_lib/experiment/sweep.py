"""The same stage with many values of its parameters: a notebook run and a nested MLflow run for each trial.

syncnet sweep train lr=1e-3,3e-3 epochs=10                    two trainings: every combination
syncnet sweep train lr=1e-3 seed=0,1,2 --jobs 2               three seeds, two at a time
syncnet sweep train lr=1e-4..1e-2 margin=1.0,2.0 --random 8   eight draws
syncnet sweep train lr=1e-4..1e-2 --search 20                 twenty that Optuna proposes, each from those before it

A trial reads the pipeline's data and writes into `data/sweeps/<stage>/<trial>`: what `dvc repro` made stays untouched.
One that fails does not stop the others. The same command goes on with a sweep that was stopped or killed: a trial that
is done is not done again, and an interrupted training goes on from its last finished epoch, in the same run.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from syncnet_lib import imports, parallel
from syncnet_lib.errors import InputError
from syncnet_lib.experiment import config, mlflow_log, notebook, pipeline, stages
from syncnet_lib.experiment.settings import CommonSettings
from syncnet_lib.experiment.space import Range, Trial, Values, combinations, draws
from syncnet_lib.files import atomic, write_json
from syncnet_lib.paths import PIPELINE, ROOT

SUMMARY = "notebooks/sweep.ipynb"
"""The notebook that shows what a sweep found."""
OBJECTIVE = "val_auc"
"""What a search makes as high as it can: the best AUC of a training on validation clips, never on test clips."""
LONGEST = 100
"""Characters of a trial's name as a folder; a longer one ends in its hash."""


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
        threads: processor threads of a trial; None where it has the machine to itself.
    """

    stage: str
    notebook: Path
    folder: Path
    parameters: dict[str, Any]
    made: list[Path]
    sources: str
    inputs: dict[str, list[list[int]]]
    threads: int | None


@dataclass(frozen=True)
class _Job:
    """A trial on its way to a worker process; `parent` is the id of the sweep's run."""

    plan: Plan
    trial: Trial
    parent: str

    @property
    def name(self) -> str:
        return ",".join(f"{key}={value}" for key, value in self.trial.items())

    @property
    def place(self) -> Path:
        name = re.sub(r"[^\w.,=+-]+", "-", self.name)
        if len(name) > LONGEST:
            name = f"{name[:LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        return self.plan.folder / name


def sweep(stage: str, values: Values, *, random: int = 0, search: int = 0, jobs: int = 1) -> pd.DataFrame:
    """Run a stage's notebook once for each trial, and the notebook that sums them up.

    Args:
        stage: of the pipeline.
        values: parameter name to what is tried of it; of every parameter of the stage, and the seed.
        random: trials that are drawn; 0 for every combination.
        search: trials that Optuna proposes, to make `OBJECTIVE` high; 0 for none.
        jobs: trials at a time.

    Returns:
        A row a trial: `trial`, its values, the numbers of its metrics, `error` ("" where it went well).

    Raises:
        InputError: no such stage, a bad parameter, or inputs that are not there; no trial has begun then.
    """
    seed = config.stage_settings(stage)["seed"]
    if search and config.STAGES[stage] != "train":
        raise InputError(f"stage {stage}", f"has no {OBJECTIVE} to search for", "search train or retrain")
    trials = [] if search else draws(values, random, seed) if random else combinations(values)
    plan = _plan(stage, values, jobs)
    experiment = mlflow_log.experiment_of(str(plan.folder))
    settings = {"stage": stage, **{name: _told(tried) for name, tried in values.items()}}
    settings |= {name: count for name, count in {"random": random, "search": search}.items() if count}
    rows: list[dict[str, Any]] = []
    total = search or len(trials)
    with _parent(plan, settings, experiment) as parent:

        def run(batch: Sequence[Trial]) -> list[dict[str, Any]]:
            jobs_of = [_Job(plan, trial, parent.id) for trial in batch]
            done: dict[str, dict[str, Any]] = {}
            workers = 0 if jobs == 1 else jobs
            for job, outcome in parallel.run(_try, jobs_of, workers=workers, progress=False):
                error = outcome if isinstance(outcome, str) else parallel.reason(outcome)
                print(f"[{len(rows) + len(done) + 1}/{total}] {job.name}: {error or 'done'}", flush=True)
                file = job.place / "reports" / "metrics" / f"{stage}.json"
                metrics = {} if error else json.loads(file.read_text())
                done[job.name] = {"trial": job.name, **job.trial, **metrics, "error": error}
                parent.numbers(metrics, len(rows) + len(done))
            return [done[job.name] for job in jobs_of]

        if search:
            from syncnet_lib.experiment.search import propose

            for batch, tell in propose(values, OBJECTIVE, search, jobs, seed):
                new = run(batch)
                tell([row.get(OBJECTIVE) for row in new])
                rows += new
        else:
            rows += run(trials)
        table = plan.folder / "trials.csv"
        with atomic(table) as temporary:
            pd.DataFrame(rows).to_csv(temporary, index=False)
        parent.artifact(table)
        _sum_up(plan, rows, list(values), table, parent)
    return pd.DataFrame(rows)


def _told(tried: list[Any] | Range) -> Any:
    return f"{tried.low}..{tried.high}" if isinstance(tried, Range) else tried


@contextmanager
def _parent(plan: Plan, settings: Mapping[str, Any], experiment: str) -> Iterator[mlflow_log.Run]:
    """The run of the sweep: the one that the same command left unfinished, or a new one."""
    note = plan.folder / "sweep.json"
    asked = json.loads(json.dumps(settings))
    left = json.loads(note.read_text()) if note.is_file() else {}
    run = mlflow_log.reopened(left["run"], ROOT) if left.get("asked") == asked else None
    run = run or mlflow_log.start("sweep", settings, ROOT, experiment=experiment)
    write_json(note, {"asked": asked, "run": run.id})
    with run:
        yield run


def _sum_up(
    plan: Plan, rows: Sequence[Mapping[str, Any]], names: list[str], table: Path, parent: mlflow_log.Run
) -> None:
    """Execute the notebook that shows what came out, and keep it with the sweep's run; nothing came out of failures."""
    reached = [row for row in rows if not row["error"]]
    figures = [name for name, value in reached[0].items() if isinstance(value, int | float)] if reached else []
    figures = [name for name in figures if name not in names]
    if not figures:
        return
    objective = OBJECTIVE if OBJECTIVE in figures else figures[0]
    copy = plan.folder / "summary.ipynb"
    given = {"table": table.relative_to(ROOT).as_posix(), "names": names, "objective": objective}
    notebook.execute("summary", ROOT / SUMMARY, given, copy)
    parent.artifact(copy)
    print(f"the summary: {copy.relative_to(ROOT)}", flush=True)


def _plan(stage: str, values: Values, jobs: int) -> Plan:
    """Check a sweep before its first trial, and gather what the trials share."""
    settings, section = config.stage_settings(stage), config.STAGES[stage]
    if section is None:
        raise InputError(f"stage {stage}", "has no parameters", "sweep another stage")
    own = config.SECTIONS[section]
    for name, tried in values.items():
        kind = CommonSettings if name == "seed" else own
        base = {known: value for known, value in settings.items() if known in kind.model_fields}
        for value in (tried.low, tried.high) if isinstance(tried, Range) else tried:
            kind.parse(base | {name: value}, stage)
    stages_of = pipeline.stages(ROOT)
    inputs = [ROOT / PIPELINE / path for path in pipeline.data_of(stages_of[stage], "deps")]
    for path in inputs:
        if not path.exists():
            raise InputError(path, "missing", "run: make repro")
    before = list(config.STAGES)[: list(config.STAGES).index(stage)]
    executed = ROOT / pipeline.stage_notebook(stage, stages_of)
    code = "\0".join([imports.digest(imports.modules()), *pipeline.code_cells(executed).values()])
    return Plan(
        stage,
        executed,
        ROOT / PIPELINE / "sweeps" / stage,
        stages.asked_for(executed, settings),
        [path for name in before for path in pipeline.data_of(stages_of[name], "outs")],
        hashlib.sha256(code.encode()).hexdigest(),
        _state(inputs),
        None if jobs == 1 else max(1, parallel.cores() // jobs),
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
def _nested(job: _Job) -> Iterator[None]:
    """What the notebook of a trial inherits: its parent run, its name, its share of the processors, and not to make
    its inputs by itself."""
    inherited = {mlflow_log.PARENT_RUN: job.parent, mlflow_log.TRIAL: job.place.name, stages.ENSURING: "1"}
    if job.plan.threads:
        inherited["OMP_NUM_THREADS"] = str(job.plan.threads)
    before = {name: os.environ.get(name) for name in inherited}
    os.environ.update(inherited)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _try(job: _Job) -> str:
    """Run one trial, or find it done; returns why it failed, "" if it did not."""
    plan, place = job.plan, job.place
    stamp = place / "trial.json"
    parameters = {**plan.parameters, **job.trial}
    made_from = {"parameters": parameters, "sources": plan.sources, "inputs": plan.inputs}
    before = json.loads(stamp.read_text()) if stamp.is_file() else {}
    # What failed is tried again by the next sweep, not by the same one that goes on.
    if before.get("made_from") == made_from and (not before["error"] or before["sweep"] == job.parent):
        return str(before["error"])
    stamp.unlink(missing_ok=True)
    _link(plan.made, place)
    given = {**parameters, "stage": plan.stage, "workdir": str(place.relative_to(ROOT))}
    copy = place / "reports" / "notebooks" / f"{plan.stage}.ipynb"
    error = ""
    with _nested(job), _talking_to(place / "log.txt" if plan.threads else None):
        try:
            stages.execute_tracked(plan.stage, plan.notebook, given, copy)
        except InputError as raised:
            error = str(raised)
    write_json(stamp, {"made_from": made_from, "error": error, "sweep": job.parent})
    return error


@contextmanager
def _talking_to(log: Path | None) -> Iterator[None]:
    """What trials that run side by side print goes into a file of each."""
    if log is None:
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        yield
