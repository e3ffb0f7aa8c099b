"""Figures of where a model fails, and of what its confidence is worth."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.figure import Figure

from syncnet_lib.media.clock import FRAME_MS
from syncnet_lib.model import scoring
from syncnet_lib.plots import style

_COLUMNS = 5
"""Clips side by side."""
_BINS = 8
"""Points of a line: stretches of about equal number."""


def gallery(worst: pd.DataFrame, faces: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Figure:
    """The clips on which a model fails, each with its face over its distance over shift.

    Args:
        worst: of `failures.worst`.
        faces: a picture of each.
    """
    wrong = int((~worst.right).sum())
    title = f"The {len(worst)} worst clips: {wrong} placed wrong, {len(worst) - wrong} right but least sure"
    rows = -(-len(worst) // _COLUMNS)
    figure = style.headed(13, 0.4 + 3.4 * rows, title)
    axes = figure.subplots(2 * rows, _COLUMNS, squeeze=False, height_ratios=[1.1, 1] * rows)
    for panel in axes.flat:
        panel.set_axis_off()
    for number, (row, face) in enumerate(zip(worst.itertuples(), faces, strict=True)):
        above, below = axes[2 * (number // _COLUMNS) : 2 * (number // _COLUMNS) + 2, number % _COLUMNS]
        above.imshow(face)
        above.set_title(row.clip_id, fontsize=8)
        at = len(row.means) // 2 - np.arange(len(row.means))
        colour = style.GENUINE if row.right else style.FALSE
        below.set_axis_on()
        below.plot(at, row.means, color=colour, linewidth=1)
        below.plot(row.offset, np.nanmin(row.means), "o", color=colour, markersize=4)
        below.axvline(row.truth, color="black", alpha=0.4, linestyle=":", linewidth=1)
        below.set_title(f"{row.offset:+d}, truly {row.truth:+d}; confidence {row.confidence:.2f}", fontsize=8)
        below.set_xlabel(f"offset (frames of {FRAME_MS} ms)", fontsize=7)
        below.set_ylabel("mean distance", fontsize=7)
        below.tick_params(labelsize=7)
        below.spines[["top", "right"]].set_visible(False)
    return figure


def calibration(own: pd.DataFrame) -> Figure:
    """Share of the stretches that are placed right, over their confidence.

    Args:
        own: of `calibration.stretches`.
    """
    shares = [f"{part.right.mean():.0%} with {seconds} s" for seconds, part in own.groupby("seconds")]
    title = f"Placed right: {', '.join(shares)} of speech"
    figure, axes = style.canvas(8, 3.4, title, "confidence", "within ±1 frame (%)")
    colours = (style.FALSE, style.ACCENT, style.GENUINE)
    for (seconds, table), colour in zip(own.groupby("seconds"), colours, strict=False):
        ordered = table.sort_values("confidence")
        parts = [part for part in np.array_split(np.arange(len(ordered)), min(_BINS, len(ordered))) if len(part)]
        at = [float(ordered.confidence.iloc[part].median()) for part in parts]
        right = [100 * float(ordered.right.iloc[part].mean()) for part in parts]
        axes.plot(at, right, "o-", color=colour, label=f"{seconds} s of speech, {len(table)} stretches")
    chance = 100 * (2 * scoring.TOLERANCE + 1) / (2 * scoring.VSHIFT + 1)
    axes.axhline(95, color="black", alpha=0.4, linestyle="--", linewidth=0.8, label="95 %")
    axes.axhline(chance, color="black", alpha=0.4, linestyle=":", linewidth=0.8, label=f"chance {chance:.0f} %")
    axes.set_ylim(0, 102)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return figure
