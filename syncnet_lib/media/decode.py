"""Any video file as 25 fps pictures and 16 kHz mono samples on one common clock, streaming; and writing video.

The clock starts at the first picture of the file. Picture k of the grid stands for the interval [k/25, (k+1)/25) s
after it, and shows the source picture that is on the screen in the middle of that interval; sample n is the sound at
n/16000 s. Nothing is placed by counting: only presentation timestamps count, so sound that starts earlier than the
pictures is cut, sound that starts later is preceded by silence, gaps are filled and odd rates land where they belong. A
source of 25 fps is passed on picture by picture, whatever the start times of its streams are.
"""

import itertools
import math
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

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

FPS = 25
"""Pictures per second of the grid (seed: 5 frames at 25 fps against 0.2 s of sound)."""
SAMPLE_RATE = 16_000
"""Samples per second of the sound (seed: 16 kHz mono)."""
FRAME_MS = 1000 // FPS
"""Milliseconds of a picture of the grid."""
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS
"""640 samples of sound belong to one picture."""

MAX_GAP = 60
"""Seconds without a picture or sound that still count as a pause; a longer one is a jump of the file's clock."""
TOLERANCE = Fraction(3, 1000)
"""Seconds by which sound timestamps may wander before they count as a gap: Matroska and Flash round them to 1 ms."""
MAX_PIXELS = 8192 * 4320
"""Largest picture that is decoded (8K); a damaged header can declare anything."""
PLAYLISTS = {"concat", "hls", "dash", "imf", "sdp", "rtsp"}
"""libav's names for files that make it read other files or the network; a video from a stranger must not do that."""
BLOCK = SAMPLE_RATE
"""Samples of silence given out at once."""


T = TypeVar("T")


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
        for frame in itertools.islice(_decoded(container, video, path), 1):
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
        timed = _timed(_deinterlaced(_decoded(container, stream, path), stream), stream)
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


def on_grid(timed: Iterable[tuple[Fraction, Fraction, T]], path: Path | str = "video") -> Iterator[tuple[int, T]]:
    """Place timed pictures on the 25 fps grid that starts with the first of them.

    Grid picture k shows what is on the screen at (k + 1/2)/25 s, the middle of its own interval. A change of the source
    therefore appears within half a grid interval (20 ms) of its true instant, early as often as late.

    Args:
        timed: (start, duration, picture) in order of their start, seconds.
        path: what to name in an error.

    Yields:
        (k, picture) for k = 0, 1, 2 ... without a gap.

    Raises:
        InputError: two neighbours are more than MAX_GAP apart.
    """
    k = 0
    shown: tuple[Fraction, Fraction, T] | None = None  # what is on the screen, since when and until when
    origin = Fraction(0)
    for start, duration, picture in timed:
        if shown is None:
            origin = start
        else:
            last, _, before = shown
            if abs(start - last) > MAX_GAP:
                raise _jump(path, last - origin, start - origin)
            if start <= last:
                continue  # a repeated or reordered timestamp: the earlier picture stays
            while Fraction(2 * k + 1, 2 * FPS) < start - origin:
                yield k, before
                k += 1
        shown = start, start + duration, picture
    if shown is None:
        return
    _, end, before = shown
    while k == 0 or Fraction(2 * k + 1, 2 * FPS) < end - origin:
        yield k, before
        k += 1


def read_audio(path: Path, audio_track: int = 0) -> np.ndarray:
    """The whole sound of a file; see `audio_blocks`.

    Returns:
        (N,) int16 mono at 16 kHz; sample 0 belongs to the start of frame 0 of `read_frames`.
    """
    return np.concatenate([*audio_blocks(path, audio_track), np.zeros(0, np.int16)])


def audio_blocks(path: Path, audio_track: int = 0, lead: int = 0) -> Iterator[np.ndarray]:
    """The sound of a file in blocks that follow each other without a gap, on the clock of `pictures`.

    Args:
        path: any file that libav reads. Without video the clock starts with the sound.
        audio_track: which sound track, counted from 0.
        lead: frames before the first picture with which the blocks begin; sound before these is left out.

    Yields:
        (n,) int16 mono at 16 kHz.

    Raises:
        InputError: no such track, it cannot be decoded, or its timestamps jump.
    """
    origin = first_picture(path)
    with opened(path) as container:
        tracks = container.streams.audio
        if not tracks:
            raise InputError(path, "no sound")
        if audio_track >= len(tracks):
            raise InputError(path, f"no sound track {audio_track}", f"choose from 0 to {len(tracks) - 1}")
        cursor = -lead * SAMPLES_PER_FRAME
        for start, samples in _runs(_decoded(container, tracks[audio_track], path)):
            origin = start if origin is None else origin
            position = round((start - origin) * SAMPLE_RATE)
            if abs(position - cursor) > MAX_GAP * SAMPLE_RATE:
                raise _jump(path, Fraction(cursor, SAMPLE_RATE), start - origin)
            while position > cursor:
                silence = min(BLOCK, position - cursor)
                yield np.zeros(silence, np.int16)
                cursor += silence
            fresh = samples[cursor - position :]
            if len(fresh):
                yield fresh
                cursor += len(fresh)


def _runs(frames: Iterable[av.AudioFrame]) -> Iterator[tuple[Fraction, np.ndarray]]:
    """Resampled sound with the time of its first sample; each stretch without a gap is one pass of the resampler."""
    resampler = None
    run_start, expected, made, layout = Fraction(0), Fraction(0), 0, ("", "", 0)
    for frame in frames:
        time = expected if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
        now = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or abs(time - expected) > TOLERANCE or now != layout:
            if resampler is not None:
                for part in resampler.resample(None):
                    yield run_start + Fraction(made, SAMPLE_RATE), part.to_ndarray()[0]
            resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
            run_start, expected, made, layout = time, time, 0, now
        expected += Fraction(frame.samples, frame.sample_rate)
        frame.pts = None  # the resampler counts for itself
        for part in resampler.resample(frame):
            yield run_start + Fraction(made, SAMPLE_RATE), part.to_ndarray()[0]
            made += part.samples
    if resampler is not None:
        for part in resampler.resample(None):
            yield run_start + Fraction(made, SAMPLE_RATE), part.to_ndarray()[0]


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
            for frame in _decoded(container, stream, path):
                return _time(frame, Fraction(0))
    return None


def _decoded(container: InputContainer, stream: VideoStream | AudioStream, path: Path) -> Iterator[Any]:
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


def _jump(path: Path | str, last: Fraction, now: Fraction) -> InputError:
    return InputError(path, f"timestamps jump from {math.floor(last)} s to {math.floor(now)} s", "remux the file")


def short(error: Exception) -> str:
    """What libav says, without its numbers and the file's name."""
    return str(getattr(error, "strerror", "") or error).strip()
