"""The sound of a video moved against its pictures by re-muxing: packets get other timestamps and stay what they are."""

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, lcm
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from av.container.core import Chapter

MEASURED = ("video", "audio")
"""Kinds of streams that a copy must have; one that its container cannot hold is no copy."""
ROUNDING = Fraction(2, 1000)
"""Seconds by which a container may round: Matroska keeps milliseconds of each stream."""
EDIT_LISTS = {".mp4", ".m4v", ".mov"}
QUICKTIMES = {"mov", "mp4"}
"""libav's names of the muxers of these."""
TAGS = {"avc1", "avc3", "hvc1", "hev1", "dvh1", "dvhe"}
"""Names of a codec that say how it is framed: Apple's players show hvc1 and stay black at hev1."""
MOVIE_TICKS = 90_000
"""Steps a second of an edit list: a whole number of them makes a frame, whatever the usual rate."""
UNTIMED = {"avi"}
"""Containers whose packets have a place and no time, so that no sound can be moved in them."""
BACKWARDS = 1
"""Seconds from which times that run backwards are a broken file and no rounding."""
BRANDS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
"""Metadata that speaks of the old file and not of what is in it."""
QUICKTIME = "com.apple.quicktime."
"""Begin of the names of a camera's metadata that MP4 and QuickTime keep under `keys` only."""
IMAGE_TYPES = {"mjpeg": "image/jpeg", "png": "image/png"}
"""libav's name of a cover's codec to its MIME type."""


@dataclass(frozen=True)
class Packets:
    """What the packets of a file say.

    Attributes:
        lead: seconds by which the sound starts after the pictures.
        digests: stream index to the SHA-256 of the bytes of its packets, for all that are pictures, sound or subtitles.
        filled: indices of the streams of any kind that have packets.
    """

    lead: Fraction
    digests: dict[int, str]
    filled: frozenset[int]


@dataclass(frozen=True)
class Copy:
    """What became of a copied file.

    Attributes:
        exact: every packet of the copied streams kept its bytes. Some containers frame the same packets in another way
            (H.264 in AVI has start codes, in MP4 lengths), so that a change of container may make it False.
        left_out: what of the file is not in the copy, in words.
    """

    exact: bool
    left_out: tuple[str, ...]


def inspect(path: Path) -> Packets:
    """Read all packets of a file without decoding them.

    Raises:
        InputError: it cannot be opened, or has no pictures or no sound.
    """
    with opened(path) as container:
        streams = [stream for stream in container.streams if _is_copied(stream)]
        first: dict[int, Fraction] = {}
        filled = set()
        hashes = {stream.index: hashlib.sha256() for stream in streams}
        for packet in packets(container, list(container.streams), path):
            filled.add(packet.stream_index)
            if packet.stream_index not in hashes:
                continue
            hashes[packet.stream_index].update(packet)
            time = moment(packet)
            if time is not None:
                first[packet.stream_index] = min(time, first.get(packet.stream_index, time))
        # Read here: a closed file's streams know nothing any more.
        kinds = {stream.index: stream.type for stream in streams}
    starts = {}
    for kind, missing in (("video", "no video"), ("audio", "no sound")):
        times = [time for index, time in first.items() if kinds[index] == kind]
        if not times:
            raise InputError(path, missing)
        starts[kind] = min(times)
    digests = {index: hashes[index].hexdigest() for index in kinds}
    return Packets(starts["audio"] - starts["video"], digests, frozenset(filled))


def move_sound(path: Path, out: Path, delay: Fraction) -> Copy:
    """Copy a video with its sound later or earlier; nothing is decoded or encoded.

    Sound that would start before the file does makes everything else start later instead, so that nothing is cut.

    Args:
        path: any file that libav reads.
        out: a file that is not there yet; the container follows from its suffix.
        delay: seconds; below 0 the sound comes earlier.

    Raises:
        InputError: `path` has no pictures or no sound, or times that run backwards; `out` cannot be written, or its
            container cannot hold these streams or such a start.
    """
    before = inspect(path)
    with new_media(out) as made:
        with refused(out):
            copied, left_out = _copy(path, made, delay, out.name, before.filled)
        after = inspect(made)
        if abs(after.lead - before.lead - delay) > ROUNDING:
            cause = f"{out.suffix} files keep no such start of the sound"
            raise InputError(out, cause, "give an output that ends in .mkv, .mp4 or .mov")
        left_out += _lost_metadata(path, made)
    exact = [before.digests[index] for index in copied] == list(after.digests.values())
    return Copy(exact, tuple(left_out))


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


def _copy(path: Path, made: Path, delay: Fraction, name: str, filled: frozenset[int]) -> tuple[list[int], list[str]]:
    """Write the copy; gives the indices of the streams whose packets are in it, and what is left out."""
    first = first_sound(path)
    with opened(path) as source, av.open(f"file:{made}", "w", options=_options(path, made, source)) as target:
        if target.format.name in UNTIMED:
            raise InputError(name, f"{made.suffix} files keep no times", "give an output that ends in .mkv or .mp4")
        streams = list(source.streams)
        ticks = next((stream.time_base for stream in streams if stream.type == "video"), None) or Fraction(1, 1000)
        later = room(first, delay, ticks)
        copies: dict[int, Stream] = {}
        left_out = []
        covers = _covers(source, path) if target.format.name == "matroska" else {}
        for stream in streams:
            if stream.index in covers:
                target.add_attachment(*covers[stream.index])
            elif stream.type == "attachment" and target.format.name == "matroska":
                target.add_stream_from_template(stream)
            elif copy := _add_if_held(target, stream):
                copies[stream.index] = copy
            elif not _is_held_otherwise(target, stream, stream.index in filled):
                left_out.append(named(stream))
        target.metadata.update({key: value for key, value in source.metadata.items() if key not in BRANDS})
        target.set_chapters([_later(chapter, later) for chapter in source.chapters()])
        ends: dict[int, Fraction] = {}
        for packet in packets(source, [stream for stream in streams if stream.index in copies], path):
            number = packet.stream.index
            if not _is_cover(packet.stream):
                move(packet, later + delay if packet.stream.type == "audio" else later)
                _order(packet, ends, path)
            packet.stream = copies[number]
            target.mux(packet)
        return [stream.index for stream in streams if stream.index in copies and _is_copied(stream)], left_out


def _options(path: Path, made: Path, source: InputContainer) -> dict[str, str]:
    """How the muxer is to write what the old file had."""
    if made.suffix.lower() not in EDIT_LISTS:
        return {}
    flags = ["+faststart"] if index_first(path) else []
    if any(key.startswith(QUICKTIME) for key in source.metadata):
        flags.append("+use_metadata_tags")
    # mp4 and mov place a late stream by an edit list, in steps of 1/1000 s unless told otherwise.
    return {"movie_timescale": str(MOVIE_TICKS)} | ({"movflags": "".join(flags)} if flags else {})


def _is_cover(stream: Stream) -> bool:
    return stream.type == "video" and Disposition.attached_pic in stream.disposition


def _is_copied(stream: Stream) -> bool:
    """Whether a stream is pictures, sound or subtitles over time."""
    known = stream.codec_context is not None
    return known and stream.type in (*MEASURED, "subtitle") and not _is_cover(stream)


def _add_if_held(target: OutputContainer, stream: Stream) -> Stream | None:
    """The copy of a stream, None where the container cannot hold it; one that is measured must be held.

    Raises:
        ValueError: of libav, on pictures or sound.
    """
    if stream.codec_context is None or (_is_cover(stream) and target.format.name not in QUICKTIMES):
        return None
    try:
        return add_copy(target, stream)
    except ValueError:
        if _is_copied(stream) and stream.type in MEASURED:
            raise
        return None


def _is_held_otherwise(target: OutputContainer, stream: Stream, filled: bool) -> bool:
    """Whether a data stream is written by the muxer itself: the time code, and chapters, which have no packets."""
    if stream.type != "data":
        return False
    return target.format.name in QUICKTIMES if "timecode" in stream.metadata else not filled


def _covers(source: InputContainer, path: Path) -> dict[int, tuple[str, str, bytes]]:
    """Stream index to the name, type and bytes of each cover picture, which Matroska keeps as attachments."""
    streams = [stream for stream in source.streams if _is_cover(stream) and stream.codec_context.name in IMAGE_TYPES]
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


def _later(chapter: "Chapter", seconds: Fraction) -> "Chapter":
    """A chapter that begins later, as the pictures do."""
    base = chapter["time_base"] or Fraction(1, 1000)
    ticks = round(seconds / base)
    return {**chapter, "start": chapter["start"] + ticks, "end": chapter["end"] + ticks}


def _lost_metadata(path: Path, made: Path) -> list[str]:
    """Names of the metadata that a copy lacks."""
    with opened(path) as source, opened(made) as copy:
        kept = {key.lower() for key in copy.metadata}
        lost = [key for key in source.metadata if key.lower() not in kept and key not in BRANDS]
        chapters = len(source.chapters()) - len(copy.chapters())
    return [f"metadata: {key}" for key in lost] + ([f"{chapters} chapters"] if chapters else [])


def _order(packet: av.Packet, ends: dict[int, Fraction], path: Path) -> None:
    """Give a packet that repeats the time of the one before it, as MPEG-1 files have them, the next tick."""
    if packet.dts is None or packet.time_base is None:
        return
    number = packet.stream.index
    time = packet.dts * packet.time_base
    last = ends.get(number, time - packet.time_base)
    if last - time > BACKWARDS:
        raise InputError(path, "timestamps run backwards", "convert it to .mkv first")
    if time <= last:
        packet.dts = int(last / packet.time_base) + 1
        packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
    ends[number] = packet.dts * packet.time_base


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
    if target.format.name in QUICKTIMES and isinstance(stream, VideoStream) and isinstance(copy, VideoStream):
        copy.codec_context.framerate = Fraction(stream.average_rate or 0)  # the track of the time code is written by it
        if stream.codec_context.codec_tag in TAGS:
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


def first_sound(path: Path) -> Fraction:
    """When the first packet of sound starts, seconds."""
    with opened(path) as container:
        times = (moment(packet) for packet in packets(container, list(container.streams.audio), path))
        return next((time for time in times if time is not None), Fraction(0))


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
