"""The tracking store when it does not answer: a dead address, a locked file, a server that goes away."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pytest
from matplotlib.figure import Figure

from syncnet_lib.errors import InputError
from syncnet_lib.experiment import mlflow_log, registry, store
from syncnet_lib.experiment.outbox import Outbox, Undelivered

POSTGRES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"))), None)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncnet_lib.experiment.outbox.RETRY", 0.0)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def serving(backend: str, artifacts: Path, port: int) -> Iterator[str]:
    """A team's tracking server as MLflow starts it."""
    address = f"http://127.0.0.1:{port}"
    options = ["--backend-store-uri", backend, "--artifacts-destination", artifacts.as_uri(), "--workers", "1"]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), *options]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    server = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 240
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < deadline, "the server does not start"
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(30)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of its own with room for 64 kB."""
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_an_address_that_nobody_answers_is_one_line_in_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
    before = time.monotonic()
    with pytest.raises(InputError, match="no tracking server answers there") as told:
        mlflow_log.start("train", {}, tmp_path)
    assert str(told.value).startswith(f"http://127.0.0.1:{port}: ")
    assert str(told.value).endswith("; start the server, or unset MLFLOW_TRACKING_URI")
    assert time.monotonic() - before < 60


@pytest.mark.slow
def test_a_locked_file_is_one_line(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(empty_store, tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with mlflow_log.start("train", {}, tmp_path):
        pass
    with sqlite3.connect(tmp_path / "mlflow.db") as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputError, match="database is locked") as told:
            mlflow_log.start("train", {}, tmp_path)
        holder.rollback()
    assert "\n" not in str(told.value)
    assert "close what holds it" in str(told.value)


@pytest.mark.slow
def test_a_full_disk_is_told_and_loses_no_number(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_store, tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    note = tmp_path / "note.txt"
    note.write_text("x" * 100_000)
    run = mlflow_log.start("train", {}, tmp_path)
    with small_disk(tmp_path / "mlruns"):
        with pytest.raises(OSError, match="No space left on device"):
            run.artifact(note)
        run.numbers({"loss": 1.0}, 1)
        run.fail()
    assert mlflow.MlflowClient(store.uri(tmp_path)).get_run(run.id).data.metrics["loss"] == 1.0


@pytest.mark.slow
def test_a_server_that_goes_away_stops_no_training_and_loses_nothing(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port, backend = free_port(), f"sqlite:///{shutil.copy(empty_store, tmp_path / 'team.db')}"
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"weights")
    with serving(backend, tmp_path / "artifacts", port) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        run = mlflow_log.start("train", {"lr": 1e-3}, tmp_path)
        run.numbers({"loss": 3.0}, 1)
    for epoch in (2, 3):
        run.numbers({"loss": 3.0 / epoch}, epoch)
    run.figure("curve", Figure())
    run.model("syncnet", model, "base")
    run.finish()
    kept = tmp_path / "mlruns" / ".waiting" / run.id
    assert len(list(kept.glob("[0-9]*"))) == 5
    assert capsys.readouterr().err.count("is not taken") == 1

    with serving(backend, tmp_path / "artifacts", port):
        mlflow_log.start("retrain", {}, tmp_path).finish()
        client = mlflow.MlflowClient(address)
        stored = client.get_run(run.id)
        assert stored.info.status == "FINISHED"
        assert [metric.value for metric in client.get_metric_history(run.id, "loss")] == [3.0, 1.5, 1.0]
        assert {artifact.path for artifact in client.list_artifacts(run.id)} == {"figures", "model"}
        assert mlflow.MlflowClient(address, address).get_model_version_by_alias("syncnet", "base").run_id == run.id
    assert not kept.exists()


@pytest.mark.slow
@pytest.mark.skipif(POSTGRES is None, reason="PostgreSQL (the Debian package postgresql) is not on this machine")
def test_two_writers_at_a_teams_server_with_postgresql(tmp_path: Path) -> None:
    assert POSTGRES
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    folder = (
        Path("/tmp") / f"syncnet-pg-{os.getpid()}"
    )  # PostgreSQL's sockets need a short path that its user may enter
    folder.mkdir()
    if user:
        shutil.chown(folder, "postgres", "postgres")
    port = free_port()
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
    try:
        for command in (
            ["initdb", "-D", "data", "--auth=trust", "-U", "team"],
            ["pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start"],
            ["createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "team", "runs"],
        ):
            subprocess.run([*user, POSTGRES / command[0], *command[1:]], cwd=folder, check=True, capture_output=True)
        writing = (
            "import sys; from pathlib import Path; from syncnet_lib.experiment import mlflow_log\n"
            "with mlflow_log.start('train', {'lr': 1e-3}, Path.cwd()) as run:\n"
            "    for step in range(20): run.numbers({'loss': 1 / (step + 1), 'who': int(sys.argv[1])}, step)\n"
            "    run.model('syncnet', Path(sys.argv[2]), 'base')\n"
        )
        models = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
        for model in models:
            model.write_text(model.name)
        backend = f"postgresql+psycopg2://team@127.0.0.1:{port}/runs"
        with serving(backend, tmp_path / "artifacts", free_port()) as address:
            environment = {**os.environ, "MLFLOW_TRACKING_URI": address}
            writers = [
                subprocess.Popen([sys.executable, "-c", writing, str(at), str(model)], cwd=tmp_path, env=environment)
                for at, model in enumerate(models)
            ]
            assert [writer.wait() for writer in writers] == [0, 0]
            client = mlflow.MlflowClient(address, address)
            (experiment,) = [found for found in client.search_experiments() if found.name == mlflow_log.EXPERIMENT]
            runs = client.search_runs([experiment.experiment_id])
            assert {run.data.metrics["who"] for run in runs} == {0.0, 1.0}
            assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
            assert all(len(client.get_metric_history(run.info.run_id, "loss")) == 20 for run in runs)
            versions = client.search_model_versions("name = 'syncnet'")
            assert sorted(version.version for version in versions) == ["1", "2"]
            assert len(list((tmp_path / "artifacts").rglob("*.safetensors"))) == 2
            with ThreadPoolExecutor(2) as pool:
                for alias in (f"first-{at}" for at in range(20)):  # neither finds the alias there
                    set(pool.map(lambda version, alias=alias: registry.point(client, version, alias), versions))
                    assert client.get_model_version_by_alias("syncnet", alias).version in ("1", "2")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("MLFLOW_TRACKING_URI", address)
                assert registry.promote("syncnet", models[0], "champion", 0.9, "data", tmp_path)
    finally:
        stop = [*user, POSTGRES / "pg_ctl", "-D", "data", "-m", "immediate", "stop"]
        subprocess.run(stop, cwd=folder, check=False, capture_output=True)
        shutil.rmtree(folder)


def test_what_is_kept_is_delivered_in_order_with_its_files(tmp_path: Path) -> None:
    taken: list[object] = []
    answers = False

    def send(record: object, file: Path | None) -> None:
        if not answers:
            raise Undelivered("no")
        taken.append((record, file and sorted(path.name for path in file.rglob("*")) if file else None))

    outbox = Outbox(tmp_path / "waiting" / "run", send)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_text("a")
    outbox.post({"n": 1})
    outbox.post({"n": 2}, tmp_path / "folder")
    (tmp_path / "folder" / "a").unlink()
    assert taken == []
    answers = True
    outbox.post({"n": 3})
    assert taken == [({"n": 1}, None), ({"n": 2}, ["a"]), ({"n": 3}, None)]
    assert not outbox.folder.exists()
