"""Figures of the filter: what a threshold keeps, and what the clips that it judges look like over time."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float32
from matplotlib.figure import Figure

from syncnet_lib.media.clock import FPS
from syncnet_lib.model import scoring
from syncnet_lib.plots import style

SMOOTHED = 15
"""Windows of a running mean in time, 0.6 s: single windows of 0.2 s are too ambiguous to show a line."""


def kept_and_rejected(verdict: pd.DataFrame, threshold: float) -> Figure:
    """The evidence on all positives with the threshold, and what each clip keeps.

    Args:
        verdict: the table of `filtering.judge`.
        threshold: its threshold.
    """
    share = verdict.kept.mean()
    figure = style.headed(10, 3.4, f"The threshold {threshold:g} keeps {share:.1%} of {len(verdict):,} positives")
    left, right = figure.subplots(1, 2)
    style.label(left, "", "distance of video and audio, mean over its context", "positive pairs")
    style.label(right, "", "clips, from least kept to most", "positives kept (%)")
    bins = np.histogram_bin_edges(verdict.evidence, 60).tolist()
    for kept, name, colour in ((True, "kept", style.GENUINE), (False, "rejected", style.FALSE)):
        left.hist(verdict.evidence[verdict.kept == kept], bins, color=colour, alpha=0.75, label=name)
    left.axvline(threshold, color="black", linewidth=1)
    left.legend(frameon=False)
    per_clip = verdict.groupby("clip_id").kept.mean().sort_values()
    right.bar(range(1, len(per_clip) + 1), 100 * per_clip, width=1.0, color=style.GENUINE, alpha=0.75)
    right.set(xlim=(0.5, len(per_clip) + 0.5), ylim=(0, 100))
    return figure


def kept_over_threshold(verdict: pd.DataFrame, threshold: float) -> Figure:
    """Share of positives, and of clips with any positive left, that each threshold would keep.

    Args:
        verdict: the table of `filtering.judge`.
        threshold: the one in use.
    """
    evidence, least = np.sort(verdict.evidence), np.sort(verdict.groupby("clip_id").evidence.min())
    slope = 100 * float(np.mean(np.abs(evidence - threshold) <= 0.01))
    figure, axes = style.canvas(
        8, 3.2, f"{slope:.1f} % of the positives lie within 0.01 of the threshold {threshold:g}",
        "threshold (distance of video and audio)", "kept (%)",
    )  # fmt: skip
    for values, name, colour in ((evidence, "positives", style.GENUINE), (least, "clips with any", style.NEUTRAL)):
        axes.step(values, 100 * np.arange(1, len(values) + 1) / len(values), where="post", color=colour, label=name)
    axes.axvline(threshold, color="black", linewidth=1)
    axes.set_ylim(0, 102)
    axes.legend(frameon=False, loc="lower right")
    return figure


def distance_maps(
    distances: Mapping[str, Float32[np.ndarray, "windows shifts"]], verdict: pd.DataFrame, threshold: float
) -> Figure:
    """Clips over time: distance at every shift of the audio, and the evidence that judges each positive.

    Synchrony is a dark line at offset 0; audio that was moved has its line elsewhere, audio of another clip has none.

    Args:
        distances: clip_id to distances over shifts, of `validation.split_distances`.
        verdict: the table of `filtering.judge`.
        threshold: its threshold.
    """
    figure = style.headed(11, 0.9 + 2.0 * len(distances), "Distance over time: a dark line at 0 is synchrony")
    rows = figure.subplots(len(distances), 2, squeeze=False, width_ratios=[2, 1])
    for (over, along), (clip_id, table) in zip(rows, distances.items(), strict=True):
        smooth = pd.DataFrame(table).rolling(SMOOTHED, center=True, min_periods=1).mean().to_numpy()
        reach, seconds = table.shape[1] // 2, len(table) / FPS
        over.imshow(smooth[:, ::-1].T, aspect="auto", origin="lower", cmap="viridis",
                    extent=(0, seconds, -reach - 0.5, reach + 0.5))  # fmt: skip
        over.axhline(0, color="white", linewidth=0.6, linestyle=":")
        best = scoring.offset(scoring.mean_distances(table))
        style.label(over, f"{clip_id}: least at offset {best:+d}".replace("+0", "0"), "time (s)", "offset (frames)")
        own = verdict[verdict.clip_id == clip_id]
        along.plot(own.window / FPS, own.distance, color=style.NEUTRAL, linewidth=0.7, label="pair")
        along.plot(own.window / FPS, own.evidence, color=style.GENUINE, label="mean over context")
        along.axhline(threshold, color=style.FALSE, linewidth=1, label="threshold")
        style.label(along, f"keeps {own.kept.mean():.0%}", "time (s)", "distance")
    handles = rows[0, 1].get_legend_handles_labels()
    figure.legend(*handles, frameon=False, fontsize=8, ncols=3, loc="outside lower right")
    return figure
