"""Single videos and batches: crashes, hangs, interrupts and odd names cost the one file, or one line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from syncnet_lib import prefetch
from syncnet_lib.errors import InputError
from syncnet_lib.measurement import batch
from syncnet_lib.measurement.journal import Journal
from syncnet_lib.measurement.result import Failure, Result
from syncnet_lib.measurement.settings import WatchSettings
from tests.conftest import ROOT


def outcome(path: Path, checkpoint: Path, **options: object) -> Result | Failure:
    with Journal(None) as journal:
        settings = batch.Options(str(checkpoint), "cpu", 15, None, cropped=False)
        (found,) = batch.run([path], settings, None, journal)
    return found


def test_a_process_that_dies_is_that_files_failure(talkers, monkeypatch):
    """As a decoder that crashes in native code would end it."""
    started = prefetch.Apart.__init__

    def start_and_kill(self, *arguments: object, count: int) -> None:
        started(self, *arguments, count=count)
        os.kill(self._process.pid, signal.SIGSEGV)

    monkeypatch.setattr(prefetch.Apart, "__init__", start_and_kill)
    found = outcome(talkers / "videos" / "s000_00000.mp4", talkers / "model.safetensors")
    assert isinstance(found, Failure)
    assert "ended by SIGSEGV" in found.error
    assert "convert the file" in found.cure


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_file_that_never_ends_is_given_up(tmp_path):
    """Nobody writes into this pipe, so that opening it hangs in native code."""
    pipe = tmp_path / "endless.mp4"
    os.mkfifo(pipe)
    began = time.monotonic()
    events = prefetch.Apart(batch._decode, pipe, "mouth", False, 15, WatchSettings(), False, 2.0, count=1)
    with pytest.raises(TimeoutError):
        next(events)
    events.close()
    assert time.monotonic() - began < 60


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["offset", "a.mp4"],
        ["offset", "a.mp4", "b.mp4"],
        ["offset", "a.mp4", "--reference", "sitecustomize.py"],
        ["correct", "a.mp4", "c.mp4", "--offset", "2"],
        ["render", "a.mp4", "c.mp4"],
    ],
    ids=lambda command: " ".join(command[:3]),
)
def test_a_crash_in_native_code_is_one_line(command, tmp_path):
    """Each process that is started for a video ends when it opens one, as by a crash in a decoder."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "if '--multiprocessing-fork' in sys.orig_argv:\n"
        "    import av\n"
        "    av.open = lambda *_, **__: os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"not looked at")
    done = subprocess.run(
        [sys.executable, "-m", "syncnet_lib", *command], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == command.count("a.mp4") + command.count("b.mp4")
    assert all("ended by SIGSEGV; its decoder crashed" in error for error in errors)
    assert "Traceback" not in done.stderr
    left = {path.name for path in tmp_path.iterdir()} - {"sitecustomize.py", "__pycache__"}
    assert left == {"a.mp4", "b.mp4"}


def test_names_of_any_kind(talkers, tmp_path):
    """One odd name costs no batch its output: bytes that are no UTF-8, a dash in front, a new line."""
    source = talkers / "videos" / "s000_00000.mp4"
    names = [b"caf\xe9.mp4", b"-dash.mp4", b"two\nlines.mp4"]
    for name in names:
        shutil.copy(source, os.fsencode(tmp_path) + b"/" + name)
    done = subprocess.run(
        [sys.executable, "-m", "syncnet_lib", "offset", *sorted(names), "--json", "out.json", "--csv", "out.csv",
         "--checkpoint", str(talkers / "model.safetensors"), "--workers", "1"],
        cwd=tmp_path, capture_output=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2, "the talkers' model has no threshold, so that nothing is sure"
    assert b"error" not in done.stderr
    found = [json.loads(line)["path"] for line in (tmp_path / "out.json").read_text().splitlines()]
    assert found == ["-dash.mp4", r"caf\xe9.mp4", "two\nlines.mp4"]
    assert rb"caf\xe9.mp4" in done.stdout


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks at /proc for the moment torch is loaded")
def test_ctrl_c_while_torch_is_imported_is_one_line(talkers):
    process = subprocess.Popen(
        [sys.executable, "-m", "syncnet_lib", "offset", str(talkers / "videos" / "s000_00000.mp4"), "--device", "cuda"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    maps = Path(f"/proc/{process.pid}/maps")
    deadline = time.monotonic() + 60
    while b"libtorch" not in maps.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"stopped\n")


def test_what_else_is_at_fault_is_named_beside_the_video():
    assert str(batch.failure("talk.mp4", InputError("talk.mp4", "no face"))) == "talk.mp4: no face"
    assert str(batch.failure("talk.mp4", InputError("dub.wav", "no sound"))) == "talk.mp4: dub.wav: no sound"
    assert (
        str(batch.failure("talk.mp4", InputError("--end", "is early", "later"))) == "talk.mp4: --end: is early; later"
    )
