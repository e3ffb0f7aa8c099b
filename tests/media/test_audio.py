"""audio and mix: channels that a plain mix would cancel or bury, and tracks of another kind."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from syncnet_lib.errors import InputError
from syncnet_lib.media import decode
from syncnet_lib.media.audio import PORTION, audio_blocks, read_audio
from syncnet_lib.media.clock import SAMPLE_RATE
from syncnet_lib.media.mix import to_mono
from syncnet_lib.media.report import Report
from tests.conftest import ROOT

RATE = 48_000
SECONDS = 3
RNG = np.random.default_rng(0)


def _voice(level: float = 0.2) -> np.ndarray:
    """(N,) float64 of noise below 4 kHz in syllables, four a second."""
    time = np.arange(SECONDS * RATE) / RATE
    noise = np.interp(time, np.arange(SECONDS * 8000) / 8000, RNG.normal(0, 1, SECONDS * 8000))
    return level * noise * np.maximum(np.sin(8 * np.pi * time), 0)


def _hum(level: float) -> np.ndarray:
    """(N,) float64 of deep noise, as of music."""
    return level * np.cumsum(RNG.normal(0, 1, SECONDS * RATE)) / 200


def _clip(path: Path, tracks: list[tuple[str, str, list[np.ndarray]]]) -> Path:
    """A video of one gray picture; for each track of sound the codec, the layout and the channels."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        sounds = [out.add_stream(codec, rate=RATE, layout=layout) for codec, layout, _ in tracks]
        for number in range(SECONDS * 25):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 100, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for sound, (_, layout, channels) in zip(sounds, tracks, strict=True):
            samples = np.clip(np.stack(channels, 1) * 32767, -32768, 32767).astype(np.int16)
            block = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=layout)
            block.sample_rate, block.pts, block.time_base = RATE, 0, Fraction(1, RATE)
            out.mux(sound.encode(block))
            out.mux(sound.encode(None))
    return path


def _likeness(samples: np.ndarray, voice: np.ndarray) -> float:
    """Correlation of 16 kHz sound with a voice of 48 kHz."""
    expected = voice[:: RATE // SAMPLE_RATE]
    count = min(len(samples), len(expected))
    return abs(float(np.corrcoef(samples[:count], expected[:count])[0, 1]))


def test_opposite_phase_keeps_the_voice(tmp_path: Path) -> None:
    voice = _voice()
    path = _clip(tmp_path / "clip.mkv", [("pcm_s16le", "stereo", [voice, -voice])])
    report = Report()
    samples = np.concatenate(list(audio_blocks(path, report=report)))
    assert _likeness(samples, voice) > 0.9
    assert ["opposite phase" in text for text in report.texts] == [True]


def test_opposite_phase_under_music_that_is_in_phase(tmp_path: Path) -> None:
    voice, music = _voice(), _hum(0.05)
    path = _clip(tmp_path / "clip.mkv", [("pcm_s16le", "stereo", [music + voice, music - voice])])
    samples = read_audio(path)
    assert max(_likeness(samples, music + voice), _likeness(samples, music - voice)) > 0.9


def test_ordinary_stereo_is_mixed(tmp_path: Path) -> None:
    """Two people, each with a microphone: both are heard, and nothing is noted."""
    left, right = _voice(), _voice()[::-1]
    path = _clip(tmp_path / "clip.mkv", [("pcm_s16le", "stereo", [left, right])])
    report = Report()
    samples = np.concatenate(list(audio_blocks(path, report=report)))
    assert report.texts == []
    assert _likeness(samples, left + right) > 0.9


def test_the_dialogue_of_surround_sound_is_in_the_centre(tmp_path: Path) -> None:
    voice, noise = _voice(0.1), [0.2 * RNG.normal(0, 1, SECONDS * RATE) for _ in range(5)]
    front, back = noise[:2], noise[2:]
    path = _clip(tmp_path / "clip.mkv", [("flac", "5.1", [*front, voice, *back])])
    assert _likeness(read_audio(path), voice) > 0.9
    # Where the centre is silent the mix is used.
    silent = np.zeros(SECONDS * RATE)
    path = _clip(tmp_path / "quad.mkv", [("flac", "5.1", [voice, voice, silent, silent, silent, silent])])
    assert _likeness(read_audio(path), voice) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mov", "mkv", "wav"])
@pytest.mark.parametrize("layout", ["3.0", "quad", "6.1", "7.1", "7.1(wide)", "hexadecagonal", "10 channels"])
def test_unusual_layouts_do_not_end_the_process(tmp_path: Path, suffix: str, layout: str) -> None:
    """In a process of its own: a crash of native code would be the end of this one."""
    count = {"3.0": 3, "quad": 4, "6.1": 7, "hexadecagonal": 16, "10 channels": 10}.get(layout, 8)
    voice = _voice()
    path = tmp_path / f"clip.{suffix}"
    try:
        if suffix == "wav":
            with av.open(str(path), "w") as out:
                sound = out.add_stream("pcm_s16le", rate=RATE, layout=layout)
                samples = (np.repeat(voice[:, None], count, 1) * 32767).clip(-32768, 32767).astype(np.int16)
                block = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=layout)
                block.sample_rate = RATE
                out.mux(sound.encode(block))
                out.mux(sound.encode(None))
        else:
            _clip(path, [("pcm_s16le", layout, [voice] * count)])
    except (ValueError, av.error.FFmpegError):
        pytest.skip(f"libav writes no {layout} into {suffix}")
    script = (
        "import sys; from pathlib import Path; from syncnet_lib.media import decode, audio\n"
        "path = Path(sys.argv[1])\n"
        "print(decode.probe(path).audio[0].channels, len(audio.read_audio(path)), flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [str(count), str(SECONDS * SAMPLE_RATE)]


def _spatial(path: Path, out: Path, first: bool) -> Path:
    """A copy of a .mov whose second ALAC track, or first, has a codec that nobody knows, as an iPhone's has."""
    data = path.read_bytes()
    entries = [at for at in range(len(data)) if data[at : at + 4] == b"alac" and b"stsd" in data[at - 16 : at]]
    at = entries[0 if first else -1]
    out.write_bytes(data[:at] + b"apac" + data[at + 4 :])
    return out


@pytest.mark.parametrize("first", [True, False])
def test_sound_without_a_decoder_is_passed_over(tmp_path: Path, first: bool) -> None:
    voice, other = _voice(), _hum(0.2)
    tracks = [("alac", "mono", [samples]) for samples in ((other, voice) if first else (voice, other))]
    path = _spatial(_clip(tmp_path / "clip.mov", tracks), tmp_path / "iphone.mov", first)
    info = decode.probe(path)
    assert [track.codec for track in info.audio] == ["alac"]
    assert info.undecodable == 1
    assert _likeness(read_audio(path), voice) > 0.9
    assert sum(1 for _ in decode.pictures(path)) == SECONDS * 25
    with pytest.raises(InputError, match="no sound track 1"):
        read_audio(path, 1)


def test_sound_that_nobody_can_decode(tmp_path: Path) -> None:
    path = _spatial(_clip(tmp_path / "clip.mov", [("alac", "mono", [_voice()])]), tmp_path / "iphone.mov", True)
    assert decode.probe(path).audio == ()
    with pytest.raises(InputError, match="no sound that can be decoded"):
        read_audio(path)


def test_long_sound_is_mixed_portion_by_portion(tmp_path: Path) -> None:
    """Nothing is lost where one portion ends and the next begins."""
    voice = RNG.normal(0, 3000, 2 * PORTION + 1000).astype(np.int16)
    path = tmp_path / "clip.wav"
    with av.open(str(path), "w") as out:
        sound = out.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="stereo")
        block = av.AudioFrame.from_ndarray(np.repeat(voice, 2)[None], format="s16", layout="stereo")
        block.sample_rate = SAMPLE_RATE
        out.mux(sound.encode(block))
        out.mux(sound.encode(None))
    samples = read_audio(path)
    assert len(samples) == len(voice)
    assert np.abs(samples.astype(int) - voice).max() <= 1


def test_one_channel_of_silence_does_not_count() -> None:
    voice = (RNG.normal(0, 3000, 16_000)).astype(np.int16)
    quiet = np.zeros(16_000, np.int16)
    mixed, why = to_mono(voice // 2, np.stack([voice, quiet]), ("FL", "FR"))
    assert why == ""
    assert np.array_equal(mixed, voice // 2)
    loud, why = to_mono(voice // 8, np.stack([voice, *[quiet] * 7]), ("",) * 8)
    assert "too quiet" in why
    assert np.array_equal(loud, voice)
