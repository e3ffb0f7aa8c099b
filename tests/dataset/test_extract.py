"""clips: what is written, what is skipped and why, the cache, and files of every bad kind."""

import hashlib
import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest
import skimage.data

from syncnet_lib.dataset import clips, extract
from syncnet_lib.dataset.settings import ExtractSettings
from syncnet_lib.errors import InputError
from syncnet_lib.media import encode, features
from syncnet_lib.media.clock import SAMPLES_PER_FRAME
from tests import clockclip

pytestmark = pytest.mark.slow

FRAMES = 40


def _scene(shift: float) -> np.ndarray:
    scene = np.full((240, 320, 3), 90, np.uint8)
    head = np.ascontiguousarray(skimage.data.astronaut()[30:250, 134:324])
    left = round(60 + shift)
    scene[10:230, left : left + 190] = head
    return scene


def _sound(frames: int) -> np.ndarray:
    draw = np.random.default_rng(0)
    return (4000 * draw.standard_normal(frames * SAMPLES_PER_FRAME)).astype(np.int16)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of one talking face that can be used."""
    path = tmp_path_factory.mktemp("good") / "good.mp4"
    encode.write_video(path, [_scene(number / 2) for number in range(FRAMES)], _sound(FRAMES))
    return path


def _table(paths: list[Path], root: Path) -> pd.DataFrame:
    names = [str(path.relative_to(root)) for path in paths]
    return pd.DataFrame({"video_id": names, "path": names, "speaker": "", "sha256": ""})


def _extract(
    paths: list[Path], root: Path, out: Path, workers: int = 0, **settings: object
) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = _table(paths, root)
    return extract.extract(
        table, root, out / "clips", out / "cache", ExtractSettings(**settings), workers, progress=False
    )


def _digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_clip_holds_what_the_contract_says(good: Path, tmp_path: Path) -> None:
    manifest, skipped = _extract([good], good.parent, tmp_path, crops="both")
    assert list(manifest.columns) == list(clips.COLUMNS)
    assert list(skipped.columns) == ["file", "reason"]
    assert len(skipped) == 0
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "clips" / "clips.parquet"), manifest)
    row = manifest.iloc[0]
    assert (row.frames, row.start_frame, row.shot, row.track, row.faceless_share) == (FRAMES, 0, 0, 0, 0)
    assert 100 < row.face_size < 180
    assert row.sharpness > 0
    assert row.speech_share > 0.9
    folder = tmp_path / "clips" / row.clip_id
    clip = clips.load(folder)
    assert (clip.mouth.shape, clip.mouth.dtype) == ((FRAMES, 120, 120), np.uint8)
    assert (clip.samples.shape, clip.samples.dtype) == ((FRAMES * 640,), np.int16)
    assert (clip.lip_aperture.shape, clip.lip_aperture.dtype) == ((FRAMES,), np.float32)
    assert np.corrcoef(clip.samples, _sound(FRAMES))[0, 1] > 0.95
    np.testing.assert_array_equal(clip.mfcc, features.frame_mfcc(clip.samples))
    assert (clip.speech.shape, clip.speech.dtype, clip.speech.mean()) == ((FRAMES,), bool, row.speech_share)
    assert clip.meta["sha256"] == hashlib.sha256(good.read_bytes()).hexdigest()
    assert (clip.meta["start_seconds"], clip.meta["end_seconds"]) == (0.0, FRAMES / 25)
    assert clip.meta["settings"]["min_track"] == 15
    assert np.load(folder / "face.npy").shape == (FRAMES, 224, 224, 3)
    with wave.open(str(folder / "audio.wav")) as file:
        assert file.getparams()[:4] == (1, 2, 16_000, FRAMES * 640)


@pytest.mark.parametrize("portion", [1, 7, FRAMES - 1, FRAMES])
def test_portions_of_sound_give_the_mfcc_of_the_whole(
    portion: int, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "PORTION", portion)
    manifest, _ = _extract([good], good.parent, tmp_path)
    clip = clips.load(tmp_path / "clips" / manifest.clip_id[0])
    np.testing.assert_allclose(clip.mfcc, features.frame_mfcc(clip.samples), atol=1e-5)
    assert len(clip.samples) == FRAMES * 640


def test_every_track_is_listed_and_a_refused_one_can_be_looked_at(good: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.mp4"
    encode.write_video(short, [_scene(0)] * 12, _sound(12))
    (tmp_path / "good.mp4").write_bytes(good.read_bytes())
    _extract([short, tmp_path / "good.mp4"], tmp_path, tmp_path)
    tracks = pd.read_parquet(tmp_path / "clips" / "tracks.parquet")
    assert list(tracks.columns) == clips.TRACK_COLUMNS
    assert tracks.path.tolist() == ["good.mp4", "short.mp4"]
    assert tracks["last"].tolist() == [FRAMES - 1, 11]
    assert tracks.reason.tolist() == ["", "face track of 12 frames is shorter than min_track (15)"]
    ((text, still),) = extract.refused_stills(tmp_path / "clips", tmp_path, 6).items()
    assert text.startswith("short.mp4, 0.4 s: face track of 12 frames")
    outlined = (still[..., 0] > 200) & (still[..., 1] < 90) & (still[..., 2] < 90)
    place = tracks.iloc[1]
    assert outlined[round(place.top) : round(place.bottom), round(place.left)].mean() > 0.9
    timing = pd.read_csv(tmp_path / "cache" / "timing.csv")
    assert timing.frames.tolist() == [FRAMES, 12]
    assert (timing[list(extract.PHASES)] > 0).all(axis=None)


def test_sound_that_ends_early_ends_the_clip(tmp_path: Path) -> None:
    path = tmp_path / "short.mp4"
    encode.write_video(path, [_scene(0)] * 40, _sound(40)[: 20 * 640 + 100], audio_codec="flac")
    manifest, _ = _extract([path], tmp_path, tmp_path)
    assert manifest.frames.tolist() == [21]
    clip = clips.load(tmp_path / "clips" / manifest.clip_id[0])
    assert clip.mouth.shape[0] == 21
    assert not clip.samples[20 * 640 + 200 :].any()


def test_the_second_run_costs_nothing_and_a_new_video_only_itself(good: Path, tmp_path: Path) -> None:
    _extract([good], good.parent, tmp_path)
    first = _digest(tmp_path / "clips")
    results = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*/result.json")}
    other = good.parent / "other.mp4"
    encode.write_video(other, [_scene(5)] * 20, _sound(20))
    manifest, _ = _extract([good, other], good.parent, tmp_path)
    assert len(manifest) == 2
    assert all(path.stat().st_mtime_ns == at for path, at in results.items())
    assert len(list((tmp_path / "cache").glob("*/result.json"))) == 2
    _extract([good], good.parent, tmp_path)
    assert _digest(tmp_path / "clips") == first  # the clips of the other are gone
    _extract([good], good.parent, tmp_path, min_track=20)
    assert len(list((tmp_path / "cache").glob("*/result.json"))) == 3


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(good: Path, tmp_path: Path) -> None:
    copies = []
    for number in range(3):
        copy = tmp_path / f"copy {number} ł.mp4"
        encode.write_video(copy, [_scene(number)] * 20, _sound(20))
        copies.append(copy)
    (tmp_path / "bad.mp4").write_text("no video")
    copies.append(tmp_path / "bad.mp4")
    for workers in (0, 2):
        _extract(copies, tmp_path, tmp_path / str(workers), workers=workers)
    assert _digest(tmp_path / "0" / "clips") == _digest(tmp_path / "2" / "clips")
    assert len(clips.load(next((tmp_path / "2" / "clips").glob("copy-1*"))).lip_aperture) == 20


def test_a_kill_leaves_no_half_clip(good: Path, tmp_path: Path) -> None:
    script = (
        "import sys, pandas as pd; from pathlib import Path; from syncnet_lib.dataset import extract\n"
        "from syncnet_lib.dataset.settings import ExtractSettings\n"
        "good, out = map(Path, sys.argv[1:])\n"
        "table = pd.DataFrame({'video_id': ['v'], 'path': [good.name], 'speaker': '', 'sha256': ''})\n"
        "extract.extract(table, good.parent, out/'clips', out/'cache', ExtractSettings(), 0, progress=False)\n"
    )
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", script, str(good), str(tmp_path)], cwd=root)
    until = time.monotonic() + 60
    while not list((tmp_path / "cache").glob(".*/00/mouth.npy")) and time.monotonic() < until:
        time.sleep(0.005)
        if process.poll() is not None:
            break
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not list((tmp_path / "cache").glob("[!.]*"))
    assert not list((tmp_path / "clips").glob("*/clip.json")) if (tmp_path / "clips").exists() else True
    manifest, _ = _extract([good], good.parent, tmp_path)
    assert manifest.frames.tolist() == [FRAMES]
    assert not list((tmp_path / "cache").glob(".*"))


def test_two_names_never_become_one_clip() -> None:
    names = ["a b", "a-b", "a/b", "ą", "ę", "x" * 100, "x" * 101, "A"]
    safe = [extract._safe(name) for name in names]
    assert len(set(safe)) == len(names)
    assert extract._safe("bbaf3s") == "bbaf3s"


def test_what_is_no_clip_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a clip"):
        clips.load(tmp_path)


def test_not_one_usable_video_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(InputError, match=f"{tmp_path}.*no usable video among 1, e.g. a.mp4: cannot be opened"):
        _extract([tmp_path / "a.mp4"], tmp_path, tmp_path)


# --- the zoo: each makes one bad file; the reason must match ---


def _mux(path: Path, frames: list[np.ndarray], sound: np.ndarray, **options: object) -> None:
    encode.write_video(path, frames, sound, **options)


def _with_header(path: Path, good: Path) -> None:
    """Pictures that declare 65,000 x 65,000 pixels."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("mjpeg", rate=25)
        video.width, video.height, video.pix_fmt = 320, 240, "yuvj420p"
        sound = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(_scene(number), format="rgb24")
            frame.pts = number
            out.mux(video.encode(frame))
        block = av.AudioFrame.from_ndarray(_sound(30)[None], format="s16", layout="mono")
        block.sample_rate, block.pts = 16_000, 0
        out.mux(sound.encode(block))
    data = path.read_bytes()
    start_of_frame = b"\xff\xc0\x00\x11\x08"
    size = (240).to_bytes(2, "big") + (320).to_bytes(2, "big")
    assert start_of_frame + size in data
    path.write_bytes(data.replace(start_of_frame + size, start_of_frame + (65_000).to_bytes(2, "big") * 2))


def _flipped(path: Path, good: Path, seed: int, count: int) -> None:
    draw = random.Random(seed)
    data = bytearray(good.read_bytes())
    for _ in range(count):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(bytes(data))


def _jump(path: Path) -> None:
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        sound = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(_scene(number), format="rgb24")
            frame.pts, frame.time_base = 40 * number + (3 * 3_600_000 if number > 15 else 0), Fraction(1, 1000)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        block = av.AudioFrame.from_ndarray(_sound(30)[None], format="s16", layout="mono")
        block.sample_rate, block.pts = 16_000, 0
        out.mux(sound.encode(block))


def _sound_only(path: Path, codec: str) -> None:
    with av.open(str(path), "w") as out:
        sound = out.add_stream(codec, rate=44_100, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 44_100), np.int16), format="s16", layout="mono")
        block.sample_rate, block.pts = 44_100, 0
        resampler = av.AudioResampler(format=sound.format, layout="mono", rate=44_100, frame_size=sound.frame_size)
        for part in [*resampler.resample(block), *resampler.resample(None)]:
            out.mux(sound.encode(part))
        out.mux(sound.encode(None))


def _cut_off(share: float) -> Callable[[Path, Path], None]:
    def make(path: Path, good: Path) -> None:
        data = good.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return make


def _image(path: Path, good: Path) -> None:
    path.write_bytes(cv2.imencode(path.suffix, _scene(0))[1].tobytes())


def _text(content: bytes) -> Callable[[Path, Path], None]:
    def make(path: Path, good: Path) -> None:
        path.write_bytes(content)

    return make


def _link_loop(path: Path, good: Path) -> None:
    path.symlink_to(path.name)


def _still(frames: int, **options: object) -> Callable[[Path, Path], None]:
    return lambda path, good: _mux(path, [_scene(0)] * frames, _sound(max(frames, 10)), **options)


CANNOT = "cannot be opened|cannot be decoded"
NO_FACE = "no face found in any of 30 frames"
ZOO: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "empty.mp4": (_text(b""), "is empty"),
    "one_byte.mp4": (_text(b"x"), CANNOT),
    "text.mp4": (_text(b"Dear reader, this is a letter.\n" * 99), CANNOT),
    "text.mkv": (_text(b"Dear reader, this is a letter.\n" * 99), CANNOT),
    "html.webm": (_text(b"<!doctype html><html><body>404 Not Found</body></html>"), CANNOT),
    "json.mov": (_text(b'{"error": "denied"}'), CANNOT),
    "zeros.avi": (_text(bytes(10_000)), CANNOT),
    "noise.mp4": (_text(random.Random(1).randbytes(50_000)), CANNOT),
    "noise.ts": (_text(random.Random(2).randbytes(50_000)), f"{CANNOT}|no video|no sound"),
    "zip.mp4": (_text(b"PK\x03\x04" + bytes(500)), CANNOT),
    "pdf.mp4": (_text(b"%PDF-1.7\n" + bytes(500)), CANNOT),
    "script.mp4": (_text(b"#!/bin/sh\necho hello\n"), CANNOT),
    "playlist.mp4": (_text(b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n"), CANNOT),
    "concat.mp4": (_text(b"ffconcat version 1.0\nfile good.mp4\n"), CANNOT),
    "subtitles.mp4": (_text(b"1\n00:00:01,000 --> 00:00:02,000\nHello\n"), f"{CANNOT}|no video|no sound"),
    "only_ftyp.mp4": (lambda path, good: path.write_bytes(good.read_bytes()[:32]), CANNOT),
    "no_index.mp4": (lambda path, good: path.write_bytes(good.read_bytes().replace(b"moov", b"xxxx")), CANNOT),
    "picture.png": (_image, "no sound"),
    "picture.jpg": (_image, "no sound"),
    "picture.bmp": (_image, "no sound"),
    "sound.wav": (lambda path, good: _sound_only(path, "pcm_s16le"), "no video"),
    "sound.mp3": (lambda path, good: _sound_only(path, "libmp3lame"), "no video"),
    "sound.m4a": (lambda path, good: _sound_only(path, "aac"), "no video"),
    "sound.flac": (lambda path, good: _sound_only(path, "flac"), "no video"),
    "silent_track.mkv": (lambda path, good: _mux(path, [_scene(0)] * 30, np.zeros(0, np.int16)), "no sound"),
    "one_frame.mp4": (_still(1), r"shorter than one window \(1 of 5 frames\)"),
    "four_frames.mp4": (_still(4), r"shorter than one window \(4 of 5 frames\)"),
    "ten_frames.mp4": (_still(10), r"face track of 10 frames is shorter than min_track \(15\)"),
    "black.mp4": (lambda path, good: _mux(path, [np.zeros((240, 320, 3), np.uint8)] * 30, _sound(30)), NO_FACE),
    "white.mp4": (lambda path, good: _mux(path, [np.full((240, 320, 3), 255, np.uint8)] * 30, _sound(30)), NO_FACE),
    "noise_frames.mp4": (
        lambda path, good: _mux(
            path, list(np.random.default_rng(3).integers(0, 255, (30, 96, 128, 3), dtype=np.uint8)), _sound(30)
        ),
        NO_FACE,
    ),
    "tiny.mp4": (lambda path, good: _mux(path, [np.zeros((2, 2, 3), np.uint8)] * 30, _sound(30)), NO_FACE),
    "sliver.mp4": (lambda path, good: _mux(path, [np.zeros((2, 640, 3), np.uint8)] * 30, _sound(30)), NO_FACE),
    "jump.mkv": (lambda path, good: _jump(path), "timestamps jump from 0 s to 10800 s"),
    "before_zero.mp4": (
        lambda path, good: clockclip.remux(good, path, -5 * FRAMES, -5 * FRAMES),
        "no sound: the sound track ends",
    ),
    "huge.avi": (_with_header, CANNOT),
    "folder.mp4": (lambda path, good: path.mkdir(), "is a folder"),
    "missing.mp4": (lambda path, good: None, "does not exist"),
    "loop.mp4": (_link_loop, "symbolic links|does not exist"),
    "dangling.mp4": (lambda path, good: path.symlink_to("nowhere"), "does not exist"),
    "pipe.mp4": (lambda path, good: os.mkfifo(path), "is not a regular file"),
    **{f"cut_at_{share}.mp4": (_cut_off(share), CANNOT) for share in (0.01, 0.3, 0.6, 0.9, 0.99)},
}
BAD_SECONDS = 60
"""No bad file may take longer (this machine works on a good one for a second)."""


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.timeout(BAD_SECONDS)
def test_bad_files_are_skipped_with_a_true_reason(name: str, good: Path, tmp_path: Path) -> None:
    make, reason = ZOO[name]
    path = tmp_path / name
    make(path, good)
    beside = tmp_path / "good.mp4"
    beside.write_bytes(good.read_bytes())
    manifest, skipped = _extract([path, beside], tmp_path, tmp_path / "out")
    assert manifest.video_id.tolist() == ["good.mp4"]
    assert skipped.file.tolist() == [name]
    assert pd.Series(skipped.reason).str.contains(reason).all(), skipped.reason.tolist()
    assert "Error" not in skipped.reason[0], "a programming error is no reason"


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_a_file_that_may_not_be_read_is_skipped(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "secret.mp4"
    path.write_bytes(good.read_bytes())
    path.chmod(stat.S_IWUSR)
    with pytest.raises(InputError, match="permission denied"):
        _extract([path], tmp_path, tmp_path / "out")


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_the_readable_start_of_a_cut_off_stream_is_used_or_named(suffix: str, share: float, tmp_path: Path) -> None:
    whole = tmp_path / f"whole.{suffix}"
    encode.write_video(whole, [_scene(number / 2) for number in range(FRAMES)], _sound(FRAMES))
    _cut_off(share)(tmp_path / f"cut.{suffix}", whole)
    manifest, skipped = _extract([whole, tmp_path / f"cut.{suffix}"], tmp_path, tmp_path / "out")
    for clip_id in manifest.clip_id[manifest.video_id.str.startswith("cut")]:
        cut, full = (clips.load(tmp_path / "out" / "clips" / name) for name in (clip_id, f"whole.{suffix}_00"))
        frames = len(cut.lip_aperture)
        assert frames < FRAMES
        assert np.abs(cut.mouth[:-10].astype(int) - full.mouth[: frames - 10]).mean() < 3
    assert ("cut" in "".join(skipped.file)) != bool(manifest.video_id.str.startswith("cut").any())


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.timeout(BAD_SECONDS)
def test_flipped_bits_end_in_a_clip_or_a_reason(seed: int, good: Path, tmp_path: Path) -> None:
    beside = tmp_path / "good.mp4"
    beside.write_bytes(good.read_bytes())
    _flipped(tmp_path / "flipped.mp4", good, seed, 1 + 4 * seed)
    manifest, skipped = _extract([tmp_path / "flipped.mp4", beside], tmp_path, tmp_path / "out")
    assert "good.mp4" in manifest.video_id.tolist()
    assert "flipped.mp4" in manifest.video_id.tolist() + skipped.file.tolist()
    for clip_id, frames in zip(manifest.clip_id, manifest.frames, strict=True):
        clip = clips.load(tmp_path / "out" / "clips" / clip_id)
        assert len(clip.mouth) == len(clip.lip_aperture) == len(clip.samples) / 640 == frames
    assert not any("Error" in reason for reason in skipped.reason), skipped.reason.tolist()


def test_the_time_limit_is_kept(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(0, 100_000, 30))
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    with pytest.raises(InputError, match="takes longer than its time limit of 60 s"):
        _extract([good], good.parent, tmp_path)


def test_provenance_is_plain_json(good: Path, tmp_path: Path) -> None:
    manifest, _ = _extract([good], good.parent, tmp_path)
    meta = json.loads((tmp_path / "clips" / manifest.clip_id[0] / "clip.json").read_text())
    assert set(clips.COLUMNS) <= set(meta)


def test_real_clips_keep_every_face(real_clips: Path, tmp_path: Path) -> None:
    paths = sorted((real_clips / "grid_talkers").iterdir()) + sorted((real_clips / "grid_s1").iterdir())[:5]
    manifest, skipped = _extract(paths, real_clips, tmp_path)
    assert len(skipped) == 0
    assert manifest.frames.tolist() == [75] * len(paths)
    assert manifest.faceless_share.max() == 0


def test_another_size_within_a_file_is_another_clip_and_pixels_that_are_not_square_change_no_crop(
    good: Path, tmp_path: Path
) -> None:
    def coded(size: tuple[int, int], aspect: int, first: int) -> list[av.Packet]:
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height = size
        encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 25)
        encoder.sample_aspect_ratio = Fraction(aspect)
        encoder.options = {"bf": "0", "crf": "18"}
        packets = []
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(cv2.resize(_scene(number / 2), size), format="rgb24")
            frame.pts, frame.time_base = first + number, Fraction(1, 25)
            packets += encoder.encode(frame)
        return packets + encoder.encode(None)

    def write(path: Path, packets: list[av.Packet], size: tuple[int, int]) -> None:
        with av.open(str(path), "w") as out:
            video = out.add_stream("libx264", rate=25)
            video.width, video.height, video.pix_fmt = *size, "yuv420p"
            sound = out.add_stream("mp2", rate=16_000, layout="mono")
            block = av.AudioFrame.from_ndarray(_sound(2 * FRAMES)[None], format="s16", layout="mono")
            block.sample_rate, block.pts = 16_000, 0
            resampler = av.AudioResampler(format=sound.format, layout="mono", rate=16_000, frame_size=sound.frame_size)
            for part in [*resampler.resample(block), *resampler.resample(None)]:
                out.mux(sound.encode(part))
            out.mux(sound.encode(None))
            for packet in packets:
                packet.stream = video
                out.mux(packet)

    larger = coded((320, 240), 1, 0) + coded((480, 360), 1, FRAMES)
    write(tmp_path / "larger.ts", larger, (320, 240))
    write(tmp_path / "squeezed.ts", coded((160, 240), 2, 0), (160, 240))
    manifest, _ = _extract([tmp_path / "larger.ts", tmp_path / "squeezed.ts"], tmp_path, tmp_path / "out")
    spans = manifest[["video_id", "shot", "start_frame", "frames"]].to_records(index=False).tolist()
    assert spans == [("larger.ts", 0, 0, FRAMES), ("larger.ts", 1, FRAMES, FRAMES), ("squeezed.ts", 0, 0, FRAMES)]
    assert manifest.face_size[1] == pytest.approx(1.5 * manifest.face_size[0], rel=0.05)
    assert manifest.face_size[2] == pytest.approx(manifest.face_size[0], rel=0.05)
    mouths = [clips.load(tmp_path / "out" / "clips" / name).mouth[5:-5] for name in manifest.clip_id]
    for other in mouths[1:]:
        assert np.corrcoef(mouths[0].ravel(), other.ravel())[0, 1] > 0.9
