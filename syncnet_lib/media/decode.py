"""Any video file as 25 fps pictures and 16 kHz mono samples on one common clock, streaming; and writing video.

The clock starts at the first picture of the file. Picture k of the grid stands for the interval [k/25, (k+1)/25) s
after it, and shows the source picture that is on the screen in the middle of that interval; sample n is the sound at
n/16000 s. Nothing is placed by counting: only presentation timestamps count, so sound that starts earlier than the
pictures is cut, sound that starts later is preceded by silence, gaps are filled and odd rates land where they belong. A
source of 25 fps is passed on picture by picture, whatever the start times of its streams are.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import av.error
import av.filter
import cv2
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from syncnet_lib.errors import InputError
from syncnet_lib.media.clock import FPS, on_grid

MAX_PIXELS = 8192 * 4320
"""Largest picture that is decoded (8K); a damaged header can declare anything."""
PLAYLISTS = {"concat", "hls", "dash", "imf", "sdp", "rtsp"}
"""libav's names for files that make it read other files or the network; a video from a stranger must not do that."""


@dataclass(frozen=True)
class AudioTrack:
    """One sound track as the file describes it.

    Attributes:
        codec: libav's name of the codec.
        sample_rate: samples per second.
        channels: number of channels.
    """

    codec: str
    sample_rate: int
    channels: int


@dataclass(frozen=True)
class MediaInfo:
    """What a file says about itself; nothing is decoded.

    Attributes:
        container: libav's name of the container.
        video_codec: libav's name of the video codec, "" without video.
        width: pixels as shown, after rotation is applied.
        height: pixels as shown, after rotation is applied.
        fps: average pictures per second, 0 if unknown.
        duration: seconds, 0 if unknown.
        audio: the sound tracks in the order of the file.
    """

    container: str
    video_codec: str
    width: int
    height: int
    fps: float
    duration: float
    audio: tuple[AudioTrack, ...]


class Picture:
    """One decoded source picture; conversions are made when asked for, once."""

    def __init__(self, frame: av.VideoFrame) -> None:
        self._frame = frame
        # libav gives the counter-clockwise angle that undoes the camera's; numpy turns counter-clockwise as well.
        self._turns = round(frame.rotation / 90) % 4

    @cached_property
    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB, upright."""
        return self._upright(self._frame.to_ndarray(format="rgb24"))

    @cached_property
    def luma(self) -> np.ndarray:
        """(H, W) uint8 or uint16 luma, upright, over `luma_range`; usually a view of the decoder's memory."""
        if not self._planar:
            return self._upright(self._frame.to_ndarray(format="gray", dst_color_range="JPEG"))
        return self._upright(self._plane(0))

    @property
    def luma_range(self) -> tuple[int, int]:
        """What black and white are in `luma`."""
        if not self._planar or self._frame.format.name.startswith("yuvj"):
            return 0, 255
        depth = self._frame.format.components[0].bits
        if self._frame.color_range == ColorRange.JPEG:
            return 0, 2**depth - 1
        # ITU-R BT.601, 709 and 2020 alike
        return 16 << (depth - 8), 235 << (depth - 8)

    def thumbnail(self, longest: int) -> np.ndarray:
        """(h, w, 3) uint8 BGR with the longer side at most `longest`, by picking pixels; not turned upright."""
        step = math.ceil(max(self._frame.width, self._frame.height) / longest)
        if not self._planar:
            return np.ascontiguousarray(self._frame.to_ndarray(format="bgr24")[::step, ::step])
        planes = [self._plane(number) for number in range(3)]
        size = len(range(0, self._frame.width, step)), len(range(0, self._frame.height, step))
        # Nearest-neighbour resizing picks single pixels, whatever the subsampling of the chroma.
        luma, blue, red = (cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST) for plane in planes)
        black, white = self.luma_range
        full = cv2.convertScaleAbs(
            cv2.max(luma, black), alpha=255 / (white - black), beta=-black * 255 / (white - black)
        )
        depth = 2.0 ** (8 - self._frame.format.components[0].bits)
        blue, red = (cv2.convertScaleAbs(plane, alpha=depth) for plane in (blue, red))
        yuv = cv2.merge([full, red, blue])
        return cv2.cvtColor(yuv, cv2.COLOR_YCrCb2BGR)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        width, height = self._frame.width, self._frame.height
        return (height, width) if self._turns % 2 else (width, height)

    @cached_property
    def _planar(self) -> bool:
        """Whether luma and chroma lie in planes of their own, little-endian, as almost all decoders give them."""
        name = self._frame.format.name
        return name.startswith(("yuv4", "yuvj4")) and not name.endswith("be") and len(self._frame.planes) == 3

    def _plane(self, number: int) -> np.ndarray:
        plane = self._frame.planes[number]
        dtype = np.dtype(np.uint8 if self._frame.format.components[0].bits == 8 else "<u2")
        whole = np.frombuffer(memoryview(plane), dtype).reshape(plane.height, plane.line_size // dtype.itemsize)
        return whole[:, : plane.width]

    def _upright(self, pixels: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(pixels, self._turns)) if self._turns else pixels


def probe(path: Path) -> MediaInfo:
    """What a file says about its streams.

    Raises:
        InputError: it cannot be opened.
    """
    with opened(path) as container:
        tracks = tuple(
            AudioTrack(stream.codec_context.name, stream.sample_rate or 0, stream.channels)
            for stream in container.streams.audio
        )
        duration = float(container.duration / av.time_base) if container.duration else 0.0
        video = _video_stream(container)
        if video is None:
            return MediaInfo(container.format.name, "", 0, 0, 0.0, duration, tracks)
        width, height, fps = video.width, video.height, float(video.average_rate or 0)
        name = video.codec_context.name
        for frame in itertools.islice(decoded(container, video, path), 1):
            width, height = Picture(frame).size
        return MediaInfo(container.format.name, name, width, height, fps, duration, tracks)


def pictures(path: Path, threads: int = 1) -> Iterator[Picture]:
    """The pictures of a file on the 25 fps grid; a source picture that is shown twice is the same object twice.

    Args:
        path: any file that libav reads.
        threads: decoder threads, 0 for one per processor.

    Raises:
        InputError: it cannot be opened or decoded, or its timestamps jump.
    """
    with opened(path) as container:
        stream = _video_stream(container)
        if stream is None:
            raise InputError(path, "no video")
        if stream.width * stream.height > MAX_PIXELS:
            raise InputError(path, f"pictures of {stream.width}x{stream.height} pixels are larger than 8K")
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        timed = _timed(_deinterlaced(decoded(container, stream, path), stream), stream)
        empty = True
        for _, picture in on_grid(timed, path):
            empty = False
            yield picture
        if empty:
            raise InputError(path, "cannot be decoded: no picture in the video stream")


def read_frames(path: Path, threads: int = 1) -> Iterator[np.ndarray]:
    """The pictures of a file on the 25 fps grid, (H, W, 3) uint8 RGB each; see `pictures`."""
    for picture in pictures(path, threads):
        yield picture.rgb


def stills(path: Path, count: int, seconds: int = 4) -> np.ndarray:
    """Evenly spread pictures from the beginning of a file.

    Args:
        path: any file that libav reads.
        count: how many.
        seconds: how far into the file.

    Returns:
        (count, H, W, 3) uint8 RGB.
    """
    start = list(itertools.islice(pictures(path), seconds * FPS))
    return np.stack([start[at].rgb for at in np.linspace(0, len(start) - 1, count).astype(int)])


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """A file of a stranger, opened with care.

    Raises:
        InputError: it cannot be opened, or makes libav read other files.
    """
    if Path(path).is_dir():
        raise InputError(path, "is a folder", "give a video file")
    try:
        # file: keeps names with a colon from being read as a protocol
        container = av.open(f"file:{path}", metadata_errors="replace", options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(path, f"cannot be opened: {short(error)}") from error
    with container:
        if container.format.name in PLAYLISTS:
            raise InputError(path, "cannot be opened: is a list of other files", "give the files themselves")
        yield container


def _video_stream(container: InputContainer) -> VideoStream | None:
    """The first stream that moves; cover pictures of sound files are no video."""
    for stream in container.streams.video:
        if Disposition.attached_pic not in stream.disposition:
            return stream
    return None


def first_picture(path: Path) -> Fraction | None:
    """Timestamp of the first picture, the origin of the clock; None for a file without video."""
    with opened(path) as container:
        stream = _video_stream(container)
        if stream is not None:
            for frame in decoded(container, stream, path):
                return _time(frame, Fraction(0))
    return None


def decoded(container: InputContainer, stream: VideoStream | AudioStream, path: Path) -> Iterator[Any]:
    """The frames of a stream in order of presentation."""
    try:
        for packet in itertools.chain(container.demux(stream), [None]):
            if packet is not None and not packet.size:
                continue  # Theora's "the same picture again", which libav refuses; or PyAV's own sign of the end
            for frame in stream.decode(packet):
                if getattr(frame, "is_corrupt", False):
                    raise InputError(path, f"cannot be decoded: damaged data at {float(frame.time or 0):.2f} s")
                yield frame
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(path, f"cannot be decoded: {short(error)}") from error


def _deinterlaced(frames: Iterator[av.VideoFrame], stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Interlaced pictures with both their fields at the instant of the first; others pass untouched."""
    graph: av.filter.Graph | None = None
    for frame in frames:
        if graph is None and not frame.interlaced_frame:
            yield frame
            continue
        if graph is None:
            graph = av.filter.Graph()
            source = graph.add_buffer(template=stream)
            bwdif = graph.add("bwdif", "mode=send_frame:deint=interlaced")
            source.link_to(bwdif)
            bwdif.link_to(graph.add("buffersink"))
            graph.configure()
        graph.push(frame)
        yield from _pulled(graph)
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph)


def _pulled(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def _timed(frames: Iterable[av.VideoFrame], stream: VideoStream) -> Iterator[tuple[Fraction, Fraction, Picture]]:
    usual = 1 / Fraction(stream.average_rate or stream.guessed_rate or FPS)
    expected = Fraction(0)
    for frame in frames:
        start = _time(frame, expected)
        # Some containers know no duration; the last picture then stays as long as an average one.
        duration = frame.duration * frame.time_base if frame.duration and frame.time_base else usual
        expected = start + duration
        yield start, duration, Picture(frame)


def _time(frame: av.VideoFrame, expected: Fraction) -> Fraction:
    return expected if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base


def short(error: Exception) -> str:
    """What libav says, without its numbers and the file's name."""
    return str(getattr(error, "strerror", "") or error).strip()


_ENDINGS = "3g2 3gp asf avi dv f4v flv m2ts m2v m4v mkv mov mp4 mpe mpeg mpg mts mxf ogg ogv rm ts vob webm wmv"
SUFFIXES = frozenset(f".{ending}" for ending in _ENDINGS.split())
"""File name endings of videos, in lower case; any other file is listed as skipped without being opened."""
