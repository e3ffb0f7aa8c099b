"""What is done to the sound of a video, and where each packet goes if it is done by time stamps alone.

Sound is moved piece by piece: where it comes later there is a hole, where it comes earlier packets are left out.
Another speed is one of the *pictures*: they follow each other faster or slower and the sound stays what it is, as in a
film that is conformed from 24 to 25 pictures a second. To pull the time stamps of sound apart is of no use, as players
count its samples.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

FINEST = 100_000
"""Steps a second of a track's clock: QuickTime plays no long file of more, says libav."""
USUAL = 90_000
"""Steps a second where the exact ones would be finer: 6 µs at most from where a picture should be."""


@dataclass(frozen=True)
class Piece:
    """From an instant of the pictures on the sound is later by so much; both in seconds."""

    start: Fraction
    delay: Fraction


@dataclass(frozen=True)
class Cure:
    """What is done to a sound.

    Attributes:
        pieces: in their order; the first one holds from the beginning on.
        stretch: by which the sound gets longer before it is moved: 1.001 for one that is a thousandth too fast. By time
            stamps, by which the pictures follow each other faster.
    """

    pieces: tuple[Piece, ...]
    stretch: Fraction = Fraction(1)

    @classmethod
    def shift(cls, delay: Fraction) -> "Cure":
        """One delay throughout, seconds."""
        return cls((Piece(Fraction(0), delay),))

    @property
    def is_shift(self) -> bool:
        """Whether it is one."""
        return len(self.pieces) == 1 and self.stretch == 1


@dataclass(frozen=True)
class Copy:
    """What became of a copied file.

    Attributes:
        exact: every packet of the copied streams kept its bytes. Some containers frame the same packets in another way
            (H.264 in AVI has start codes, in MP4 lengths), so that a change of container may make it False.
        left_out: what of the file is not in the copy, in words.
        cut: seconds of sound that were left out at edits.
        filled: seconds of silence that were put in at edits.
        holes: seconds at edits that have no sound, as no silence could be made for its codec.
    """

    exact: bool
    left_out: tuple[str, ...]
    cut: Fraction = Fraction(0)
    filled: Fraction = Fraction(0)
    holes: Fraction = Fraction(0)


def ticks(base: Fraction, stretch: Fraction, rate: Fraction) -> Fraction:
    """Seconds of a step of the clock of pictures that follow each other `stretch` times as fast.

    Args:
        base: of their own clock.
        stretch: by how much.
        rate: pictures a second as they were, 0 where nobody knows.

    Returns:
        One of FINEST at most on which every step of the old clock lies exactly, else every picture of a constant rate;
        where there is neither, of USUAL.
    """
    if stretch == 1:
        return base
    exact = (base / stretch).denominator
    if exact <= FINEST:
        return Fraction(1, exact)
    shown = (1 / (rate * stretch)).denominator if rate else FINEST + 1
    return Fraction(1, FINEST // shown * shown if shown <= FINEST else USUAL)


class Placed(NamedTuple):
    """Where a packet of sound goes.

    Attributes:
        delay: seconds by which it is later.
        hole: seconds without sound before it where a piece begins, if more than half as long as itself; mostly 0.
    """

    delay: Fraction
    hole: Fraction


class Placing:
    """Where the packets of a sound track go, one after the other.

    A piece that starts at P on the clock of the pictures has the sound from P less its own delay on, and the piece
    before has that up to P less its delay. What both want is divided in its middle, what none wants is left out. A
    packet belongs to where its own middle is, and the first of a piece may begin half its length before the piece
    before has ended, so that readers that count samples are off by that much at most.

    Args:
        cure: what is done; seconds on the clock of the pictures as they were.
        origin: time of the first picture, seconds.

    Attributes:
        left_out: seconds of sound that have no place.
    """

    def __init__(self, cure: Cure, origin: Fraction) -> None:
        starts = [origin + piece.start / cure.stretch for piece in cure.pieces[1:]]
        self._delays = [piece.delay / cure.stretch for piece in cure.pieces]
        before, after = self._delays[:-1], self._delays[1:]
        self._begins = [
            start - max(one, (one + two) / 2) for start, one, two in zip(starts, before, after, strict=True)
        ]
        self._at, self._fresh = 0, False
        self._end: Fraction | None = None
        self.left_out = Fraction(0)

    def place(self, start: Fraction, duration: Fraction) -> Placed | None:
        """Where the next packet goes; None where it is left out.

        Args:
            start, duration: of it, seconds.
        """
        middle = start + duration / 2
        while self._at < len(self._begins) and middle >= self._begins[self._at]:
            self._at, self._fresh = self._at + 1, True
        delay, hole = self._delays[self._at], Fraction(0)
        if self._fresh and self._end is not None:
            hole = start + delay - self._end
        if hole < -duration / 2:
            self.left_out += duration
            return None
        self._fresh, self._end = False, start + delay + duration
        return Placed(delay, hole if hole > duration / 2 else Fraction(0))
