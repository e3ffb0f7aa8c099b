"""Where to look when nothing is found near: every offset within ten seconds, coarsely.

Every fourth window of the faces that speak is compared with all of the audio around it. The least mean is a candidate,
around which everything is measured again as usual; the confidence that this needs grows with the number of shifts that
were looked at (`verdict.needed_confidence`). Where another offset far from it fits nearly as well (sentences of equal
timing, music, a loop) nothing is answered. What was compared is kept by the time, for offsets that grow (`speed`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int

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
ROW = 20
"""Windows a row, 0.8 s, in which sound of a speed that is off by 6 % gets ahead by little more than a frame."""


@dataclass
class Rows:
    """Distances at all offsets along a video.

    Attributes:
        sums: of the windows of ROW frames each that were compared; column i is the offset FAR - i.
        counts: how many these are.
    """

    sums: Float64[np.ndarray, "rows shifts"]
    counts: Int[np.ndarray, "rows shifts"]

    @property
    def means(self) -> Float64[np.ndarray, " shifts"]:
        """Over the whole video; NaN where less than LEAST of the windows have audio."""
        sums, counts = self.sums.sum(axis=0), self.counts.sum(axis=0)
        enough = counts >= max(LEAST * counts.max(), 1)
        return scoring.even_means(np.where(enough, sums, 0), np.where(enough, counts, 0))


@dataclass(frozen=True)
class Candidate:
    """What a coarse search says.

    Attributes:
        offset: frames; above 0 the sound is ahead.
        rivals: other offsets that fit nearly as well.
    """

    offset: int
    rivals: tuple[int, ...]


def compared(video: Watched, tracks: Iterable[int]) -> Rows:
    """Compare tracks with all audio within FAR frames.

    Args:
        video: what was seen of it.
        tracks: numbers of the tracks that count.
    """
    shape = video.frames // ROW + 1, SHIFTS
    rows = Rows(np.zeros(shape), np.zeros(shape, np.int64))
    for number in tracks:
        for first, lips, audio in video.pieces(number, FAR):
            found = _distances(lips[::STRIDE], audio)
            known = ~np.isnan(found)
            row = (first + STRIDE * np.arange(len(found))) // ROW
            np.add.at(rows.sums, row, np.where(known, found, 0))
            np.add.at(rows.counts, row, known)
    return rows


def _distances(
    video: Float32[np.ndarray, "sparse embedding"], audio: Float32[np.ndarray, "around embedding"]
) -> Float32[np.ndarray, "sparse shifts"]:
    """Distances of every STRIDE-th window to the audio from FAR frames before to FAR frames after it."""
    square = np.square(video).sum(axis=1)[:, None] + np.square(audio).sum(axis=1) - 2 * video @ audio.T
    column: Int[np.ndarray, "sparse shifts"] = STRIDE * np.arange(len(video))[:, None] + np.arange(SHIFTS)
    return np.sqrt(np.maximum(np.take_along_axis(square, column, axis=1), 0)).astype(np.float32)


def candidate(means: Float64[np.ndarray, " shifts"]) -> Candidate | None:
    """What the means over a video say; None where there is no audio to compare with."""
    if np.isnan(means).all():
        return None
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
