"""silence: packets that the decoder of a track takes for its own."""

from fractions import Fraction

import pytest

from syncnet_lib.media import silence
from syncnet_lib.media.streams import opened
from tests import clockclip

TRACKS = {
    "aac.mp4": ("aac", 44_100, Fraction(1024, 44_100)),
    "aac.mkv": ("aac", 48_000, Fraction(1024, 48_000)),
    "aac.ts": ("aac", 48_000, Fraction(1024, 48_000)),
    "opus.mkv": ("libopus", 48_000, Fraction(1, 50)),
    "mp3.mkv": ("libmp3lame", 44_100, Fraction(1152, 44_100)),
    "ac3.mkv": ("ac3", 48_000, Fraction(1536, 48_000)),
    "mp2.ts": ("mp2", 48_000, Fraction(1152, 48_000)),
    "u8.mkv": ("pcm_u8", 48_000, Fraction(21, 1000)),
}


@pytest.mark.parametrize("name", TRACKS)
def test_a_packet_of_silence_is_as_long_as_those_of_its_track(tmp_path, name):
    path = tmp_path / name
    codec, rate, seconds = TRACKS[name]
    clockclip.make(
        path, clockclip.picture_times(Fraction(25), 1), flashes=[0.5], beeps=[0.5], seconds=1, rate=rate,
        layout="stereo", audio_codec=codec,
    )  # fmt: skip
    with opened(path) as container:
        stream = container.streams.audio[0]
        packet = next(each for each in container.demux(stream) if each.size and each.duration)
        found = silence.packet_like(path, stream.index, bytes(packet), packet.duration * packet.time_base)
    assert found is not None
    assert found.seconds == seconds
