"""How far a figure of few clips can be trusted: bootstrap intervals, and a control with shuffled labels."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from syncnet_lib.model import scoring

ROUNDS = 2000
"""Resamplings: the ends of a 95 % interval are then each told by 50 of them."""


def bootstrap(
    values: Float[np.ndarray, "clips"], seed: int = 0, level: float = 0.95, groups: Sequence[str] | None = None
) -> dict[str, float]:
    """Mean over clips, and the interval in which it lies when other clips of the same kind are drawn.

    The percentile bootstrap: the clips are drawn again with replacement, and the middle `level` of the means is taken.

    Args:
        values: one a clip; NaN is left out.
        seed: of the drawing.
        level: share of the means between the ends.
        groups: of each clip, such as its talker; whole groups are drawn then. None: each clip by itself.

    Returns:
        `mean`, `low`, `high`.
    """
    known = ~np.isnan(values)
    names = np.arange(len(values)) if groups is None else np.asarray(groups)
    _, group = np.unique(names[known], return_inverse=True)
    counts, sums = np.bincount(group), np.bincount(group, values[known])
    drawn = np.random.default_rng(seed).integers(len(counts), size=(ROUNDS, len(counts)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return {"mean": float(values[known].mean()), "low": float(low), "high": float(high)}


def genuine_and_shifted(
    distances: Sequence[Float[np.ndarray, "_ shifts"]], truths: Sequence[int] | None = None
) -> tuple[Float[np.ndarray, "windows"], Float[np.ndarray, "pairs"]]:
    """Distances of all clips at their true shift, and at all others but the neighbours of that.

    Args:
        distances: of each clip, from `scoring.shift_distances`.
        truths: the true offset of each clip, in frames; 0 for all by default.
    """
    truths = [0] * len(distances) if truths is None else truths
    apart = [scoring.genuine_and_false(clip, truth) for clip, truth in zip(distances, truths, strict=True)]
    genuine, shifted = (np.concatenate(side) for side in zip(*apart, strict=True))
    return genuine[~np.isnan(genuine)], shifted[~np.isnan(shifted)]


def shuffled_auc(
    distances: Sequence[Float[np.ndarray, "_ shifts"]], seed: int = 0, rounds: int = 20
) -> Float[np.ndarray, "{rounds}"]:
    """The AUC that is left when each clip's true offset is replaced by one drawn at random.

    What a network gains by anything but synchrony, such as clips that are loud throughout, stays in this control.

    Args:
        distances: of each clip, from `scoring.shift_distances`.
        seed: of the drawing.
        rounds: drawings.
    """
    rng = np.random.default_rng(seed)
    reach = distances[0].shape[1] // 2
    wrong = np.setdiff1d(np.arange(-reach, reach + 1), range(-scoring.TOLERANCE, scoring.TOLERANCE + 1))
    drawn = rng.choice(wrong, size=(rounds, len(distances)))
    unseen = [_without_truth(clip) for clip in distances]
    return np.array([scoring.roc_auc(*genuine_and_shifted(unseen, truths)) for truths in drawn.tolist()])


def _without_truth(distances: Float[np.ndarray, "windows shifts"]) -> Float[np.ndarray, "windows shifts"]:
    """Distances without those at the true shift and its neighbours, which would move the control off chance."""
    at = distances.shape[1] // 2
    unseen = distances.copy()
    unseen[:, at - scoring.TOLERANCE : at + scoring.TOLERANCE + 1] = np.nan
    return unseen


def bootstrap_crossed(values: Float[np.ndarray, "seeds clips"], seed: int = 0, level: float = 0.95) -> dict[str, float]:
    """Mean over seeds and clips, and the interval in which it lies when both are drawn again.

    Args:
        values: of the same clips for every seed.
        seed: of the drawing.
        level: share of the means between the ends.

    Returns:
        `mean`, `low`, `high`.
    """
    rng, (seeds, clips) = np.random.default_rng(seed), values.shape
    drawn = [
        values[np.ix_(rng.integers(seeds, size=seeds), rng.integers(clips, size=clips))].mean() for _ in range(ROUNDS)
    ]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}
