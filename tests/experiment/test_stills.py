"""Frames as JPEG: those of a video on the grid, and what is not fetched."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from syncnet_lib.experiment import stills
from tests import clockclip
from tests.conftest import ROOT


def test_frames_of_a_video_are_small_and_none_is_coded_twice(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    # 12.5 pictures a second: the grid of 25 shows each twice.
    times = clockclip.picture_times(Fraction(25, 2), 2)
    lit, _ = clockclip.make(path, times, flashes=[0.8], beeps=[0.8], seconds=2, size=(400, 600))
    codes = stills.of_video(path, 10, 20)
    assert len(codes) == 20
    assert len({id(code) for code in codes}) <= 11
    frames = [cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_COLOR) for code in codes]
    assert {frame.shape for frame in frames} in ({(270, 180, 3)}, {(270, 405, 3)})
    assert 10 + next(at for at, frame in enumerate(frames) if frame.mean() > 128) == lit[0] * 25


def test_no_frame_where_the_video_is_gone_or_would_take_long(tmp_path: Path) -> None:
    assert stills.of_video(tmp_path / "gone.mp4", 0, 1) == []
    assert stills.of_video(tmp_path / "gone.mp4", stills.LOOKED_FOR, 1) == []


def test_the_page_of_the_experiment_needs_no_torch() -> None:
    """Importing it is half of what the stage `report` takes to start."""
    script = "import sys; from syncnet_lib.experiment import pages, report, stages; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
