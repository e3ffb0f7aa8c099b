"""[Agrawal]'s refinement: a trained network throws out the positives that it finds too far apart."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from syncnet_lib.errors import InputError
from syncnet_lib.training.settings import Method

SEPARATION = 2.0
"""Least distance between the means of the two groups of a mixture, in their deviations: below it their sum has one peak
(Ashman, Bird & Zepf, 1994)."""


LEAST = 20
"""Fewest distances that two groups are fitted to: five numbers are fitted."""


@dataclass(frozen=True)
class Mixture:
    """Two groups of distances, as normal distributions: the nearer is taken for genuine, the farther for noise.

    Attributes:
        means, deviations, shares: of the nearer and of the farther group.
        crossing: the distance between the means at which both are equally likely.
    """

    means: tuple[float, float]
    deviations: tuple[float, float]
    shares: tuple[float, float]
    crossing: float

    def densities(self, at: Float[np.ndarray, " n"]) -> Float[np.ndarray, "2 n"]:
        """How densely each group lies at some distances, its share of all counted in: they are equal at `crossing`."""
        mean, deviation, share = (np.array(each)[:, None] for each in (self.means, self.deviations, self.shares))
        return share / (deviation * (2 * np.pi) ** 0.5) * np.exp(-0.5 * ((at - mean) / deviation) ** 2)


def find_threshold(
    method: Method,
    value: float,
    positives: Float[np.ndarray, " positives"],
    negatives: Float[np.ndarray, " negatives"],
) -> float:
    """The distance over which a positive is rejected.

    Args:
        method: how it is found.
        value: "fixed": the threshold itself; "quantile": the share of positives to keep; "far": the share of shifted
            pairs that may pass for genuine (false-accept rate); "mixture": not used.
        positives: distances of the positives, noise included.
        negatives: distances of shifted pairs.

    Raises:
        InputError: a share outside (0, 1), or a mixture whose groups are not apart.
    """
    if method in ("quantile", "far") and not 0 < value < 1:
        raise InputError("params.yaml: filter.threshold", f"{value} is no share ({method})", "give one between 0 and 1")
    if method == "quantile":
        return float(np.quantile(positives, value))
    if method == "far":
        return float(np.quantile(negatives, value))
    if method == "mixture":
        return fit_mixture(positives).crossing
    return value


def fit_mixture(positives: Float[np.ndarray, " positives"]) -> Mixture:
    """Fit two normal distributions to the distances of positives, and find where they cross.

    Args:
        positives: distances, of windows or of clips.

    Raises:
        InputError: there are not two groups.
    """
    where, cure = "filter.method", "use fixed, quantile or far"
    if len(np.unique(positives)) < LEAST:
        raise InputError(where, f"{len(positives)} distances are too few for a mixture of two groups", cure)
    # Not at the top: they take a second, of each process that trains a judge as well, which fits nothing.
    from scipy.optimize import brentq
    from scipy.stats import norm
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    column = positives[:, None]
    # From a low and a high distance: started by k-means, a small far group is lost in a wide one.
    two = GaussianMixture(
        2, means_init=np.quantile(column, [0.1, 0.98], axis=0), tol=1e-6, max_iter=1000, random_state=0
    )
    with warnings.catch_warnings(category=ConvergenceWarning, action="ignore"):  # of what is one group
        two.fit(column)
    order = np.argsort(two.means_[:, 0])
    means, shares = two.means_[order, 0], two.weights_[order]
    deviations = np.sqrt(two.covariances_[order, 0, 0])
    separation = float((means[1] - means[0]) / np.sqrt((deviations**2).mean()))
    better = two.bic(column) < GaussianMixture(1).fit(column).bic(column)

    def log_ratio(distance: float) -> float:
        near, far = np.log(shares) + norm.logpdf(distance, means, deviations)
        return float(near - far)

    if not better or separation < SEPARATION or not log_ratio(means[0]) > 0 > log_ratio(means[1]):
        cause = f"the distances are one group (two would lie around {means[0]:.3f} and {means[1]:.3f}, too near)"
        raise InputError(where, cause, cure)
    return Mixture(
        means=(float(means[0]), float(means[1])),
        deviations=(float(deviations[0]), float(deviations[1])),
        shares=(float(shares[0]), float(shares[1])),
        crossing=float(brentq(log_ratio, means[0], means[1])),
    )


def mixture_of(positives: Float[np.ndarray, " positives"]) -> Mixture | None:
    """As `fit_mixture`; None where there are not two groups."""
    try:
        return fit_mixture(positives)
    except InputError:
        return None


def summarise(verdict: pd.DataFrame) -> dict[str, float]:
    """How much a filter kept.

    Args:
        verdict: a row a window, of `rounds.Round`.

    Returns:
        `positives`, `kept`, `kept_share` (of windows), `clips`, `clips_emptied` (not one window left).
    """
    per_clip = verdict.groupby("clip_id").kept.sum()
    return {
        "positives": len(verdict),
        "kept": int(verdict.kept.sum()),
        "kept_share": float(verdict.kept.mean()),
        "clips": len(per_clip),
        "clips_emptied": int((per_clip == 0).sum()),
    }


def per_clip(verdict: pd.DataFrame) -> pd.DataFrame:
    """What each clip keeps, from the least to the most.

    Args:
        verdict: a row a window, of `rounds.Round`.

    Returns:
        By clip_id: `kept_share`, `median_distance`, `windows`.
    """
    table = verdict.groupby("clip_id").agg(
        kept_share=("kept", "mean"), median_distance=("distance", "median"), windows=("kept", "size")
    )  # fmt: skip
    return table.sort_values(["kept_share", "median_distance"], ascending=[True, False])


CHOICES: tuple[tuple[Method, float], ...] = (
    ("far", 0.01), ("far", 0.05), ("far", 0.1), ("quantile", 0.9), ("quantile", 0.8), ("quantile", 0.7),
    ("mixture", 0.0),
)  # fmt: skip
"""Other ways to a threshold, to compare with the one in use."""


def choices(
    positives: Float[np.ndarray, " positives"],
    negatives: Float[np.ndarray, " negatives"],
    genuine: Bool[np.ndarray, " positives"] | None = None,
) -> pd.DataFrame:
    """What each way to a threshold would keep, by distance alone.

    Args:
        positives, negatives: as for `find_threshold`.
        genuine: the truth of the positives, where it is known.

    Returns:
        A row a choice: `method`, `value`, `threshold`, `kept` (share) and, where the truth is known, `precision` and
        `recall`. The mixture has no row where there are not two groups.
    """
    rows = []
    for method, value in CHOICES:
        try:
            limit = find_threshold(method, value, positives, negatives)
        except InputError:
            continue
        kept = positives <= limit
        row = {"method": method, "value": value, "threshold": round(limit, 4), "kept": round(float(kept.mean()), 4)}
        if genuine is not None and kept.any() and genuine.any():
            row |= {
                "precision": round(float(genuine[kept].mean()), 4),
                "recall": round(float(kept[genuine].mean()), 4),
            }
        rows.append(row)
    return pd.DataFrame(rows)
