"""parallel and prefetch: results, failures and killed workers, with real processes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from syncnet_lib import cli, parallel, prefetch
from syncnet_lib.errors import InputError
from tests.conftest import ROOT


def _square(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def _threads(_: int) -> str:
    return os.environ["OMP_NUM_THREADS"]


def _meet(folder: str) -> int:
    """Done when two processes have come, however long one of them takes to start."""
    Path(folder, str(os.getpid())).touch()
    until = time.monotonic() + 300
    while len(os.listdir(folder)) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    return os.getpid()


@pytest.mark.parametrize("quiet", [False, True])
def test_who_asks_for_quiet_sees_no_bar(
    quiet: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    arguments = ["--quiet"] if quiet else []
    assert CliRunner().invoke(cli.app, [*arguments, "convert", "no such file", "out"]).exit_code == 2
    assert list(parallel.run(str, [1], workers=0, describe="work")) == [(1, "1")]
    assert ("work: 100%" in capsys.readouterr().err) != quiet


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_every_item_comes_back_once_with_its_own_outcome(workers: int) -> None:
    items = [0, 1, 2, 3, 4] + ([5] if workers else []) + list(range(6, 10))
    outcome = dict(parallel.run(_square, items, workers=workers, progress=False))
    assert sorted(outcome) == items
    for number, result in outcome.items():
        if number == 3:
            assert isinstance(result, ValueError)
            assert str(result) == "three"
        elif number == 5:
            assert isinstance(result, parallel.WorkerLost)
        else:
            assert result == number * number


@pytest.mark.slow
def test_work_is_done_in_the_asked_number_of_other_processes(tmp_path: Path) -> None:
    pids = {pid for _, pid in parallel.run(_meet, [str(tmp_path)] * 6, workers=2, progress=False)}
    assert len(pids) == 2
    assert os.getpid() not in pids


@given(workers=st.integers(1, 64), share=st.integers(1, 2**33), free=st.none() | st.integers(0, 2**40))
def test_no_more_workers_than_memory_carries(workers: int, share: int, free: int | None) -> None:
    used, note = parallel.carried(workers, share, free)
    assert 1 <= used <= workers
    assert used == 1 or free is None or used * share <= free
    assert bool(note) == (used < workers or workers > parallel.cores())
    assert "\n" not in note


def test_more_workers_than_cores_are_told(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 1)
    found = dict(parallel.run(_threads, range(2), workers=2, progress=False))
    assert found == dict.fromkeys(range(2), os.environ["OMP_NUM_THREADS"]), "what the user has set stays"
    note = "note: 2 workers: more than the 1 that this machine has cores for are no faster\n"
    assert capfd.readouterr().err == note


def test_the_bar_tells_how_many_workers_there_are(capfd: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 3)
    assert dict(parallel.run(_square, [1], workers=3, describe="squares", share=3 * 2**29)) == {1: 1}
    assert "squares, 1 worker on 3 cores, up to 1.5 GiB each: 100%" in capfd.readouterr().err


def test_free_memory_is_part_of_the_machines() -> None:
    free = parallel.free_memory()
    assert free is None or 0 <= free <= 2**50


def test_nothing_to_do() -> None:
    assert list(parallel.run(_square, [], workers=2)) == []


@pytest.mark.slow
def test_leaving_early_stops_the_workers() -> None:
    start = time.monotonic()
    for _ in parallel.run(time.sleep, [0.01, 600, 600], workers=2, progress=False):
        break
    assert time.monotonic() - start < 300


@pytest.mark.slow
def test_only_an_item_that_takes_too_long_is_given_up() -> None:
    outcome = dict(
        parallel.run(
            time.sleep, [60, 0.01, 0.02], workers=1, progress=False, time_limit=lambda seconds: 2 + seconds / 60
        )
    )
    assert isinstance(outcome.pop(60), TimeoutError)
    assert outcome == {0.01: None, 0.02: None}


def _end_with(code: int) -> None:
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


@pytest.mark.slow
def test_a_lost_process_says_how_it_ended() -> None:
    outcome = dict(parallel.run(_end_with, [parallel.TIMED_OUT, 3, -signal.SIGSEGV], workers=1, progress=False))
    assert isinstance(outcome[parallel.TIMED_OUT], TimeoutError)
    assert str(outcome[3]) == "the process that works on it died"
    assert str(outcome[-signal.SIGSEGV]) == "the process that works on it was ended by SIGSEGV"


def _hang(seconds: float) -> None:
    with parallel.ended_after(seconds):
        threading.Event().wait(60)


@pytest.mark.slow
def test_work_that_hangs_ends_its_process() -> None:
    ((_, outcome),) = parallel.run(_hang, [0.5], workers=1, progress=False)
    assert isinstance(outcome, TimeoutError)
    with parallel.ended_after(0.01):
        time.sleep(0.1)  # this process is nobody's worker


def _tell_and_sleep(file: str) -> None:
    Path(file).write_text(str(os.getpid()))
    time.sleep(600)


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent(tmp_path: Path, end: signal.Signals) -> None:
    told = [str(tmp_path / name) for name in "ab"]
    script = (
        "import tests.test_parallel as t\n"
        "if __name__ == '__main__':\n"
        f"    list(t.parallel.run(t._tell_and_sleep, {told!r}, workers=2, progress=False))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        until = time.monotonic() + 300
        while not all(Path(file).exists() and Path(file).read_text() for file in told) and time.monotonic() < until:
            time.sleep(0.05)
        if end == signal.SIGINT:
            os.killpg(parent.pid, end)  # Ctrl-C reaches the workers as well
        else:
            parent.send_signal(end)
        _, errors = parent.communicate(timeout=300)
    assert all(_gone(int(Path(file).read_text())) for file in told)
    assert errors.count("KeyboardInterrupt") == (end == signal.SIGINT)


def test_dask_is_not_needed_without_a_scheduler() -> None:
    script = (
        "import sys; sys.modules['dask'] = sys.modules['distributed'] = None\n"
        "from syncnet_lib import parallel\n"
        "if __name__ == '__main__':\n"
        "    print(sorted(parallel.run(abs, [-1, -2], workers=2, progress=False)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[(-2, 2), (-1, 1)]\n", "")


def test_cores_where_the_system_knows_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parallel.cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    assert parallel.cores() == os.cpu_count()


def _slow_pid(number: int) -> tuple[int, int]:
    time.sleep(0.3)
    return number, os.getpid()


@pytest.mark.slow
def test_a_cluster_by_its_address_survives_the_loss_of_a_worker(tmp_path: Path) -> None:
    """A real scheduler and two worker processes; one of them is killed in the middle."""
    from distributed import Client

    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
    }
    address_file = tmp_path / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--scheduler-file", str(address_file)]
    common = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    processes = [subprocess.Popen([*command, "--port", "0", "--no-dashboard"], **common)]
    try:
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(address_file)]
        worker += ["--nthreads", "1", "--no-nanny", "--no-dashboard"]
        processes += [subprocess.Popen(worker, **common) for _ in range(2)]
        until = time.monotonic() + 300
        while not (address_file.exists() and address_file.read_text().endswith("}")) and time.monotonic() < until:
            time.sleep(0.1)
        address = json.loads(address_file.read_text())["address"]
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=300)
        results = {}
        for item, result in parallel.run(_slow_pid, range(12), workers=0, scheduler=address, progress=False):
            results[item] = result
            if len(results) >= 4 and processes[1].pid in {result[1] for result in results.values()}:
                processes[1].send_signal(signal.SIGKILL)
        assert sorted(results) == list(range(12))
        answers = [result for result in results.values() if isinstance(result, tuple)]
        assert sorted(item for item, _ in answers) == list(range(12))
        assert {pid for _, pid in answers} == {process.pid for process in processes[1:]}
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _numbers(count: int, last: str) -> Iterator[int]:
    yield from range(count)
    if last == "wrong":
        raise InputError("numbers", "no more", "count again")
    if last == "killed":
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_items_of_another_process_come_in_their_order() -> None:
    assert list(prefetch.Apart(_numbers, 100, "fine", count=3)) == list(range(100))


@pytest.mark.slow
def test_what_ends_the_other_process_is_raised_here() -> None:
    for last, expected in (("wrong", InputError), ("killed", parallel.WorkerLost)):
        items = prefetch.Apart(_numbers, 2, last, count=3)
        assert [next(items), next(items)] == [0, 1]
        with pytest.raises(expected):
            next(items)


def _endless() -> Iterator[int]:
    while True:
        time.sleep(0.01)
        yield os.getpid()


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        state = Path("/proc", str(pid), "stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
def test_the_other_process_ends_with_its_consumer() -> None:
    items = prefetch.Apart(_endless, count=3)
    pid = next(items)
    items.close()
    assert _gone(pid)
    assert next(items, None) is None
    script = (
        "import os, signal, tests.test_parallel; from syncnet_lib import prefetch\n"
        "if __name__ == '__main__':\n"
        "    print(next(prefetch.Apart(tests.test_parallel._endless, count=3)), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    assert _gone(int(done.stdout))
