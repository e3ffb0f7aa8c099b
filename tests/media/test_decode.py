"""media: the clock over containers, codecs, rates and start times; streaming; bad files; writing."""

import itertools
import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from syncnet_lib.errors import InputError
from syncnet_lib.media import decode, encode
from syncnet_lib.media.audio import audio_blocks, read_audio
from syncnet_lib.media.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, on_grid
from syncnet_lib.media.report import Report
from tests import clockclip

RATES = {
    "10": Fraction(10),
    "15": Fraction(15),
    "23.976": Fraction(24000, 1001),
    "24": Fraction(24),
    "25": Fraction(25),
    "29.97": Fraction(30000, 1001),
    "30": Fraction(30),
    "50": Fraction(50),
    "59.94": Fraction(60000, 1001),
    "60": Fraction(60),
}
# suffix: (video codec, sound codec, sample rate, layout)
FORMATS = {
    "mp4": ("libx264", "aac", 44_100, "mono"),
    "mov": ("libx265", "pcm_s16le", 22_050, "stereo"),
    "mkv": ("libx264", "flac", 96_000, "5.1"),
    "webm": ("libvpx", "libopus", 48_000, "stereo"),
    "avi": ("mpeg4", "pcm_s16le", 8_000, "mono"),
    "ts": ("libx264", "mp2", 48_000, "stereo"),
    "mpg": ("mpeg2video", "ac3", 32_000, "mono"),
}
GRID_ERROR = 0.5 / FPS
"""The grid's own rounding."""
SLACK = 0.001


def _clip(path: Path, suffix: str, fps: Fraction, **changes: object) -> tuple[list[Fraction], list[float]]:
    video, audio, rate, layout = FORMATS[suffix]
    options: dict = {
        "video_codec": video,
        "audio_codec": audio,
        "rate": rate,
        "layout": layout,
        "video_options": {"x265-params": "log-level=none"} if video == "libx265" else {},
        # These encoders take no finer time than their rate.
        "video_base": 1 / fps if suffix in ("avi", "mpg") else Fraction(1, 60_000),
        # Tiny pictures share a packet of a program stream, and then only the first has a timestamp.
        "size": (320, 240) if suffix == "mpg" else (96, 64),
    }
    times = changes.pop("times", None) or clockclip.picture_times(fps, 3.0, changes.pop("video_start", Fraction(0)))
    return clockclip.make(path, times, **{**options, **changes})


@pytest.mark.slow
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("rate", RATES)
def test_flash_and_beep_keep_their_distance(tmp_path: Path, suffix: str, rate: str) -> None:
    if suffix == "mpg" and rate in ("10", "15"):
        pytest.skip("MPEG-2 has no such rate")
    path = tmp_path / f"clip.{suffix}"
    truth = _clip(path, suffix, RATES[rate])
    bound = SLACK + (0 if rate == "25" else GRID_ERROR)
    assert max(map(abs, clockclip.errors(path, *truth))) <= bound


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "ts"])
@pytest.mark.parametrize(
    ("video_start", "audio_start"),
    [
        (Fraction(1, 30), Fraction(0)),
        (Fraction(0), Fraction(1, 4)),
        (Fraction(4, 10), Fraction(0)),
        (Fraction(2), Fraction(21, 10)),
    ],
)
def test_streams_that_start_apart_stay_apart(
    tmp_path: Path, suffix: str, video_start: Fraction, audio_start: Fraction
) -> None:
    path = tmp_path / f"clip.{suffix}"
    shift = float(video_start)
    truth = _clip(
        path,
        suffix,
        Fraction(25),
        video_start=video_start,
        audio_start=audio_start,
        seconds=3 + shift,
        flashes=[at + shift for at in (0.5, 1.3, 2.2)],
        beeps=[at + shift for at in (0.62, 1.42, 2.32)],
    )
    assert max(map(abs, clockclip.errors(path, *truth))) <= SLACK + 0.001  # mkv and webm round to 1 ms


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "ts"])
@pytest.mark.parametrize("seed", [0, 1])
def test_variable_rate(tmp_path: Path, suffix: str, seed: int) -> None:
    draw = random.Random(seed)
    times = list(itertools.accumulate((Fraction(draw.randint(8, 90), 1000) for _ in range(60)), initial=Fraction(0)))
    path = tmp_path / f"clip.{suffix}"
    truth = _clip(path, suffix, Fraction(25), times=[time for time in times if time < 3])
    assert max(map(abs, clockclip.errors(path, *truth))) <= GRID_ERROR + SLACK


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_pause_in_the_sound_is_silence(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip.{suffix}"
    truth = _clip(path, suffix, Fraction(25), pause=(0.8, 1.25))
    assert max(map(abs, clockclip.errors(path, *truth))) <= SLACK


@pytest.mark.parametrize(
    ("pix_fmt", "codec"), [("yuv420p10le", "libx265"), ("yuv444p", "libx264"), ("yuvj422p", "mjpeg")]
)
def test_other_pixel_formats_give_the_same_gray(tmp_path: Path, pix_fmt: str, codec: str) -> None:
    path = tmp_path / "clip.mkv"
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    truth = _clip(path, "mkv", Fraction(25), pix_fmt=pix_fmt, video_codec=codec, video_options=options)
    assert max(map(abs, clockclip.errors(path, *truth))) <= SLACK
    picture = next(iter(decode.pictures(path)))
    black, white = picture.luma_range
    assert (float(picture.luma[32, 32]) - black) / (white - black) * 255 == pytest.approx(20, abs=3)
    assert picture.thumbnail(32)[-1, -1] == pytest.approx([20] * 3, abs=4)


def test_a_turned_phone_video_is_upright(tmp_path: Path) -> None:
    plain, turned = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:32, :48] = 255  # bright top left corner
    encode.write_video(plain, [pixels] * 10, np.zeros(6400, np.int16))
    # Rotate by 90 degrees clockwise: the matrix of the track header, 16.16 fixed point.
    data = plain.read_bytes()
    unit = (0x10000).to_bytes(4, "big")
    matrix = unit + bytes(12) + unit + bytes(12) + (0x40000000).to_bytes(4, "big")
    turn = bytes(4) + unit + bytes(4) + (-0x10000).to_bytes(4, "big", signed=True) + bytes(16) + matrix[-4:]
    first = data.index(matrix, data.index(b"tkhd"))
    turned.write_bytes(data[:first] + turn + data[first + len(matrix) :])
    picture = next(decode.read_frames(turned))
    assert picture.shape == (96, 64, 3)
    assert picture[:48, 32:].mean() > 240  # turned clockwise, the corner is at the top right
    assert picture[:48, :32].mean() < 15
    assert (decode.probe(turned).width, decode.probe(turned).height) == (64, 96)


def test_interlaced_pictures_lose_their_combs(tmp_path: Path) -> None:
    path = tmp_path / "clip.mpg"
    height, width = 64, 96
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg2video", rate=25, options={"flags": "+ildct+ilme"})
        video.width, video.height, video.pix_fmt, video.bit_rate = width, height, "yuv420p", 4_000_000
        for number in range(20):
            pixels = np.zeros((height, width, 3), np.uint8)
            for field in (0, 1):  # a bar that moves between the fields of one picture
                left = 2 * (2 * number + field)
                pixels[field::2, left : left + 8] = 255
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            frame.pts = number
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    with av.open(str(path)) as source:
        raw = [frame.to_ndarray(format="gray").astype(int) for frame in source.decode(video=0)]
    with av.open(str(path)) as source:
        if not next(source.decode(video=0)).interlaced_frame:
            pytest.skip("this build of libav does not mark what it encodes as interlaced")
    clean = [frame[..., 0].astype(int) for frame in decode.read_frames(path)]
    assert len(clean) == len(raw) == 20
    comb = [np.abs(frame[1:-1:2] - (frame[:-2:2] + frame[2::2]) / 2).mean() for frame in (raw[10], clean[10])]
    assert comb[1] < comb[0] / 2


def test_pixels_that_change_their_proportions_within_a_file(tmp_path: Path) -> None:
    pieces = []
    for aspect in ("1/1", "4/3"):
        path = tmp_path / f"{aspect[0]}.ts"
        clockclip.make(
            path, clockclip.picture_times(Fraction(25), 2.0), flashes=(), beeps=(), seconds=2.0, size=(320, 240),
            video_codec="mpeg2video", audio_codec="mp2", rate=48_000, video_base=Fraction(1, 25),
            video_options={"aspect": aspect},
        )  # fmt: skip
        pieces.append(path.read_bytes())
    (tmp_path / "joined.ts").write_bytes(b"".join(pieces))
    pictures = list(decode.pictures(tmp_path / "joined.ts"))
    sizes = [picture.size for picture in pictures]
    # The decoder gives out the last picture of a piece when it has seen the header of the next.
    assert [*sizes[:49], *sizes[50:]] == [(320, 240)] * 49 + [(427, 240)] * 50
    assert pictures[0].geometry != pictures[-1].geometry


def test_a_camera_that_is_turned_within_a_file(tmp_path: Path) -> None:
    """H.264 in MPEG-TS says so picture by picture."""
    upright, turned = tmp_path / "upright.ts", tmp_path / "turned.ts"
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:32, :48] = 255  # bright top left corner
    encode.write_video(upright, [pixels] * 50, np.zeros(32_000, np.int16), audio_codec="mp2")
    with av.open(str(upright)) as source, av.open(str(turned), "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        turn = av.bitstream.BitStreamFilterContext(
            "h264_metadata=display_orientation=insert:rotate=90", source.streams.video[0]
        )
        for packet in source.demux():
            if packet.dts is None:
                continue
            for written in turn.filter(packet) if packet.stream.type == "video" else [packet]:
                written.stream = streams[packet.stream_index]
                out.mux(written)
    (tmp_path / "joined.ts").write_bytes(upright.read_bytes() + turned.read_bytes())
    pictures = list(decode.pictures(tmp_path / "joined.ts"))
    assert [picture.size for picture in pictures] == [(96, 64)] * 50 + [(64, 96)] * 50
    last = pictures[-1].luma
    assert (last[:40, 40:].mean() > 200) != (last[60:, :24].mean() > 200), "the bright corner has turned"


def test_sound_tracks_are_chosen_by_number(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        tracks = [out.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(2)]
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            frame.pts = number
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for value, track in zip((1000, -2000), tracks, strict=True):
            block = av.AudioFrame.from_ndarray(np.full((1, 6400), value, np.int16), format="s16", layout="mono")
            block.sample_rate, block.pts = 16_000, 0
            out.mux(track.encode(block))
    assert set(read_audio(path)) == {1000}
    assert set(read_audio(path, 1)) == {-2000}
    with pytest.raises(InputError, match="no sound track 2; choose from 0 to 1"):
        read_audio(path, 2)


def test_written_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "with 'space' and ł:.mp4"
    frames = [np.full((48, 64, 3), 5 * number, np.uint8) for number in range(50)]
    tone = (8000 * np.sin(np.arange(32_000) / 10)).astype(np.int16)
    encode.write_video(path, frames, tone)
    read = list(decode.read_frames(path))
    assert len(read) == 50
    assert np.abs(np.array([frame.mean() for frame in read]) - 5 * np.arange(50)).max() < 3
    sound = read_audio(path)
    assert len(sound) >= 32_000
    assert np.corrcoef(sound[1000:31_000], tone[1000:31_000])[0, 1] > 0.999
    info = decode.probe(path)
    assert (info.video_codec, info.width, info.height, info.fps) == ("h264", 64, 48, 25.0)
    assert info.audio == (decode.AudioTrack("aac", 16_000, 1),)


def test_decoding_is_lazy(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    encode.write_video(path, [np.zeros((48, 64, 3), np.uint8)] * 50, np.zeros(0, np.int16))
    stream = decode.read_frames(path)
    assert next(stream).shape == (48, 64, 3)
    stream.close()
    with pytest.raises(InputError, match="no sound"):
        read_audio(path)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=40), st.integers(1, 200))
def test_a_change_appears_within_half_a_grid_interval(steps: list[int], last: int) -> None:
    starts = [Fraction(at, 1000) for at in itertools.accumulate(steps)]
    ends = [*starts[1:], starts[-1] + Fraction(last, 1000)]
    timed = [(start, end - start, number) for number, (start, end) in enumerate(zip(starts, ends, strict=True))]
    grid = list(on_grid(timed))
    assert [k for k, _ in grid] == list(range(len(grid)))
    assert abs(Fraction(len(grid), FPS) - (ends[-1] - starts[0])) <= Fraction(1, 2 * FPS) or len(grid) == 1
    for k, number in grid:
        middle = Fraction(2 * k + 1, 2 * FPS) + starts[0]
        assert number == max([0, *(n for n, start in enumerate(starts) if start <= middle)])


def test_timestamps_that_jump_are_refused() -> None:
    timed = [(Fraction(0), Fraction(1, 25), 0), (Fraction(3 * 3600), Fraction(1, 25), 1)]
    with pytest.raises(InputError, match="timestamps jump from 0 s to 10800 s"):
        list(on_grid(timed))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.mp4", b"", "cannot be opened"),
        ("text.mp4", b"This is a letter, not a video.\n" * 50, "cannot be opened"),
        ("zeros.avi", bytes(5000), "cannot be opened"),
    ],
)
def test_what_is_no_video_says_so(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        list(decode.read_frames(path))


def test_a_damaged_packet_is_named(real_clips: Path) -> None:
    report = Report()
    pictures = list(decode.pictures(real_clips / "bad" / "damaged_sgib8n.mpg", report=report))
    assert (len(pictures), report.pictures, report.used) == (75, 75, 74)
    assert report.texts == ["pictures damaged from 1.84 to 1.88 s: the last one before is held"]
    assert pictures[46] is pictures[45]


def test_real_files_of_all_kinds(real_clips: Path) -> None:
    for path in sorted((real_clips / "wild").iterdir()) + sorted((real_clips / "grid_talkers").iterdir())[:2]:
        info = decode.probe(path)
        if path.stem == "movie-hello":
            continue  # its sound goes on without pictures
        frames = sum(1 for _ in decode.pictures(path))
        samples = sum(map(len, audio_blocks(path)))
        assert abs(frames / FPS - info.duration) < 0.15, path.name
        assert abs(samples / SAMPLE_RATE - info.duration) < 0.15, path.name


def _moved_by(before: np.ndarray, after: np.ndarray) -> float:
    """Frames by which a sound comes later, from where its loudest second is found again.

    The first 15 frames may be cut off, so the second is sought behind them.
    """
    energy = scipy.signal.oaconvolve(np.square(before.astype(float)), np.ones(16_000), "valid")
    first = 15 * SAMPLES_PER_FRAME
    start = first + int(energy[first:].argmax())
    match = scipy.signal.correlate(after.astype(float), before[start : start + 16_000].astype(float), "valid")
    return (int(match.argmax()) - start) / SAMPLES_PER_FRAME


def _hiss(path: Path) -> Path:
    """Two and a half seconds of noise under moving pictures, with the encoder's reordered frames."""
    noise = np.random.default_rng(0).normal(0, 3000, 40_000).astype(np.int16)
    encode.write_video(path, (np.full((64, 96, 3), 4 * number, np.uint8) for number in range(62)), noise)
    return path


def _every_shift(path: Path, folder: Path, suffix: str) -> None:
    """Sound that was moved by -15 to 15 frames is extracted moved by as much, within a millisecond."""
    before, count = read_audio(path), sum(1 for _ in decode.pictures(path))
    for shift in range(-15, 16):
        moved = folder / f"moved{shift}.{suffix}"
        clockclip.remux(path, moved, 25, 25 + shift)  # one second for all, so that nothing becomes negative
        assert _moved_by(before, read_audio(moved)) == pytest.approx(shift, abs=FPS * 0.001)
    assert sum(1 for _ in decode.pictures(moved)) == count


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_sound_moved_by_remuxing_is_moved_by_as_much(tmp_path: Path, suffix: str) -> None:
    _every_shift(_hiss(tmp_path / "clip.mp4"), tmp_path, suffix)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("grid_s1/bbaf3s.mp4", "mp4"),
        ("grid_s1/bbaf4p.mp4", "mkv"),
        ("grid_s1/bbal6n.mp4", "ts"),
        ("grid_talkers/id2_vcd_swwp2s.mpg", "mkv"),
        ("wild/syllable_ba.mp4", "mov"),
        ("wild/latentsync_demo1.mp4", "mp4"),
    ],
)
def test_sound_moved_by_remuxing_real_clips_is_moved_by_as_much(
    real_clips: Path, tmp_path: Path, name: str, suffix: str
) -> None:
    _every_shift(real_clips / name, tmp_path, suffix)


def test_timestamps_below_zero_are_only_another_origin(tmp_path: Path) -> None:
    path = _hiss(tmp_path / "clip.mp4")
    clockclip.remux(path, tmp_path / "early.ts", -50, -50)
    assert sum(1 for _ in decode.pictures(tmp_path / "early.ts")) == 62
    assert _moved_by(read_audio(path), read_audio(tmp_path / "early.ts")) == pytest.approx(0, abs=0.025)


def test_what_an_edit_list_hides_is_not_there(tmp_path: Path) -> None:
    path = _hiss(tmp_path / "clip.mp4")
    clockclip.remux(path, tmp_path / "cut.mp4", -10, -10)  # an mp4 begins at zero: the first 10 frames are cut off
    assert sum(1 for _ in decode.pictures(tmp_path / "cut.mp4")) == 52
    assert _moved_by(read_audio(path), read_audio(tmp_path / "cut.mp4")) == pytest.approx(-10, abs=0.025)
