"""Figures of the filter: what a threshold keeps, and what the clips that it judges look like over time."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32
from matplotlib.figure import Figure

from syncnet_lib.media.clock import FPS
from syncnet_lib.model import scoring
from syncnet_lib.plots import style
from syncnet_lib.training.filtering import Mixture

SMOOTHED = 15
"""Windows of a running mean in time, 0.6 s: single windows of 0.2 s are too ambiguous to show a line."""
HEADROOM = 1.3
"""Height of the histograms over that of their data, so that the legends lie over none."""


def histograms(
    clips: pd.DataFrame,
    negatives: Float[np.ndarray, " negatives"],
    groups: "pd.Series[str] | None",
    threshold: float,
    mixture: Mixture | None = None,
) -> Figure:
    """Mean distances of clips, those of the same clips against shifted audio, and what the verdicts on them are.

    Args:
        clips: of `refinement.judge_clips`.
        negatives: mean distances against shifted audio.
        groups: "genuine" or "noisy" by clip, where the truth is known.
        threshold: of the distance.
        mixture: that was fitted to the clips: its two groups are drawn with their crossing. None where there are not
            two.
    """
    kept = (clips.verdict == "kept").mean()
    figure = style.headed(
        10, 3.4, f"{kept:.1%} of {len(clips)} clips are kept; the threshold of distance is {threshold:.2f}"
    )
    left, right = figure.subplots(1, 2)
    style.label(left, "", "mean distance of video and audio", "share (% a bin)")
    style.label(right, "", "offset of the least distance (frames)", "confidence (distance)")
    shown = clips.verdict if groups is None else groups
    colours = {"genuine": style.GENUINE, "kept": style.GENUINE, "noisy": style.FALSE, "off-sync": style.ACCENT}
    bins = np.histogram_bin_edges(np.concatenate([clips.distance, negatives]), 40)
    for name, rows in clips.groupby(shown):
        weights = np.full(len(rows), 100 / len(clips))
        left.hist(rows.distance, bins.tolist(), weights=weights, color=colours.get(str(name), style.FALSE), alpha=0.7,
                  label=f"{name} ({len(rows)})")  # fmt: skip
    weights = np.full(len(negatives), 100 / len(negatives))
    left.hist(negatives, bins.tolist(), weights=weights, histtype="step", color=style.NEUTRAL, label="shifted audio")
    left.axvline(threshold, ymax=1 / HEADROOM, color="black", linewidth=1)
    if mixture is not None:
        at = np.linspace(bins[0], bins[-1], 2000)
        shares = 100 * (bins[1] - bins[0]) * mixture.densities(at)
        left.plot(at, shares.T, color="black", linewidth=0.8, linestyle="--")
        label = f"mixture, crossing at {mixture.crossing:.2f}"
        left.axvline(mixture.crossing, ymax=1 / HEADROOM, color="black", linewidth=1, linestyle=":", label=label)
    marks = {"kept": "o", "off-sync": "s", "dubbed": "x"}
    for name, rows in clips.groupby("verdict"):
        by_truth = [colours.get(str(group), style.FALSE) for group in shown[rows.index]]
        right.scatter(rows.offset, rows.confidence, c=by_truth, s=18, marker=marks[str(name)], label=str(name))
    for axes, columns in ((left, 2), (right, 3)):
        axes.set_ylim(top=HEADROOM * axes.get_ylim()[1])
        axes.legend(frameon=False, fontsize=8, loc="upper center", ncols=columns)
    return figure


def distance_maps(
    distances: Mapping[str, Float32[np.ndarray, "windows shifts"]], verdict: pd.DataFrame, threshold: float
) -> Figure:
    """Clips over time: distance at every shift of the audio, and that of each positive.

    Synchrony is a dark line at offset 0; audio that was moved has its line elsewhere, audio of another clip has none.

    Args:
        distances: clip_id to distances over shifts, of `validation.split_distances`.
        verdict: the windows of `rounds.Round`.
        threshold: of the distance.
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
        along.axhline(own.distance.mean(), color=style.GENUINE, label="mean of the clip")
        along.axhline(threshold, color=style.FALSE, linewidth=1, label="threshold")
        style.label(along, f"keeps {own.kept.mean():.0%}", "time (s)", "distance")
    handles = rows[0, 1].get_legend_handles_labels()
    figure.legend(*handles, frameon=False, fontsize=8, ncols=3, loc="outside lower right")
    return figure
