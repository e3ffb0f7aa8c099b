"""Whether a least distance is more than chance: other moments of the video agree on it, and no other offset comes near.

Sentences of equal timing give another's sound a minimum that confidence alone takes for sync. Of GRID's talker, 300
training and 80 validation clips, 2.9 and 2.5 % of the pairs with another of his sentences are sure by confidence, 0.5
and 0.7 % with both conditions; of the genuine ones 99.7 % and all, with or without. Of drawn talkers, 0.7 and 0.1 % of
the pairs, 88 and 86 % of the genuine ones.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from syncnet_lib.measurement import fine
from syncnet_lib.model import scoring

BLOCK = fine.BLOCK * fine.DRAWN
"""Windows that are drawn together, as for the interval: windows that touch share what they see and hear."""
DRAWS = 200
"""Resamples of the blocks."""
AGREED = 0.97
"""Share of the resamples that have their minimum there, within scoring.TOLERANCE frames: with DEPTH the mildest of
those tried that left fewer than 1 % of the pairs above sure, when shifts of few windows were not yet shrunk. Since then
0.9 would leave 0.9 %, for a hundredth more of the drawn talkers' genuine clips."""
NEAR = 2
"""Frames to either side in which means belong to the same minimum."""
DEPTH = 0.5
"""Share of the confidence by which the minimum must lie below every other mean."""


def doubt(distances: Sequence[Float[np.ndarray, "_ shifts"]], weights: Sequence[float], offset: int) -> str:
    """Why a minimum may be chance; "" where it stands.

    Args:
        distances: of the windows of each face track that counts; NaN where masked.
        weights: what a window of each counts for.
        offset: where the minimum of the weighted mean is, in frames.
    """
    sums, counts = [], []
    for track, weight in zip(distances, weights, strict=True):
        known, starts = ~np.isnan(track), np.arange(0, len(track), BLOCK)
        sums.append(weight * np.add.reduceat(np.where(known, track, 0), starts, dtype=np.float64))
        counts.append(weight * np.add.reduceat(known, starts, dtype=np.float64))
    total, count = fine.redrawn(np.concatenate(sums), np.concatenate(counts), DRAWS)
    means = scoring.even_means(total, count)
    whole, at = means[0], means.shape[1] // 2 - offset
    others = np.delete(whole, slice(max(at - NEAR, 0), at + NEAR + 1))
    if np.nanmin(others) - whole[at] < DEPTH * scoring.confidence(whole):
        return "another offset fits nearly as well"
    if (np.abs(np.nanargmin(means, axis=1) - at) <= scoring.TOLERANCE).mean() < AGREED:
        return "moments of it say other offsets"
    return ""
