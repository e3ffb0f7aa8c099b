"""Videos made of other videos, for the tests of inference."""

from pathlib import Path

import av
import numpy as np

from syncnet_lib.media import audio, decode, encode


def side_by_side(left: Path, right: Path, out: Path) -> None:
    """Two talkers in one picture, with the sound of the left one."""
    pairs = zip(decode.read_frames(left), decode.read_frames(right), strict=True)
    encode.write_video(out, (np.concatenate(pair, axis=1) for pair in pairs), audio.read_audio(left))


def packet_bytes(path: Path, kind: str) -> list[bytes]:
    """The bytes of the packets of the first stream of a kind."""
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return [bytes(packet) for packet in container.demux(stream) if packet.size]
