"""The record of every run in MLflow: parameters, curves, figures, models. The only module that imports mlflow."""

import atexit
import logging
import os
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ruamel.yaml import YAML

from syncnet_lib.files import sha256
from syncnet_lib.paths import PIPELINE

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

EXPERIMENT = "syncnet"
"""Name of the experiment, and of the registered model, of the pipeline's runs."""

OPENED_RUNS = "SYNCNET_OPENED_RUNS"
"""Environment: a file to which `start` adds the ids of its runs, which are ended when the notebook has ended."""

PARENT_RUN = "SYNCNET_PARENT_RUN"
"""Environment: id of the run under which `start` nests its runs, e.g. that of a sweep."""

SERVED = Path(__file__).parents[1] / "served.py"
"""What MLflow executes to load a registered model."""

SOURCES = ("syncnet_lib", "notebooks", "params.yaml", "dvc.yaml", "requirements.lock")
"""What decides a result; a change here that git does not know makes a run `dirty`. Results themselves do not."""


class Run:
    """An open MLflow run; made by `start`. As a context manager it ends with its block.

    Attributes:
        id: MLflow's id of it.
    """

    def __init__(self, client: "MlflowClient", run_id: str) -> None:
        self.id = run_id
        self._client = client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: object) -> None:
        if kind is None:
            self.finish()
        else:
            self._end("KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED")

    def finish(self) -> None:
        """End the run as FINISHED: all is logged, and every claim about it held."""
        self._end("FINISHED")

    def fail(self) -> None:
        """End the run as FAILED, unless it has ended."""
        self._end("FAILED")

    def _end(self, status: str) -> None:
        _end(self._client, self.id, status)

    def numbers(self, record: Mapping[str, Any], step: int = 0) -> None:
        """Log numbers, all of them in one transaction.

        Args:
            record: names to numbers, or to further such mappings, whose names are joined by a slash. What is no number
                (None, text) is left out: an epoch without validation has no validation loss.
            step: e.g. the number of the epoch.
        """
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in _numbers(record)]
        self._client.log_batch(self.id, metrics=metrics)

    def figure(self, name: str, figure: "Figure") -> None:
        """Keep a figure as figures/`name`.png."""
        self._client.log_figure(self.id, figure, f"figures/{name}.png")

    def artifact(self, path: Path) -> None:
        """Keep a file or a folder."""
        if path.is_dir():
            self._client.log_artifacts(self.id, str(path), path.name)
        else:
            self._client.log_artifact(self.id, str(path))

    def model(self, name: str, path: Path, alias: str) -> None:
        """Keep a model file, register it as the next version of a model, and let an alias point to it.

        The version is loaded by `mlflow.pyfunc.load_model("models:/name@alias")`; its `predict` measures videos.

        Args:
            name: of the registered model.
            path: the file; its SHA-256 becomes a tag of the version, by which `start` finds the run again.
            alias: e.g. base or refined.
        """
        from mlflow.exceptions import MlflowException

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # MLflow warns of annotations of its own
            import mlflow.pyfunc

        with tempfile.TemporaryDirectory(prefix="syncnet-") as folder:
            served = Path(folder) / "model"
            mlflow.pyfunc.save_model(
                served, python_model=str(SERVED), artifacts={"checkpoint": str(path)}, pip_requirements=["syncnet_lib"]
            )
            self._client.log_artifacts(self.id, str(served), "model")
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{self._client.get_run(self.id).info.artifact_uri}/model"
        version = self._client.create_model_version(name, source, self.id, tags={"sha256": sha256(path)})
        self._client.set_registered_model_alias(name, alias, version.version)


def start(
    stage: str,
    settings: Mapping[str, Any],
    root: Path,
    *,
    experiment: str = EXPERIMENT,
    resumed: bool = False,
    filtered_by: Path | None = None,
    tags: Mapping[str, str] | None = None,
) -> Run:
    """Open a run.

    It stays open until `Run.finish`, the notebook's last word, so that a run whose notebook failed on the way is never
    FINISHED: `stages.execute_tracked` ends it as the notebook ended; in a kernel run by hand it is FAILED when the
    kernel ends.

    Tags: `stage`, `git.commit`, `git.dirty`, `data.<path>` (DVC's md5 of each data input of the stage), `dvc.exp`
    (the experiment's name under `dvc exp run`), `resumed_from` and `filtered_by` (ids of runs). The data inputs are
    also the run's datasets.

    Args:
        stage: e.g. train or retrain.
        settings: the run's parameters.
        root: the project; the store is mlflow.db there unless MLFLOW_TRACKING_URI names another.
        experiment: another name keeps trials apart from the pipeline's runs.
        resumed: the training goes on from a checkpoint: tag the run that left it.
        filtered_by: model file that chose this run's data: tag the run that trained it.
        tags: further ones.
    """
    from mlflow.entities import Param

    client = _client(root)
    experiment_id = _experiment(client, experiment, root)
    tags = {"stage": stage, **(tags or {}), **_origin(stage, root)}
    tags["mlflow.runName"] = " ".join([stage, *filter(None, [tags.get("dvc.exp")])])
    if PARENT_RUN in os.environ:
        tags["mlflow.parentRunId"] = os.environ[PARENT_RUN]
    if resumed and (left := _unfinished(client, experiment_id, stage)):
        tags["resumed_from"] = left
    if filtered_by and (teacher := _trained(client, filtered_by)):
        tags["filtered_by"] = teacher
    run = Run(client, client.create_run(experiment_id, tags=tags).info.run_id)
    if OPENED_RUNS in os.environ:
        with open(os.environ[OPENED_RUNS], "a") as file:
            file.write(f"{run.id}\n")
    else:
        atexit.register(run.fail)
    client.log_batch(run.id, params=[Param(name, str(value)) for name, value in settings.items()])
    client.log_inputs(run.id, datasets=_datasets(stage, root))
    return run


def experiment_of(workdir: str) -> str:
    """Name of the experiment, and of the registered model, of the runs of a working folder.

    Args:
        workdir: the pipeline's, or any other, whose runs are trials and kept apart.
    """
    return EXPERIMENT if Path(workdir) == Path(PIPELINE) else f"{EXPERIMENT}-trials"


def close(run_id: str, status: str, copy: Path, root: Path) -> None:
    """End the run of a notebook, unless that did so itself, and keep the executed notebook with it.

    Args:
        run_id: of the run.
        status: how the notebook ended: FINISHED, FAILED or KILLED.
        copy: the executed notebook; it may be missing.
        root: the project.
    """
    client = _client(root)
    if copy.exists():
        client.log_artifact(run_id, str(copy), "notebook")
    _end(client, run_id, status)


def _end(client: "MlflowClient", run_id: str, status: str) -> None:
    """Set the final state of a run that has none yet."""
    if client.get_run(run_id).info.status == "RUNNING":
        client.set_terminated(run_id, status)


def promote(name: str, source: str, target: str, reason: str, root: Path) -> bool:
    """Let an alias of a registered model point where another one does, e.g. `champion` to `refined`.

    Nothing happens where the store does not know the model, e.g. because DVC fetched it instead of training it.

    Args:
        name: of the registered model.
        source: the alias that is read.
        target: the alias that is set.
        reason: why, for the version's description.
        root: the project.

    Returns:
        Whether the alias was set.
    """
    from mlflow.exceptions import MlflowException

    client = _client(root)
    try:
        version = client.get_model_version_by_alias(name, source).version
    except MlflowException:
        return False
    client.set_registered_model_alias(name, target, version)
    client.update_model_version(name, version, description=f"{target}: {reason}")
    return True


def measured(name: str, alias: str, figures: Mapping[str, Any], root: Path) -> None:
    """Write what a model was measured to be on the version itself, as tags; nothing happens where it is not known.

    Args:
        name: of the registered model.
        alias: of the version.
        figures: of `evaluate.measure`.
        root: the project.
    """
    from mlflow.exceptions import MlflowException

    client = _client(root)
    try:
        version = client.get_model_version_by_alias(name, alias).version
    except MlflowException:
        return
    for key, value in _numbers(figures):
        client.set_model_version_tag(name, version, f"test.{key}", f"{value:.4g}")


def store(root: Path) -> str:
    """URI of the MLflow store: MLFLOW_TRACKING_URI, or a sqlite file at the root, whatever the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"


def _client(root: Path) -> "MlflowClient":
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    # Making the database is told in a dozen lines, once, which look like something went wrong.
    for logger in ("mlflow", "alembic"):
        logging.getLogger(logger).setLevel(logging.WARNING)
    return mlflow.MlflowClient(tracking_uri=store(root), registry_uri=store(root))


def _experiment(client: "MlflowClient", name: str, root: Path) -> str:
    if known := client.get_experiment_by_name(name):
        return str(known.experiment_id)
    # MLflow's default place for the files of a local store is relative to the working directory.
    place = (root / "mlruns").as_uri() if store(root).startswith("sqlite:") else None
    return str(client.create_experiment(name, artifact_location=place))


def _origin(stage: str, root: Path) -> dict[str, str]:
    """Tags that tell what a run was made from."""
    tags = {}
    if commit := _git(root, "rev-parse", "HEAD"):
        tags["git.commit"] = tags["mlflow.source.git.commit"] = commit
        tags["git.dirty"] = str(bool(_git(root, "status", "--porcelain", "--", *SOURCES))).lower()
    if experiment := os.environ.get("DVC_EXP_NAME"):
        tags["dvc.exp"] = experiment
    for path, md5 in _data(stage, root).items():
        tags[f"data.{path}"] = md5
    return tags


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _data(stage: str, root: Path) -> dict[str, str]:
    """DVC's md5 of the data that a stage reads: what the stages before it last wrote, as dvc.lock has it."""
    pipeline, lock = root / "dvc.yaml", root / "dvc.lock"
    if not pipeline.exists() or not lock.exists():
        return {}
    reader = YAML(typ="safe")
    inputs = reader.load(pipeline.read_text(encoding="utf-8"))["stages"].get(stage, {}).get("deps", [])
    made = {
        out["path"]: out["md5"]
        for each in reader.load(lock.read_text(encoding="utf-8")).get("stages", {}).values()
        for out in each.get("outs", [])
        if "md5" in out
    }
    return {path: made[path] for path in inputs if path in made}


def _datasets(stage: str, root: Path) -> "list[DatasetInput]":
    """The data that a stage reads as MLflow shows datasets: path and hash."""
    from mlflow.entities import Dataset, DatasetInput

    return [DatasetInput(Dataset(path, md5[:36], "dvc", path)) for path, md5 in _data(stage, root).items()]


def _unfinished(client: "MlflowClient", experiment_id: str, stage: str) -> str:
    """Id of the newest run of a stage that did not finish; "" if the newest did."""
    runs = client.search_runs([experiment_id], f"tags.stage = '{stage}'", max_results=1, order_by=["start_time DESC"])
    if not runs or runs[0].info.status == "FINISHED":
        return ""
    if runs[0].info.status == "RUNNING":
        client.set_terminated(runs[0].info.run_id, "KILLED")  # it had no time to say so itself
    return str(runs[0].info.run_id)


def _trained(client: "MlflowClient", path: Path) -> str:
    """Id of the run that registered a model file; "" if none did."""
    versions = client.search_model_versions(f"tags.sha256 = '{sha256(path)}'", max_results=1)
    return str(versions[0].run_id) if versions else ""


def _numbers(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}/")
        elif not isinstance(value, str) and value is not None:
            yield prefix + name, float(value)
