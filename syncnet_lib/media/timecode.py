"""Time codes as editing systems count them (SMPTE ST 12-1): hours, minutes, seconds and pictures of the file itself."""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from syncnet_lib.media.clock import FPS
from syncnet_lib.media.streams import opened, video_stream

DROP_RATES = {Fraction(30_000, 1001): 2, Fraction(60_000, 1001): 4}
"""Pictures a second whose count leaves out numbers, so many each minute but the tenth, to keep step with the clock."""
_FORM = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d)")


@dataclass(frozen=True)
class Timecode:
    """How the pictures of a file are counted.

    Attributes:
        rate: pictures a second.
        start: number of the first picture.
        drop: numbers are left out (DROP_RATES), which a semicolon before the pictures says.
    """

    rate: Fraction
    start: int = 0
    drop: bool = False

    def at(self, seconds: float) -> str:
        """The time code of the picture nearest to an instant, seconds after the first picture."""
        number = self.start + round(Fraction(seconds) * self.rate)
        nominal = max(1, round(self.rate))
        if self.drop:
            dropped = DROP_RATES[self.rate]
            minute = 60 * nominal - dropped
            tens, rest = divmod(number, 10 * minute + dropped)
            number += dropped * (9 * tens + max(0, (rest - dropped) // minute))
        whole, pictures = divmod(number, nominal)
        hours, minutes, whole = whole // 3600 % 24, whole // 60 % 60, whole % 60
        return f"{hours:02d}:{minutes:02d}:{whole:02d}{';' if self.drop else ':'}{pictures:02d}"

    @classmethod
    def starting(cls, rate: Fraction, label: str = "") -> "Timecode":
        """The count at a rate.

        Args:
            rate: pictures a second.
            label: time code of the first picture; where there is none the count begins with 0, and leaves out numbers
                at the rates at which editing systems do so by default.
        """
        form = _FORM.fullmatch(label)
        if form is None:
            return cls(rate, 0, rate in DROP_RATES)
        hours, minutes, seconds, pictures = (int(form[n]) for n in (1, 2, 3, 5))
        drop = form[4] != ":" and rate in DROP_RATES
        minutes += 60 * hours
        number = (60 * minutes + seconds) * max(1, round(rate)) + pictures
        return cls(rate, number - (DROP_RATES[rate] * (minutes - minutes // 10) if drop else 0), drop)


def timecode_of(path: Path) -> Timecode:
    """How the pictures of a file, or of a folder of frames, are counted.

    Raises:
        InputError: it cannot be opened.
    """
    if path.is_dir():
        return Timecode.starting(Fraction(FPS))
    with opened(path) as container:
        stream = video_stream(container)
        rate = (stream.average_rate if stream is not None else None) or Fraction(FPS)
        labels = [container.metadata.get("timecode"), *(each.metadata.get("timecode") for each in container.streams)]
        return Timecode.starting(Fraction(rate), next(filter(None, labels), ""))
