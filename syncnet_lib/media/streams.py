"""A file opened with care, and which of its streams count."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from syncnet_lib.errors import InputError

PLAYLISTS = {"concat", "hls", "dash", "imf", "sdp", "rtsp"}
"""libav's names for files that make it read other files or the network; a video from a stranger must not do that."""

HEADERLESS = {"mpegts", "mpeg", "flv"}
"""Containers without a list of their streams: libav knows those of the first seconds."""
PATIENT = {"probesize": "100000000", "analyzeduration": "600000000"}
"""Bytes and microseconds in which streams are looked for where pictures or sound are missing at the beginning."""

LAYOUTS = {3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""Number of channels to libav's name of their usual layout."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """A file of a stranger, opened with care.

    Raises:
        InputError: it cannot be opened, or makes libav read other files.
    """
    if Path(path).is_dir():
        raise InputError(path, "is a folder", "give a video file")
    with contextlib.ExitStack() as stack:
        container = stack.enter_context(_opened(path, {}))
        if container.format.name in PLAYLISTS:
            raise InputError(path, "cannot be opened: is a list of other files", "give the files themselves")
        if container.format.name in HEADERLESS and not (container.streams.video and container.streams.audio):
            container.close()
            container = stack.enter_context(_opened(path, PATIENT))
        yield container


def _opened(path: Path, options: dict[str, str]) -> InputContainer:
    # file: keeps names with a colon from being read as a protocol
    options = {"protocol_whitelist": "file", **options}
    try:
        return av.open(f"file:{path}", metadata_errors="replace", options=options)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        cure = "give a video that a player shows" if isinstance(error, av.error.InvalidDataError) else ""
        raise InputError(path, f"cannot be opened: {short(error)}", cure) from error


def demuxed(container: InputContainer, streams: Sequence[Stream] | None = None) -> Iterator[av.Packet]:
    """The packets of some streams, or of all, of a file in their order, and an empty one of each at its end.

    Args:
        container: of `opened`.
        streams: of it.

    Raises:
        FFmpegError: the file cannot be read.
    """
    packets = container.demux(list(container.streams if streams is None else streams))
    # Where a stream has appeared while the file was read, PyAV 18 looks for it, at the end, in its list of those from
    # the beginning.
    with contextlib.suppress(IndexError):
        yield from packets


def video_stream(container: InputContainer) -> VideoStream | None:
    """The first stream of pictures that can be decoded; cover pictures of sound files are no video."""
    for stream in container.streams.video:
        # What no decoder is known for has no codec context.
        if stream.codec_context is not None and Disposition.attached_pic not in stream.disposition:
            return stream
    return None


def audio_streams(container: InputContainer) -> list[AudioStream]:
    """The sound tracks that can be decoded, as they are numbered everywhere: in the order of the file, but those of
    the pictures' own programme first where a broadcast carries several."""
    tracks = [stream for stream in container.streams.audio if stream.codec_context is not None]
    if container.format.name.startswith("mov"):
        for track in tracks:
            _name_channels(track)
    video = video_stream(container)
    if video is not None and len(container.streams.video) > 1:
        own = container.streams.best("audio", related=video)
        tracks.sort(key=lambda track: own is None or track.index != own.index)
    return tracks


def _name_channels(track: AudioStream) -> None:
    """Give several channels of PCM the names of a usual layout, whatever the file calls them.

    QuickTime's own orders of channels make PyAV 18 free the same memory twice whenever a layout is looked at, which
    ends the process. Samples without compression are decoded the same whatever their channels are called.
    """
    context = track.codec_context
    bits = re.fullmatch(r"pcm_[sfu](\d+)(le|be)?", context.name)
    if bits and context.bit_rate and context.sample_rate:
        count = round(context.bit_rate / (context.sample_rate * int(bits[1])))  # `channels` would look at the layout
        if count > 2:
            context.layout = LAYOUTS.get(count, f"{count} channels")


def short(error: Exception) -> str:
    """What libav says, without its numbers and the file's name."""
    return str(getattr(error, "strerror", "") or error).strip()
