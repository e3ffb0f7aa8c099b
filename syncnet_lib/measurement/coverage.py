"""How much of what is said in a video was judged, and why the rest was not.

Counted are the frames whose sound is speech (`speech.by_frame`) within the part that was looked at; music and silence
count neither way. A frame is judged where it lies in a face track that the answer rests on.
"""

from collections import Counter

import numpy as np
from jaxtyping import Bool

from syncnet_lib.measurement.analyse import Analysis, Measured
from syncnet_lib.measurement.result import Coverage, Unjudged
from syncnet_lib.media.clock import FPS

NO_FACE = "no face is seen"
NOT_SPEAKING = "the face that is seen does not speak"


def coverage(found: Analysis, used: list[Measured]) -> Coverage:
    """Count the speech of a video.

    Args:
        found: what was measured.
        used: the tracks that the answer rests on.
    """
    said = _said(found)
    judged = np.zeros(len(said), bool)
    for track in used:
        judged[track.first : track.first + track.frames] = True
    why = np.full(len(said), NO_FACE, dtype=object)
    for first, stop, reason in found.refused:
        why[first:stop] = reason
    for track in found.tracks:
        why[track.first : track.first + track.frames] = NOT_SPEAKING
    reasons = Counter(why[said & ~judged].tolist())
    return Coverage(
        speech_s=int(said.sum()) / FPS,
        judged_s=int((said & judged).sum()) / FPS,
        unjudged=[Unjudged(reason=reason, seconds=count / FPS) for reason, count in reasons.most_common()],
    )


def _said(found: Analysis) -> Bool[np.ndarray, " frames"]:
    """Which frames of the part that was looked at have a sound that is speech: that which was compared with them."""
    said = np.zeros(found.frames, bool)
    for first, stop in found.looked or [(0, found.frames)]:
        at = np.arange(first, stop) - found.centre
        inside = (at >= 0) & (at < len(found.speech))
        said[first:stop][inside] = found.speech[at[inside]]
    return said
