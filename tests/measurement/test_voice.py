"""Which of several audio tracks is measured."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from jaxtyping import Int16

from syncnet_lib.errors import InputError
from syncnet_lib.measurement import voice
from syncnet_lib.media import audio
from syncnet_lib.media.clock import SAMPLE_RATE
from syncnet_lib.synthetic.voice import Voice, speak

SECONDS = 4


def speech(words: str) -> Int16[np.ndarray, " samples"]:
    samples = np.zeros(SECONDS * SAMPLE_RATE, np.int16)
    spoken, _ = speak(words, Voice("en-us", rate=160, pitch=50))
    spoken = spoken[: len(samples)]
    samples[: len(spoken)] = (spoken * 20_000).astype(np.int16)
    return samples


def music() -> Int16[np.ndarray, " samples"]:
    """A tone whose level rises and falls as syllables do, over noise."""
    t = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 220 * t) * (0.55 + 0.45 * np.sin(2 * np.pi * 3 * t))
    noise = np.random.default_rng(0).normal(0, 0.1, len(t))
    return (8000 * tone + 8000 * noise).astype(np.int16)


def write(
    path: Path, tracks: list[Int16[np.ndarray, " samples"]], default: int | None = None, damaged: int | None = None
) -> Path:
    """Gray pictures with several audio tracks, one of which is marked as the default, and one has zeros for packets."""
    with av.open(str(path), "w") as target:
        video = target.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        codecs = ["flac" if number == damaged else "pcm_s16le" for number in range(len(tracks))]
        streams = [target.add_stream(codec, rate=SAMPLE_RATE, layout="mono") for codec in codecs]
        for number, stream in enumerate(streams):
            stream.disposition = av.stream.Disposition.default if number == default else av.stream.Disposition(0)
        for number in range(SECONDS * 25):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 128, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            target.mux(video.encode(frame))
        target.mux(video.encode(None))
        for stream, samples in zip(streams, tracks, strict=True):
            sound = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
            for packet in [*stream.encode(sound), *stream.encode(None)]:
                if stream.codec_context.name == "flac":
                    packet.update(bytes(packet.size)) if packet.size else None
                target.mux(packet)
    return path


SILENCE = np.zeros(SECONDS * SAMPLE_RATE, np.int16)
WORDS = "place blue at f two now, then the man walked slowly over the old bridge"
OTHERS = "a different sentence is spoken by somebody else on this other track"


@pytest.mark.parametrize("first", [SILENCE, music()], ids=["silence", "music"])
def test_the_track_with_speech_is_measured(first: Int16[np.ndarray, " samples"], tmp_path: Path) -> None:
    track, notes = voice.choose_track(write(tmp_path / "capture.mkv", [first, speech(WORDS)], default=0))
    assert track == 1
    assert [note.text for note in notes] == ["audio track 2 of 2 is measured: the one with speech"]


@pytest.mark.parametrize(("default", "chosen"), [(1, 1), (0, 0), (None, 0)])
def test_of_several_with_speech_it_is_the_default(default: int | None, chosen: int, tmp_path: Path) -> None:
    film = write(tmp_path / "film.mkv", [speech(OTHERS), speech(WORDS)], default)
    track, notes = voice.choose_track(film)
    assert track == chosen
    assert "the default of those with speech" in notes[0].text


def test_a_damaged_track_beside_it_costs_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "damaged.mkv", [speech(WORDS), speech(OTHERS)], default=0, damaged=1)
    with pytest.raises(InputError, match="damaged: 100% of the sound"):
        audio.read_audio(path, 1)
    track, notes = voice.choose_track(path)
    assert track == 0
    assert "the one with speech" in notes[0].text


def test_one_track_needs_no_choice(tmp_path: Path) -> None:
    assert voice.choose_track(write(tmp_path / "one.mkv", [SILENCE])) == (0, [])


def test_no_speech_at_all_is_said(tmp_path: Path) -> None:
    track, notes = voice.choose_track(write(tmp_path / "none.mkv", [music(), SILENCE]))
    assert track == 0
    assert "no speech in any of the 2 audio tracks" in notes[0].text
