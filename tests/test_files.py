"""Files are whole or absent, whoever else writes them at the same moment; locks; who is alive."""

import multiprocessing
import os
import subprocess
import sys
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from syncnet_lib import files
from tests.conftest import ROOT


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with files.atomic(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_replaces_a_folder(tmp_path):
    target = tmp_path / "clip"
    target.mkdir()
    (target / "old").touch()
    with files.atomic(target) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert [path.name for path in target.iterdir()] == ["new"]


def test_hash_and_json(tmp_path):
    files.write_json(tmp_path / "a" / "b.json", {"é": 1})
    assert (tmp_path / "a" / "b.json").read_text(encoding="utf-8") == '{\n  "é": 1\n}\n'
    files.write_bytes(tmp_path / "empty", b"")
    assert files.sha256(tmp_path / "empty").startswith("e3b0c442")


def _write_often(folder: Path, number: int, start: Barrier) -> None:
    start.wait()
    for _ in range(200):
        with files.atomic(folder / "clip") as temporary:
            temporary.mkdir()
            for name in ("a", "b"):
                (temporary / name).write_text(str(number))
        files.write_bytes(folder / "file.txt", str(number).encode() * 1000)
        files.link(folder / "source", folder / "link")


@pytest.mark.slow
def test_two_processes_that_make_the_same_things_at_once(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("source")
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(2)
    writers = [spawn.Process(target=_write_often, args=(tmp_path, number, start)) for number in (1, 2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip", "file.txt", "link", "source"]
    assert (tmp_path / "file.txt").read_text() in ("1" * 1000, "2" * 1000)
    assert (tmp_path / "clip" / "a").read_text() == (tmp_path / "clip" / "b").read_text()
    assert (tmp_path / "link").read_text() == "source"


def test_nested_writes_of_one_path_in_one_process_do_not_meet(tmp_path: Path) -> None:
    with files.atomic(tmp_path / "a.mp4") as one, files.atomic(tmp_path / "a.mp4") as other:
        assert one != other
        assert {one.suffix, other.suffix} == {".mp4"}
        one.write_text("one")
        other.write_text("other")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.mp4", "one")]


def test_a_link_replaces_what_was_there(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        files.link(tmp_path / name, tmp_path / "link")
        files.link(tmp_path / name, tmp_path / "link")  # a second name of the very file
        assert (tmp_path / "link").read_text() == name
        assert (tmp_path / "link").samefile(tmp_path / name)
    assert len(list(tmp_path.iterdir())) == 3


def test_only_what_dead_processes_left_is_swept(tmp_path: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    for pid in (dead.stdout.strip(), str(os.getpid()), str(os.getppid())):
        (tmp_path / f"{files.PARTIAL}{pid}-abc.npy").touch()
    files.sweep(tmp_path)
    assert not (tmp_path / f"{files.PARTIAL}{dead.stdout.strip()}-abc.npy").exists()
    for living in (os.getpid(), os.getppid()):
        assert (tmp_path / f"{files.PARTIAL}{living}-abc.npy").exists()
    assert files.process_lives(1)  # of another user, unless this is root
    assert not files.process_lives(int(dead.stdout))


def test_a_temporary_folder_goes_also_after_a_kill(tmp_path: Path, temporary: Path) -> None:
    script = (
        "import sys\n"
        "from syncnet_lib import files\n"
        "with files.scratch() as folder:\n"
        "    print(folder, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen(command, env=environment, **pipes) as living,
        subprocess.Popen(command, env=environment, **pipes) as killed,
    ):
        used, left = (Path(process.stdout.readline().strip()) for process in (living, killed))
        (left / "audio.raw").touch()
        killed.kill()
        killed.wait()
        assert set(temporary.iterdir()) == {used, left}
        with files.scratch() as own:
            assert set(temporary.iterdir()) == {used, Path(own)}
        living.communicate()
    assert list(temporary.iterdir()) == []


LOCKER = """
import sys
sys.modules["fcntl"] = None  # as on Windows
import pathlib, time
from syncnet_lib import files
folder = pathlib.Path(sys.argv[1])
with files.locked(folder / ".lock"):
    inside = folder / "inside"
    inside.touch(exist_ok=False)
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
    inside.unlink()
"""


def _locker(folder: Path, seconds: float) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", LOCKER, str(folder), str(seconds)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_a_lock_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    lockers = [_locker(tmp_path, 0.3) for _ in range(3)]
    assert [locker.wait() for locker in lockers] == [0, 0, 0]
    for locker in lockers:
        locker.communicate()


def test_a_lock_is_free_when_its_holder_is_killed(tmp_path: Path) -> None:
    with _locker(tmp_path, 600) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()
    start = time.monotonic()
    with files.locked(tmp_path / ".lock"):
        assert time.monotonic() - start < 300, "the lock ended with the sleep"
