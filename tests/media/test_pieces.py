"""pieces: files that are cut off, joined or in fragments, and what their index says."""

from fractions import Fraction
from pathlib import Path

import pytest

from syncnet_lib.errors import InputError
from syncnet_lib.media import decode
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.pieces import appended_boxes, boxes, fragmented, index_first
from syncnet_lib.media.report import Report
from syncnet_lib.media.restart import running_clock
from tests import clockclip


def clip(path: Path, flags: str = "") -> Path:
    header = {"movflags": flags} if flags else None
    clockclip.make(path, clockclip.picture_times(Fraction(FPS), 3.0), header=header)
    return path


def read(path: Path) -> Report:
    report = Report()
    assert sum(1 for _ in decode.pictures(path, report=report)) == report.used
    return report


def test_where_the_index_lies(tmp_path: Path) -> None:
    first, last = clip(tmp_path / "first.mp4", "faststart"), clip(tmp_path / "last.mov")
    assert (index_first(first), index_first(last)) == (True, False)
    pieces = clip(tmp_path / "pieces.mp4", "frag_keyframe+empty_moov")
    assert [fragmented(path) for path in (first, last, pieces)] == [False, False, True]
    assert running_clock(first).packets[0] == running_clock(pieces).packets[0] == 75
    (tmp_path / "none.mp4").write_bytes(b"\xff" * 100)
    assert not list(boxes(tmp_path / "none.mp4"))


@pytest.mark.parametrize("share", [0.9, 0.5])
def test_a_download_that_broke_off_says_what_is_missing(tmp_path: Path, share: float) -> None:
    whole = clip(tmp_path / "whole.mp4", "faststart")
    data = whole.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: round(share * len(data))])
    report = read(tmp_path / "cut.mp4")
    assert report.pictures == 75
    assert report.used < 75
    assert any("of its 75 pictures are missing at the end" in text for text in report.texts)
    assert not read(whole).notes


@pytest.mark.parametrize("flags", ["", "frag_keyframe+empty_moov+default_base_moof"])
def test_a_second_file_that_is_joined_is_named(tmp_path: Path, flags: str) -> None:
    one, two = clip(tmp_path / "one.mp4", flags), clip(tmp_path / "two.mp4", flags)
    (tmp_path / "joined.mp4").write_bytes(one.read_bytes() + two.read_bytes())
    assert appended_boxes(one) is None
    assert appended_boxes(tmp_path / "joined.mp4") == one.stat().st_size
    report = Report()
    assert sum(1 for _ in decode.pictures(tmp_path / "joined.mp4", report=report)) >= 75
    assert report.used >= 75
    assert f"from byte {one.stat().st_size} on" in report.texts[-1]


@pytest.mark.parametrize(("suffix", "video", "sound"), [("ogg", "libvpx", "libopus"), ("flv", "flv1", "aac")])
def test_what_cannot_be_read_on_where_it_is_joined_is_refused(
    tmp_path: Path, suffix: str, video: str, sound: str
) -> None:
    one = tmp_path / f"one.{suffix}"
    times = clockclip.picture_times(Fraction(FPS), 3.0)
    rate = 48_000 if sound == "libopus" else 44_100
    clockclip.make(one, times, video_codec=video, audio_codec=sound, rate=rate, video_base=Fraction(1, FPS))
    assert read(one).used == 75
    (tmp_path / f"joined.{suffix}").write_bytes(one.read_bytes() * 2)
    size = one.stat().st_size
    with pytest.raises(InputError, match=rf"at byte {size}, where reading cannot go on; .*head -c {size} FILE"):
        read(tmp_path / f"joined.{suffix}")
