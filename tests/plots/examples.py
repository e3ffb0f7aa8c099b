"""Numbers to draw, shared by the tests of figures, tables and the page."""

import numpy as np
import pandas as pd

from syncnet_lib.training.timing import PHASES

BY_FRAMES = {"5": 0.5, "7": 0.6, "9": 0.7, "11": 0.8, "13": 0.85, "15": 0.9}
INTERVALS = {key: {"low": value - 0.1, "high": min(1.0, value + 0.1)} for key, value in BY_FRAMES.items()}
MODEL = {"clip_accuracy": 0.95, "accuracy_by_frames": BY_FRAMES, "auc": 0.9, "clips": 20, "windows": 1400}
METRICS = {
    "base": {**MODEL, "swapped": {"clip_accuracy": 0.1, "confidence_auc": 0.99}},
    "refined": {**MODEL, "clip_accuracy": 1.0, "intervals": {**INTERVALS, "clip": {"low": 0.9, "high": 1.0}}},
    "aperture": {"clip_accuracy": 0.7, "clips": 20},
    "gain": {"mean": 0.03, "low": -0.01, "high": 0.07},
    "calibration": {"1": {"stretches": 40, "right": 0.8, "confidence": 0.1, "above": 0.7, "mixed": None}},
    "filter": {"clean": {"clips": 3, "positives": 10, "rejected": 1, "rejected_share": 0.1}},
}
CURVE = np.abs(np.arange(-15, 16)).astype(np.float32)


def timing() -> pd.DataFrame:
    rows = [{"epoch": e, "step": s, **dict.fromkeys(PHASES, 10.0), "backward": 50.0} for e in (1, 2) for s in range(3)]
    table = pd.DataFrame(rows)
    table["total"] = table[list(PHASES)].sum(axis=1)
    return table


def verdict() -> pd.DataFrame:
    """Of a filter with the threshold 0.5 on two clips."""
    table = pd.DataFrame({"clip_id": ["a"] * 5 + ["b"] * 5, "window": [*range(5)] * 2})
    table["distance"] = np.linspace(0.05, 0.95, 10)
    table["kept"] = table.distance <= 0.5
    return table


def text(figure) -> str:
    """All titles of a figure."""
    found = [figure._suptitle.get_text()] if figure._suptitle else []
    return " | ".join(found + [axes.get_title(loc) for axes in figure.axes for loc in ("left", "center")])


def has_units(figure) -> bool:
    return all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes)
