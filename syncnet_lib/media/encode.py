"""Pictures and sound written as a video file."""

import platform
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import av.filter
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from syncnet_lib.media.clock import FPS, SAMPLE_RATE

ENCODERS = {"mp3": "libmp3lame", "mp3float": "libmp3lame", "opus": "libopus", "vorbis": "libvorbis"}
"""Codecs whose encoder has another name in libav."""


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    samples: np.ndarray,
    *,
    fps: Fraction | int = FPS,
    sample_rate: int = SAMPLE_RATE,
    video_codec: str = "libx264",
    audio_codec: str = "aac",
    crf: int = 18,
) -> None:
    """Write pictures and sound as a video file; the first picture and the first sample start together.

    Args:
        path: the container follows from its suffix.
        frames: (H, W, 3) uint8 RGB each, even H and W.
        samples: (N,) int16 mono; empty for a video without sound.
        fps: pictures per second, exact.
        sample_rate: samples per second.
        video_codec: an encoder of libav.
        audio_codec: an encoder of libav.
        crf: constant rate factor of the x264 and x265 encoders, lower is better.
    """
    with av.open(str(path), "w") as container:
        video = container.add_stream(video_codec, rate=Fraction(fps), options=encoder_options(video_codec, crf))
        assert isinstance(video, VideoStream)
        video.codec_context.thread_count = 1
        sound: Iterator[av.Packet] = iter(())
        if len(samples):
            audio = container.add_stream(audio_codec, rate=sample_rate, layout="mono")
            assert isinstance(audio, AudioStream)
            sound = _sound_packets(audio, samples, sample_rate)
        pending = next(sound, None)
        first = True
        for number, pixels in enumerate(frames):
            if first:
                video.height, video.width = pixels.shape[:2]
                video.pix_fmt = "yuv420p"
                first = False
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, 1 / Fraction(fps)
            for packet in video.encode(frame):
                # Interleave here: a muxer would hold back one whole stream in memory while it waits for the other.
                while pending is not None and _moment(pending) <= _moment(packet):
                    container.mux(pending)
                    pending = next(sound, None)
                container.mux(packet)
        container.mux(video.encode(None))
        while pending is not None:
            container.mux(pending)
            pending = next(sound, None)


def encoder_of(codec: str) -> str:
    """libav's name of the encoder of what the decoder of this name reads; whether there is one is another question."""
    return ENCODERS.get(codec, codec)


def encoder_options(codec: str, crf: int) -> dict[str, str]:
    """Options under which an encoder of libav is fast and gives the same bytes for the same pictures.

    Args:
        codec: libav's name of it.
        crf: constant rate factor of x264 and x265, lower is better.
    """
    if codec not in ("libx264", "libx265"):
        return {}
    options = {"crf": str(crf), "preset": "veryfast"}
    if codec == "libx264" and platform.machine() in ("x86_64", "AMD64"):
        # With AVX-512, libx264 gives other bytes for the same pictures from one call to the next (measured).
        options["x264-params"] = "asm=avx2"
    return options


def _moment(packet: av.Packet) -> Fraction:
    assert packet.dts is not None
    assert packet.time_base is not None
    return packet.dts * packet.time_base


def _sound_packets(stream: AudioStream, samples: np.ndarray, sample_rate: int) -> Iterator[av.Packet]:
    frame_size = 1024  # of AAC; PyAV regroups for encoders that want another number
    for start in range(0, len(samples), frame_size):
        part = np.ascontiguousarray(samples[start : start + frame_size], np.int16)
        frame = av.AudioFrame.from_ndarray(part[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = sample_rate, start, Fraction(1, sample_rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)
