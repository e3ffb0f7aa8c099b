"""Unexpected exceptions as the one line that a user reads."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from syncnet_lib.errors import InputError
from syncnet_lib.failures import explained, writing
from syncnet_lib.parallel import WorkerLost
from tests.conftest import ROOT

LINKER = "cannot open shared object file: No such file or directory"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InputError("a.mp4", "no sound", "give another"), "a.mp4: no sound; give another"),
        (
            ImportError(f"libGL.so.1: {LINKER}"),
            "x: this system has no usable libGL.so.1; install it: apt-get install libgl1",
        ),
        (ImportError("/lib/x/libGL.so.1: file too short"), "no usable libGL.so.1; install it: apt-get install libgl1"),
        (ImportError(f"libfoo.so.2: {LINKER}"), "install it: apt-get install the package that has it"),
        (WorkerLost("the process died"), "x: the process died; its decoder crashed, or memory ran out"),
        (TimeoutError(), "x: takes longer than its time limit"),
        (MemoryError(), "x: memory ran out"),
        (OSError(errno.ENOSPC, "No space left on device"), "x: no space is left on the device; free some"),
        (KeyError("y"), "x: unexpected KeyError: 'y'; write --debug"),
        (AttributeError(), "x: unexpected AttributeError; write --debug"),
    ],
)
def test_any_exception_is_one_line_with_a_cure(error: Exception, said: str) -> None:
    told = explained(error, "x")
    assert said in str(told)
    assert told.cure
    assert "\n" not in str(told)


@pytest.mark.slow
def test_a_system_without_libgl_gets_one_line(tmp_path: Path) -> None:
    """A library that cannot be loaded stands in front of the real OpenCV."""
    (tmp_path / "cv2.py").write_text(f'raise ImportError("libGL.so.1: {LINKER}")\n')
    (tmp_path / "a.mp4").write_bytes(b"not looked at")
    done = subprocess.run(
        [sys.executable, "-m", "syncnet_lib", "offset", tmp_path / "a.mp4"],
        cwd=ROOT, capture_output=True, text=True, check=False, env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.endswith("this system has no usable libGL.so.1; install it: apt-get install libgl1\n")
    assert len(done.stderr.splitlines()) == 1


def test_what_cannot_be_written_to_a_full_disk_is_named(tmp_path):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no disk that is always full")
    target = tmp_path / "out.csv"
    with pytest.raises(InputError, match=rf"{target}: no space is left on the device; free some"), writing(target):
        full.write_bytes(b"x")
    with pytest.raises(FileNotFoundError), writing(target):
        target.read_bytes()
