"""Figures of verdicts: how often a model is right, and how sure it is."""

import itertools
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from syncnet_lib.media.clock import FPS, FRAME_MS
from syncnet_lib.model import scoring
from syncnet_lib.plots import style
from syncnet_lib.plots.tables import models_of

TITLE, NAME = 60, 28
"""Characters of a line of a title, and of a file's name in a legend, of a figure as wide as a phone."""


def shift_curve(curves: Mapping[str, Float[np.ndarray, "shifts"]], title: str) -> Figure:
    """Mean distance over shifts of one clip, a line a model.

    Args:
        curves: model name to mean distances, of `scoring.mean_distances`.
        title: the finding.
    """
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    _draw_shifts(figure.subplots(), curves, title)
    return figure


def _draw_shifts(axes: Axes, curves: Mapping[str, np.ndarray], title: str, centre: int = 0) -> None:
    style.label(axes, title, f"offset: audio ahead of video by (frames of {FRAME_MS} ms)", "mean distance")
    for (name, means), colour in zip(curves.items(), (style.NEUTRAL, style.GENUINE, style.FALSE), strict=False):
        at = centre + len(means) // 2 - np.arange(len(means))
        best, sure = centre + scoring.offset(means), scoring.confidence(means)
        axes.plot(at, means, color=colour, label=f"{name}: offset {best:+d}, confidence {sure:.2f}")
        axes.plot(best, np.nanmin(means), "o", color=colour)
    if centre == 0:
        axes.axvline(0, color="black", alpha=0.2, linewidth=0.8)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.25 * (high - low))  # room for the legend above the curves
    axes.legend(frameon=False, loc="upper left")


def confidence_over_time(confidence: Float[np.ndarray, "windows"]) -> Figure:
    """Confidence of each window of a clip.

    Args:
        confidence: of windows of stride 1, from `scoring.frame_confidence`; NaN where unknown.
    """
    share = float((confidence[~np.isnan(confidence)] > 0).mean())
    figure, axes = style.canvas(
        10, 3, f"{share:.0%} of the windows by themselves speak for the clip's offset", "time (s)", "confidence"
    )
    at = np.arange(len(confidence)) / FPS
    axes.axhline(0, color="black", alpha=0.3, linewidth=0.8)
    axes.fill_between(at, confidence, 0, where=confidence > 0, color=style.GENUINE, alpha=0.3, linewidth=0)
    axes.plot(at, confidence, color=style.GENUINE, linewidth=1)
    return figure


def accuracy_by_length(metrics: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Share of stretches within a frame of the truth, by their length.

    Args:
        metrics: model name to its figures, of `evaluate.metrics`; bands are their intervals over clips.
    """
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    _draw_lengths(figure.subplots(), models_of(metrics))
    return figure


def _draw_lengths(axes: Axes, metrics: Mapping[str, Mapping[str, Any]]) -> None:
    last = list(metrics)[-1]
    ends = metrics[last]["accuracy_by_frames"]
    title = f"{last}: from {ends['5']:.0%} on one window to {ends['15']:.0%} on 15 frames"
    style.label(axes, title, "length of the stretch (frames of 40 ms)", "within ±1 frame (%)")
    for (name, figures), colour in zip(
        metrics.items(), (style.NEUTRAL, style.GENUINE, style.ACCENT, style.FALSE), strict=False
    ):
        by_frames = figures["accuracy_by_frames"]
        frames, shares = [int(key) for key in by_frames], [100 * value for value in by_frames.values()]
        axes.plot(frames, shares, "o-", color=colour, label=f"{name} (whole clip {figures['clip_accuracy']:.0%})")
        if "intervals" in figures:
            low, high = ([100 * figures["intervals"][key][end] for key in by_frames] for end in ("low", "high"))
            axes.fill_between(frames, low, high, color=colour, alpha=0.15, linewidth=0)
    chance = 100 * (2 * scoring.TOLERANCE + 1) / (2 * scoring.VSHIFT + 1)
    axes.axhline(chance, color="black", alpha=0.4, linestyle=":", label=f"chance {chance:.0f} %")
    axes.set(ylim=(0, 102), xticks=list(scoring.CLIP_FRAMES))
    axes.legend(frameon=False, fontsize=8)


def confidence_histogram(genuine: Float[np.ndarray, "clips"], swapped: Float[np.ndarray, "clips"]) -> Figure:
    """Confidence of clips with their own audio, and of the same clips with another's.

    Args:
        genuine, swapped: a confidence a clip.
    """
    auc = scoring.roc_auc(-genuine, -swapped)
    figure, axes = style.canvas(
        8, 3.2, f"Confidence tells a clip's own audio from another's in {auc:.0%} of draws", "confidence", "clips"
    )
    bins = np.histogram_bin_edges(np.concatenate([genuine, swapped]), 20).tolist()
    for values, name, colour in ((genuine, "own audio", style.GENUINE), (swapped, "another clip's", style.FALSE)):
        axes.hist(values, bins, color=colour, alpha=0.6, label=f"{name}, median {np.median(values):.2f}")
    axes.legend(frameon=False)
    return figure


def result(
    metrics: Mapping[str, Mapping[str, Any]], curves: Mapping[str, Float[np.ndarray, "shifts"]], title: str
) -> Figure:
    """The picture of the README: `accuracy_by_length` and `shift_curve` side by side."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_lengths(left, models_of(metrics))
    _draw_shifts(right, curves, title)
    return figure


def measurement(result: Mapping[str, Any], title: str) -> Figure:
    """One video: distance over shift of all tracks together, and the confidence of each over time.

    Args:
        result: of `Result.to_dict`.
        title: the finding.
    """
    figure = Figure(figsize=(6.4, 6.8), layout="constrained")  # read on a phone: one panel over the other
    upper, lower = figure.subplots(2, 1)
    means = np.array(result["mean_distances"], float)
    curves = {_shortened(Path(result["path"]).name): means}
    _draw_shifts(upper, curves, textwrap.fill(title, TITLE), result["search_centre"])
    threshold = result["model"]["threshold"]
    if threshold is not None:
        upper.axhline(np.nanmedian(means) - threshold, color="black", alpha=0.5, linestyle="--", linewidth=0.8)
        upper.annotate("sure below", (1, np.nanmedian(means) - threshold), (-2, -3), ("axes fraction", "data"),
                       "offset points", ha="right", va="top", fontsize=9)  # fmt: skip
    colours = (style.GENUINE, style.FALSE, style.ACCENT, style.NEUTRAL)
    for track, colour in zip(result["tracks"], itertools.cycle(colours), strict=False):
        values = np.array(track["frame_confidence"], float)
        at = track["start_s"] + np.arange(len(values)) / FPS
        name = f"face {track['track']}, {'speaks' if track['speaking'] else 'does not speak'}"
        lower.plot(at, values, color=colour, linewidth=1.2, label=name)
    lower.axhline(0, color="black", alpha=0.3, linewidth=0.8)
    style.label(lower, "Confidence of single windows: below 0 they speak against it", "time (s)", "confidence")
    lower.legend(frameon=False)
    return figure


def _shortened(name: str) -> str:
    return name if len(name) <= NAME else f"{name[: NAME // 2]}…{name[-NAME // 2 :]}"
