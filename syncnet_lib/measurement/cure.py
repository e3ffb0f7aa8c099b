"""From what was measured to what is done to the sound: one shift, a shift a segment, or another speed."""

from fractions import Fraction

from syncnet_lib.measurement import conversion, finding
from syncnet_lib.measurement.line import MILLION
from syncnet_lib.measurement.result import Drift, Result
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.resound import Cure, Piece


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


def _stretched(drift: Drift) -> tuple[Cure, str]:
    known, name = conversion.conversions(drift), conversion.named(drift)
    stretch = known[0] if known else Fraction(conversion.longer(drift.ppm)).limit_denominator(MILLION)
    # The line holds best in the middle of the stretch that it was fitted to.
    middle = (drift.start_s + drift.end_s) / 2
    heard = middle - (drift.start_frames + drift.end_frames) / 2 / FPS
    delay = middle - float(stretch) * heard
    said = f"{stretch.numerator}/{stretch.denominator}" if name else f"{float(stretch):.6f}"
    also = f" ({name} cannot be told apart)" if " or " in name else ""
    moved = f"moved by {1000 * delay:+.0f} ms"
    return Cure((Piece(0.0, delay),), stretch), f"sound made {said} times as long{also} and {moved}"
