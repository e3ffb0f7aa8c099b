import logging
import shutil
import subprocess
from pathlib import Path

import mlflow
import pytest
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Run

from syncnet_lib.experiment import mlflow_log, provenance, registry, store


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A project in git with DVC's files, and one MLflow database for all tests of this file."""
    folder = tmp_path_factory.mktemp("tracking") / "a project"
    (folder / "syncnet_lib").mkdir(parents=True)
    shutil.copy(empty_store, folder)
    (folder / "syncnet_lib" / "model.py").write_text("width = 1\n")
    (folder / "dvc.yaml").write_text(
        "stages:\n  pairs: {cmd: a, outs: [data/pairs]}\n"
        "  retrain: {cmd: b, deps: [data/pairs, data/filter, syncnet_lib/model.py]}\n"
    )
    (folder / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n"
        "  pairs: {cmd: a, outs: [{path: data/pairs, md5: 0123.dir}]}\n"
        "  filter: {cmd: c, outs: [{path: data/filter, md5: 4567.dir}]}\n"
    )
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"]):
        command = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", *arguments]
        subprocess.run(command, cwd=folder, check=True)
    return folder


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default store, at the root, which this file is about."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")


def stored(root: Path, run_id: str) -> Run:
    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}").get_run(run_id)


@pytest.mark.slow
def test_run_holds_parameters_curves_figures_and_files(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO), mlflow_log.start("train", {"lr": 1e-3, "model": "small"}, root) as run:
        for step in range(2):
            run.numbers({"loss": 1.0 / (step + 1), "auc": None, "time": {"data": 3, "step": 0.5}, "note": "x"}, step)
        run.figure("curve", Figure())
        (tmp_path / "notes.txt").write_text("x")
        run.artifact(tmp_path / "notes.txt")
    mlflow_log.close(run.id, "FAILED", tmp_path / "notes.txt", root)

    assert list(tmp_path.iterdir()) == [tmp_path / "notes.txt"], "nothing goes to the working directory"
    made = stored(root, run.id)
    assert made.info.status == "FINISHED", "a run that has ended keeps its state"
    assert made.data.params == {"lr": "0.001", "model": "small"}
    assert made.data.metrics == {"loss": 0.5, "time/data": 3.0, "time/step": 0.5}
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    assert [metric.value for metric in client.get_metric_history(run.id, "loss")] == [1.0, 0.5]
    files = {artifact.path for artifact in client.list_artifacts(run.id)}
    assert files == {"figures", "notes.txt", "notebook"}
    assert (root / "mlruns" / run.id / "artifacts" / "figures" / "curve.png").stat().st_size > 0
    assert not [record for record in caplog.records if "alembic" in record.name or "mlflow" in record.name]


def test_run_is_linked_to_git_and_dvc(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "brave-otter")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, check=True, capture_output=True, text=True)
    with mlflow_log.start("retrain", {}, root) as clean:
        pass
    (root / "dvc.lock").write_text((root / "dvc.lock").read_text() + "# results are no change of sources\n")
    (root / "syncnet_lib" / "new.py").write_text("")
    with mlflow_log.start("retrain", {}, root) as dirty:
        pass
    (root / "syncnet_lib" / "new.py").unlink()
    tags = stored(root, clean.id).data.tags
    expected = {
        "stage": "retrain",
        "git.commit": commit.stdout.strip(),
        "git.dirty": "false",
        "dvc.exp": "brave-otter",
        "data.data/pairs": "0123.dir",
        "data.data/filter": "4567.dir",
    }
    assert {name: tags[name] for name in expected} == expected
    assert tags["mlflow.runName"] == "retrain brave-otter"
    datasets = {given.dataset.name: given.dataset.digest for given in stored(root, clean.id).inputs.dataset_inputs}
    assert datasets == {"data/pairs": "0123.dir", "data/filter": "4567.dir"}
    assert stored(root, dirty.id).data.tags["git.dirty"] == "true"


def test_outside_git_and_dvc(tmp_path: Path) -> None:
    assert provenance.tags("train", tmp_path) == {}


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, "KILLED"), (ValueError, "FAILED")])
def test_interrupted_run_is_marked_and_resumed(root: Path, error: type[BaseException], status: str) -> None:
    stage = f"train-{status}"
    with pytest.raises(error), mlflow_log.start(stage, {}, root) as left:
        raise error
    assert stored(root, left.id).info.status == status
    with mlflow_log.start(stage, {}, root, resumed=True) as resumed:
        pass
    assert stored(root, resumed.id).data.tags["resumed_from"] == left.id
    with mlflow_log.start(stage, {}, root, resumed=True) as fresh:
        pass
    assert "resumed_from" not in stored(root, fresh.id).data.tags, "the last one had finished"


def test_run_of_a_killed_process_is_closed_by_its_successor(root: Path) -> None:
    open_run = mlflow_log.start("train-lost", {}, root)
    lost = open_run.__enter__()
    with mlflow_log.start("train-lost", {}, root, resumed=True) as resumed:
        pass
    assert stored(root, resumed.id).data.tags["resumed_from"] == lost.id
    assert stored(root, lost.id).info.status == "KILLED"
    open_run.__exit__(None, None, None)


def test_models_aliases_and_who_filtered_the_data(root: Path, tmp_path: Path) -> None:
    base, refined = tmp_path / "base.safetensors", tmp_path / "refined.safetensors"
    base.write_bytes(b"base")
    refined.write_bytes(b"refined")
    with mlflow_log.start("train", {}, root) as first:
        first.model("syncnet", base, "base")
    with mlflow_log.start("retrain", {}, root, filtered_by=base) as second:
        second.model("syncnet", refined, "refined")
    unknown = tmp_path / "unknown.safetensors"
    unknown.write_bytes(b"?")
    assert registry.promote("syncnet", base, "champion", 0.9, "data", root)
    assert not registry.promote("syncnet", unknown, "champion", 0.99, "data", root)
    assert registry.promote("syncnet", refined, "champion", 0.95, "data", root)
    assert not registry.promote("syncnet", base, "champion", 0.9, "data", root), "it is worse on the same data"
    assert stored(root, second.id).data.tags["filtered_by"] == first.id
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    aliases = ("base", "refined", "champion")
    runs = {alias: client.get_model_version_by_alias("syncnet", alias).run_id for alias in aliases}
    assert runs == {"base": first.id, "refined": second.id, "champion": second.id}
    registry.measured("syncnet", refined, {"auc": 0.9, "accuracy_by_frames": {"15": 0.78}}, root)
    registry.measured("syncnet", unknown, {"auc": 0.9}, root)
    version = client.get_model_version_by_alias("syncnet", "champion")
    assert version.tags["test.accuracy_by_frames/15"] == "0.78"
    assert version.description == "champion: validation AUC 0.9500 against 0.9000 of version 1"
    worse = client.get_model_version_by_alias("syncnet", "base")
    assert worse.description == "not champion: validation AUC 0.9000 against 0.9500 of version 2"
    mlflow.set_tracking_uri(store.uri(root))
    fetched = mlflow.artifacts.download_artifacts(version.source, dst_path=str(tmp_path / "fetched"))
    assert (Path(fetched) / "artifacts" / "refined.safetensors").read_bytes() == b"refined"
    with mlflow_log.start("retrain", {}, root, filtered_by=refined.with_name("base.safetensors")) as again:
        pass
    assert stored(root, again.id).data.tags["filtered_by"] == first.id
    with mlflow_log.start("retrain", {}, root, filtered_by=unknown) as orphan:
        pass
    assert "filtered_by" not in stored(root, orphan.id).data.tags


def test_opened_runs_are_noted(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(mlflow_log.OPENED_RUNS, str(tmp_path / "runs"))
    with mlflow_log.start("train", {}, root) as run:
        pass
    assert (tmp_path / "runs").read_text() == f"{run.id}\n"


def test_trials_are_kept_apart(root: Path) -> None:
    assert mlflow_log.experiment_of("data") == "syncnet"
    assert mlflow_log.experiment_of("data/smoke") != "syncnet"
    with mlflow_log.start("train", {}, root, experiment=mlflow_log.experiment_of("data/smoke")) as trial:
        pass
    with mlflow_log.start("train", {}, root) as run:
        pass
    assert stored(root, trial.id).info.experiment_id != stored(root, run.id).info.experiment_id


def test_a_trial_that_begins_again_goes_on_in_its_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mlflow_log.start("sweep", {}, root) as sweep:
        pass
    monkeypatch.setenv(mlflow_log.PARENT_RUN, sweep.id)
    monkeypatch.setenv(mlflow_log.TRIAL, "lr=0.1")
    runs = []
    lock = (root / "dvc.lock").read_text()
    for data in (lock, lock, lock.replace("0123.dir", "89ab.dir")):
        (root / "dvc.lock").write_text(data)
        with mlflow_log.start("retrain", {}, root) as trial:
            runs.append(trial.id)
    (root / "dvc.lock").write_text(lock)
    assert runs[0] == runs[1] != runs[2], "the same trial, of other data, is another run"
    assert stored(root, runs[0]).info.status == "FINISHED"


def test_store_of_a_team(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.uri(root) == f"sqlite:///{root}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://server/runs")
    assert store.uri(root) == "postgresql://server/runs"


def test_a_registered_model_measures_videos(root: Path, talkers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri(root))
    with mlflow_log.start("train", {}, root) as run:
        run.model("measuring", talkers / "model.safetensors", "champion")
    mlflow.set_tracking_uri(store.uri(root))
    mlflow.set_registry_uri(store.uri(root))
    loaded = mlflow.pyfunc.load_model("models:/measuring@champion")
    video = str(talkers / "videos" / "s000_00000.mp4")
    (row,) = loaded.predict([video]).itertuples()
    assert row.path == video
    assert abs(row.offset_frames) <= 1
