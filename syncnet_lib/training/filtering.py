"""[Agrawal]'s refinement: a trained network throws out the positives that it finds too far apart."""

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.training.settings import FilterSettings
from syncnet_lib.training.validation import embed_split

Method = Literal["fixed", "quantile", "far", "mixture"]
"""How the threshold is found: given as a distance [Agrawal], as a share to keep, as a false-accept rate, or where two
fitted groups of distances meet."""
SEPARATION = 2.0
"""Least distance between the means of the two groups of a mixture, in their deviations: below it their sum has one peak
(Ashman, Bird & Zepf, 1994)."""


LEAST = 20
"""Fewest distances that two groups are fitted to: five numbers are fitted."""


def positive_distances(model: SyncNet, split: Split, progress: bool = True) -> pd.DataFrame:
    """Distance of video and audio of every positive.

    Args:
        model: in evaluation mode.
        split: the training split.
        progress: show a bar.

    Returns:
        A row a window: `clip_id`, `window` (first frame within the clip), `distance` (float32).
    """
    parts = []
    for clip_id, v, a in embed_split(model, split, progress):
        distance = np.linalg.norm(v - a, axis=1)
        parts.append(pd.DataFrame({"clip_id": clip_id, "window": np.arange(len(distance)), "distance": distance}))
    return pd.concat(parts, ignore_index=True)


def judge(distances: pd.DataFrame, settings: FilterSettings) -> pd.DataFrame:
    """Reject the positives whose distance is over a threshold [Agrawal: "Filtering"].

    What spoils a pair, dubbing or a shift, lasts; what makes a single 0.2 s ambiguous, a silence say, does not. A
    positive is therefore judged by the mean distance of the `context` windows around it; 1 is [Agrawal]'s rule.

    Args:
        distances: of `positive_distances`.
        settings: threshold (the largest mean distance that stays, in the embedding's units) and context (windows).

    Returns:
        The table with `evidence` (that mean, float64) and `kept` (bool).

    Raises:
        InputError: nothing would be kept.
    """
    by_clip = distances.groupby("clip_id", sort=False).distance
    evidence = by_clip.transform(lambda clip: clip.rolling(settings.context, center=True, min_periods=1).mean())
    kept = evidence <= settings.threshold
    if not kept.any():
        raise InputError(
            "params.yaml: filter.threshold",
            f"no positive is within {settings.threshold} (they run from {evidence.min():.3f} to {evidence.max():.3f})",
            "raise the threshold",
        )
    return distances.assign(evidence=evidence, kept=kept)


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


def summarise(verdict: pd.DataFrame) -> dict[str, float]:
    """How much a filter kept.

    Args:
        verdict: of `judge`.

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
        verdict: of `judge`.

    Returns:
        By clip_id: `kept_share`, `median_distance`, `windows`.
    """
    table = verdict.groupby("clip_id").agg(
        kept_share=("kept", "mean"), median_distance=("distance", "median"), windows=("kept", "size")
    )  # fmt: skip
    return table.sort_values(["kept_share", "median_distance"], ascending=[True, False])
