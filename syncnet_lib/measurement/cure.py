"""From what was measured to what is done to the sound: one shift, a shift a segment, or another speed."""

from fractions import Fraction

from syncnet_lib.measurement import finding
from syncnet_lib.measurement.result import Drift, Result
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.resound import Cure, Piece

RATES = (Fraction(24_000, 1001), Fraction(24), Fraction(25), Fraction(30_000, 1001), Fraction(30))
"""Pictures a second between which films are converted: sound that was not converted with them drifts by a ratio of
two of them."""
MILLION = 1_000_000
CONVERSION, COARSE = 5000, 0.05
"""Millionths from which a drift can only be a conversion, as no clock is off by so much. It leaves the search within
seconds and is measured by steps of 4 % (`timeline.COARSE`), so it is taken for a ratio within 5 % of it."""


def cure(result: Result) -> tuple[Cure, str]:
    """What is done to the sound of a video, and that in words; what is sure is for `finding` to say."""
    drift = finding.significant(result.drift)
    if drift:
        return _stretched(drift)
    if finding.jumps(result.segments):
        pieces = [Piece(segment.start_s, segment.offset_ms / 1000) for segment in result.segments]
        moved = ", ".join(f"{1000 * piece.delay:+.0f} ms from {piece.start:.1f} s" for piece in pieces)
        return Cure(tuple(pieces)), f"sound moved by {moved}"
    return Cure((Piece(0.0, result.offset_ms / 1000),)), f"sound moved by {result.offset_ms:+.0f} ms"


def ratio(drift: Drift) -> tuple[Fraction, bool]:
    """By how much a drifting sound must get longer, and whether that is exactly a ratio of two usual rates.

    A picture at T goes with the sound at T - o(T), where the offset o grows by the drift; so the sound is too short by
    1 - drift.
    """
    room = COARSE * abs(drift.ppm) if abs(drift.ppm) >= CONVERSION else 0.0
    ends = (drift.ppm_low - room, drift.ppm, drift.ppm_high + room)
    low, value, high = (1 / (1 - ppm / MILLION) for ppm in ends)
    known = [one / other for one in RATES for other in RATES if one != other and low <= one / other <= high]
    if known:
        return min(known, key=lambda each: abs(each - value)), True
    return Fraction(value).limit_denominator(MILLION), False


def _stretched(drift: Drift) -> tuple[Cure, str]:
    stretch, exact = ratio(drift)
    # The line holds best in the middle of the stretch that it was fitted to.
    middle = (drift.start_s + drift.end_s) / 2
    heard = middle - (drift.start_frames + drift.end_frames) / 2 / FPS
    delay = middle - float(stretch) * heard
    said = f"{stretch.numerator}/{stretch.denominator}" if exact else f"{float(stretch):.6f}"
    return Cure((Piece(0.0, delay),), stretch), f"sound made {said} times as long and moved by {1000 * delay:+.0f} ms"
