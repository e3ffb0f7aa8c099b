"""Tables: the evaluation, and the shapes of arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from syncnet_lib.model import scoring


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


PUBLISHED = {
    "SyncNet [Chung16], 13.6 M": (75.8, 82.3, 87.6, 91.8, 94.5, 96.1),
    "Perfect Match [Chung19], 13.6 M": (88.1, 93.8, 96.4, 97.9, 98.7, 99.1),
    "AVST [Chen21], 42.4 M": (92.0, 95.5, 97.7, 98.8, 99.3, 99.6),
    "VocaLiST [Kadandale22], 80.1 M": (92.8, 96.7, 98.4, 99.3, 99.6, 99.8),
}
"""Per cent within a frame on LRS2 for K = 5, 7 ... 15, as printed in the papers; parameters of the network."""


def by_the_book(table: pd.DataFrame) -> pd.DataFrame:
    """What papers report, and what they reported.

    Args:
        table: of `protocol.by_the_book`.

    Returns:
        A row a test, model and kind of windows: percentages with intervals, AUC, clips and talkers as text; below them
        `PUBLISHED`.
    """
    shares = {key: f"K={key}" for key in map(str, scoring.CLIP_FRAMES)} | {"clip": "whole clip"}
    rows = []
    for row in table.to_dict("records"):
        cells = {title: _percent(row[key]["mean"], row[key]) for key, title in shares.items() if row[key] == row[key]}
        auc = {"AUC": f"{row['auc']:.3f}"} if row["auc"] == row["auc"] and row["auc"] is not None else {}
        about = {"videos": row["test"], "network": row["model"], "windows": row["windows"]}
        rows.append({**about, **cells, **auc, "clips": str(row["clips"]), "talkers": str(row["talkers"])})
    for name, values in PUBLISHED.items():
        printed = {f"K={key}": f"{value:.1f}" for key, value in zip(scoring.CLIP_FRAMES, values, strict=True)}
        rows.append({"videos": "published, on LRS2", "network": name, "windows": "all", **printed})
    columns = ["videos", "network", "windows", *shares.values(), "AUC", "clips", "talkers"]
    text = pd.DataFrame(rows).reindex(columns=columns).astype(object)
    return text.where(text.notna(), "").set_index(columns[:3])


def calibration(summary: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """What confidence means 95 % right.

    Args:
        summary: of `calibration.summary`.

    Returns:
        A row a length, as text.
    """
    rows = {}
    for seconds, row in summary.items():
        known = {name: "–" if row[name] is None else f"{row[name]:.3f}" for name in ("confidence", "mixed")}
        shares = {name: "–" if row[name] is None else f"{100 * row[name]:.1f}" for name in ("right", "above")}
        rows[f"{seconds} s"] = {
            "stretches": row["stretches"],
            "right (%)": shares["right"],
            "95 % right from confidence": known["confidence"],
            "reached by (%)": shares["above"],
            "with another's sound in every other stretch": known["mixed"],
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("speech")


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
