"""Figures and tables as values: every function returns, none writes."""

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from syncnet_lib.media.clock import FPS, FRAME_MS, SAMPLE_RATE, SAMPLES_PER_FRAME
from syncnet_lib.media.features import HOP, MFCC_PER_FRAME, MFCC_SPAN, WINDOW_FRAMES, WINDOW_MFCC
from syncnet_lib.model import scoring
from syncnet_lib.model.size import size_of
from syncnet_lib.model.spec import SPECS
from syncnet_lib.plots.tables import models_of
from syncnet_lib.training.timing import PHASES

GENUINE, FALSE, NEUTRAL, ACCENT = "#1b7f79", "#d1495b", "#8d99ae", "#edae49"
PHASE_COLOURS = dict(zip(PHASES, ("#d1495b", "#8d99ae", "#1b7f79", "#edae49", "#2e5077", "#9b72aa"), strict=True))
STEP_MS = 1000 * HOP // SAMPLE_RATE
SPAN_MS = 1000 * MFCC_SPAN // SAMPLE_RATE
WINDOW_MS = SPAN_MS + (WINDOW_MFCC - 1) * STEP_MS
"""Sound under the 20 MFCC steps of a window: 215 ms [Agrawal]."""


def _canvas(width: float, height: float, title: str, x: str = "", y: str = "") -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    _label(axes, title, x, y)
    return figure, axes


def _headed(width: float, height: float, title: str) -> Figure:
    """A figure of several axes under one finding."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set(xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)


def contact_sheet(crops: Mapping[str, np.ndarray], columns: int = 10) -> Figure:
    """Some moments of each clip, a row a clip.

    Args:
        crops: clip name to (T, h, w) uint8 gray or (T, h, w, 3) uint8 RGB.
        columns: moments a clip, evenly spread.
    """
    height, width = next(iter(crops.values())).shape[1:3]
    size = columns * 0.85 + 1, len(crops) * 0.85 * height / width + 0.5
    figure = _headed(*size, f"{len(crops)} clips, {columns} moments each")
    grid = figure.subplots(len(crops), columns, squeeze=False)
    for row, (name, frames) in zip(grid, crops.items(), strict=True):
        for axes, at in zip(row, np.linspace(0, len(frames) - 1, columns).astype(int), strict=True):
            axes.imshow(frames[at], cmap="gray", vmin=0, vmax=255)
            axes.set_xticks([])
            axes.set_yticks([])
        row[0].set_ylabel(name[:14], fontsize=7, rotation=0, ha="right", va="center")
    return figure


def pair(frames: np.ndarray, mfcc: np.ndarray, other: np.ndarray, shift: int) -> Figure:
    """A window's five frames beside its sound, and beside the sound of its false pair.

    Args:
        frames: (5, h, w) uint8.
        mfcc: (20, 13) float, the window's own.
        other: (20, 13) float, that of the window `shift` frames later.
        shift: in frames.
    """
    title = (
        f"A positive pair is 5 frames with their 0.2 s of sound; its negative takes the sound {shift:+d} frames away"
    )
    figure = _headed(11, 3.2, title)
    axes = figure.subplots(1, 7, width_ratios=[1] * 5 + [1.5, 1.5])
    for n, frame in enumerate(frames):
        axes[n].imshow(frame, cmap="gray", vmin=0, vmax=255)
        axes[n].set_title(f"{n * FRAME_MS} ms", fontsize=9)
        axes[n].axis("off")
    low, high = min(mfcc[:, 1:].min(), other[:, 1:].min()), max(mfcc[:, 1:].max(), other[:, 1:].max())
    for place, steps, name in ((5, mfcc, "its sound"), (6, other, f"sound {shift * FRAME_MS:+d} ms away")):
        # Coefficient 0 is the energy, several times the others: on their scale it would be all one colour.
        axes[place].imshow(steps.T, aspect="auto", origin="lower", cmap="viridis", vmin=low, vmax=high,
                           extent=(0, len(steps) * STEP_MS, -0.5, steps.shape[1] - 0.5))  # fmt: skip
        axes[place].set_title(f"13×20 MFCC: {name}", fontsize=9)
        axes[place].set_xlabel("time (ms)")
    axes[5].set_ylabel("coefficient")
    return figure


def window_over_sound(frames: np.ndarray, samples: np.ndarray, mfcc: np.ndarray) -> Figure:
    """A window's five frames, the sound under them, the reach of its 20 MFCC steps, and their 13x20 matrix.

    Args:
        frames: (5, h, w) or (5, h, w, 3) uint8.
        samples: (N,) int16 from the window's first frame on, at least those under its MFCC.
        mfcc: (20, 13) float.
    """
    count = SAMPLE_RATE * WINDOW_MS // 1000
    figure = _headed(
        10, 7,
        f"Frames 0 to {len(frames) - 1} are {len(frames) * FRAME_MS} ms; their {len(mfcc)} MFCC steps reach over "
        f"{count:,} samples, {WINDOW_MS} ms",
    )  # fmt: skip
    faces, wave, steps, matrix = figure.subplots(4, 1, sharex=True, height_ratios=[2, 1, 1.4, 1.6])
    for n, frame in enumerate(frames):
        left, right = n * FRAME_MS, (n + 1) * FRAME_MS
        faces.imshow(frame, cmap="gray", vmin=0, vmax=255, extent=(left, right, 0, 1), aspect="auto")
        wave.axvspan(left, right, color=NEUTRAL, alpha=0.15 + 0.15 * (n % 2), linewidth=0)
    _label(faces, "", "", "frames")
    faces.set(yticks=[], xlim=(0, WINDOW_MS), ylim=(0, 1))
    wave.plot(np.arange(count) * 1000 / SAMPLE_RATE, samples[:count], color=GENUINE, linewidth=0.6)
    _label(wave, "", "", "sample")
    starts = np.arange(len(mfcc)) * STEP_MS
    steps.hlines(range(len(mfcc)), starts, starts + SPAN_MS, colors=ACCENT, linewidth=3)
    _label(steps, "", "", f"MFCC step ({SPAN_MS} ms)")
    steps.invert_yaxis()
    # Coefficient 0 is the energy, several times the others: on their scale it would be all one colour.
    matrix.imshow(mfcc.T, aspect="auto", origin="lower", cmap="viridis", vmin=mfcc[:, 1:].min(), vmax=mfcc[:, 1:].max(),
                  extent=(0, len(mfcc) * STEP_MS, -0.5, mfcc.shape[1] - 0.5))  # fmt: skip
    _label(matrix, "", "time (ms)", "coefficient")
    return figure


def index_rule(windows: int = 3) -> Figure:
    """Which MFCC steps belong to which frames: why the index is multiplied by 4, and why 20 are taken.

    Args:
        windows: how many windows of stride 1 to draw.
    """
    frames = WINDOW_FRAMES + windows - 1
    figure, axes = _canvas(
        10, 3.6,
        f"A frame is {FRAME_MS}/{STEP_MS} = {MFCC_PER_FRAME} steps; {WINDOW_MFCC} steps are "
        f"{SPAN_MS} + {WINDOW_MFCC - 1} × {STEP_MS} = {WINDOW_MS} ms, near the {WINDOW_FRAMES * FRAME_MS} ms of "
        f"{WINDOW_FRAMES} frames",
        "time (ms)", "window",
    )  # fmt: skip
    for n in range(frames):
        axes.broken_barh([(n * FRAME_MS, FRAME_MS)], (0.1, 0.8), facecolors="white", edgecolors=NEUTRAL)
        axes.text((n + 0.5) * FRAME_MS, 0.5, f"frame {n}", ha="center", va="center", fontsize=8)
    starts = np.arange(frames * MFCC_PER_FRAME) * STEP_MS
    axes.vlines(starts, -0.25, 0.0, color=ACCENT)
    for start, number in zip(starts[::MFCC_PER_FRAME], range(0, len(starts), MFCC_PER_FRAME), strict=True):
        axes.text(start, -0.3, str(number), ha="center", va="bottom", fontsize=8, color="#9a6a00")
    for window in range(windows):
        low = 1.3 + window
        first = window * MFCC_PER_FRAME
        axes.broken_barh([(window * FRAME_MS, WINDOW_FRAMES * FRAME_MS)], (low, 0.32), facecolors=GENUINE)
        axes.broken_barh([(first * STEP_MS, WINDOW_MS)], (low + 0.36, 0.32), facecolors=ACCENT)
        for height, text in (
            (0.16, f"frames {window} to {window + WINDOW_FRAMES - 1}"),
            (0.52, f"steps {MFCC_PER_FRAME}·{window} = {first} to {first + WINDOW_MFCC - 1}"),
        ):
            axes.text(window * FRAME_MS + 4, low + height, text, va="center", fontsize=8)
    axes.set(ylim=(windows + 1.2, -0.8), yticks=[1.65 + n for n in range(windows)], yticklabels=list(range(windows)))
    return figure


def confidence_over_time(confidence: np.ndarray) -> Figure:
    """Confidence of each window of a clip.

    Args:
        confidence: (N,) float, a value a window of stride 1; nan where unknown.
    """
    share = float((confidence[~np.isnan(confidence)] > 0).mean())
    figure, axes = _canvas(
        10, 3, f"{share:.0%} of the windows by themselves speak for the clip's offset", "time (s)", "confidence"
    )
    at = np.arange(len(confidence)) * SAMPLES_PER_FRAME / SAMPLE_RATE
    axes.axhline(0, color="black", alpha=0.3, linewidth=0.8)
    axes.fill_between(at, confidence, 0, where=confidence > 0, color=GENUINE, alpha=0.3, linewidth=0)
    axes.plot(at, confidence, color=GENUINE, linewidth=1)
    return figure


def learning_curve(history: pd.DataFrame) -> Figure:
    """Loss of each epoch, and the accuracies of those that were validated.

    Args:
        history: a row an epoch: `epoch`, `loss`, and where validated `auc`, `k5`, `clip_accuracy`.
    """
    first, last = history.loss.iloc[0], history.loss.iloc[-1]
    figure = _headed(10, 3.4, f"Training loss went from {first:.3f} to {last:.3f} in {len(history)} epochs")
    left, right = figure.subplots(1, 2)
    _label(left, "", "epoch", "training loss")
    _label(right, "", "epoch", "validation (%)")
    left.plot(history.epoch, history.loss, color=GENUINE)
    valid = history.dropna(subset="auc")
    for column, name, colour in (
        ("clip_accuracy", "whole clip within ±1 frame", GENUINE),
        ("k5", "one window within ±1 frame", ACCENT),
        ("auc", "AUC, genuine against shifted", NEUTRAL),
    ):
        right.plot(valid.epoch, 100 * valid[column], marker="o", color=colour, label=name)
    right.set_ylim(0, 102)
    right.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def distance_histogram(genuine: np.ndarray, shifted: np.ndarray) -> Figure:
    """Distances of positives and negatives.

    Args:
        genuine, shifted: (N,), (M,) float distances.
    """
    auc = scoring.roc_auc(genuine, shifted)
    title = f"A genuine pair is closer than a shifted one in {auc:.0%} of draws (AUC {auc:.3f})"
    figure, axes = _canvas(8, 3.4, title, "distance of lips and sound", "share of windows (%)")
    bins = np.histogram_bin_edges(np.concatenate([genuine, shifted]), 60).tolist()
    for values, name, colour in ((genuine, "genuine", GENUINE), (shifted, "shifted", FALSE)):
        axes.hist(values, bins, weights=np.full(len(values), 100 / len(values)), alpha=0.6, color=colour, label=name)
    axes.legend(frameon=False)
    return figure


def model_sizes() -> pd.DataFrame:
    """The networks side by side.

    Returns:
        A row a model: `parameters` (10^6), `gflop` (10^9 operations a window, forwards), `kilobytes` (a window),
        `embedding` (dimensions).
    """
    rows = {}
    for name, spec in SPECS.items():
        size = size_of(name)
        figures = (size.parameters / 1e6, size.gflop, size.inputs / 1e3, spec.embedding)
        rows[name] = dict(zip(("parameters", "gflop", "kilobytes", "embedding"), figures, strict=True))
    return pd.DataFrame.from_dict(rows, orient="index").round(3)


def phase_bars(timing: pd.DataFrame) -> Figure:
    """The phases of every step, stacked; first steps of epochs are marked.

    Args:
        timing: the table of `timing.PhaseTimer`.
    """
    table = timing.tail(300).reset_index(drop=True)  # more bars than pixels would tell nothing
    means = timing[list(PHASES)].sum() / timing.total.sum()
    top = means.idxmax()
    figure, axes = _canvas(
        10, 3.6, f"{top.capitalize()} takes {means[top]:.0%} of a step; loading data {means['data']:.1%}",
        "step (grey lines: first of an epoch)", "time (ms)",
    )  # fmt: skip
    axes.stackplot(
        table.index, *(table[name] for name in PHASES), step="mid",
        labels=[f"{name} {means[name]:.1%}" for name in PHASES], colors=list(PHASE_COLOURS.values()),
    )  # fmt: skip
    for at in table.index[table.step == 0]:
        axes.axvline(at, color="black", alpha=0.15, linewidth=0.8)
    axes.set(xlim=(0, max(1, len(table) - 1)), ylim=(0, 1.1 * table.total.quantile(0.995)))
    axes.legend(frameon=False, fontsize=8, ncols=6, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    return figure


def loader_bars(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """The phases of every step by each loader, stacked, all on one scale; first steps of epochs are marked.

    Args:
        tables: loader to the table of `timing.PhaseTimer`.
    """
    figure = Figure(figsize=(10, 1.7 * len(tables) + 0.8), layout="constrained")
    rows = figure.subplots(len(tables), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (name, table) in zip(rows, tables.items(), strict=True):
        shown = table.tail(100).reset_index(drop=True)  # more bars than pixels would tell nothing
        below = np.zeros(len(shown))
        for phase in PHASES:
            axes.bar(shown.index, shown[phase], 0.9, below, color=PHASE_COLOURS[phase], label=phase)
            below += shown[phase].to_numpy()
        for at in shown.index[shown.step == 0]:
            axes.axvline(at - 0.5, color="black", alpha=0.25, linewidth=0.8)
        share = table.data.sum() / table.total.sum()
        _label(axes, f"{name}: median step {table.total.median():.0f} ms, loading {share:.1%} of all time", "", "ms")
    rows[-1].set_xlabel("step (grey lines: first of an epoch)")
    figure.legend(*rows[0].get_legend_handles_labels(), frameon=False, ncols=len(PHASES), loc="outside lower center")
    return figure


def kept_and_rejected(verdict: pd.DataFrame, threshold: float) -> Figure:
    """The evidence on all positives with the threshold, and what each clip keeps.

    Args:
        verdict: the table of `filtering.judge`.
        threshold: its threshold.
    """
    share = verdict.kept.mean()
    figure = _headed(10, 3.4, f"The threshold {threshold:g} keeps {share:.1%} of {len(verdict):,} positives")
    left, right = figure.subplots(1, 2)
    _label(left, "", "distance of lips and sound, mean over its context", "positive pairs")
    _label(right, "", "clips, from least kept to most", "positives kept (%)")
    bins = np.histogram_bin_edges(verdict.evidence, 60).tolist()
    for kept, name, colour in ((True, "kept", GENUINE), (False, "rejected", FALSE)):
        left.hist(verdict.evidence[verdict.kept == kept], bins, color=colour, alpha=0.75, label=name)
    left.axvline(threshold, color="black", linewidth=1)
    left.legend(frameon=False)
    per_clip = verdict.groupby("clip_id").kept.mean().sort_values()
    right.fill_between(np.arange(len(per_clip)), 100 * per_clip, color=GENUINE, alpha=0.75, linewidth=0)
    right.set(xlim=(0, max(1, len(per_clip) - 1)), ylim=(0, 100))
    return figure


def shift_curve(curves: Mapping[str, np.ndarray], title: str) -> Figure:
    """Mean distance over shifts of one clip, a line a model.

    Args:
        curves: model name to (2 vshift + 1,) float mean distances.
        title: the finding.
    """
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    _draw_shifts(figure.subplots(), curves, title)
    return figure


def _draw_shifts(axes: Axes, curves: Mapping[str, np.ndarray], title: str) -> None:
    _label(axes, title, "offset: sound ahead of the lips by (frames of 40 ms)", "mean distance")
    for (name, means), colour in zip(curves.items(), (NEUTRAL, GENUINE, FALSE), strict=False):
        at = len(means) // 2 - np.arange(len(means))
        best, sure = scoring.offset(means), scoring.confidence(means)
        axes.plot(at, means, color=colour, label=f"{name}: offset {best}, confidence {sure:.2f}")
        axes.plot(best, np.nanmin(means), "o", color=colour)
    axes.axvline(0, color="black", alpha=0.2, linewidth=0.8)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.25 * (high - low))  # room for the legend above the curves
    axes.legend(frameon=False, loc="upper left")


def measurement(result: Mapping[str, Any], title: str) -> Figure:
    """One video: distance over shift of all tracks together, and the confidence of each over time.

    Args:
        result: of `Result.to_dict`.
        title: the finding.
    """
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    means = np.array(result["mean_distances"], float)
    _draw_shifts(left, {Path(result["path"]).name: means}, title)
    colours = (GENUINE, FALSE, ACCENT, NEUTRAL)
    for track, colour in zip(result["tracks"], itertools.cycle(colours), strict=False):
        values = np.array(track["frame_confidence"], float)
        at = track["start_s"] + np.arange(len(values)) / FPS
        name = f"track {track['track']}" + (", speaks" if track["speaking"] else "")
        right.plot(at, values, color=colour, linewidth=0.8, label=name)
    _label(right, "Confidence of single windows", "time (s)", "confidence")
    right.legend(frameon=False, fontsize=8)
    return figure


def accuracy_by_length(metrics: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Share of stretches within a frame of the truth, by their length.

    Args:
        metrics: model name to `scoring.summarise`.
    """
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    _draw_lengths(figure.subplots(), models_of(metrics))
    return figure


def _draw_lengths(axes: Axes, metrics: Mapping[str, Mapping[str, Any]]) -> None:
    last = list(metrics)[-1]
    ends = metrics[last]["accuracy_by_frames"]
    title = f"{last}: from {ends['5']:.0%} on one window to {ends['15']:.0%} on 15 frames"
    _label(axes, title, "length of the stretch (frames of 40 ms)", "within ±1 frame (%)")
    for (name, figures), colour in zip(metrics.items(), (NEUTRAL, GENUINE, ACCENT, FALSE), strict=False):
        by_frames = figures["accuracy_by_frames"]
        axes.plot([int(key) for key in by_frames], [100 * value for value in by_frames.values()], "o-", color=colour,
                  label=f"{name} (whole clip {figures['clip_accuracy']:.0%})")  # fmt: skip
    chance = 100 * (2 * scoring.TOLERANCE + 1) / (2 * scoring.VSHIFT + 1)
    axes.axhline(chance, color="black", alpha=0.4, linestyle=":", label=f"chance {chance:.0f} %")
    axes.set(ylim=(0, 102), xticks=list(scoring.CLIP_FRAMES))
    axes.legend(frameon=False, fontsize=8)


def counts(values: Sequence[float], title: str, x: str, y: str = "clips", bins: int = 40) -> Figure:
    """A histogram of one quantity.

    Args:
        values: numbers; nan is left out.
        title, x, y: the finding and the axes with their units.
        bins: how many.
    """
    figure, axes = _canvas(8, 3, title, x, y)
    numbers = np.asarray(values, float)
    axes.hist(numbers[np.isfinite(numbers)], bins, color=GENUINE)
    return figure


def timelines(tracks: pd.DataFrame, count: int = 12) -> Figure:
    """When the face tracks of some videos begin and end; neighbouring shots differ in colour.

    Args:
        tracks: tracks.parquet of `extract.extract`; `first` and `last` are frames, `reason` is "" where it is a clip.
        count: videos; those with the most shots and tracks come first.
    """
    kept, shots = int((tracks.reason == "").sum()), len(tracks[["path", "shot"]].drop_duplicates())
    found = f"{kept} of {len(tracks)} face tracks in {shots} shots of {tracks.path.nunique()} videos became clips"
    colours = {"clip, even shot": GENUINE, "clip, odd shot": ACCENT, "refused": FALSE}
    busiest = tracks.groupby("path").size().sort_values(ascending=False, kind="stable").index[:count]
    figure, axes = _canvas(10, 1.2 + 0.3 * len(busiest), found, "time in the video (s)", "")
    for place, path in enumerate(busiest):
        for track in tracks[tracks.path == path].itertuples():
            kind = "refused" if track.reason else ("clip, even shot", "clip, odd shot")[track.shot % 2]
            # People who are seen at once share the height of the row.
            at_once = tracks[(tracks.path == path) & (tracks["first"] <= track.last) & (tracks["last"] >= track.first)]
            height = 0.8 / len(at_once)
            level = place - 0.4 + height * int((at_once.track < track.track).sum())
            span = (track.first / FPS, (track.last - track.first + 1) / FPS)
            axes.broken_barh([span], (level, 0.9 * height), color=colours[kind], label=kind)
    axes.set_yticks(range(len(busiest)), [Path(path).name[-24:] for path in busiest], fontsize=7)
    axes.invert_yaxis()
    bars, names = axes.get_legend_handles_labels()
    once = dict(zip(names, bars, strict=True))
    figure.legend(once.values(), once.keys(), frameon=False, fontsize=8, ncols=3, loc="outside lower center")
    return figure


def throughput(timing: pd.DataFrame, phases: Sequence[str]) -> Figure:
    """How fast each phase of the extraction is.

    Args:
        timing: a row a video: `frames`, and the seconds of each phase.
        phases: their names.
    """
    seconds = timing.frames.sum() / FPS
    spent = timing[list(phases)].sum()
    rate, top = seconds / spent.sum(), spent.idxmax()
    title = f"Extraction runs {rate:.1f} times as fast as the video plays; {top} take {spent.max() / spent.sum():.0%}"
    figure, axes = _canvas(10, 3, title, "work for a second of video (ms)")
    axes.barh(list(phases), 1000 * spent / seconds, color=GENUINE)
    axes.invert_yaxis()
    return figure


def pictures(shown: Mapping[str, np.ndarray], title: str, columns: int = 3) -> Figure:
    """Pictures with what is to be said about each.

    Args:
        shown: text to (H, W, 3) uint8 RGB; may be empty.
        title: of all.
        columns: pictures a row.
    """
    rows = max(1, -(-len(shown) // columns))
    figure = _headed(11, 0.5 + 2.6 * rows if shown else 0.5, title)
    if not shown:
        figure.subplots().axis("off")  # a notebook does not show a figure without axes
    for number, (text, image) in enumerate(shown.items()):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.imshow(image)
        axes.axis("off")
        axes.set_title("\n".join(textwrap.wrap(text, 48)), fontsize=7)
    return figure


def result(metrics: Mapping[str, Mapping[str, Any]], curves: Mapping[str, np.ndarray], title: str) -> Figure:
    """The picture of the README: accuracy by length, and one clip's distance over shift."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_lengths(left, models_of(metrics))
    _draw_shifts(right, curves, title)
    return figure
