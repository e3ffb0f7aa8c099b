"""From what was measured to what is done to a video: one shift, a shift a segment, or another speed; and that in words.

By time stamps, nothing is decoded, and another speed is one of the pictures; by samples, the sound is decoded and
encoded again, and another speed is one of the sound.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from syncnet_lib.measurement import conversion, finding
from syncnet_lib.measurement.line import MILLION
from syncnet_lib.measurement.result import Drift, Result
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.correction import Copy, Cure, Piece

MS = 1000
"""A second; delays are whole milliseconds, which is finer than what is measured."""


def cure(result: Result) -> Cure:
    """What is done to the sound of a video; what is sure is for `finding` to say."""
    drift = finding.significant(result.drift)
    if drift:
        return stretched(drift)
    if finding.jumps(result.segments):
        pieces = [Piece(_whole(segment.start_s), _whole(segment.offset_ms / MS)) for segment in result.segments]
        return Cure(tuple(pieces))
    return Cure.shift(_whole(result.offset_ms / MS))


def _whole(seconds: float) -> Fraction:
    return Fraction(round(seconds * MS), MS)


def stretched(drift: Drift) -> Cure:
    """What is done to a sound that drifts."""
    known = conversion.conversions(drift)
    stretch = known[0] if known else Fraction(conversion.longer(drift.ppm)).limit_denominator(MILLION)
    # The line holds best in the middle of the stretch that it was fitted to.
    middle = (drift.start_s + drift.end_s) / 2
    heard = middle - (drift.start_frames + drift.end_frames) / 2 / FPS
    return Cure((Piece(Fraction(0), _whole(middle - float(stretch) * heard)),), stretch)


def words(done: Cure, drift: Drift | None, samples: bool) -> str:
    """What is done to a video, in words.

    Args:
        done: it.
        drift: that it cures, if there is one.
        samples: done to the samples of the sound, not by time stamps.
    """
    if len(done.pieces) > 1:
        moved = ", ".join(f"{_ms(piece.delay)} from {float(piece.start):.1f} s" for piece in done.pieces)
        return f"sound moved by {moved}"
    delay = done.pieces[0].delay
    if done.stretch == 1:
        return f"sound moved by {_ms(delay)}"
    name = conversion.named(drift) if drift else ""
    ratio = f"{done.stretch.numerator}/{done.stretch.denominator}" if name else f"{float(done.stretch):.6f}"
    also = f" ({name} cannot be told apart)" if " or " in name else ""
    if samples:
        return f"sound made {ratio} times as long{also} and moved by {_ms(delay)}"
    return f"pictures shown {ratio} times as fast{also}, sound as it was and moved by {_ms(delay / done.stretch)}"


def _ms(delay: Fraction) -> str:
    return f"{round(delay * MS):+d} ms"


def became(copy: Copy | None) -> str:
    """How it was done and what became of the packets, in words.

    Args:
        copy: None where it was done to the samples of the sound.
    """
    if copy is None:
        return "by samples; decoded and encoded again, the pictures are bit for bit the same"
    form = "bit for bit the same" if copy.exact else "not re-encoded, framed as this container wants"
    parts = ["by time stamps", f"packets of video, audio and subtitles {form}"]
    if copy.cut:
        parts.append(f"{float(copy.cut):.2f} s of sound left out at edits")
    if copy.filled:
        parts.append(f"{float(copy.filled):.2f} s of silence put in at edits")
    if copy.holes:
        parts.append(f"{float(copy.holes):.2f} s at edits without sound: browsers pass over that, give --samples")
    return "; ".join(parts)


def record(done: Cure, copy: Copy | None, left_out: Sequence[str]) -> dict[str, Any]:
    """How a video was corrected, for scripts.

    Args:
        done: what was done.
        copy: None where it was done to the samples of the sound.
        left_out: what of the file is not in the copy.
    """
    speed = {
        "of": "sound" if copy is None else "pictures",
        "ratio": str(1 / done.stretch if copy is None else done.stretch),
    }
    kept = copy or Copy(exact=False, left_out=tuple(left_out))
    return {
        "by": "samples" if copy is None else "time stamps",
        "pieces": [{"start_s": float(each.start), "delay_ms": float(MS * each.delay)} for each in done.pieces],
        "speed": None if done.stretch == 1 else speed,
        "packets_kept": kept.exact,
        "cut_s": float(kept.cut),
        "silence_s": float(kept.filled),
        "holes_s": float(kept.holes),
        "left_out": list(kept.left_out),
    }
