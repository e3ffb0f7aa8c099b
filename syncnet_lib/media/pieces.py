"""What a file consists of at its top level: the boxes of MP4 and QuickTime, and where another recording begins."""

import mmap
import re
from collections.abc import Iterator
from pathlib import Path

HEADER, LONG_HEADER = 8, 16
"""Bytes of the head of a box; the long one has a size of 64 bits."""
LONG, TO_THE_END = 1, 0
"""Sizes that mean: it follows, and all that is left."""
FLV = re.compile(rb"FLV\x01[\x01\x04\x05]\0\0\0\x09\0\0\0\0", re.DOTALL)
"""How a Flash video begins."""
OGG = re.compile(rb"OggS\0(.)", re.DOTALL)
"""How a page of Ogg begins, up to its flags."""
BEGINS = 2
"""Flag of the first page of a stream of Ogg; all of them lie at the beginning of a recording."""


def boxes(path: Path) -> Iterator[tuple[bytes, int]]:
    """Kind and first byte of each box, until what follows is none."""
    end = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at + HEADER <= end:
            file.seek(at)
            header = file.read(LONG_HEADER)
            size, kind = int.from_bytes(header[:4], "big"), header[4:HEADER]
            if not kind.isascii():
                return
            yield kind, at
            if size == LONG:
                size = int.from_bytes(header[HEADER:], "big")
            if size == TO_THE_END or size < HEADER:
                return
            at += size


def index_first(path: Path) -> bool:
    """Whether the index (`moov`) lies before the data, so that the file plays while it loads."""
    return next((kind for kind, _ in boxes(path) if kind in (b"moov", b"mdat")), None) == b"moov"


def fragmented(path: Path) -> bool:
    """Whether there is an index for each piece of the data, with times of its own."""
    return any(kind == b"moof" for kind, _ in boxes(path))


def appended_boxes(path: Path) -> int | None:
    """First byte of another recording that is joined to the end of an MP4 or QuickTime file; None where none is."""
    begins = [(kind, at) for kind, at in boxes(path) if kind in (b"ftyp", b"moov")]
    if [kind for kind, _ in begins].count(b"moov") < 2:
        return None
    return next((at for kind, at in begins[1:] if kind == b"ftyp"), None)


def appended_flv(path: Path) -> int | None:
    """The same of Flash video."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = FLV.search(data, 1)
        return found.start() if found else None


def appended_ogg(path: Path) -> int | None:
    """The same of Ogg, whose standard calls it a chain."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        begun = False
        for page in OGG.finditer(data):
            begins = bool(page[1][0] & BEGINS)
            if begun and begins:
                return page.start()
            begun = begun or not begins
        return None
