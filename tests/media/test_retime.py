"""retime: edits and drifts cured by time stamps; every packet's bytes, order and time."""

import shutil
import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from syncnet_lib.errors import InputError
from syncnet_lib.media import audio, correction, remux, retime
from syncnet_lib.media.clock import FPS, SAMPLE_RATE
from syncnet_lib.media.correction import Cure, Piece
from tests import clockclip, scenes

SECONDS, EDIT, MOVED = 5, 2.4, 0.4
BEATS = [0.6, 1.2, 1.8, 3.0, 3.6, 4.2]
"""Instants of the flashes; those from EDIT on have their chirps MOVED."""
FILM = Fraction(25, 24)
NONE = Fraction(0)
KINDS = {
    ".mp4": ("libx264", "aac", 48_000),
    ".mov": ("libx264", "aac", 44_100),
    ".mkv": ("libx264", "libmp3lame", 44_100),
    ".ts": ("libx264", "aac", 48_000),
    ".webm": ("libvpx", "libopus", 48_000),
}
"""Codecs and sample rate by container; x264 has B-frames, so that pictures are not stored in their order."""


def clip(path: Path, beeps: list[float], codec: str = "", rate: int = 0) -> Path:
    video, sound, usual = KINDS.get(path.suffix, KINDS[".mp4"])
    options = {"bf": "2"} if video == "libx264" else {"deadline": "realtime", "cpu-used": "8"}
    clockclip.make(
        path, clockclip.picture_times(Fraction(FPS), SECONDS), flashes=BEATS, beeps=beeps, seconds=SECONDS,
        rate=rate or usual, video_codec=video, audio_codec=codec or sound, video_options=options,
    )  # fmt: skip
    return path


def pieces(delay: float) -> Cure:
    middle = EDIT + delay / 2
    return Cure((Piece(NONE, NONE), Piece(Fraction(round(1000 * middle), 1000), Fraction(str(delay)))))


def off(path: Path, readers: str = "ours") -> list[float]:
    """Milliseconds by which each chirp is after its flash, by the times of the pictures and the sound as some reader
    has it."""
    seen, before = [], 0.0
    with av.open(str(path)) as container:
        shown = [(frame.time, frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]
    for time, level in shown:
        if level > 128 >= before:
            seen.append(time - shown[0][0])
        before = level
    if readers == "ours":
        samples = audio.read_audio(path)
    else:
        command = ["ffmpeg", "-v", "error", "-i", path, "-map", "0:a:0", "-af", "aresample=async=1:first_pts=0"]
        command += ["-ac", "1", "-ar", str(SAMPLE_RATE), "-f", "s16le", "-"]
        samples = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.int16)
    heard = clockclip.chirp_times(samples, len(BEATS))
    return [1000 * (one - two) for one, two in zip(heard, seen, strict=True)]


def spread(path: Path, readers: str = "ours") -> float:
    """Milliseconds within which all chirps are after their flashes; what is alike for all is the clip's own."""
    return float(np.ptp(off(path, readers)))


def beeps(delay: float, factor: float = 1.0) -> list[float]:
    """Chirps with the pictures that the flashes come with, later from EDIT on, of sound so much faster."""
    shown = [next(time for time in clockclip.picture_times(Fraction(FPS), SECONDS) if time >= beat) for beat in BEATS]
    return [(float(time) + (delay if time > EDIT else 0)) / factor for time in shown]


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("delay", [MOVED, -MOVED])
def test_an_edit_is_cured_and_packets_stay_what_they_are(tmp_path, suffix, delay):
    path, out = clip(tmp_path / f"in{suffix}", beeps(-delay)), tmp_path / f"out{suffix}"
    assert spread(path) == pytest.approx(1000 * MOVED, abs=2)
    copy = retime.retime(path, out, pieces(delay))
    assert copy.exact
    assert copy.left_out == ()
    assert copy.holes == 0
    assert spread(out) <= 2
    assert scenes.packet_bytes(out, "video") == scenes.packet_bytes(path, "video")
    old, new = scenes.packet_bytes(path, "audio"), scenes.packet_bytes(out, "audio")
    lasts = SECONDS / len(old)
    if delay > 0:
        assert float(copy.filled) == pytest.approx(delay, abs=lasts / 2 + 0.003)
        count = len(new) - len(old)
        place = next(at for at in range(len(new)) if new[at] != old[at])
        assert len(set(new[place : place + count])) == 1
        assert [*new[:place], *new[place + count :]] == old
    else:
        assert float(copy.cut) == pytest.approx(-delay, abs=lasts / 2 + 0.003)
        place = next(at for at in range(len(new)) if new[at] != old[at])
        assert [*new[:place], *old[place : place + len(old) - len(new)], *new[place:]] == old


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg on this machine")
@pytest.mark.parametrize("delay", [MOVED, -MOVED])
def test_ffmpeg_hears_it_so(tmp_path, delay):
    path, out = clip(tmp_path / "in.mp4", beeps(-delay)), tmp_path / "out.mp4"
    retime.retime(path, out, pieces(delay))
    assert spread(out, "ffmpeg") <= 1000 * 1024 / 48_000 / 2 + 1, "half a packet: it pulls only more than 0.1 s"


@pytest.mark.parametrize("suffix", KINDS)
def test_drift_is_cured_by_the_speed_of_the_pictures(tmp_path, suffix):
    path, out = clip(tmp_path / f"in{suffix}", beeps(0.0, float(FILM))), tmp_path / f"out{suffix}"
    assert spread(path) > 100
    copy = retime.retime(path, out, Cure((Piece(NONE, NONE),), FILM))
    assert copy == correction.Copy(exact=True, left_out=())
    for kind in ("video", "audio"):
        assert scenes.packet_bytes(out, kind) == scenes.packet_bytes(path, kind)
    rounding = Fraction(1, 1000) if suffix in (".mkv", ".webm") else Fraction(1, 90_000)
    assert spread(out) <= 1 + 1000 * rounding
    before, after = stamps(path, "video"), stamps(out, "video")
    starts = [min(shown for shown, _ in each) for each in (before, after)]
    for (shown, decoded), (now, then) in zip(before, after, strict=True):
        assert abs((now - starts[1]) - (shown - starts[0]) / FILM) <= rounding
        assert now >= then
        assert (now > then) == (shown > decoded) or suffix == ".mkv", "Matroska keeps no time of decoding"
    assert suffix == ".mkv" or all(one < two for (_, one), (_, two) in pairwise(after))
    heard = [[time - each[0][0] for time, _ in each] for each in (stamps(path, "audio"), stamps(out, "audio"))]
    assert max(abs(one - two) for one, two in zip(*heard, strict=True)) <= rounding
    with av.open(str(out)) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(float(FPS * FILM), abs=0.01)


def stamps(path: Path, kind: str) -> list[tuple[Fraction, Fraction]]:
    """When each packet of the first stream of a kind is presented and decoded, seconds."""
    with av.open(str(path)) as container:
        stream = next(each for each in container.streams if each.type == kind)
        # Matroska keeps no time of decoding: libav derives it.
        return [
            (packet.pts * packet.time_base, (packet.pts if packet.dts is None else packet.dts) * packet.time_base)
            for packet in container.demux(stream)
            if packet.size
        ]


def test_a_drift_and_an_edit_together(tmp_path):
    path, out = clip(tmp_path / "in.mp4", beeps(-MOVED, 1.001)), tmp_path / "out.mp4"
    cure = Cure(pieces(MOVED).pieces, Fraction(1001, 1000))
    assert retime.retime(path, out, cure).exact
    assert spread(out) <= 2


SUBTITLES = [(0.5, 1.0), (2.4, 1.5)]
"""Start and length, seconds."""


def with_subtitles(path: Path, out: Path, codec: str, timecode: str = "") -> Path:
    """The packets of a clip with subtitles and chapters."""
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        streams = [target.add_stream_from_template(stream, opaque=True) for stream in source.streams]
        streams[0].codec_context.framerate = Fraction(FPS)
        text = target.add_stream(codec)
        text.codec_context.subtitle_header = b"[Script Info]\nScriptType: v4.00+\n"
        base = Fraction(1, 1000)
        titles = [(0, 2400, "one"), (2400, 5000, "two")]
        target.set_chapters(
            [
                {"id": number, "start": start, "end": end, "time_base": base, "metadata": {"title": title}}
                for number, (start, end, title) in enumerate(titles)
            ]
        )
        if timecode:
            target.metadata["timecode"] = timecode
        waiting = list(SUBTITLES)
        for packet in source.demux():
            if not packet.size:
                continue
            packet.stream = streams[packet.stream.index]
            target.mux(packet)
            if not waiting or packet.pts * packet.time_base < waiting[0][0]:
                continue
            start, length = waiting.pop(0)
            line = b"line"
            packet = av.Packet(len(line).to_bytes(2, "big") + line if codec == "mov_text" else line)
            packet.time_base, packet.stream = base, text
            packet.pts = packet.dts = round(1000 * start)
            packet.duration = round(1000 * length)
            target.mux(packet)
    return out


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "subrip"), (".mp4", "mov_text")])
def test_subtitles_and_chapters_go_with_the_pictures(tmp_path, suffix, codec):
    path = with_subtitles(clip(tmp_path / f"clip{suffix}", BEATS), tmp_path / f"in{suffix}", codec)
    out = tmp_path / f"out{suffix}"
    delay = Fraction(-1, 2)
    assert retime.retime(path, out, Cure((Piece(NONE, delay * FILM),), FILM)) == correction.Copy(True, ())
    starts = [min(shown for shown, _ in stamps(each, "video")) for each in (path, out)]
    leads = [
        start - min(time for time, _ in stamps(each, "audio")) for start, each in zip(starts, (path, out), strict=True)
    ]
    assert float(leads[1] - leads[0]) == pytest.approx(0.5, abs=0.002)
    with av.open(str(out)) as container:
        texts = [
            (packet.pts * packet.time_base - starts[1], packet.duration * packet.time_base)
            for packet in container.demux(subtitles=0)
            if packet.size > 2
        ]
        begun = [chapter["start"] * chapter["time_base"] - starts[1] for chapter in container.chapters()]
    wanted = [(start / float(FILM), length / float(FILM)) for start, length in SUBTITLES]
    np.testing.assert_allclose(np.array(texts, float), wanted, atol=0.002)
    assert float(begun[1]) == pytest.approx(2.4 / float(FILM), abs=0.002)


def test_a_drop_frame_time_code_is_left_out_at_another_rate(tmp_path):
    times = clockclip.picture_times(Fraction(30_000, 1001), 2)
    clockclip.make(tmp_path / "clip.mp4", times, flashes=[0.5], beeps=[0.5], seconds=2)
    with av.open(str(tmp_path / "clip.mp4")) as source, av.open(str(tmp_path / "in.mov"), "w") as target:
        streams = [target.add_stream_from_template(stream, opaque=True) for stream in source.streams]
        streams[0].codec_context.framerate = Fraction(30_000, 1001)
        target.metadata["timecode"] = "01:00:00;02"
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    copy = retime.retime(tmp_path / "in.mov", tmp_path / "out.mov", Cure((Piece(NONE, NONE),), FILM))
    assert copy.left_out == ("stream 2: data track 01:00:00;02",)
    assert retime.retime(tmp_path / "in.mov", tmp_path / "moved.mov", Cure.shift(NONE)).left_out == ()


def test_where_no_silence_can_be_made_the_hole_is_told(tmp_path, monkeypatch):
    path, out = clip(tmp_path / "in.mkv", beeps(-MOVED), "aac"), tmp_path / "out.mkv"
    monkeypatch.setattr("syncnet_lib.media.encode.ENCODERS", {"aac": "unknown"})
    copy = retime.retime(path, out, pieces(MOVED))
    assert copy.exact
    assert copy.filled == 0
    assert float(copy.holes) == pytest.approx(MOVED, abs=0.03)
    assert spread(out) <= 2


def test_what_a_container_cannot_hold_is_one_line_and_leaves_nothing(tmp_path):
    path = clip(tmp_path / "in.mov", beeps(-MOVED), "pcm_s16le", 48_000)
    cures = {"edit.mov": pieces(MOVED), "edit.avi": pieces(MOVED), "drift.avi": Cure((Piece(NONE, NONE),), FILM)}
    for name, cure in cures.items():
        with pytest.raises(InputError, match="files keep no") as told:
            retime.retime(path, tmp_path / name, cure)
        assert "\n" not in str(told.value)
        assert told.value.cure.startswith("give an output that ends in .mkv or .mp4")
    assert [each.name for each in tmp_path.iterdir()] == ["in.mov"]
    assert retime.retime(path, tmp_path / "drift.mov", Cure((Piece(NONE, NONE),), FILM)).exact
    assert retime.retime(path, tmp_path / "edit.mkv", pieces(MOVED)).holes == 0
    assert spread(tmp_path / "edit.mkv") <= 2


HOUR, SLOW = 3600, 1
"""Seconds, and pictures a second of an hour that is read in seconds."""


def test_an_hour_of_1001_by_1000_ends_where_it_should(tmp_path):
    short, path, out = tmp_path / "short.mp4", tmp_path / "in.mp4", tmp_path / "out.mp4"
    clockclip.make(
        short,
        clockclip.picture_times(Fraction(SLOW), 4),
        flashes=[1],
        beeps=[1],
        seconds=4.096,
        rate=8000,
        size=(32, 32),
    )
    with av.open(str(short)) as source, av.open(str(path), "w") as target:
        streams = [target.add_stream_from_template(stream, opaque=True) for stream in source.streams]
        stored = [packet for packet in source.demux() if packet.size]
        shown, heard = ([packet for packet in stored if packet.stream.type == kind] for kind in ("video", "audio"))
        base = {"video": Fraction(1, 10_000), "audio": Fraction(1, 8000)}
        rows = [(number / SLOW, shown[number % len(shown)], number * 10_000 // SLOW) for number in range(HOUR * SLOW)]
        rows += [
            (number * 0.128, heard[1 + number % (len(heard) - 2)], number * 1024)
            for number in range(HOUR * 8000 // 8192)
        ]
        for _, like, time in sorted(rows, key=lambda row: row[0]):
            packet = av.Packet(bytes(like))
            packet.time_base, packet.is_keyframe = base[like.stream.type], True
            packet.pts = packet.dts = time
            packet.stream = streams[like.stream.index]
            target.mux(packet)
    stretch = Fraction(1001, 1000)
    assert retime.retime(path, out, Cure((Piece(NONE, NONE),), stretch)) == correction.Copy(True, ())
    before, after = stamps(path, "video"), stamps(out, "video")
    assert [time for time, _ in after] == [time / stretch for time, _ in before]
    assert float(before[-1][0] - after[-1][0]) == pytest.approx(3.596, abs=0.001)
    assert stamps(out, "audio") == stamps(path, "audio")


def test_the_rate_of_the_stream_and_not_that_of_the_codec_is_written_down(tmp_path):
    path = clip(tmp_path / "in.mkv", BEATS)
    retime.retime(path, tmp_path / "out.mkv", Cure.shift(Fraction(1, 5)))
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.video[0].average_rate == FPS


def test_pictures_at_another_clock_stay_exact_to_its_step(tmp_path):
    packet = av.Packet(b"picture")
    packet.time_base, packet.pts, packet.dts, packet.duration = Fraction(1, 12_800), 1024, 512, 512
    tick = correction.ticks(packet.time_base, FILM, Fraction(FPS))
    remux.hasten(packet, FILM, tick, Fraction(0))
    assert packet.pts * packet.time_base == Fraction(2, FPS) / FILM
    assert packet.dts * packet.time_base == packet.duration * packet.time_base == Fraction(1, FPS) / FILM
