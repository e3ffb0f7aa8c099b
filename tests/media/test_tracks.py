"""tracks: the packets of a file by their bytes and times, and copies whose times are not those wanted."""

import hashlib
from fractions import Fraction
from math import nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncnet_lib.errors import InputError
from syncnet_lib.media import tracks
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.correction import Cure, Piece
from tests import clockclip, scenes

SHIFT = Cure.shift(Fraction(1, 5))
EDIT = Cure((Piece(Fraction(0), Fraction(0)), Piece(Fraction(1), Fraction(1, 5))))
OUT = Path("out.mp4")


def track(kind: str, times: list[float]) -> tracks.Track:
    made = tracks.Track(kind)
    made.times.extend(times)
    return made


def test_a_file_is_read_as_it_is(tmp_path):
    path = tmp_path / "clip.mkv"
    clockclip.make(path, clockclip.picture_times(Fraction(FPS), 2), flashes=[0.5], beeps=[0.7], seconds=2)
    shown, heard = tracks.read(path)
    assert (shown.kind, heard.kind) == ("video", "audio")
    for each in (shown, heard):
        stored = scenes.packet_bytes(path, each.kind)
        assert len(each.times) == len(stored)
        assert each.digest == hashlib.sha256(b"".join(stored)).hexdigest()
    assert sorted(shown.times) == pytest.approx([number / FPS for number in range(2 * FPS)], abs=tracks.ROUNDING)
    assert shown.start == pytest.approx(0, abs=tracks.ROUNDING)


@given(st.floats(-60, 60), st.floats(-0.01, 0.01).filter(lambda by: abs(abs(by) - tracks.ROUNDING) > 1e-6))
def test_times_count_from_the_first_picture_and_may_be_rounded(begin, by):
    wanted = [track("video", [0.0, 0.04, 0.08]), track("audio", [0.02, nan, 0.06])]
    found = [
        track("video", [begin, begin + 0.04, begin + 0.08]),
        track("audio", [begin + 0.02, nan, begin + 0.06 + by]),
    ]
    if abs(by) < tracks.ROUNDING:
        tracks.check(wanted, found, EDIT, OUT)
    else:
        with pytest.raises(InputError, match=r"^out\.mp4: \.mp4 files keep no such times; give an output"):
            tracks.check(wanted, found, EDIT, OUT)


def test_of_sound_in_other_packets_the_start_is_enough_where_all_is_shifted():
    pictures = track("video", [0.0, 0.04])
    wanted, found = ([pictures, track("audio", times)] for times in ([0.2, 0.22, 0.24], [0.2, 0.23]))
    tracks.check(wanted, found, SHIFT, OUT)
    with pytest.raises(InputError, match="keep no such times"):
        tracks.check(wanted, found, EDIT, OUT)
    with pytest.raises(InputError, match="keep no such times"):
        tracks.check(wanted, [pictures, track("audio", [0.3, 0.33])], SHIFT, OUT)


def test_times_that_nobody_says_are_none_that_are_kept():
    untimed = [track("video", [nan]), track("audio", [nan])]
    with pytest.raises(InputError, match="keep no such times"):
        tracks.check(untimed, untimed, SHIFT, OUT)
