"""The record of every run in MLflow: parameters, curves, figures, models."""

import atexit
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from syncnet_lib.experiment import config, provenance, registry
from syncnet_lib.experiment.outbox import Outbox, Undelivered
from syncnet_lib.experiment.store import answering, client_of, flat, reach, uri
from syncnet_lib.files import atomic, scratch
from syncnet_lib.paths import PIPELINE

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

EXPERIMENT = "syncnet"
"""Name of the experiment, and of the registered model, of the pipeline's runs."""

OPENED_RUNS = "SYNCNET_OPENED_RUNS"
"""Environment: a file to which `start` adds the ids of its runs, which are ended when the notebook has ended."""

PARENT_RUN = "SYNCNET_PARENT_RUN"
"""Environment: id of the run under which `start` nests its runs, e.g. that of a sweep."""

TRIAL = "SYNCNET_TRIAL"
"""Environment: name of the trial of that sweep, by which its run is found again after a kill."""
REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED", "BAD_REQUEST")
"""Answers of MLflow that a later attempt would get again."""
NAMED = 4
"""Most parameters in the name of a run."""


class Run:
    """An open MLflow run; made by `start`. As a context manager it ends with its block.

    A store that stops answering stops nothing: what it did not take is kept, and delivered when it answers again, at
    the latest by the next run (`outbox`).

    Attributes:
        id: MLflow's id of it.
    """

    def __init__(self, client: "MlflowClient", run_id: str, root: Path) -> None:
        self.id = run_id
        self._outbox = _outbox(client, run_id, root)
        self._monitor = _monitor(run_id, root)
        self._ended = False

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
        if not self._ended:  # a run that has finished is closed once more when its process ends
            self._ended = True
            self._monitor.finish()
            _post_end(self._outbox, status)

    def numbers(self, record: Mapping[str, Any], step: int = 0) -> None:
        """Log numbers, all of them in one transaction.

        Args:
            record: names to numbers, or to further such mappings, whose names are joined by a slash. What is no number
                (None, text) is left out: an epoch without validation has no validation loss.
            step: e.g. the number of the epoch.
        """
        now = int(time.time() * 1000)
        self._outbox.post({"kind": "numbers", "numbers": dict(flat(record)), "time": now, "step": step})

    def figure(self, name: str, figure: "Figure") -> None:
        """Keep a figure as figures/`name`.png."""
        with scratch() as folder:
            path = Path(folder) / f"{name}.png"
            figure.savefig(path)
            self._outbox.post({"kind": "artifact", "folder": "figures"}, path)

    def artifact(self, path: Path) -> None:
        """Keep a file or a folder."""
        self._outbox.post({"kind": "artifact", "folder": path.name if path.is_dir() else None}, path)

    def model(self, name: str, path: Path, alias: str) -> None:
        """Keep a model file, register it as the next version of a model, and let an alias point to it.

        The version is loaded by `mlflow.pyfunc.load_model("models:/name@alias")`; its `predict` measures videos.

        Args:
            name: of the registered model.
            path: the file; its SHA-256 becomes a tag of the version, by which `start` finds the run again.
            alias: e.g. base or refined.
        """
        self._outbox.post({"kind": "model", "name": name, "alias": alias}, path)


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
    FINISHED: `stages.execute_tracked` has it ended as the notebook ended; in a kernel run by hand it is FAILED when the
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

    with answering(root):
        client = client_of(root)
        for left in sorted(_waiting(root).glob("[0-9a-f]*")):
            _outbox(client, left.name, root).deliver()
        experiment_id = _experiment(client, experiment, root)
        tags = {"stage": stage, **(tags or {}), **provenance.tags(stage, root)}
        tags["mlflow.runName"] = " ".join([stage, *_differences(stage, settings), *filter(None, [tags.get("dvc.exp")])])
        if PARENT_RUN in os.environ:
            tags |= {"mlflow.parentRunId": os.environ[PARENT_RUN], "trial": os.environ.get(TRIAL, "")}
            tags["mlflow.runName"] = tags["trial"] or tags["mlflow.runName"]
            if begun := _begun(client, experiment_id, tags):
                return _open(Run(client, begun, root))
        if resumed and (left_by := _unfinished(client, experiment_id, stage)):
            tags["resumed_from"] = left_by
        if filtered_by and (teacher := registry.version_of(client, filtered_by)):
            tags["filtered_by"] = str(teacher.run_id)
        run_id = client.create_run(experiment_id, tags=tags).info.run_id
        client.log_batch(run_id, params=[Param(name, str(value)) for name, value in settings.items()])
        client.log_inputs(run_id, datasets=_datasets(tags))
    return _open(Run(client, run_id, root))


def reopened(run_id: str, root: Path) -> Run | None:
    """A run that did not finish, open again; None if it finished, or the store does not know it.

    Args:
        run_id: its id.
        root: the project.
    """
    from mlflow.exceptions import MlflowException

    with answering(root):
        client = client_of(root)
        try:
            status = client.get_run(run_id).info.status
        except MlflowException:
            return None
        if status == "FINISHED":
            return None
        client.update_run(run_id, "RUNNING")
    return _open(Run(client, run_id, root))


def _open(run: Run) -> Run:
    """Make sure that a run ends when its notebook or its process does."""
    if OPENED_RUNS in os.environ:
        with open(os.environ[OPENED_RUNS], "a") as file:
            file.write(f"{run.id}\n")
    else:
        atexit.register(run.fail)
    return run


def _begun(client: "MlflowClient", experiment_id: str, tags: Mapping[str, str]) -> str:
    """Id of the run of the same trial, on the same data, of the same sweep, now open again; "" for none.

    It was killed, or it had just ended when the sweep was killed, which had not noted that yet.
    """
    if not tags["trial"]:
        return ""
    same = f"tags.trial = '{tags['trial']}' and tags.`mlflow.parentRunId` = '{tags['mlflow.parentRunId']}'"
    inputs = provenance.inputs(tags)
    left = [run for run in client.search_runs([experiment_id], same) if provenance.inputs(run.data.tags) == inputs]
    if not left:
        return ""
    client.update_run(left[0].info.run_id, "RUNNING")
    return str(left[0].info.run_id)


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
    outbox = _outbox(client_of(root), run_id, root)
    if copy.exists():
        outbox.post({"kind": "artifact", "folder": "notebook"}, copy)
    _post_end(outbox, status)


def close_opened(opened: Path, status: str, copy: Path, root: Path) -> None:
    """`close` every run that `start` has noted, and strike it out; those that are struck out stay as they are.

    Args:
        opened: the file of `OPENED_RUNS`.
        status: how the notebook ended: FINISHED, FAILED or KILLED.
        copy: the executed notebook; it may be missing.
        root: the project.
    """
    left = opened.read_text().split()
    while left:
        close(left[0], status, copy, root)
        del left[0]
        with atomic(opened) as temporary:
            temporary.write_text("".join(f"{run_id}\n" for run_id in left))


def _post_end(outbox: Outbox, status: str) -> None:
    outbox.post({"kind": "end", "status": status, "time": int(time.time() * 1000)})
    outbox.deliver()


def _waiting(root: Path) -> Path:
    """Folder of what the store did not take, a folder a run."""
    return root / "mlruns" / ".waiting"


def _outbox(client: "MlflowClient", run_id: str, root: Path) -> Outbox:
    def send(record: Mapping[str, Any], file: Path | None) -> None:
        from mlflow.exceptions import MlflowException
        from requests import RequestException

        reach(root)
        try:
            _send(client, run_id, record, file)
        except (MlflowException, RequestException) as error:
            if isinstance(error, MlflowException) and error.error_code in REFUSALS:
                raise
            raise Undelivered(str(error).strip().partition("\n")[0]) from error

    return Outbox(_waiting(root) / run_id, send)


def _send(client: "MlflowClient", run_id: str, record: Mapping[str, Any], file: Path | None) -> None:
    """Deliver a record of `Run` to the store."""
    from mlflow.entities import Metric

    match record["kind"]:
        case "numbers":
            at = record["time"], record["step"]
            client.log_batch(run_id, metrics=[Metric(name, value, *at) for name, value in record["numbers"].items()])
        case "artifact" if file and file.is_dir():
            client.log_artifacts(run_id, str(file), record["folder"])
        case "artifact":
            client.log_artifact(run_id, str(file), record["folder"])
        case "model":
            assert file, "a model is a file"
            registry.register(client, run_id, record["name"], file, record["alias"])
        case "end":
            if client.get_run(run_id).info.status == "RUNNING":
                client.set_terminated(run_id, record["status"], record["time"])


def _monitor(run_id: str, root: Path) -> "SystemMetricsMonitor":
    """A thread that logs processor, memory, disk, network and GPU of this machine while the run is open."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, tracking_uri=uri(root))
    monitor.start()
    return monitor


def _differences(stage: str, settings: Mapping[str, Any]) -> list[str]:
    """What a run does differently from the defaults, for its name; its parameters hold all of it."""
    section = config.STAGES.get(stage)
    if not section:
        return []
    defaults = {"seed": 0} | config.SECTIONS[section]().model_dump()
    # What is "auto" by default was decided by the machine, not by whoever started the run.
    different = [name for name in defaults if name in settings and defaults[name] not in ("auto", settings[name])]
    named = [f"{name}={settings[name]}" for name in different[:NAMED]]
    return [*named, "…"] if len(different) > NAMED else named


def _experiment(client: "MlflowClient", name: str, root: Path) -> str:
    from mlflow.exceptions import MlflowException

    if known := client.get_experiment_by_name(name):
        return str(known.experiment_id)
    # MLflow's default place for the files of a local store is relative to the working directory.
    place = (root / "mlruns").as_uri() if uri(root).startswith("sqlite:") else None
    try:
        return str(client.create_experiment(name, artifact_location=place))
    except MlflowException as error:
        known = client.get_experiment_by_name(name)
        if error.error_code != "RESOURCE_ALREADY_EXISTS" or known is None:
            raise
        return str(known.experiment_id)  # another writer was faster


def _datasets(tags: Mapping[str, str]) -> "list[DatasetInput]":
    """The data that a stage reads, which `provenance.tags` has told, as MLflow shows datasets: path and hash."""
    from mlflow.entities import Dataset, DatasetInput

    read = provenance.inputs(tags)
    return [DatasetInput(Dataset(path, md5[:36], "dvc", path)) for path, md5 in read.items()]


def _unfinished(client: "MlflowClient", experiment_id: str, stage: str) -> str:
    """Id of the newest run of a stage that did not finish; "" if the newest did."""
    runs = client.search_runs([experiment_id], f"tags.stage = '{stage}'", max_results=1, order_by=["start_time DESC"])
    if not runs or runs[0].info.status == "FINISHED":
        return ""
    if runs[0].info.status == "RUNNING":
        client.set_terminated(runs[0].info.run_id, "KILLED")  # it had no time to say so itself
    return str(runs[0].info.run_id)
