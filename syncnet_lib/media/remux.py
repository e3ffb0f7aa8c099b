"""What it takes to copy the packets of a file into another one: streams, metadata, timestamps, and what is lost."""

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil, lcm
from pathlib import Path

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from syncnet_lib import files
from syncnet_lib.errors import InputError
from syncnet_lib.media.pieces import index_first
from syncnet_lib.media.restart import running_clock
from syncnet_lib.media.streams import demuxed, opened, short

MEASURED = ("video", "audio")
"""Kinds of streams that a copy must have; one that its container cannot hold is no copy."""
TRANSPORT = {".ts", ".mts", ".m2ts"}
EDIT_LISTS = {".mp4", ".m4v", ".mov"}
QUICKTIMES = {"mov", "mp4"}
"""libav's names of the muxers of these."""
TAGS = {"avc1", "avc3", "hvc1", "hev1", "dvh1", "dvhe"}
"""Names of a codec that say how it is framed: Apple's players show hvc1 and stay black at hev1."""
MOVIE_TICKS = 90_000
"""Steps a second of an edit list: a whole number of them makes a frame, whatever the usual rate."""
BRANDS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
"""Metadata that speaks of the old file and not of what is in it."""
QUICKTIME = "com.apple.quicktime."
"""Begin of the names of a camera's metadata that MP4 and QuickTime keep under `keys` only."""
IMAGE_TYPES = {"mjpeg": "image/jpeg", "png": "image/png"}
"""libav's name of a cover's codec to its MIME type."""


@contextlib.contextmanager
def new_media(out: Path) -> Iterator[Path]:
    """Give a path to write to, of the same suffix, which tells libav the container; on leaving without an exception it
    becomes `out`.

    Raises:
        InputError: `out` is there already or cannot be written.
    """
    files.check_new(out)
    with files.atomic(out.absolute()) as made:
        yield made
        files.check_new(out)


@contextlib.contextmanager
def refused(out: Path) -> Iterator[None]:
    """What libav says of a container that does not take these streams, as one line; a full disk is none's fault."""
    try:
        yield
    except (av.error.FFmpegError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out)) from None
        cause = f"{out.suffix or 'a file without suffix'} cannot hold these streams ({short(error)})"
        raise InputError(out, cause, "give an output that ends in .mkv, which holds nearly everything") from None


def options(path: Path, made: Path, source: InputContainer) -> dict[str, str]:
    """How the muxer is to write what the old file had."""
    if made.suffix.lower() in TRANSPORT:
        return {"pes_payload_size": "0"}  # else only the first of some packets of sound has a time
    if made.suffix.lower() not in EDIT_LISTS:
        return {}
    flags = ["+faststart"] if index_first(path) else []
    if any(key.startswith(QUICKTIME) for key in source.metadata):
        flags.append("+use_metadata_tags")
    # mp4 and mov place a late stream by an edit list, in steps of 1/1000 s unless told otherwise.
    return {"movie_timescale": str(MOVIE_TICKS)} | ({"movflags": "".join(flags)} if flags else {})


def metadata(source: InputContainer) -> dict[str, str]:
    """What a file says of what is in it."""
    return {key: value for key, value in source.metadata.items() if key not in BRANDS}


def is_cover(stream: Stream) -> bool:
    """Whether a stream is the one picture that stands for all."""
    return stream.type == "video" and Disposition.attached_pic in stream.disposition


def is_copied(stream: Stream) -> bool:
    """Whether a stream is pictures, sound or subtitles over time."""
    known = stream.codec_context is not None
    return known and stream.type in (*MEASURED, "subtitle") and not is_cover(stream)


def add_if_held(target: OutputContainer, stream: Stream) -> Stream | None:
    """The copy of a stream, None where the container cannot hold it; one that is measured must be held.

    Raises:
        ValueError: of libav, on pictures or sound.
    """
    if stream.codec_context is None or (is_cover(stream) and target.format.name not in QUICKTIMES):
        return None
    try:
        return add_copy(target, stream)
    except ValueError:
        if is_copied(stream) and stream.type in MEASURED:
            raise
        return None


def is_held_otherwise(target: OutputContainer, stream: Stream, filled: bool) -> bool:
    """Whether a data stream is written by the muxer itself: the time code, and chapters, which have no packets."""
    if stream.type != "data":
        return False
    return target.format.name in QUICKTIMES if "timecode" in stream.metadata else not filled


def covers(source: InputContainer, path: Path) -> dict[int, tuple[str, str, bytes]]:
    """Stream index to the name, type and bytes of each cover picture, which Matroska keeps as attachments."""
    streams = [stream for stream in source.streams if is_cover(stream) and stream.codec_context.name in IMAGE_TYPES]
    if not streams:
        return {}
    with opened(path) as container:
        found: dict[int, tuple[str, str, bytes]] = {}
        for packet in packets(container, [container.streams[stream.index] for stream in streams], path):
            kind = IMAGE_TYPES[packet.stream.codec_context.name]
            found.setdefault(packet.stream.index, (f"cover.{kind.partition('/')[2]}", kind, bytes(packet)))
            if len(found) == len(streams):
                break
    return found


def named(stream: Stream) -> str:
    """A stream in words, for a list of what a copy lacks."""
    kind = {"audio": "sound track", "video": "picture", "data": "data track"}.get(stream.type, stream.type)
    known = "" if stream.codec_context is None else f" ({stream.codec_context.name})"
    names = (stream.metadata.get(key) for key in ("timecode", "filename", "title", "handler_name"))
    return " ".join([f"stream {stream.index}: {kind}{known}", *filter(None, names)][:2])


def lost_metadata(path: Path, made: Path) -> list[str]:
    """Names of the metadata that a copy lacks."""
    with opened(path) as source, opened(made) as copy:
        kept = {key.lower() for key in copy.metadata}
        lost = [key for key in source.metadata if key.lower() not in kept and key not in BRANDS]
        chapters = len(source.chapters()) - len(copy.chapters())
    return [f"metadata: {key}" for key in lost] + ([f"{chapters} chapters"] if chapters else [])


def room(first: Fraction, delay: Fraction, ticks: Fraction) -> Fraction:
    """How much later everything must start, so that no sound starts earlier than it did, or than 0.

    Args:
        first: start of the sound, seconds.
        delay: by which it is moved, seconds.
        ticks: of the pictures' clock; the result is a whole number of them, so that only the finer clock of the sound
            is ever rounded.
    """
    return ceil(max(Fraction(0), min(Fraction(0), first) - (first + delay)) / ticks) * ticks


def add_copy(target: OutputContainer, stream: Stream) -> Stream:
    """A stream of another file in a new one, to be filled with the same packets."""
    copy = target.add_stream_from_template(stream, opaque=True)
    if isinstance(stream, VideoStream) and isinstance(copy, VideoStream):
        # Matroska writes it down, and the track of the time code goes by it.
        copy.codec_context.framerate = Fraction(stream.average_rate or 0)
        if target.format.name in QUICKTIMES and stream.codec_context.codec_tag in TAGS:
            copy.codec_context.codec_tag = stream.codec_context.codec_tag
    copy.metadata.update(stream.metadata)
    copy.disposition = stream.disposition
    return copy


def move(packet: av.Packet, seconds: Fraction) -> None:
    """Shift the timestamps of a packet exactly: on a clock that is fine enough for both."""
    assert packet.time_base is not None
    ticks = Fraction(1, lcm(packet.time_base.denominator, seconds.denominator))
    scale = int(packet.time_base / ticks)
    shift = int(seconds / ticks)
    packet.duration = (packet.duration or 0) * scale
    packet.pts, packet.dts = (None if time is None else time * scale + shift for time in (packet.pts, packet.dts))
    packet.time_base = ticks


def hasten(packet: av.Packet, stretch: Fraction, tick: Fraction, later: Fraction) -> None:
    """Bring the timestamps of a packet nearer to 0, then shift them.

    Args:
        packet: of pictures, or of what goes with them.
        stretch: by how much they follow each other faster.
        tick: of the clock that they get, seconds, to whose steps they are rounded.
        later: seconds.
    """
    assert packet.time_base is not None
    scale, shift = packet.time_base / stretch / tick, later / tick
    packet.duration = round((packet.duration or 0) * scale)
    packet.pts, packet.dts = (
        None if time is None else round(time * scale + shift) for time in (packet.pts, packet.dts)
    )
    packet.time_base = tick


def first(path: Path, kind: str) -> Fraction | None:
    """When the first packet of pictures or of sound starts, seconds; None where there is none."""
    with opened(path) as container:
        streams = [stream for stream in container.streams if stream.type == kind and is_copied(stream)]
        times = (moment(packet) for packet in (packets(container, streams, path) if streams else ()))
        return next((time for time in times if time is not None), None)


def packets(container: InputContainer, streams: Sequence[Stream], path: Path) -> Iterator[av.Packet]:
    """The packets of some streams of a file, on its running clock."""
    try:
        for packet in running_clock(path).running(demuxed(container, streams)):
            if packet.size:
                yield packet
    except av.error.FFmpegError as error:
        raise InputError(path, f"cannot be read: {short(error)}") from error


def moment(packet: av.Packet) -> Fraction | None:
    """When a packet starts, seconds."""
    time = packet.dts if packet.pts is None else packet.pts
    return None if time is None or packet.time_base is None else time * packet.time_base
