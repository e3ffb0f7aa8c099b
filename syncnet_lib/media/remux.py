"""The sound of a video moved against its pictures by re-muxing: packets get other timestamps and stay what they are."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, lcm
from pathlib import Path

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.stream import Disposition, Stream

from syncnet_lib import files
from syncnet_lib.errors import InputError
from syncnet_lib.media.streams import opened, short

COPIED = ("video", "audio", "subtitle")
"""Kinds of streams that are copied; time codes and other data of cameras belong to one container and stay behind."""
ROUNDING = Fraction(2, 1000)
"""Seconds by which a container may round: Matroska keeps milliseconds of each stream."""
EDIT_LISTS = {".mp4", ".m4v", ".mov"}
MOVIE_TICKS = 90_000
"""Steps a second of an edit list: a whole number of them makes a frame, whatever the usual rate."""
UNTIMED = {"avi"}
"""Containers whose packets have a place and no time, so that no sound can be moved in them."""
BACKWARDS = 1
"""Seconds from which times that run backwards are a broken file and no rounding."""
BRANDS = {"major_brand", "minor_version", "compatible_brands", "encoder"}
"""Metadata that speaks of the old file and not of what is in it."""


@dataclass(frozen=True)
class Packets:
    """What the packets of a file say.

    Attributes:
        lead: seconds by which the sound starts after the pictures.
        digests: SHA-256 of the bytes of each copied stream's packets.
    """

    lead: Fraction
    digests: tuple[str, ...]


def inspect(path: Path) -> Packets:
    """Read all packets of a file without decoding them.

    Raises:
        InputError: it cannot be opened, or has no pictures or no sound.
    """
    with opened(path) as container:
        streams = _copied(container)
        first: dict[int, Fraction] = {}
        hashes = {stream.index: hashlib.sha256() for stream in streams}
        for packet in packets(container, streams, path):
            hashes[packet.stream.index].update(packet)
            time = moment(packet)
            if time is not None:
                first[packet.stream.index] = min(time, first.get(packet.stream.index, time))
        # Read here: a closed file's streams know nothing any more.
        kinds = {stream.index: stream.type for stream in streams}
    starts = {}
    for kind, missing in (("video", "no video"), ("audio", "no sound")):
        times = [time for index, time in first.items() if kinds[index] == kind]
        if not times:
            raise InputError(path, missing)
        starts[kind] = min(times)
    return Packets(starts["audio"] - starts["video"], tuple(hashes[index].hexdigest() for index in kinds))


def move_sound(path: Path, out: Path, delay: Fraction) -> bool:
    """Copy a video with its sound later or earlier; nothing is decoded or encoded.

    Sound that would start before the file does makes everything else start later instead, so that nothing is cut.

    Args:
        path: any file that libav reads.
        out: a file that is not there yet; the container follows from its suffix.
        delay: seconds; below 0 the sound comes earlier.

    Returns:
        Whether every packet kept its bytes. Some containers frame the same packets in another way (H.264 in AVI has
        start codes, in MP4 lengths), so that a change of container may make it False.

    Raises:
        InputError: `path` has no pictures or no sound, or times that run backwards; `out` cannot be written, or its
            container cannot hold these streams or such a start.
    """
    before = inspect(path)
    with new_media(out) as made:
        with refused(out):
            _copy(path, made, delay, out.name)
        after = inspect(made)
        if abs(after.lead - before.lead - delay) > ROUNDING:
            cause = f"{out.suffix} files keep no such start of the sound"
            raise InputError(out, cause, "give an output that ends in .mkv, .mp4 or .mov")
    return after.digests == before.digests


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
    """What libav says of a container that does not take these streams, as one line."""
    try:
        yield
    except (av.error.FFmpegError, ValueError) as error:
        cause = f"{out.suffix or 'a file without suffix'} cannot hold these streams ({short(error)})"
        raise InputError(out, cause, "give an output that ends in .mkv, which holds nearly everything") from None


def _copy(path: Path, made: Path, delay: Fraction, name: str) -> None:
    first = first_sound(path)
    # mp4 and mov place a late stream by an edit list, in steps of 1/1000 s unless told otherwise.
    options = {"movie_timescale": str(MOVIE_TICKS)} if made.suffix.lower() in EDIT_LISTS else {}
    with opened(path) as source, av.open(f"file:{made}", "w", options=options) as target:
        if target.format.name in UNTIMED:
            raise InputError(name, f"{made.suffix} files keep no times", "give an output that ends in .mkv or .mp4")
        streams = _copied(source)
        ticks = next((stream.time_base for stream in streams if stream.type == "video"), None) or Fraction(1, 1000)
        later = room(first, delay, ticks)
        copies = {stream.index: add_copy(target, stream) for stream in streams}
        target.metadata.update({key: value for key, value in source.metadata.items() if key not in BRANDS})
        target.set_chapters(source.chapters())
        ends: dict[int, Fraction] = {}
        for packet in packets(source, streams, path):
            number = packet.stream.index
            move(packet, later + delay if packet.stream.type == "audio" else later)
            _order(packet, ends, path)
            packet.stream = copies[number]
            target.mux(packet)


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


def _copied(container: InputContainer) -> list[Stream]:
    return [
        stream
        for stream in container.streams
        if stream.type in COPIED and Disposition.attached_pic not in stream.disposition
    ]


def packets(container: InputContainer, streams: Sequence[Stream], path: Path) -> Iterator[av.Packet]:
    """The packets of some streams of a file."""
    try:
        for packet in container.demux(streams):
            if packet.size:
                yield packet
    except av.error.FFmpegError as error:
        raise InputError(path, f"cannot be read: {short(error)}") from error


def moment(packet: av.Packet) -> Fraction | None:
    """When a packet starts, seconds."""
    time = packet.dts if packet.pts is None else packet.pts
    return None if time is None or packet.time_base is None else time * packet.time_base
