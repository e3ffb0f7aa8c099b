"""Where to look when nothing is found near: every offset within ten seconds, coarsely.

Every fourth window of the faces that speak is compared with all of the audio around it. The least mean is a candidate,
around which everything is measured again as usual; the confidence that this needs grows with the number of shifts that
were looked at (`verdict.needed_confidence`). Where another offset far from it fits nearly as well (sentences of equal
timing, music, a loop) nothing is answered.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int

from syncnet_lib.measurement.analyse import Watched
from syncnet_lib.measurement.stream import FAR
from syncnet_lib.model import scoring

STRIDE = 4
"""Windows of which one is compared: neighbours share four of five pictures."""
LEAST = 0.5
"""Share of the windows that must have audio at a shift: the others are too few to speak against."""
RIVAL = 0.75
"""Share of the candidate's depth from which another minimum is one to reckon with."""
SHIFTS = 2 * FAR + 1


@dataclass(frozen=True)
class Candidate:
    """What a coarse search says.

    Attributes:
        offset: frames; above 0 the sound is ahead.
        rivals: other offsets that fit nearly as well.
    """

    offset: int
    rivals: tuple[int, ...]


def search(video: Watched, tracks: Iterable[int]) -> Candidate | None:
    """Compare tracks with all audio within FAR frames.

    Args:
        video: what was seen of it.
        tracks: numbers of the tracks that count.

    Returns:
        None where there is no audio to compare with.
    """
    sums, counts = np.zeros(SHIFTS), np.zeros(SHIFTS, np.int64)
    for number in tracks:
        for lips, audio in video.pieces(number, FAR):
            found = _distances(lips[::STRIDE], audio)
            known = ~np.isnan(found)
            sums += np.where(known, found, 0).sum(axis=0)
            counts += known.sum(axis=0)
    if not counts.any():
        return None
    return _candidate(np.where(counts >= LEAST * counts.max(), sums / np.maximum(counts, 1), np.nan))


def _distances(
    video: Float32[np.ndarray, "sparse embedding"], audio: Float32[np.ndarray, "around embedding"]
) -> Float32[np.ndarray, "sparse shifts"]:
    """Distances of every STRIDE-th window to the audio from FAR frames before to FAR frames after it."""
    square = np.square(video).sum(axis=1)[:, None] + np.square(audio).sum(axis=1) - 2 * video @ audio.T
    column: Int[np.ndarray, "sparse shifts"] = STRIDE * np.arange(len(video))[:, None] + np.arange(SHIFTS)
    return np.sqrt(np.maximum(np.take_along_axis(square, column, axis=1), 0)).astype(np.float32)


def _candidate(means: np.ndarray) -> Candidate:
    depths = np.nanmedian(means) - means
    best = int(np.nanargmax(depths))
    rivals = []
    left = depths.copy()
    left[max(best - scoring.VSHIFT, 0) : best + scoring.VSHIFT + 1] = np.nan
    while not np.isnan(left).all() and np.nanmax(left) >= RIVAL * depths[best]:
        rival = int(np.nanargmax(left))
        rivals.append(FAR - rival)
        left[max(rival - scoring.VSHIFT, 0) : rival + scoring.VSHIFT + 1] = np.nan
    return Candidate(FAR - best, tuple(rivals))
