"""Drifts that have a name: sound that was made for another rate of pictures than they are shown at."""

from fractions import Fraction

from syncnet_lib.measurement.line import MILLION
from syncnet_lib.measurement.result import Drift

RATES = (Fraction(24_000, 1001), Fraction(24), Fraction(25), Fraction(30_000, 1001), Fraction(30))
"""Pictures a second between which films are converted: sound that was not converted with them drifts by a ratio of
two of them."""
NEAR = 0.005
"""Seconds, half a step of what is compared, by which the ends of a line may be off however narrow its interval: over an
hour that is a few tenths of a millionth."""


def longer(ppm: float) -> float:
    """By how much a drifting sound must get longer: a picture at T goes with the sound at T - o(T), where the offset o
    grows by the drift, so that the sound is too short by 1 - drift."""
    return 1 / (1 - ppm / MILLION)


def conversions(drift: Drift) -> list[Fraction]:
    """Ratios of two usual rates, by which the sound must get longer, that the drift's interval does not rule out; the
    nearest first. Next to each other they are 959 millionths apart (25/24 and 25/23.976), so that an interval of
    less tells which it is."""
    off = MILLION * NEAR / (drift.end_s - drift.start_s)
    low, value, high = (longer(ppm) for ppm in (drift.ppm_low - off, drift.ppm, drift.ppm_high + off))
    known = {one / other for one in RATES for other in RATES if one != other and low <= one / other <= high}
    return sorted(known, key=lambda each: abs(each - value))


def named(drift: Drift) -> str:
    """Those in words; "" where there is none."""
    return " or ".join(f"{ratio.numerator}/{ratio.denominator}" for ratio in conversions(drift))
