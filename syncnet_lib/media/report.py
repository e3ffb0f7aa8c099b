"""What was met while a file was read: how much of it could be used, and what is missing where."""

from dataclasses import dataclass, field
from typing import NamedTuple

from syncnet_lib.errors import InputError

MAX_DAMAGE = 0.05
"""Largest share of the pictures, or of the sound, that may be damaged in a file that is still used."""
TOGETHER = 0.5
"""Seconds between two damaged places that are told as one."""


class Note(NamedTuple):
    """Something that a user should know about a place in a file.

    Attributes:
        time: seconds from the first picture of the video.
        text: the whole of it, with its times.
    """

    time: float
    text: str


@dataclass
class Report:
    """What the reading of a file has met; give one to `decode.pictures` and `audio.audio_blocks`, and read it after.

    Attributes:
        pictures: coded pictures in the file.
        used: those of them that were decoded and have a place on the clock.
        notes: what is missing, damaged or out of order, in the order of its time once the reading is over.
    """

    pictures: int = 0
    used: int = 0
    notes: list[Note] = field(default_factory=list)

    def add(self, other: "Report") -> None:
        """Take in what the reading of another stream of the same file has met."""
        self.pictures += other.pictures
        self.used += other.used
        self.notes = sorted(self.notes + other.notes)

    @property
    def texts(self) -> list[str]:
        """The notes as sentences."""
        return [note.text for note in self.notes]


@dataclass
class Damage:
    """Places of one stream that could not be decoded.

    Attributes:
        what: "pictures" or "sound".
        instead: what stands in their place.
        spans: start and end of each, seconds from the first picture.
    """

    what: str
    instead: str
    spans: list[tuple[float, float]] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, start: float, duration: float) -> None:
        """One more packet or picture."""
        self.seconds += duration
        if self.spans and start - self.spans[-1][1] <= TOGETHER:
            self.spans[-1] = self.spans[-1][0], max(start + duration, self.spans[-1][1])
        else:
            self.spans.append((start, start + duration))

    def check(self, where: object, used: float) -> list[Note]:
        """What a user should know, where the stream is usable at all.

        Args:
            where: the file.
            used: seconds of the stream that could be decoded.

        Raises:
            InputError: more than MAX_DAMAGE of it is damaged.
        """
        share = self.seconds / max(self.seconds + used, 1e-9)
        if share > MAX_DAMAGE:
            cause = f"damaged: {share:.0%} of the {self.what} cannot be decoded (from {self.spans[0][0]:.2f} s)"
            raise InputError(str(where), cause, f"give a copy with less than {MAX_DAMAGE:.0%} of damage")
        return [
            Note(start, f"{self.what} damaged from {start:.2f} to {end:.2f} s: {self.instead}")
            for start, end in self.spans
        ]
