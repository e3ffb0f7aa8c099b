"""Before and after side by side: the same pictures twice, each over a strip with the loudness of its sound.

The line in the middle of a strip is the instant of the picture; sound to the right of it is still to come. What is
heard is the corrected sound; that from before is the second sound track.
"""

import heapq
import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream
from jaxtyping import Float64, Int16, UInt8

from syncnet_lib.measurement import overlay
from syncnet_lib.media import audio, decode, encode, remux
from syncnet_lib.media.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from syncnet_lib.media.decode import Picture

SECONDS = 60
"""Longest preview."""
WIDTH, STRIP = 640, 72
"""Pixels: widest picture of the two, and height of a strip."""
BARS, AROUND = 200, 100
"""Of loudness in a strip, 10 ms each, and how many of them lie on each side of the line."""
BAR = SAMPLE_RATE // 100
GROUND, LINE = (24, 28, 33), (255, 255, 255)
SOUND = 1024
"""Samples of a frame of AAC."""


def write(path: Path, corrected: Path, out: Path, start: float, before: str, after: str) -> None:
    """Write the preview.

    Args:
        path: the video as it was.
        corrected: the same pictures, perhaps at another speed, with the corrected sound.
        out: a video; the container follows from its suffix.
        start: seconds after the first picture with which it begins; it ends with the video, or after SECONDS.
        before, after: what is said of each.

    Raises:
        InputError: one of them cannot be read, or `out` not be written.
    """
    first = round(start * FPS)
    sounds = [_part(each, first) for each in (path, corrected)]
    sides = [itertools.islice(decode.pictures(each), first, first + SECONDS * FPS) for each in (path, corrected)]
    pictures = zip(*sides, strict=False)
    with remux.new_media(out) as made, remux.refused(out), av.open(f"file:{made}", "w") as target:
        video = target.add_stream(overlay.CODEC, rate=FPS, options=encode.encoder_options(overlay.CODEC, overlay.CRF))
        assert isinstance(video, VideoStream)
        titled = ("after", sounds[1]), ("before", sounds[0])  # what comes first is heard
        heard = [_heard(target, *each) for each in titled]
        shown = overlay.encoded(video, _side_by_side(pictures, [_loudness(each) for each in sounds], (before, after)))
        for packet in heapq.merge(shown, *heard, key=lambda each: remux.moment(each) or 0):
            target.mux(packet)


def _part(path: Path, first: int) -> Int16[np.ndarray, " samples"]:
    """The sound from a picture on, for as long as a preview lasts."""
    begin, end = first * SAMPLES_PER_FRAME, (first + SECONDS * FPS) * SAMPLES_PER_FRAME
    parts, at = [np.zeros(0, np.int16)], 0
    for block in audio.audio_blocks(path):
        parts.append(block[max(begin - at, 0) : max(end - at, 0)])
        at += len(block)
        if at >= end:
            break
    return np.concatenate(parts)


def _loudness(sound: Int16[np.ndarray, " samples"]) -> Float64[np.ndarray, " bars"]:
    """Root mean square of each BAR, as a share of the largest."""
    whole = sound[: len(sound) // BAR * BAR].reshape(-1, BAR).astype(float)
    levels = np.sqrt(np.square(whole).mean(axis=1))
    return levels / max(levels.max(initial=0.0), 1.0)


def _heard(target: OutputContainer, title: str, sound: Int16[np.ndarray, " samples"]) -> Iterator[av.Packet]:
    """The packets of a sound track."""
    stream = target.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
    assert isinstance(stream, AudioStream)
    stream.metadata["title"] = stream.metadata["handler_name"] = title

    def packets() -> Iterator[av.Packet]:
        for begin in range(0, len(sound), SOUND):
            frame = av.AudioFrame.from_ndarray(sound[None, begin : begin + SOUND], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, begin, Fraction(1, SAMPLE_RATE)
            yield from stream.encode(frame)
        yield from stream.encode(None)

    return packets()


def _side_by_side(
    pictures: Iterator[tuple[Picture, ...]], strips: Sequence[Float64[np.ndarray, " bars"]], said: Sequence[str]
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    size = None
    for number, pair in enumerate(pictures):
        if size is None:
            height, width = pair[0].rgb.shape[:2]
            scale = min(1.0, WIDTH / width)
            size = round(width * scale) // 2 * 2, round(height * scale) // 2 * 2
        halves = []
        for picture, strip, text, colour in zip(pair, strips, said, (overlay.UNSURE, overlay.SURE), strict=True):
            seen = overlay.fitted(picture.rgb, size).copy()
            overlay.caption(seen, text, (0, size[1]), colour)
            halves.append(np.concatenate([seen, _strip(strip, number, size[0], colour)]))
        yield np.concatenate(halves, axis=1)


def _strip(
    levels: Float64[np.ndarray, " bars"], picture: int, width: int, colour: tuple[int, int, int]
) -> UInt8[np.ndarray, "height width 3"]:
    """The loudness around a picture, which lies under the line."""
    drawn = np.full((STRIP, width, 3), GROUND, np.uint8)
    middle = picture * SAMPLES_PER_FRAME // BAR
    for bar in range(BARS):
        at = middle - AROUND + bar
        half = round(levels[at] * (STRIP // 2 - 2)) if 0 <= at < len(levels) else 0
        left, right = bar * width // BARS, max((bar + 1) * width // BARS - 2, bar * width // BARS)
        cv2.rectangle(drawn, (left, STRIP // 2 - half), (right, STRIP // 2 + half), colour, cv2.FILLED)
    cv2.line(drawn, (width // 2, 0), (width // 2, STRIP), LINE, 1)
    return drawn
