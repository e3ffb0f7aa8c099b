"""A measured video with its faces boxed: who speaks, the offset, the confidence as it runs; the sound is copied."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream
from tqdm import tqdm

from syncnet_lib import verbosity
from syncnet_lib.measurement.analyse import Analysis
from syncnet_lib.measurement.result import Result, TrackResult
from syncnet_lib.media import decode, encode, remux
from syncnet_lib.media.clock import FPS, FRAME_MS
from syncnet_lib.media.features import WINDOW_FRAMES
from syncnet_lib.media.streams import audio_streams, opened

SURE, UNSURE, SILENT = (46, 160, 67), (214, 120, 20), (140, 140, 140)
"""Colours of a face that speaks, with and without a sure verdict, and of one that does not; RGB."""
CODEC, CRF = "libx264", 20
"""Quality of the pictures, x264's scale; 18 counts as lossless to the eye."""
LINE = 24
"""A line of text to this many in the height of the picture."""


def render(path: Path, out: Path, found: Analysis, result: Result, progress: bool = True) -> list[str]:
    """Write a video with boxes, numbers of tracks, offset and running confidence; its sound is copied.

    Args:
        path: the video.
        out: a file that is not there yet; the container follows from its suffix.
        found: of `examination.examine`.
        result: of `verdict.judge`.
        progress: show a bar on stderr.

    Returns:
        The sound tracks that cannot be copied, because nobody knows their codec, in words.

    Raises:
        InputError: `out` cannot be written, or its container cannot hold the sound.
    """
    with (
        remux.new_media(out) as made,
        remux.refused(out),
        av.open(f"file:{made}", "w") as target,
        opened(path) as source,
    ):
        sounds = audio_streams(source)
        origin = decode.probe(path).first_picture or Fraction(0)
        first = remux.first(path, "audio") or Fraction(0)
        later = remux.room(first, -origin, Fraction(1, FPS))
        video = target.add_stream(CODEC, rate=FPS, options=encode.encoder_options(CODEC, CRF))
        assert isinstance(video, VideoStream)
        copies = {stream.index: remux.add_copy(target, stream) for stream in sounds}
        waiting = remux.packets(source, sounds, path)
        sound = next(waiting, None)
        drawn = tqdm(
            _drawn(path, found, result), out.name, found.frames, unit="frame", disable=not verbosity.shown(progress)
        )
        for packet in encoded(video, iter(drawn)):
            remux.move(packet, later)
            while sound is not None and (remux.moment(sound) or 0) - origin + later <= (remux.moment(packet) or 0):
                sound = _passed(target, sound, copies, later - origin, waiting)
            target.mux(packet)
        while sound is not None:
            sound = _passed(target, sound, copies, later - origin, waiting)
        return [remux.named(stream) for stream in source.streams.audio if stream.index not in copies]


def _passed(
    target: OutputContainer,
    sound: av.Packet,
    copies: dict[int, Stream],
    seconds: Fraction,
    waiting: Iterator[av.Packet],
) -> av.Packet | None:
    """Copy a packet of sound; gives the next one."""
    number = sound.stream.index
    remux.move(sound, seconds)
    sound.stream = copies[number]
    target.mux(sound)
    return next(waiting, None)


def encoded(video: VideoStream, frames: Iterator[np.ndarray]) -> Iterator[av.Packet]:
    """Packets of (H, W, 3) uint8 RGB pictures of one even size, FPS a second."""
    for number, pixels in enumerate(frames):
        if number == 0:
            video.height, video.width = pixels.shape[:2]
            video.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        yield from video.encode(frame)
    yield from video.encode(None)


def _drawn(path: Path, found: Analysis, result: Result) -> Iterator[np.ndarray]:
    """The pictures with what was found, all of the size of the first, with even sides, which H.264 wants."""
    tracks = list(zip(found.tracks, result.tracks, strict=True))
    size = None
    for number, picture in enumerate(decode.pictures(path)):
        pixels = picture.rgb
        size = size or (pixels.shape[1] // 2 * 2, pixels.shape[0] // 2 * 2)
        headline = f"{result.verdict} (confidence {result.confidence:.2g}, {result.meaning})"
        caption(pixels, headline, (0, pixels.shape[0]), SURE if result.sureness == "sure" else UNSURE)
        for measured, verdict in tracks:
            at = number - measured.first
            if 0 <= at < len(measured.boxes):
                _face(pixels, measured.boxes[at], verdict, at, result.sureness == "sure")
        yield fitted(pixels, size)


def fitted(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture in true proportions in the middle of one of this width and height; black around it."""
    width, height = size
    if pixels.shape[1] - width in (0, 1) and pixels.shape[0] - height in (0, 1):
        return np.ascontiguousarray(pixels[:height, :width])
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    inner = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    ground = np.zeros((height, width, 3), np.uint8)
    ground[top : top + inner[1], left : left + inner[0]] = cv2.resize(pixels, inner, interpolation=cv2.INTER_AREA)
    return ground


def _face(pixels: np.ndarray, box: np.ndarray, verdict: TrackResult, at: int, sure: bool) -> None:
    """Box and label of one face in one picture; `at` counts from the beginning of its track."""
    x, y, half = (float(value) for value in box)
    colour = SILENT if not verdict.speaking else SURE if sure else UNSURE
    corners = (round(x - half), round(y - half)), (round(x + half), round(y + half))
    cv2.rectangle(pixels, *corners, colour, max(1, pixels.shape[0] // 200))
    # A window is shown at its middle.
    values = verdict.frame_confidence
    running = values[min(max(at - WINDOW_FRAMES // 2, 0), len(values) - 1)]
    caption(pixels, _label(verdict, running), corners[0], colour)


def _label(verdict: TrackResult, running: float | None) -> str:
    """What is written on a face: where its sound is, and how sure the windows around this picture are of that."""
    if not verdict.speaking:
        return "does not speak"
    ms = verdict.offset_frames * FRAME_MS
    place = f"audio {abs(ms)} ms {'ahead' if ms > 0 else 'behind'}" if ms else "audio in place"
    return place + ("" if running is None else f", confidence {running:.2f}")


def caption(pixels: np.ndarray, text: str, corner: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """A line whose lower left corner is here, on a ground of its own, moved into the picture where need be."""
    height, width = pixels.shape[:2]
    text = text.replace("±", "+/-")  # OpenCV's letters are ASCII
    size = max(8, height // LINE)
    scale = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, size * 2 // 3)
    (wide, tall), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    scale *= min(1.0, width / max(wide, 1))
    wide = min(wide, width)
    left, bottom = min(max(corner[0], 0), width - wide), min(max(corner[1], tall + below), height)
    cv2.rectangle(pixels, (left, bottom - tall - below), (left + wide, bottom), colour, cv2.FILLED)
    white = (255, 255, 255)
    cv2.putText(pixels, text, (left, bottom - below // 2), cv2.FONT_HERSHEY_SIMPLEX, scale, white, 1, cv2.LINE_AA)
