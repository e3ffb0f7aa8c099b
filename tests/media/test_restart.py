"""restart and report: clocks that start over, wrap, pause or stray, and files that are damaged in places."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from syncnet_lib.errors import InputError
from syncnet_lib.media import decode
from syncnet_lib.media.audio import audio_blocks, read_audio
from syncnet_lib.media.clock import FPS, SAMPLE_RATE
from syncnet_lib.media.report import Report
from syncnet_lib.media.restart import running_clock
from tests import clockclip

pytestmark = pytest.mark.slow

PACKET = 188
"""Bytes of a packet of MPEG-TS."""
VIDEO_PID, AUDIO_PID = 0x100, 0x101
FLASHES, BEEPS = (Fraction(13, 25), Fraction(33, 25), Fraction(55, 25)), (0.64, 1.44, 2.32)
SLACK = 0.001 + 0.5 / FPS


def _piece(path: Path, late: float = 0.0) -> Path:
    """Three seconds of MPEG-TS; the sound may be late."""
    beeps = [beep + late for beep in BEEPS]
    times = clockclip.picture_times(Fraction(FPS), 3.0)
    clockclip.make(path, times, audio_codec="mp2", rate=48_000, flashes=FLASHES, beeps=beeps, seconds=3.0 + late)
    return path


def _joined(path: Path, *pieces: Path) -> Path:
    path.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    return path


def _read(path: Path) -> tuple[float, float, Report]:
    """Seconds of pictures and of sound, and what was met."""
    report, heard = Report(), Report()
    pictures = sum(1 for _ in decode.pictures(path, report=report))
    samples = sum(map(len, audio_blocks(path, report=heard)))
    report.add(heard)
    return pictures / FPS, samples / SAMPLE_RATE, report


@pytest.mark.parametrize("late", [0.0, 0.4])
def test_joined_recordings_are_one(tmp_path: Path, late: float) -> None:
    one, two = _piece(tmp_path / "one.ts"), _piece(tmp_path / "two.ts", late)
    path = _joined(tmp_path / "joined.ts", one, two, one)
    pictures, sound, report = _read(path)
    assert pictures == pytest.approx(9, abs=late + 0.1)
    assert sound == pytest.approx(9, abs=late + 0.2)
    assert (report.pictures, report.used) == (225, 225)
    assert [note.time for note in report.notes] == pytest.approx([3, 6], abs=late + 0.1)
    assert all("starts over" in note.text for note in report.notes)
    distances = [0.12] * 3 + [0.12 + late] * 3 + [0.12] * 3
    brightness = [float(picture.mean()) for picture in decode.read_frames(path)]
    seen = [k / FPS for k in clockclip.flash_frames(np.array(brightness))]
    heard = clockclip.chirp_times(read_audio(path), 9)
    assert [h - s for h, s in zip(heard, seen, strict=True)] == pytest.approx(distances, abs=0.021 if late else 0.002)


@pytest.mark.parametrize("hours", [-20.0, 0.5, 10.0, 26.5 - 1 / 3600])
def test_a_recording_may_go_on_at_any_time(tmp_path: Path, hours: float) -> None:
    """The second piece has a clock of its own, which may wrap in its middle: 2^33 ticks of 1/90,000 s are 26.51 h."""
    first, later = _piece(tmp_path / "first.ts"), _piece(tmp_path / "later.ts")
    frames = round(abs(hours) * 3600 * FPS)
    clockclip.remux(first if hours < 0 else later, tmp_path / "moved.ts", frames, frames)
    pieces = [tmp_path / "moved.ts", later] if hours < 0 else [first, tmp_path / "moved.ts"]
    path = _joined(tmp_path / "joined.ts", *pieces)
    pictures, sound, report = _read(path)
    assert (report.pictures, report.used) == (150, 150)
    assert pictures == pytest.approx(6, abs=0.1)
    assert sound == pytest.approx(6, abs=0.2)


@pytest.mark.parametrize("before", [1.0, 100.0])
def test_a_clock_that_wraps_runs_on(tmp_path: Path, before: float) -> None:
    """It wraps a second after the beginning, where libav sees to it, and long after."""
    source = tmp_path / "clip.ts"
    seconds = before + 2
    clockclip.make(
        source, clockclip.picture_times(Fraction(5), seconds), seconds=seconds, audio_codec="mp2", rate=48_000
    )
    frames = round((2**33 / 90_000 - before) * FPS)
    clockclip.remux(source, tmp_path / "wrapped.ts", frames, frames)
    pictures, sound, _ = _read(tmp_path / "wrapped.ts")
    assert pictures == pytest.approx(seconds, abs=0.25)
    assert sound == pytest.approx(seconds, abs=0.25)


def test_a_clock_that_starts_over_in_one_stream_only_is_refused(tmp_path: Path) -> None:
    one, two = _piece(tmp_path / "one.ts"), _piece(tmp_path / "two.ts")
    clockclip.remux(two, tmp_path / "apart.ts", 0, 3 * FPS)  # its sound goes on where that of the first ends
    path = _joined(tmp_path / "joined.ts", one, tmp_path / "apart.ts")
    with pytest.raises(InputError, match=r"the clock of its video starts over at 3\.0\d s"):
        _read(path)


def test_sound_that_begins_minutes_into_the_file_is_found(tmp_path: Path) -> None:
    """What libav looks at to learn of the streams are the first 5 s of MPEG-TS."""
    with av.open(str(tmp_path / "silent.ts"), "w") as out:
        video = out.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        for number in range(20 * FPS):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 20, np.uint8), format="rgb24")
            frame.pts = number
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    path = _joined(tmp_path / "joined.ts", tmp_path / "silent.ts", _piece(tmp_path / "talk.ts"))
    pictures, sound, report = _read(path)
    assert pictures == pytest.approx(23, abs=0.1)
    assert sound == pytest.approx(23, abs=0.2)
    assert report.pictures == 23 * FPS
    times = clockclip.chirp_times(read_audio(path), 3)
    assert times == pytest.approx([20 + beep for beep in BEEPS], abs=0.1)


@pytest.mark.parametrize(("suffix", "video", "sound"), [("mpg", "mpeg2video", "mp2"), ("mkv", "libvpx", "flac")])
def test_other_containers_that_are_joined(tmp_path: Path, suffix: str, video: str, sound: str) -> None:
    one = tmp_path / f"one.{suffix}"
    clockclip.make(
        one, clockclip.picture_times(Fraction(FPS), 3.0), video_codec=video, audio_codec=sound, rate=48_000,
        size=(320, 240), video_base=Fraction(1, FPS), flashes=FLASHES, beeps=BEEPS,
    )  # fmt: skip
    path = _joined(tmp_path / f"joined.{suffix}", one, one)
    pictures, seconds, report = _read(path)
    assert pictures == pytest.approx(6, abs=0.15)
    assert seconds == pytest.approx(6, abs=0.2)
    assert report.used == 150
    assert any("starts over" in text for text in report.texts)
    truth = [[*times, *(3 + time for time in times)] for times in (FLASHES, BEEPS)]
    assert max(map(abs, clockclip.errors(path, *truth))) <= SLACK


def test_pictures_whose_times_are_taken_are_counted(tmp_path: Path) -> None:
    """A clock that goes back by less than a second may be an order of packets, and is no restart."""
    short, whole = tmp_path / "short.ts", _piece(tmp_path / "whole.ts")
    times = clockclip.picture_times(Fraction(FPS), 0.6)
    clockclip.make(short, times, flashes=(), beeps=(), seconds=0.6, audio_codec="mp2", rate=48_000)
    report = Report()
    list(decode.pictures(_joined(tmp_path / "joined.ts", short, whole), report=report))
    assert report.pictures == 90
    assert report.used == 75
    assert report.texts == ["15 pictures have times at which others are shown: left out"]


def _changed(path: Path, out: Path, change: Callable[[int, bytearray], bytes]) -> Path:
    """A copy of MPEG-TS, in which each packet of 188 bytes is what a function of its PID makes of it."""
    data = path.read_bytes()
    packets = [bytearray(data[at : at + PACKET]) for at in range(0, len(data), PACKET)]
    out.write_bytes(b"".join(change((packet[1] & 0x1F) << 8 | packet[2], packet) for packet in packets))
    return out


def test_times_that_stray_are_no_restart(tmp_path: Path) -> None:
    """One PES packet of the sound says that it is an hour later."""
    begun = 0

    def change(pid: int, packet: bytearray) -> bytes:
        nonlocal begun
        if pid == AUDIO_PID and packet[1] & 0x40:
            begun += 1
            at = packet.index(b"\x00\x00\x01\xc0") + 9
            if begun == 4:
                ticks = 3600 * 90_000
                stamp = ticks >> 29 & 0xE | 0x21, ticks >> 22 & 0xFF, ticks >> 14 & 0xFE | 1
                packet[at : at + 5] = bytes([*stamp, ticks >> 7 & 0xFF, ticks << 1 & 0xFE | 1])
        return bytes(packet)

    path = _changed(_piece(tmp_path / "clip.ts"), tmp_path / "stray.ts", change)
    assert begun > 5
    assert not running_clock(path).restarts
    pictures, sound, _ = _read(path)
    assert pictures == pytest.approx(3, abs=0.1)
    assert sound == pytest.approx(3, abs=0.2)
    times = clockclip.errors(path, list(FLASHES), BEEPS)
    assert max(map(abs, times)) < SLACK


def _without(path: Path, out: Path, pid: int, share: float, count: int = 1) -> Path:
    """A copy that lacks some packets of a stream, none of them the first of its PES packet."""
    inside = [0]

    def is_inside(number: int, packet: bytearray) -> bytes:
        inside[0] += number == pid and not packet[1] & 0x40
        return bytes(packet)

    _changed(path, out, is_inside)
    gone = range(round(inside[0] * share), round(inside[0] * share) + count)
    inside[0] = 0

    def change(number: int, packet: bytearray) -> bytes:
        if number == pid and not packet[1] & 0x40:
            inside[0] += 1
            if inside[0] in gone:
                return b""
        return bytes(packet)

    return _changed(path, out, change)


def _noisy(path: Path, seconds: float) -> tuple[list[Fraction], list[float]]:
    """MPEG-TS with a key picture every half second and colours of noise, so that each takes several packets."""
    draw = np.random.default_rng(0)

    def colour(frame: av.VideoFrame) -> None:
        for plane in frame.planes[1:]:
            plane.update(draw.integers(108, 148, plane.buffer_size, np.uint8).tobytes())

    times = clockclip.picture_times(Fraction(FPS), seconds)
    options = {"crf": "10", "g": "12", "bf": "0"}
    sound = {"audio_codec": "mp2", "rate": 48_000, "seconds": seconds}
    return clockclip.make(path, times, **sound, video_options=options, setup=colour)


@pytest.mark.parametrize(("pid", "what"), [(VIDEO_PID, "pictures"), (AUDIO_PID, "sound")])
def test_a_lost_packet_costs_its_moment(tmp_path: Path, pid: int, what: str) -> None:
    whole = tmp_path / "whole.ts"
    truth = _noisy(whole, 12.0)
    path = _without(whole, tmp_path / "lost.ts", pid, 0.6)
    pictures, sound, report = _read(path)
    assert pictures == pytest.approx(12, abs=0.05)
    assert sound == pytest.approx(12, abs=0.2)
    damaged = [note for note in report.notes if "damaged" in note.text]
    assert len(damaged) == 1
    assert damaged[0].text.startswith(what)
    assert 6 < damaged[0].time < 9
    assert report.used >= report.pictures - 2
    assert max(map(abs, clockclip.errors(path, *truth))) <= SLACK


@pytest.mark.parametrize(("pid", "what"), [(VIDEO_PID, "pictures"), (AUDIO_PID, "sound")])
def test_much_damage_is_refused_with_its_share(tmp_path: Path, pid: int, what: str) -> None:
    number = 0

    def change(own: int, packet: bytearray) -> bytes:
        nonlocal number
        if own == pid and not packet[1] & 0x40:
            number += 1
            if number > 20 and number % 5 == 0:
                return b""
        return bytes(packet)

    _noisy(tmp_path / "whole.ts", 6.0)
    path = _changed(tmp_path / "whole.ts", tmp_path / "damaged.ts", change)
    with pytest.raises(InputError, match=rf"damaged: \d+% of the {what} cannot be decoded"):
        _read(path)


def test_a_camera_that_is_switched_on_late(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    times = clockclip.picture_times(Fraction(FPS), 3.0, Fraction(70))
    flashes, beeps = [70 + flash for flash in FLASHES], [70 + beep for beep in BEEPS]
    truth = clockclip.make(path, times, flashes=flashes, beeps=beeps, seconds=73.0)
    assert max(map(abs, clockclip.errors(path, *truth))) <= SLACK
    pictures, sound, report = _read(path)
    assert pictures == pytest.approx(3, abs=0.05)
    assert sound == pytest.approx(3, abs=0.1)
    assert [note.text.partition(" s before")[0] for note in report.notes] == ["the sound begins 70.00"]


def test_a_microphone_that_is_switched_on_late(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    times = clockclip.picture_times(Fraction(FPS), 73.0)
    flashes, beeps = [70 + flash for flash in FLASHES], [70 + beep for beep in BEEPS]
    truth = clockclip.make(path, times, flashes=flashes, beeps=beeps, seconds=73.0, audio_start=Fraction(70))
    assert max(map(abs, clockclip.errors(path, *truth))) <= SLACK
    assert [note.text.partition(" to")[0] for note in _read(path)[2].notes] == ["no sound from 0.00"]


def test_a_camera_that_is_switched_off_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    times = [time for time in clockclip.picture_times(Fraction(FPS), 75.0) if not 1 <= time < 72]
    flashes, beeps = [0.5, 72.5, 73.3], [0.62, 72.62, 73.42]
    truth = clockclip.make(path, times, flashes=flashes, beeps=beeps, seconds=75.0)
    assert max(map(abs, clockclip.errors(path, *truth))) <= SLACK
    pictures, sound, report = _read(path)
    assert pictures == pytest.approx(75, abs=0.05)
    assert sound == pytest.approx(75, abs=0.1)
    assert [note.text for note in report.notes] == ["no pictures from 1.00 to 72.00 s"]
    held = [picture.rgb.max() == 0 for picture in decode.pictures(path, blank=True)]
    assert held.index(True) == (1 + decode.FREEZE) * FPS
    assert not any(held[72 * FPS :])
