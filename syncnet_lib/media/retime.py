"""The sound of a video put under its pictures by time stamps alone: nothing is decoded or encoded again.

Every packet keeps its bytes. Of sound that comes earlier from an edit on, packets are left out; where it comes later,
packets of silence are put in, as browsers pass over a hole in time stamps. Sound of another speed stays as it is, and
its pictures, subtitles and chapters follow each other faster or slower instead: every player shows a picture at its
time, and none plays sound slower because its time stamps are further apart.
"""

import heapq
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from syncnet_lib.errors import InputError
from syncnet_lib.media import correction, remux, silence, tracks
from syncnet_lib.media.correction import Copy, Cure
from syncnet_lib.media.decode import probe
from syncnet_lib.media.streams import opened
from syncnet_lib.media.tracks import Track

if TYPE_CHECKING:
    from av.container.core import Chapter

UNTIMED = {"avi"}
"""Containers whose packets have a place and no time."""
BACKWARDS = 1
"""Seconds from which times that run backwards are a broken file and no rounding."""
STEP = 100_000
"""Steps a second to which a shift is rounded that follows from a ratio: its own would be too fine for libav."""
DROP_FRAME = ";"
"""In a time code: numbers are left out, which is defined for pictures of 29.97 and 59.94 a second alone."""


def retime(path: Path, out: Path, cure: Cure) -> Copy:
    """Copy a video with its sound moved, or its pictures shown faster or slower.

    Sound that would start before the file does makes everything else start later instead, so that nothing is cut.

    Args:
        path: any file that libav reads.
        out: a file that is not there yet; the container follows from its suffix.
        cure: what is done to every audio track.

    Raises:
        InputError: `path` has no pictures or no sound, or times that run backwards; `out` cannot be written, or its
            container cannot hold these streams or such times.
    """
    shown, heard = probe(path).first_picture, remux.first(path, "audio")
    origin = remux.first(path, "video") if shown is None else shown
    if origin is None or heard is None:
        raise InputError(path, "no video" if origin is None else "no sound")
    with remux.new_media(out) as made:
        writing = _Writing(path, origin, heard, cure)
        with remux.refused(out):
            writing.write(made, out.name)
        found = tracks.read(made)
        tracks.check(writing.tracks(), found, cure, out)
        left_out = [*writing.left_out, *remux.lost_metadata(path, made)]
    exact = [each.digest for each in writing.tracks()] == [each.digest for each in found]
    return Copy(exact, tuple(left_out), *writing.edited())


class _Sound:
    """A track of sound on its way into the copy."""

    def __init__(self, path: Path, index: int, cure: Cure, origin: Fraction) -> None:
        self.placing = correction.Placing(cure, origin)
        self.filled = self.holes = Fraction(0)
        self._path, self._index, self._exact = path, index, cure.stretch == 1

    def placed(self, packet: av.Packet, later: Fraction) -> Iterator[av.Packet]:
        """A packet at its new time, behind what fills the hole before it; none where it is left out."""
        start, lasts = remux.moment(packet), (packet.duration or 0) * (packet.time_base or Fraction(0))
        where = self.placing.place(Fraction(0) if start is None else start, lasts)
        if where is None:
            return
        if where.hole and start is not None:
            yield from self._silence(packet, start + where.delay + later, lasts, where.hole)
        delay = where.delay + later
        remux.move(packet, delay if self._exact else Fraction(round(delay * STEP), STEP))
        yield packet

    def _silence(self, like: av.Packet, end: Fraction, lasts: Fraction, hole: Fraction) -> Iterator[av.Packet]:
        """Packets of silence from `hole` seconds before `end` on, as many as come nearest to its length."""
        made = silence.packet_like(self._path, self._index, bytes(like), lasts)
        if made is None:
            self.holes += hole
            return
        for number in range(round(hole / made.seconds)):
            packet = av.Packet(made.data)
            packet.time_base, packet.is_keyframe = Fraction(1, STEP), True
            packet.pts = packet.dts = round((end - hole + number * made.seconds) * STEP)
            packet.duration = round(made.seconds * STEP)
            self.filled += made.seconds
            yield packet


class _Writing:
    """A copy while it is written.

    Args:
        path: of the original.
        origin, heard: time of its first picture and of its first sound, seconds.
        cure: what is done.

    Attributes:
        left_out: what of the original is not in the copy, in words.
    """

    def __init__(self, path: Path, origin: Fraction, heard: Fraction, cure: Cure) -> None:
        self._path, self._origin, self._first, self._cure = path, origin, heard, cure
        # Pictures keep their distance to 0 but for the ratio, so that sound follows the first of them.
        self._follows = origin / cure.stretch - origin
        self._later = Fraction(0)
        self._tracks: dict[int, Track] = {}
        self._ticks: dict[int, Fraction] = {}
        self._seen: set[int] = set()
        self._lost: list[Stream] = []
        self._sounds: dict[int, _Sound] = {}
        self.left_out: list[str] = []

    def tracks(self) -> list[Track]:
        """What was written."""
        return [each for each in self._tracks.values() if each.times]

    def edited(self) -> tuple[Fraction, Fraction, Fraction]:
        """Seconds of sound that are left out, of silence that was put in, and of holes that are left, in the track that
        has most of each."""
        sounds = self._sounds.values()
        cut, filled = max(each.placing.left_out for each in sounds), max(each.filled for each in sounds)
        return cut, filled, max(each.holes for each in sounds)

    def write(self, made: Path, name: str) -> None:
        """Write it.

        Args:
            made: where to.
            name: of the file for errors.
        """
        path, cure = self._path, self._cure
        # Sound and pictures are read apart, as they may come to lie minutes from where they were to each other.
        with (
            opened(path) as source,
            opened(path) as heard,
            av.open(f"file:{made}", "w", options=remux.options(path, made, source)) as target,
        ):
            if target.format.name in UNTIMED:
                raise InputError(name, f"{made.suffix} files keep no times", "give an output that ends in .mkv or .mp4")
            streams = list(source.streams)
            self._ticks = {stream.index: self._tick(stream) for stream in streams if stream.type != "audio"}
            ticks = next(self._ticks[stream.index] for stream in streams if stream.type == "video")
            moved = cure.pieces[0].delay / cure.stretch + self._follows
            self._later = remux.room(self._first, moved, ticks)
            copies = self._copies(source, target)
            target.metadata.update(remux.metadata(source))
            self._uncount(target.metadata)
            target.set_chapters([self._chapter(chapter) for chapter in source.chapters()])
            self._mux(source, heard, copies, target)
            self.left_out = [remux.named(stream) for stream in self._lost if not self._is_held(target, stream)]

    def _copies(self, source: InputContainer, target: OutputContainer) -> dict[int, Stream]:
        """Index to the stream of the copy, of all that it can hold."""
        covers = remux.covers(source, self._path) if target.format.name == "matroska" else {}
        copies = {}
        for stream in source.streams:
            if stream.index in covers:
                target.add_attachment(*covers[stream.index])
            elif stream.type == "attachment" and target.format.name == "matroska":
                target.add_stream_from_template(stream)
            elif copy := remux.add_if_held(target, stream):
                copies[stream.index] = copy
                if isinstance(stream, VideoStream) and isinstance(copy, VideoStream) and not remux.is_cover(stream):
                    self._hasten(stream, copy)
            else:
                self._lost.append(stream)
        for index in copies:
            if remux.is_copied(source.streams[index]):
                self._tracks[index] = Track(source.streams[index].type)
            if source.streams[index].type == "audio":
                self._sounds[index] = _Sound(self._path, index, self._cure, self._origin)
        return copies

    def _tick(self, stream: Stream) -> Fraction:
        """Seconds of a step of a stream's new clock."""
        rate = stream.average_rate if isinstance(stream, VideoStream) else None
        return correction.ticks(stream.time_base or Fraction(1, 1000), self._cure.stretch, rate or Fraction(0))

    def _hasten(self, stream: VideoStream, copy: VideoStream) -> None:
        """Give pictures their new clock and rate."""
        if self._cure.stretch == 1:
            return
        self._uncount(copy.metadata)
        copy.time_base = self._ticks[stream.index]
        rate = Fraction(stream.average_rate or 0) * self._cure.stretch
        copy.codec_context.framerate = rate.limit_denominator(correction.FINEST)

    def _is_held(self, target: OutputContainer, stream: Stream) -> bool:
        """Whether what cannot be copied is in the copy all the same."""
        kept = {**stream.metadata}
        self._uncount(kept)
        return kept == stream.metadata and remux.is_held_otherwise(target, stream, stream.index in self._seen)

    def _uncount(self, metadata: dict[str, str]) -> None:
        """Leave out a time code whose numbers fit no other rate."""
        if self._cure.stretch != 1 and DROP_FRAME in metadata.get("timecode", ""):
            del metadata["timecode"]

    def _mux(
        self, source: InputContainer, heard: InputContainer, copies: dict[int, Stream], target: OutputContainer
    ) -> None:
        ends: dict[int, Fraction] = {}
        for index, packet in heapq.merge(self._shown(source, copies), self._heard(heard), key=_due):
            if not remux.is_cover(source.streams[index]):
                _order(index, packet, ends, self._path)
            if index in self._tracks:
                self._tracks[index].add(packet)
            packet.stream = copies[index]
            target.mux(packet)

    def _shown(self, source: InputContainer, copies: dict[int, Stream]) -> Iterator[tuple[int, av.Packet]]:
        """All but the sound, at its new time."""
        streams = [stream for stream in source.streams if stream.type != "audio"]
        for packet in remux.packets(source, streams, self._path):
            index = packet.stream_index
            self._seen.add(index)
            if index in copies:
                if not remux.is_cover(packet.stream):
                    if self._cure.stretch == 1:
                        remux.move(packet, self._later)
                    else:
                        remux.hasten(packet, self._cure.stretch, self._ticks[index], self._later)
                yield index, packet

    def _heard(self, heard: InputContainer) -> Iterator[tuple[int, av.Packet]]:
        """The sound at its new time."""
        for packet in remux.packets(heard, list(heard.streams.audio), self._path):
            index = packet.stream_index
            self._seen.add(index)
            if index in self._sounds:
                for each in self._sounds[index].placed(packet, self._later + self._follows):
                    yield index, each

    def _chapter(self, chapter: "Chapter") -> "Chapter":
        """A chapter that begins when its pictures do."""
        base = chapter["time_base"] or Fraction(1, 1000)
        start, end = (round(chapter[key] / self._cure.stretch + self._later / base) for key in ("start", "end"))
        return {**chapter, "start": start, "end": end}


def _due(entry: tuple[int, av.Packet]) -> Fraction:
    """When a packet is to be decoded, seconds."""
    packet = entry[1]
    time = packet.pts if packet.dts is None else packet.dts
    return Fraction(0) if time is None or packet.time_base is None else time * packet.time_base


def _order(index: int, packet: av.Packet, ends: dict[int, Fraction], path: Path) -> None:
    """Give a packet that repeats the time of the one before it, as MPEG-1 files have them, the next tick."""
    if packet.dts is None or packet.time_base is None:
        return
    time = packet.dts * packet.time_base
    last = ends.get(index, time - packet.time_base)
    if last - time > BACKWARDS:
        raise InputError(path, "timestamps run backwards", "convert it to .mkv first")
    if time <= last:
        packet.dts = int(last / packet.time_base) + 1
        packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
    ends[index] = packet.dts * packet.time_base
