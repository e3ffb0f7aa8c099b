"""[Agrawal]'s refinement: a trained network throws out the positives that it finds too far apart."""

import numpy as np
import pandas as pd
from pydantic import Field

from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.settings import Settings
from syncnet_lib.training.validation import embed_split


class FilterSettings(Settings):
    """Which positives are kept."""

    threshold: float = Field(1.0, gt=0)
    context: int = Field(1, ge=1)


def positive_distances(model: SyncNet, split: Split, progress: bool = True) -> pd.DataFrame:
    """Distance of lips and sound of every positive.

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


def summarise(verdict: pd.DataFrame) -> dict[str, float]:
    """How much a filter kept.

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

    Returns:
        By clip_id: `kept_share`, `median_distance`, `windows`.
    """
    table = verdict.groupby("clip_id").agg(
        kept_share=("kept", "mean"), median_distance=("distance", "median"), windows=("kept", "size")
    )  # fmt: skip
    return table.sort_values(["kept_share", "median_distance"], ascending=[True, False])
