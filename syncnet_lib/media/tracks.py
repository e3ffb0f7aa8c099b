"""When the packets of a file are presented, and what is in them: as they are written and as they are read again."""

import hashlib
from array import array
from collections.abc import Sequence
from math import nan
from pathlib import Path

import av
import numpy as np

from syncnet_lib.errors import InputError
from syncnet_lib.media import remux
from syncnet_lib.media.correction import Cure
from syncnet_lib.media.streams import opened

ROUNDING = 2 / 1000
"""Seconds by which a container may round: Matroska keeps milliseconds of each stream."""
NO_TEXT = bytes(2)
"""What MP4 has between subtitles."""


class Track:
    """What is known of the packets of a stream of pictures, sound or subtitles.

    Args:
        kind: of it.

    Attributes:
        times: when each packet is presented, seconds; NaN where it does not say.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.times = array("d")
        self._hash = hashlib.sha256()

    def add(self, packet: av.Packet) -> None:
        """Take the next one."""
        if self.kind == "subtitle" and bytes(packet) == NO_TEXT:
            return
        self._hash.update(packet)
        time = remux.moment(packet)
        self.times.append(nan if time is None else float(time))

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes of its packets."""
        return self._hash.hexdigest()

    @property
    def start(self) -> float:
        """The earliest time."""
        return min((time for time in self.times if time == time), default=nan)


def read(path: Path) -> list[Track]:
    """The streams of a file that have pictures, sound or subtitles; nothing is decoded.

    Args:
        path: of the file.
    """
    with opened(path) as container:
        found = {stream.index: Track(stream.type) for stream in container.streams if remux.is_copied(stream)}
        for packet in remux.packets(container, [container.streams[index] for index in found], path):
            found[packet.stream_index].add(packet)
    return [each for each in found.values() if each.times]


def check(wanted: Sequence[Track], found: Sequence[Track], cure: Cure, out: Path) -> None:
    """Refuse a copy whose container did not keep the times of pictures and sound to each other.

    Args:
        wanted: as they were written.
        found: as they are read.
        cure: what was done.
        out: the copy, for errors.

    Raises:
        InputError: it did not.
    """
    origin, other = (next((each.start for each in side if each.kind == "video"), nan) for side in (wanted, found))
    for kind in remux.MEASURED:
        sides = ([each for each in side if each.kind == kind] for side in (wanted, found))
        if not all(_alike(one, two, origin, other, cure.is_shift) for one, two in zip(*sides, strict=False)):
            cause = f"{out.suffix} files keep no such times"
            raise InputError(out, cause, "give an output that ends in .mkv or .mp4, or --samples")


def _alike(wanted: Track, found: Track, origin: float, other: float, shifted: bool) -> bool:
    """Whether two tracks have the same times.

    Args:
        origin, other: of the first picture of each.
        shifted: all is later by the same, so that the same start is enough where packets were framed in another way.
    """
    times = [np.asarray(wanted.times) - origin, np.asarray(found.times) - other]
    if len(wanted.times) != len(found.times):
        if not shifted:
            return False
        times = [np.array([np.nanmin(each)]) for each in times]
    apart = np.abs(times[0] - times[1])
    known = apart[~np.isnan(apart)]
    return bool(len(known)) and bool(known.max() <= ROUNDING)
