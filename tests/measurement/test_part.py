"""Which part of a video is looked at, and which of its sounds is listened to."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from jaxtyping import Int16

from syncnet_lib.errors import InputError
from syncnet_lib.measurement import part, stream
from syncnet_lib.measurement.settings import WatchSettings
from syncnet_lib.media import encode
from syncnet_lib.media.clock import FPS, SAMPLE_RATE
from tests import clockclip

SECONDS = 4


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gray pictures without a face, with two audio tracks: mono, and stereo of two levels."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    with av.open(str(path), "w") as target:
        video = target.add_stream("libx264", rate=FPS, options=encode.encoder_options("libx264", 30))
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        sounds = [target.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout=name) for name in ("mono", "stereo")]
        for number in range(SECONDS * FPS):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 128, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            target.mux(video.encode(frame))
        target.mux(video.encode(None))
        for sound, levels in zip(sounds, ((100,), (200, 300)), strict=True):
            samples = np.tile(np.array(levels, np.int16), SECONDS * SAMPLE_RATE)[None]
            block = av.AudioFrame.from_ndarray(samples, format="s16", layout=sound.layout.name)
            block.sample_rate, block.pts, block.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
            target.mux([*sound.encode(block), *sound.encode(None)])
    return path


@pytest.mark.parametrize(
    ("settings", "spans"),
    [
        (WatchSettings(), [(0, None)]),
        (WatchSettings(start=1.0), [(25, None)]),
        (WatchSettings(start=1.0, end=2.0), [(25, 50)]),
        (WatchSettings(sample="2x1s"), [(12, 38), (62, 88)]),
        (WatchSettings(sample="2x1", start=2.0), [(50, None)]),
    ],
)
def test_stretches_in_frames(film, settings, spans):
    assert part.stretches(film, settings) == spans


def test_stretches_reach_beyond_where_the_clock_starts_over(tmp_path):
    one = tmp_path / "one.ts"
    clockclip.make(one, clockclip.picture_times(Fraction(FPS), 3.0), audio_codec="mp2", rate=48_000)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.read_bytes() * 2)
    assert part.stretches(joined, WatchSettings(sample="2x1s")) == [(25, 50), (100, 125)]


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        (WatchSettings(start=4.5), "4.00 s long, without what is after 4.5 s"),
        (WatchSettings(end=5.0), "4.00 s long, without 0 to 5 s"),
        (WatchSettings(start=2.0, end=1.0), "1 s is not after --start, 2 s"),
        (WatchSettings(sample="2s"), "write it as 6x25s"),
        (WatchSettings(sample="0x2s"), "write it as 6x25s"),
    ],
)
def test_a_part_that_is_none_is_one_line(film, settings, cause):
    with pytest.raises(InputError) as error:
        part.stretches(film, settings)
    assert cause in str(error.value)


def heard(film: Path, settings: WatchSettings) -> tuple[Int16[np.ndarray, " samples"], list[str]]:
    events = list(stream.hear(film, 0, settings))
    blocks = [event.samples for event in events if isinstance(event, stream.AudioBlock)]
    (end,) = (event for event in events if isinstance(event, stream.AudioEnd))
    return np.concatenate(blocks), [note.text for note in end.report.notes]


@pytest.mark.parametrize(
    ("settings", "level", "said"),
    [
        (WatchSettings(audio_track=1), 100, "audio track 1 of 2 is measured: as asked for"),
        (WatchSettings(audio_track=2, channel="left"), 200, "channel left of the audio is measured: as asked for"),
        (WatchSettings(audio_track=2, channel="right"), 300, "audio track 2 of 2 is measured: as asked for"),
        (WatchSettings(audio_track=2, channel="FR"), 300, "channel FR of the audio is measured: as asked for"),
    ],
)
def test_the_sound_that_is_asked_for(film, settings, level, said):
    samples, notes = heard(film, settings)
    assert abs(int(np.median(samples)) - level) <= 1
    assert said in notes


def test_sound_in_a_file_of_its_own(film, tmp_path):
    dub = tmp_path / "dub.mkv"
    encode.write_video(dub, [np.zeros((64, 64, 3), np.uint8)] * FPS, np.full(SAMPLE_RATE, 1000, np.int16))
    samples, notes = heard(film, WatchSettings(audio=str(dub)))
    assert abs(len(samples) - SAMPLE_RATE) < SAMPLE_RATE / 10
    assert notes == ["the audio of dub.mkv is measured, from the first picture on: as asked for"]


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        (WatchSettings(audio_track=3), "no audio track 3; choose from 1 to 2"),
        (WatchSettings(audio_track=1, channel="left"), "has no channel left; it is mono"),
        (WatchSettings(audio_track=2, channel="centre"), "has no channel centre; it has left, right"),
    ],
)
def test_a_sound_that_is_not_there_is_one_line(film, settings, cause):
    with pytest.raises(InputError) as error:
        heard(film, settings)
    assert cause in str(error.value)


@pytest.mark.slow
def test_faces_of_stretches_keep_their_places(talkers):
    video = talkers / "videos" / "s000_00000.mp4"
    ends = [
        event
        for event in stream.see(video, WatchSettings(sample="2x1s"), "mouth")
        if isinstance(event, stream.TrackEnd)
    ]
    assert [(end.number, end.shot) for end in ends] == [(0, 0), (1, 1)]
    assert [(end.first, end.last) for end in ends] == [(6, 31), (43, 68)] or [end.first for end in ends] == [6, 44]
