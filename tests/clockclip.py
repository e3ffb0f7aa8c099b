"""Videos with a white flash and a chirp at exactly known instants, in any container, for the tests of the clock."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from syncnet_lib.media.clock import FPS, SAMPLE_RATE

FLASH = Fraction(1, 5)
"""Seconds that a flash stays, at least."""
CHIRP = 0.05
"""Seconds of the chirp."""


def chirp(rate: int) -> np.ndarray:
    """(n,) float64 sweep from 300 to 2300 Hz, below the Nyquist frequency of 8 kHz sound."""
    time = np.arange(round(CHIRP * rate)) / rate
    return np.sin(2 * np.pi * (300 * time + 20_000 * time**2)) * np.sin(np.pi * time / CHIRP)


def picture_times(fps: Fraction, seconds: float, start: Fraction = Fraction(0)) -> list[Fraction]:
    """Presentation times of a constant rate."""
    return [start + number / fps for number in range(int(seconds * fps))]


def make(
    path: Path,
    times: Sequence[Fraction],
    *,
    flashes: Sequence[float] = (0.5, 1.3, 2.2),
    beeps: Sequence[float] = (0.62, 1.42, 2.32),
    seconds: float = 3.0,
    audio_start: Fraction = Fraction(0),
    pause: tuple[float, float] | None = None,
    rate: int = 44_100,
    layout: str = "mono",
    size: tuple[int, int] = (96, 64),
    container: str | None = None,
    video_codec: str = "libx264",
    audio_codec: str = "aac",
    pix_fmt: str = "yuv420p",
    video_options: dict[str, str] | None = None,
    video_base: Fraction = Fraction(1, 90_000),
    setup: Callable[[av.VideoFrame], None] | None = None,
    header: dict[str, str] | None = None,
) -> tuple[list[Fraction], list[float]]:
    """Write a clip.

    Args:
        path: of the file.
        times: presentation time of each picture, seconds.
        flashes: wanted instants, seconds; each comes with the first picture at or after it.
        beeps: instants of the chirps, seconds.
        seconds: end of the sound.
        audio_start: of the first sample, seconds.
        pause: (start, end) in seconds that has neither samples nor packets.
        video_base: time base of the encoder.
        setup: called with each picture before it is encoded.

    Returns:
        The true instants of the flashes and of the chirps.
    """
    lit = [next(time for time in times if time >= flash) for flash in flashes]
    with av.open(str(path), "w", format=container, options=header or {}) as out:
        usual = times[1] - times[0]
        video = out.add_stream(video_codec, rate=(1 / usual).limit_denominator(60_060), options=video_options or {})
        video.width, video.height = size
        video.pix_fmt = pix_fmt
        video.codec_context.time_base = video_base
        sound = out.add_stream(audio_codec, rate=rate, layout=layout)
        sound.codec_context.open()
        packets: list[tuple[Fraction, int, av.Packet]] = []
        for time in times:
            on = any(0 <= time - flash < FLASH for flash in lit)
            level = 255 if on else 20
            pixels = np.full((size[1], size[0], 3), level, np.uint8)
            pixels[:8, :8] = round(time * 200) % 255  # keeps encoders from dropping equal pictures
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
            if setup is not None:
                setup(frame)
            frame.pts, frame.time_base = round(time / video_base), video_base
            packets += [(packet.dts * packet.time_base, 0, packet) for packet in video.encode(frame)]
        packets += [(packet.dts * packet.time_base, 0, packet) for packet in video.encode(None)]

        length = round((seconds - float(audio_start)) * rate)
        wave = np.zeros(length)
        mark = chirp(rate)
        for beep in beeps:
            first = round((beep - float(audio_start)) * rate)
            wave[first : first + len(mark)] += 0.5 * mark
        channels = av.AudioLayout(layout).nb_channels
        step = sound.codec_context.frame_size or 1024
        for first in range(0, length, step):
            at = float(audio_start) + first / rate
            if pause is not None and pause[0] <= at < pause[1]:
                continue
            part = (wave[first : first + step] * 32767).astype(np.int16)
            block = av.AudioFrame.from_ndarray(np.repeat(part, channels)[None], format="s16", layout=layout)
            block.sample_rate = rate
            block.pts, block.time_base = first + round(audio_start * rate), Fraction(1, rate)
            packets += [(packet.dts * packet.time_base, 1, packet) for packet in sound.encode(block)]
        packets += [(packet.dts * packet.time_base, 1, packet) for packet in sound.encode(None)]
        for _, _, packet in sorted(packets, key=lambda entry: entry[:2]):
            out.mux(packet)
    return lit, list(beeps)


def remux(path: Path, moved: Path, video: int, audio: int) -> None:
    """Copy the packets of a file with its streams moved by so many frames; nothing is decoded.

    Args:
        path: to be copied.
        moved: the copy.
        video, audio: frames of 40 ms by which the stream comes later.
    """
    with av.open(str(path)) as source, av.open(str(moved), "w", options={"avoid_negative_ts": "disabled"}) as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        packets = [packet for packet in source.demux() if packet.dts is not None]
        for packet in packets:
            frames = audio if packet.stream.type == "audio" else video
            delay = round(Fraction(frames, FPS) / packet.time_base)
            packet.pts, packet.dts = packet.pts + delay, packet.dts + delay
            packet.stream = streams[packet.stream.index]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            out.mux(packet)


def flash_frames(brightness: np.ndarray) -> list[int]:
    """Grid pictures with which a flash begins, from the (T,) mean brightness."""
    on = brightness > 128
    return [k for k in range(len(on)) if on[k] and (k == 0 or not on[k - 1])]


def chirp_times(samples: np.ndarray, count: int) -> list[float]:
    """Seconds at which the chirps begin, from 16 kHz sound."""
    mark = chirp(SAMPLE_RATE)
    match = np.abs(np.correlate(samples.astype(float), mark, "valid"))
    found = []
    for _ in range(count):
        peak = int(match.argmax())
        found.append(peak / SAMPLE_RATE)
        match[max(0, peak - len(mark)) : peak + len(mark)] = 0
    return sorted(found)


def errors(path: Path, flashes: Sequence[Fraction], beeps: Sequence[float]) -> list[float]:
    """Seconds by which each extracted distance of chirp and flash differs from the truth."""
    from syncnet_lib.media import decode
    from syncnet_lib.media.audio import read_audio

    brightness = np.array([picture.mean() for picture in decode.read_frames(path)])
    seen = flash_frames(brightness)
    assert len(seen) == len(flashes), f"{len(seen)} flashes for {len(flashes)}"
    heard = chirp_times(read_audio(path), len(beeps))
    return [(h - s / FPS) - float(beep - flash) for h, s, beep, flash in zip(heard, seen, beeps, flashes, strict=True)]
