"""Any video file as 25 fps pictures and 16 kHz mono samples on one common clock, streaming; and writing video.

The clock starts at the first picture of the file. Picture k of the grid stands for the interval [k/25, (k+1)/25) s
after it, and shows the source picture that is on the screen in the middle of that interval; sample n is the sound at
n/16000 s. Nothing is placed by counting: only presentation timestamps count, so sound that starts earlier than the
pictures is cut, sound that starts later is preceded by silence, gaps are filled and odd rates land where they belong. A
source of 25 fps is passed on picture by picture, whatever the start times of its streams are.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
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

from syncnet_lib import files
from syncnet_lib.errors import InputError
from syncnet_lib.media.clock import FPS, MAX_GAP, on_grid
from syncnet_lib.media.pieces import appended_boxes
from syncnet_lib.media.report import Damage, Note, Report
from syncnet_lib.media.restart import running_clock
from syncnet_lib.media.streams import audio_streams, demuxed, opened, short, video_stream

MAX_PIXELS = 8192 * 4320
"""Largest picture that is decoded (8K); a damaged header can declare anything."""
FREEZE = 5
"""Seconds for which a stream may freeze; a longer gap is a camera that is off."""

SQUARE = Fraction(1)
"""Aspect ratio of a square pixel."""
SQUARE_ENOUGH = 0.01
"""Deviation from a square pixel that counts as none: what encoders leave when they round sizes."""
MAX_ASPECT = 4
"""Largest aspect ratio of a pixel, either way, that is believed; a damaged header can declare anything."""


@dataclass(frozen=True)
class AudioTrack:
    """One sound track as the file describes it.

    Attributes:
        codec: libav's name of the codec.
        sample_rate: samples per second.
        channels: number of channels.
        default: the file marks it as the one to play.
        title: its title or, without one, its language; "" where the file says neither.
    """

    codec: str
    sample_rate: int
    channels: int
    default: bool = True
    title: str = ""


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
        audio: the sound tracks that can be decoded, as `audio_track` counts them.
        undecodable: sound tracks for which no decoder is known.
        first_picture: time of the first picture, the origin of the clock, seconds; None where there is none.
    """

    container: str
    video_codec: str
    width: int
    height: int
    fps: float
    duration: float
    audio: tuple[AudioTrack, ...]
    undecodable: int = 0
    first_picture: Fraction | None = None


class Picture:
    """One decoded source picture; conversions are made when asked for, once.

    Args:
        frame: as decoded.
        aspect: width of a coded pixel over its height; the picture is shown with square ones.
        rotation: degrees counter-clockwise that make it upright, as libav and numpy count them; None for the frame's.
    """

    def __init__(self, frame: av.VideoFrame, aspect: Fraction = SQUARE, rotation: int | None = None) -> None:
        self._frame, self._aspect = frame, aspect
        self._turns = round((frame.rotation if rotation is None else rotation) / 90) % 4

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
        """(h, w, 3) uint8 BGR with the longer side at most `longest`, by picking pixels; as coded, neither turned
        upright nor in true proportions."""
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
        """Width and height in pixels, upright and with square pixels."""
        width, height = self._frame.width, self._frame.height
        if self._aspect > 1:
            width = round(width * self._aspect)
        else:
            height = round(height / self._aspect)
        return (height, width) if self._turns % 2 else (width, height)

    @property
    def geometry(self) -> tuple[int, int, int, Fraction]:
        """Coded width and height, the quarter turns that make it upright, and its pixels' aspect ratio. Where this
        changes within a video, positions in the pictures before and after it cannot be compared."""
        return self._frame.width, self._frame.height, self._turns, self._aspect

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
        """Upright and with square pixels."""
        if self._turns:
            pixels = np.ascontiguousarray(np.rot90(pixels, self._turns))
        if (pixels.shape[1], pixels.shape[0]) != self.size:
            pixels = cv2.resize(pixels, self.size, interpolation=cv2.INTER_LINEAR)
        return pixels


@files.cached
def probe(path: Path) -> MediaInfo:
    """What a file says about its streams, and its first picture.

    Raises:
        InputError: it cannot be opened.
    """
    with opened(path) as container:
        tracks = tuple(_audio_track(stream) for stream in audio_streams(container))
        undecodable = len(container.streams.audio) - len(tracks)
        duration = float(container.duration / av.time_base) if container.duration else 0.0
        video = video_stream(container)
        if video is None:
            return MediaInfo(container.format.name, "", 0, 0, 0.0, duration, tracks, undecodable)
        width, height, fps = video.width, video.height, float(video.average_rate or 0)
        name, first = video.codec_context.name, None
        for frame in itertools.islice(decoded(container, video, path), 1):
            width, height = Picture(frame, _aspect(video)).size
            first = _time(frame, Fraction(0))
        return MediaInfo(container.format.name, name, width, height, fps, duration, tracks, undecodable, first)


def _audio_track(stream: AudioStream) -> AudioTrack:
    title = stream.metadata.get("title") or stream.metadata.get("language", "").removeprefix("und")
    default = Disposition.default in stream.disposition
    return AudioTrack(stream.codec_context.name, stream.sample_rate or 0, stream.channels, default, title)


def pictures(path: Path, threads: int = 1, blank: bool = False, report: Report | None = None) -> Iterator[Picture]:
    """The pictures of a file on the 25 fps grid; a source picture that is shown twice is the same object twice.

    Where a picture is damaged or missing, the last one is held.

    Args:
        path: any file that libav reads.
        threads: decoder threads, 0 for one per processor.
        blank: show black where the file has had no picture for `FREEZE` seconds, so that nobody is followed in a still.
        report: gets the counts of pictures and the notes on what is damaged or missing, when all have been read.

    Raises:
        InputError: it cannot be opened or decoded, too much of it is damaged, or its timestamps jump.
    """
    report = Report() if report is None else report
    with opened(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise InputError(path, "no video")
        if stream.width * stream.height > MAX_PIXELS:
            raise InputError(path, f"pictures of {stream.width}x{stream.height} pixels are larger than 8K")
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        source = _Source(path, stream, report)
        frames = _deinterlaced(decoded(container, stream, path, source.damaged), stream)
        for _, picture in on_grid(source.timed(frames, blank), path):
            yield picture
        source.finish()


class _Source:
    """The pictures of a stream as they come from the decoder, and the account of them."""

    def __init__(self, path: Path, stream: VideoStream, report: Report) -> None:
        self._path, self._report = path, report
        self._usual = 1 / Fraction(stream.average_rate or stream.guessed_rate or FPS)
        self._packets = running_clock(path).packets[stream.index]
        self._missing = _beyond_end(stream, path)
        self._damage = Damage("pictures", "the last one before is held")
        self._stream, self._aspect = stream, _aspect(stream)
        self._coded_aspect: Fraction | None = None
        self._origin: Fraction | None = None
        self._end = self._last = Fraction(0)
        self._repeated = 0

    def damaged(self, time: Fraction | None, duration: Fraction) -> None:
        """Count a packet or picture that cannot be decoded; before the first that can, there is no clock yet."""
        if self._origin is not None:
            self._damage.add(float((self._end if time is None else time) - self._origin), float(duration))

    def timed(self, frames: Iterable[av.VideoFrame], blank: bool) -> Iterator[tuple[Fraction, Fraction, Picture]]:
        """Start, duration and picture; and black ones where none has come for long, if these are asked for."""
        shown: Picture | None = None
        rotation = 0
        for frame in frames:
            start = _time(frame, self._end)
            # Some containers know no duration; the last picture then stays as long as an average one.
            duration = frame.duration * frame.time_base if frame.duration and frame.time_base else self._usual
            if shown is not None and start <= self._last:
                self._repeated += 1  # the grid keeps the earlier one
                continue
            self._last = start
            if self._origin is None:
                self._origin = start
            elif shown is not None and FREEZE < start - self._end <= MAX_GAP:
                gap = float(self._end - self._origin), float(start - self._origin)
                self._report.notes.append(Note(gap[0], f"no pictures from {gap[0]:.2f} to {gap[1]:.2f} s"))
                if blank:
                    yield self._end + FREEZE, start - self._end - FREEZE, _black(shown)
            self._report.used += 1
            self._end = start + self._usual
            self._follow_aspect()
            # Within a stream only key pictures need say how they are turned; it holds until the next of them.
            rotation = frame.rotation if frame.key_frame or frame.rotation else rotation
            shown = Picture(frame, self._aspect, rotation)
            yield start, duration, shown

    def _follow_aspect(self) -> None:
        """Take the proportions that the pictures themselves declare from where these change; before, those of the file
        hold."""
        coded = self._stream.codec_context.sample_aspect_ratio or SQUARE
        if self._coded_aspect not in (None, coded):
            self._aspect = _believable(coded)
        self._coded_aspect = coded

    def finish(self) -> None:
        """Complete the report.

        Raises:
            InputError: there was no picture, or too much is damaged.
        """
        if self._origin is None:
            raise InputError(self._path, "cannot be decoded: no picture in the video stream")
        self._report.pictures += self._packets
        self._report.notes += self._damage.check(self._path, float(self._report.used * self._usual))
        if self._repeated:
            text = f"{self._repeated} pictures have times at which others are shown: left out"
            self._report.notes.append(Note(0.0, text))
        if self._missing:
            text = f"the file is cut off: {self._missing} of its {self._packets} pictures are missing at the end"
            self._report.notes.append(Note(float(self._end - self._origin), text))
        if follower := appended_boxes(self._path):
            text = f"another recording is joined to this one from byte {follower} on, where players hardly see it"
            cure = f"measure it as a file of its own: tail -c +{follower + 1} FILE > second{self._path.suffix}"
            self._report.notes.append(Note(float(self._end - self._origin), f"{text}; {cure}"))
        for restart in running_clock(self._path).restarts:
            time = float(restart.time - self._origin)
            text = f"the clock of the file starts over at {time:.2f} s (from {float(restart.old):.2f} to"
            self._report.notes.append(Note(time, f"{text} {float(restart.new):.2f} s); followed"))
        self._report.notes.sort()


def _beyond_end(stream: VideoStream, path: Path) -> int:
    """Pictures that the index of a file places beyond its end, as where a download broke off."""
    entries, end = stream.index_entries, path.stat().st_size
    if not len(entries) or entries[-1].pos + entries[-1].size <= end:
        return 0
    return sum(entry.pos + entry.size > end for entry in entries)


def _black(picture: Picture) -> Picture:
    width, height = picture.size
    return Picture(av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), format="rgb24"))


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


def _aspect(stream: VideoStream) -> Fraction:
    """Width of a coded pixel over its height, as the file declares it."""
    return _believable(stream.sample_aspect_ratio)


def _believable(declared: Fraction | None) -> Fraction:
    aspect = Fraction(declared or SQUARE)
    if abs(aspect - SQUARE) < SQUARE_ENOUGH or not 1 <= MAX_ASPECT * aspect <= MAX_ASPECT**2:
        return SQUARE
    return aspect


def decoded(
    container: InputContainer,
    stream: VideoStream | AudioStream,
    path: Path,
    damaged: Callable[[Fraction | None, Fraction], None] = lambda time, duration: None,
) -> Iterator[Any]:
    """The frames of a stream in order of presentation, on the `running_clock` of the file.

    Args:
        container: `path`, opened.
        stream: of it.
        path: of the file.
        damaged: called for each packet or picture that cannot be decoded and is left out, with its time, None where it
            has none, and its duration, in seconds.

    Raises:
        InputError: the file cannot be read.
    """
    usual = 1 / Fraction(getattr(stream, "average_rate", None) or FPS)
    clock = running_clock(path)
    try:
        for packet in itertools.chain(clock.running(demuxed(container, [stream])), [None]):
            if packet is not None and not packet.size:
                continue  # Theora's "the same picture again", which libav refuses; or PyAV's own sign of the end
            if packet is not None and packet.is_corrupt and stream.type == "audio":
                damaged(*_span(packet, usual))  # decoders of sound do not notice, and give noise
                continue
            try:
                frames = stream.decode(packet)
            except av.error.InvalidDataError:
                damaged(*(_span(packet, usual) if packet is not None else (None, usual)))
                continue
            for frame in frames:
                if getattr(frame, "is_corrupt", False):
                    damaged(*_span(frame, usual))
                else:
                    yield frame
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(path, f"cannot be decoded: {short(error)}") from error


def _span(item: av.Packet | av.VideoFrame | av.AudioFrame, usual: Fraction) -> tuple[Fraction | None, Fraction]:
    """Start and duration of a packet or a frame, seconds."""
    base = item.time_base
    if base is None:
        return None, usual
    return (None if item.pts is None else item.pts * base), (item.duration * base if item.duration else usual)


def _deinterlaced(frames: Iterator[av.VideoFrame], stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Interlaced pictures with both their fields at the instant of the first; others pass untouched."""
    graph: av.filter.Graph | None = None
    made_for: tuple[int, int, str] | None = None
    for frame in frames:
        kind = frame.width, frame.height, frame.format.name
        if graph is not None and kind != made_for:
            graph.push(None)
            yield from _pulled(graph)
            graph = None
        if graph is None and not frame.interlaced_frame:
            yield frame
            continue
        if graph is None:
            graph, made_for = av.filter.Graph(), kind
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=stream.time_base
            )
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


def _time(frame: av.VideoFrame, expected: Fraction) -> Fraction:
    return expected if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base


_ENDINGS = "3g2 3gp asf avi dv f4v flv m2ts m2v m4v mkv mov mp4 mpe mpeg mpg mts mxf ogg ogv rm ts vob webm wmv"
SUFFIXES = frozenset(f".{ending}" for ending in _ENDINGS.split())
"""File name endings of videos, in lower case; any other file is listed as skipped without being opened."""
