"""A packet of silence that belongs to a sound track: as if its own encoder had made it.

Browsers count samples and pass over a hole in time stamps, so that all sound after it comes too early. Packets of
silence hold its place, and no packet of the sound itself is touched.
"""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import av.error
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from syncnet_lib.media.encode import encoder_of
from syncnet_lib.media.streams import opened

ALONE = {"libmp3lame": {"reservoir": "0"}}
"""Options under which a packet needs none of those before it."""
COPIES = 5
"""Of a packet that are decoded; the first two may still hold what decoders begin with."""
QUIET = 1e-3
"""Share of full scale that is silence."""
ADTS = 7
"""Bytes before each packet of AAC in a transport stream, which has no header of its own."""
ROUNDING = Fraction(1, 1000)
"""Seconds by which Matroska rounds how long a packet lasts."""


class Silence(NamedTuple):
    """A packet of silence: its bytes, and how many seconds it lasts."""

    data: bytes
    seconds: Fraction


def packet_like(path: Path, index: int, like: bytes, seconds: Fraction) -> Silence | None:
    """A packet of silence for a sound track.

    Args:
        path: the file.
        index: of the stream.
        like: one of its packets.
        seconds: that a packet of it lasts.

    Returns:
        None where no encoder makes one that the track's decoder takes.
    """
    with opened(path) as container:
        context = container.streams[index].codec_context
        assert isinstance(context, AudioCodecContext)
        try:
            made, samples = _encoded(context, seconds)
            if made and context.name == "aac" and not context.extradata:
                made = _framed(made, like)
            lasts = Fraction(samples, context.sample_rate)
            if made and abs(lasts - seconds) <= ROUNDING and _is_silence(context, made, samples):
                return Silence(made, lasts)
        except (av.error.FFmpegError, ValueError):
            pass
    return None


def _encoded(context: AudioCodecContext, seconds: Fraction) -> tuple[bytes, int]:
    """A packet in the middle of silence, and its samples; empty where there is no encoder."""
    name = encoder_of(context.name)
    if name not in av.codecs_available:
        return b"", 0
    made = av.CodecContext.create(name, "w")
    assert isinstance(made, AudioCodecContext)
    made.sample_rate, made.layout, made.time_base = (
        context.sample_rate,
        context.layout,
        Fraction(1, context.sample_rate),
    )
    formats = [each.name for each in made.codec.audio_formats or ()]
    made.format = context.format.name if context.format.name in formats or not formats else formats[0]
    made.options = dict(ALONE.get(name, {}))
    if context.bit_rate and not name.startswith("pcm"):
        made.bit_rate = context.bit_rate
    made.open()
    samples = made.frame_size or round(seconds * context.sample_rate)
    found: list[bytes] = []
    for number in range(2 * COPIES):
        frame = av.AudioFrame(format=made.format.name, layout=made.layout.name, samples=samples)
        for plane in frame.planes:
            plane.update(bytes([0x80 if made.format.name.startswith("u8") else 0]) * plane.buffer_size)
        frame.sample_rate, frame.pts, frame.time_base = made.sample_rate, number * samples, made.time_base
        found += [bytes(each) for each in made.encode(frame)]
    return (found[len(found) // 2] if found else b""), samples


def _framed(made: bytes, like: bytes) -> bytes:
    """AAC behind the header of another packet, with its own length in it."""
    head = bytearray(like[:ADTS])
    head[1] |= 1  # without a checksum
    length = ADTS + len(made)
    head[3] = (head[3] & 0xFC) | length >> 11
    head[4] = length >> 3 & 0xFF
    head[5] = (head[5] & 0x1F) | (length & 7) << 5
    return bytes(head) + made


def _is_silence(context: AudioCodecContext, made: bytes, samples: int) -> bool:
    """Whether the track's own decoder makes as many silent samples of it."""
    for number in range(COPIES):
        frames = context.decode(av.Packet(made))
        if number < 2:
            continue
        values = [each.to_ndarray() for each in frames]
        if sum(each.samples for each in frames) != samples:
            return False
        kind = values[0].dtype
        full = 1 if kind.kind == "f" else 2 ** (8 * kind.itemsize - 1)
        if max(float(np.ptp(each.astype(np.float64))) for each in values) > QUIET * full:
            return False
    return True
