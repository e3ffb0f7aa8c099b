"""Tables: the evaluation, and the shapes of arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def shapes(**arrays: np.ndarray) -> pd.DataFrame:
    """Arrays side by side.

    Returns:
        A row an array: `shape` and `values` (type and range).
    """
    rows = {
        name: {
            "shape": " × ".join(map(str, array.shape)),
            "values": f"{array.dtype} {array.min():.3g} to {array.max():.3g}",
        }
        for name, array in arrays.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def comparison(metrics: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Base against refined as a table.

    Args:
        metrics: model name to its figures, of `evaluate.metrics`; entries that are no models are left out.

    Returns:
        A row a model: percentages within a frame by clip length and over the whole clip, where known with their 95 %
        interval over clips; AUC; counts.
    """
    rows = {}
    for name, figures in models_of(metrics).items():
        intervals = figures.get("intervals", {})
        shares = {f"K={key} (%)": (value, intervals.get(key)) for key, value in figures["accuracy_by_frames"].items()}
        shares["whole clip (%)"] = figures["clip_accuracy"], intervals.get("clip")
        rows[name] = {
            **{column: _percent(*share) for column, share in shares.items()},
            "AUC": round(figures["auc"], 3),
            "clips": figures["clips"],
            "windows": figures["windows"],
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def _percent(share: float, interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return f"{100 * share:.1f}"
    return f"{100 * share:.1f} ({100 * interval['low']:.0f}–{100 * interval['high']:.0f})"


def verdict(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """What the experiment found, in words.

    Args:
        metrics: of `evaluate.metrics`.
    """
    base, refined, gain = metrics["base"], metrics["refined"], metrics["gain"]
    before, after = (100 * model["accuracy_by_frames"]["15"] for model in (base, refined))
    low, high = 100 * gain["low"], 100 * gain["high"]
    found = "helped" if low > 0 else "harmed" if high < 0 else "changed less than these clips can tell"
    return (
        f"Training again on what the filter kept {found}: of stretches of 15 frames, {after:.1f} % are placed within a "
        f"frame of the truth instead of {before:.1f} % ({100 * gain['mean']:+.1f} points, 95 % interval over "
        f"{refined['clips']} clips {low:+.1f} to {high:+.1f}); of whole clips, {refined['clip_accuracy']:.0%} "
        f"instead of {base['clip_accuracy']:.0%}."
    )


def models_of(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The entries of evaluate.json that are models."""
    return {name: figures for name, figures in metrics.items() if "accuracy_by_frames" in figures}


def controls(metrics: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Models beside a baseline that learns nothing and a control that must fail.

    Args:
        metrics: model name to its figures, of `evaluate.metrics`.

    Returns:
        By row: whole clips within a frame, for each model, for mouth aperture against loudness, and with swapped audio.
    """
    rows = {name: 100 * figures["clip_accuracy"] for name, figures in models_of(metrics).items()}
    if "aperture" in metrics:
        rows["no learning: mouth aperture against loudness"] = 100 * metrics["aperture"]["clip_accuracy"]
    for name, figures in models_of(metrics).items():
        if "swapped" in figures:
            rows[f"{name}, another clip's audio"] = 100 * figures["swapped"]["clip_accuracy"]
    return pd.DataFrame({"whole clip (%)": rows}).round(1)
