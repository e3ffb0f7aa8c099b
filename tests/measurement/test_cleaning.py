"""A folder sorted into kept, corrected and rejected: with known truth, after a kill, and what cannot be cleaned."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest

from syncnet_lib.dataset import sources
from syncnet_lib.errors import InputError
from syncnet_lib.measurement import cleaning
from syncnet_lib.measurement.batch import Options
from syncnet_lib.media import retime
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.correction import Cure
from tests.conftest import ROOT

OPTIONS = Options("small", "cpu", 15, None, cropped=False)


@pytest.fixture(scope="module")
def folder(real_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of a talker that the shipped network knows: one as it is, one late, and a broken one."""
    made = tmp_path_factory.mktemp("videos")
    clips = sorted((real_clips / "grid_s1").iterdir())[:2]
    (made / "deep").mkdir()
    shutil.copy(clips[0], made / "fine.mp4")
    retime.retime(clips[1], made / "deep" / "late.mp4", Cure.shift(Fraction(7, FPS)))
    (made / "broken.mp4").write_text("no video")
    return made


def table(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def start(folder: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "syncnet_lib", "clean", str(folder), str(out), "--workers", "1", "--device", "cpu"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_kept_corrected_and_rejected_also_after_a_kill(folder, tmp_path):
    out = tmp_path / "cleaned"
    before = {path: path.read_bytes() for path in folder.rglob("*.mp4")}
    killed = start(folder, out)
    deadline = time.monotonic() + 300
    while killed.poll() is None and time.monotonic() < deadline:
        if (out / ".kept.csv.journal").exists() and (out / ".kept.csv.journal").stat().st_size > 100:
            break
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (out / "kept.csv").exists()
    printed, err = start(folder, out).communicate(timeout=600)
    assert b"1 kept as they are" in printed, err
    assert b"1 rejected (1 cannot be measured), each with the reason" in printed
    kept, rejected = table(out / "kept.csv"), table(out / "rejected.csv")
    assert {name: row["file"] for name, row in kept.items()} == {
        "fine.mp4": "kept/fine.mp4",
        os.path.join("deep", "late.mp4"): "corrected/deep/late.mp4",
    }
    assert float(kept["deep/late.mp4"]["moved_ms"]) == pytest.approx(-280, abs=40)
    assert abs(float(kept["deep/late.mp4"]["now_ms"])) < 10
    assert list(rejected) == ["broken.mp4"]
    assert rejected["broken.mp4"]["kind"] == "cannot be measured"
    assert rejected["broken.mp4"]["reason"].endswith("give a video that a player shows")
    assert {path: path.read_bytes() for path in folder.rglob("*.mp4")} == before
    assert sorted(path.name for path in out.iterdir()) == ["corrected", "kept", "kept.csv", "rejected.csv"]
    videos, _ = sources.scan(out, progress=False)
    assert sorted(videos["path"]) == ["corrected/deep/late.mp4", "kept/fine.mp4"]
    with pytest.raises(InputError, match="is finished already"):
        cleaning.clean(folder, out, OPTIONS, 1, 0)


def test_copies_of_an_interrupted_run_are_written_anew(folder, tmp_path):
    """An original, or a setting, may have changed since."""
    (tmp_path / "videos").mkdir()
    shutil.copy(folder / "deep" / "late.mp4", tmp_path / "videos" / "late.mp4")
    stale = tmp_path / "out" / "corrected" / "late.mp4"
    stale.parent.mkdir(parents=True)
    stale.write_text("half a copy, or one of another file")
    (tmp_path / "out" / ".kept.csv.journal").write_text("")
    assert cleaning.clean(tmp_path / "videos", tmp_path / "out", OPTIONS, 1, 1) == cleaning.Counts(0, 1, {})
    assert abs(float(table(tmp_path / "out" / "kept.csv")["late.mp4"]["now_ms"])) < 10


def test_what_cannot_be_cleaned_is_one_line(tmp_path):
    (tmp_path / "videos").mkdir()
    for folder, out, cause in (
        ("nowhere", "out", "is no folder"),
        ("videos", "out", "no video in this folder"),
    ):
        with pytest.raises(InputError, match=cause):
            cleaning.clean(tmp_path / folder, tmp_path / out, OPTIONS, 1, 0)
    (tmp_path / "videos" / "a.mp4").write_text("")
    with pytest.raises(InputError, match="lies within the folder"):
        cleaning.clean(tmp_path / "videos", tmp_path / "videos" / "out", OPTIONS, 1, 0)
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="exists already"):
        cleaning.clean(tmp_path / "videos", tmp_path / "mine", OPTIONS, 1, 0)
