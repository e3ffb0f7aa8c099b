"""The clock of a file followed over its restarts, so that joined and wrapped recordings run on without a break.

Files that are joined byte by byte (camcorders, HLS segments, broadcasts) start their clock over in the middle, and the
33 bits of MPEG wrap after 26.5 hours. Where pictures and sound jump together, what follows is a new stretch: it is
placed behind the one before, and all its streams by the same amount, so that their distance to each other stays. Where
a single stream leaves a gap, it pauses, and nothing is moved.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer

from syncnet_lib import files
from syncnet_lib.errors import InputError
from syncnet_lib.media.clock import MAX_GAP
from syncnet_lib.media.pieces import appended_flv, appended_ogg, fragmented
from syncnet_lib.media.streams import audio_streams, demuxed, opened, short, video_stream

BACK = 1
"""Seconds by which the times of a stream may run backwards without being a jump: some containers reorder."""
PAUSE = 10
"""Seconds without a packet that are a jump of a stream's times: ffmpeg's `dts_delta_threshold`."""
ALIKE = 10
"""Seconds by which the jumps of two streams may differ and be the same restart of the clock."""
STRAYS = 50
"""Packets in a row whose times may be wrong, before it is the clock that is."""
RESTARTING = {"mpegts", "mpeg"}
"""Containers whose clock may go on anywhere, also later; elsewhere a gap that all streams share is a pause."""


@dataclass(frozen=True)
class Restart:
    """A place at which the clock starts over.

    Attributes:
        time: of the first picture after it, or sound, on the running clock, seconds.
        old, new: what the file's own clock says before and after it, seconds.
    """

    time: Fraction
    old: Fraction
    new: Fraction


@dataclass(frozen=True)
class RunningClock:
    """What brings each packet of a file onto one running clock.

    Attributes:
        shifts: stream index to (number of its packet, seconds to add from that packet on), in ascending order.
        restarts: places at which the clock starts over.
        packets: stream index to the number of its packets, as the file counts them where it has an index.
    """

    shifts: dict[int, list[tuple[int, Fraction]]]
    restarts: tuple[Restart, ...]
    packets: dict[int, int]

    def running(self, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
        """Packets with their times on the running clock.

        Args:
            packets: of one or more streams, all of each from its first one on.
        """
        if not self.shifts:
            yield from packets
            return
        counts = dict.fromkeys(self.packets, 0)
        for packet in packets:
            if packet.size:
                shifts = self.shifts.get(packet.stream_index, [])
                place = bisect_right(shifts, counts[packet.stream_index], key=lambda entry: entry[0])
                counts[packet.stream_index] += 1
                if place and packet.time_base:
                    ticks = round(shifts[place - 1][1] / packet.time_base)
                    packet.pts = None if packet.pts is None else packet.pts + ticks
                    packet.dts = None if packet.dts is None else packet.dts + ticks
            yield packet


@dataclass
class _Segment:
    """Packets of a stream between two jumps of its times, which are in ticks of the stream.

    Attributes:
        number, order: of the first packet, among those of the stream and of the file.
        start: time of the first packet; due: when the segment before would have gone on.
        first, end: span of what the packets hold.
        stretch: of the running clock.
    """

    number: int
    order: int
    start: int
    due: int
    first: int
    end: int
    stretch: int = 0


@dataclass
class _Track:
    """A stream of a file, packet by packet.

    Attributes:
        main: the stream is measured: only such ones tell a restart of the clock from a pause.
        base: seconds of a tick.
        usual: ticks of a packet that does not say how long it is.
        back, pause: BACK and PAUSE in ticks.
        last_order: of the last packet among those of the file.
        strays: packets whose times alone are wrong: number of the first and of the next good one, ticks to add.
        at: the segment that has been placed last.
    """

    kind: str
    main: bool
    base: Fraction
    usual: int
    back: int
    pause: int
    packets: int = 0
    last: int = 0
    due: int = 0
    last_order: int = 0
    segments: list[_Segment] = field(default_factory=list)
    strays: list[tuple[int, int, int]] = field(default_factory=list)
    at: int = 0

    def add(self, order: int, packet: av.Packet) -> None:
        number, self.last_order = self.packets, order
        self.packets += 1
        pts, dts = packet.pts, packet.dts
        time = pts if dts is None else dts
        if time is None:
            return
        shown = time if pts is None else pts
        duration = packet.duration or self.usual
        if not self.segments or time < self.last - self.back or time > self.due + self.pause:
            self.segments.append(_Segment(number, order, time, self.due, shown, shown))
        segment = self.segments[-1]
        if shown < segment.first:
            segment.first = shown
        if shown + duration > segment.end:
            segment.end = shown + duration
        self.last, self.due = time, time + duration

    def jump(self) -> Fraction | None:
        """Seconds by which the next segment does not begin where this one ends; None where there is none."""
        if self.at + 1 >= len(self.segments):
            return None
        following = self.segments[self.at + 1]
        return (following.start - following.due) * self.base

    def join(self, at: int) -> None:
        """Take the segment after this one as its continuation."""
        segment, following = self.segments[at], self.segments.pop(at + 1)
        segment.first, segment.end = min(segment.first, following.first), max(segment.end, following.end)

    def take_out_strays(self) -> None:
        """Find runs of a few packets after which the times go on as if nothing had been."""
        at = 1
        while at + 1 < len(self.segments):
            stray, after = self.segments[at : at + 2]
            back = abs(after.start - stray.due) * self.base <= PAUSE
            if back and after.number - stray.number <= STRAYS:
                self.strays.append((stray.number, after.number, stray.due - stray.start))
                del self.segments[at]
                self.join(at - 1)
            else:
                at += 1


@files.cached
def running_clock(path: Path) -> RunningClock:
    """The running clock of a file, from the times of all its packets; nothing is decoded.

    Raises:
        InputError: the file cannot be read, or the clock of one stream starts over and that of the others does not.
    """
    with opened(path) as container:
        if _is_one_index(container, path):
            return RunningClock({}, (), {stream.index: stream.frames for stream in container.streams})
        _check_whole(container, path)
        tracks = _scanned(container, path)
        restarting = container.format.name in RESTARTING
    for track in tracks.values():
        track.take_out_strays()
    stretches = _number_stretches([track for track in tracks.values() if track.segments], restarting, path)
    shifts, restarts = _placed([track for track in tracks.values() if track.segments], stretches)
    entries = {index: _entries(track, shifts) for index, track in tracks.items()}
    moved = {index: each for index, each in entries.items() if any(seconds for _, seconds in each)}
    return RunningClock(moved, tuple(restarts), {index: track.packets for index, track in tracks.items()})


def _is_one_index(container: InputContainer, path: Path) -> bool:
    """Whether the times of all packets follow from one index of durations, which cannot run backwards. In less than
    MAX_GAP they cannot jump either."""
    seconds = (container.duration or 0) / av.time_base
    return container.format.name.startswith("mov") and 0 < seconds < MAX_GAP and not fragmented(path)


def _check_whole(container: InputContainer, path: Path) -> None:
    """Refuse what libav stops reading in the middle, without a word, because another recording begins there."""
    find = {"flv": appended_flv, "ogg": appended_ogg}.get(container.format.name)
    at = find(path) if find else None
    if at is not None:
        cause = f"another recording is joined to it at byte {at}, where reading cannot go on"
        one, two = f"head -c {at} FILE > first{path.suffix}", f"tail -c +{at + 1} FILE > second{path.suffix}"
        raise InputError(path, cause, f"give the parts as files of their own: {one}; {two}")


def _scanned(container: InputContainer, path: Path) -> dict[int, _Track]:
    video, sounds = video_stream(container), audio_streams(container)
    main = {stream.index for stream in (video, *sounds[:1]) if stream is not None}
    tracks = {}
    for stream in container.streams:
        base = stream.time_base or Fraction(1, 1000)
        rate = getattr(stream, "average_rate", None)
        usual = round(1 / rate / base) if rate else 0
        limits = round(BACK / base), round(PAUSE / base)
        tracks[stream.index] = _Track(stream.type, stream.index in main, base, usual, *limits)
    try:
        for order, packet in enumerate(demuxed(container)):
            if packet.size:
                tracks[packet.stream_index].add(order, packet)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(path, f"cannot be read: {short(error)}") from error
    return tracks


def _number_stretches(tracks: Sequence[_Track], restarting: bool, path: Path) -> int:
    """Tell restarts from pauses, in the order of the file; gives the number of the last stretch."""
    stretch = 0
    while jumps := [(track, jump) for track in tracks if (jump := track.jump()) is not None]:
        first, jump = min(jumps, key=lambda entry: (not entry[0].main, entry[0].segments[entry[0].at + 1].order))
        order = first.segments[first.at + 1].order
        together = [track for track, other in jumps if abs(other - jump) <= ALIKE]
        if jump < 0:
            together += [track for track, _ in jumps if not track.main and track not in together]
        latest = max(track.segments[track.at + 1].order for track in together)
        # A stream that ended before, or begins after, has no say.
        goes_on = [
            track
            for track in tracks
            if track.main
            and track not in together
            and track.segments[track.at].order < order
            and track.last_order > latest
        ]
        if not goes_on and first.main and (jump < 0 or restarting or jump > MAX_GAP):
            stretch += 1
            for track in tracks:
                if track in together:
                    track.at += 1
                    track.segments[track.at].stretch = stretch
                elif track.segments[track.at].order > order:
                    track.segments[track.at].stretch = stretch
        elif jump < 0 and first.main and restarting:
            raise _cannot_follow(first, path)
        else:
            first.join(first.at)
    return stretch


def _cannot_follow(track: _Track, path: Path) -> InputError:
    at = float((track.segments[track.at].end - track.segments[0].first) * track.base)
    cause = f"the clock of its {track.kind} starts over at {at:.2f} s, and that of its other streams does not"
    cure = f"give the parts as files of their own: ffmpeg -i FILE -t {at:.2f} -c copy first.mkv"
    return InputError(path, cause, cure)


def _placed(tracks: Sequence[_Track], stretches: int) -> tuple[list[Fraction], list[Restart]]:
    """Seconds to add in each stretch, so that no stream of it begins before it has ended in those before."""
    shifts, restarts = [Fraction(0)], []
    for stretch in range(1, stretches + 1):
        ends = {
            number: max(segment.end * track.base + shifts[segment.stretch] for segment in earlier)
            for number, track in enumerate(tracks)
            if (earlier := [segment for segment in track.segments if segment.stretch < stretch])
        }
        starts = {
            number: segment.first * track.base
            for number, track in enumerate(tracks)
            for segment in track.segments
            if segment.stretch == stretch
        }
        shared = [number for number in starts if number in ends and tracks[number].main]
        gaps = [ends[number] - starts[number] for number in shared]
        shift = max(gaps or [max(ends.values()) - min(starts.values())])
        shifts.append(shift)
        number = next((number for number in shared if tracks[number].kind == "video"), min(starts))
        restarts.append(Restart(starts[number] + shift, ends.get(number, shift) - shifts[stretch - 1], starts[number]))
    return shifts, restarts


def _entries(track: _Track, shifts: Sequence[Fraction]) -> list[tuple[int, Fraction]]:
    """(Number of a packet, seconds to add from it on)."""
    entries = [(segment.number, shifts[segment.stretch]) for segment in track.segments]
    for first, after, ticks in track.strays:
        own = next(seconds for number, seconds in reversed(entries) if number <= first)
        entries += [(first, own + ticks * track.base), (after, own)]
    return sorted(entries)
