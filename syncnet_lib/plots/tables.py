"""Tables of the evaluation."""

from collections.abc import Mapping
from typing import Any

import pandas as pd


def comparison(metrics: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Base against refined as a table.

    Args:
        metrics: model name to `scoring.summarise`; entries without `accuracy_by_frames` are left out.

    Returns:
        A row a model: percentages within a frame by clip length and over the whole clip, AUC, counts.
    """
    rows = {}
    for name, figures in models_of(metrics).items():
        rows[name] = {
            **{f"K={key} (%)": round(100 * value, 1) for key, value in figures["accuracy_by_frames"].items()},
            "whole clip (%)": round(100 * figures["clip_accuracy"], 1),
            "AUC": round(figures["auc"], 3),
            "clips": figures["clips"],
            "windows": figures["windows"],
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def models_of(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The entries of evaluate.json that are models."""
    return {name: figures for name, figures in metrics.items() if "accuracy_by_frames" in figures}


def controls(metrics: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Models beside a baseline that learns nothing and a control that must fail.

    Returns:
        By row: whole clips within a frame, for each model, for lip opening against loudness, and with swapped sound.
    """
    rows = {name: 100 * figures["clip_accuracy"] for name, figures in models_of(metrics).items()}
    if "aperture" in metrics:
        rows["no learning: lip opening against loudness"] = 100 * metrics["aperture"]["clip_accuracy"]
    for name, figures in models_of(metrics).items():
        if "swapped" in figures:
            rows[f"{name}, another clip's sound"] = 100 * figures["swapped"]["clip_accuracy"]
    return pd.DataFrame({"whole clip (%)": rows}).round(1)
