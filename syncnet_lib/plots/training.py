"""Figures and tables of a training: networks, curves, distances, and where the time of a step goes."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure

from syncnet_lib.model import scoring
from syncnet_lib.model.size import size_of
from syncnet_lib.model.spec import SPECS
from syncnet_lib.plots import style
from syncnet_lib.training.timing import PHASES

PHASE_COLOURS = dict(
    zip(PHASES, (style.FALSE, style.NEUTRAL, style.GENUINE, style.ACCENT, "#2e5077", "#9b72aa"), strict=True)
)


def learning_curve(history: pd.DataFrame) -> Figure:
    """Loss of each epoch, and the accuracies of those that were validated.

    Args:
        history: a row an epoch: `epoch`, `loss`, and where validated `auc`, `k5`, `clip_accuracy`.
    """
    first, last = history.loss.iloc[0], history.loss.iloc[-1]
    figure = style.headed(10, 3.4, f"Training loss went from {first:.3f} to {last:.3f} in {len(history)} epochs")
    left, right = figure.subplots(1, 2)
    style.label(left, "", "epoch", "training loss")
    style.label(right, "", "epoch", "validation (%)")
    left.plot(history.epoch, history.loss, color=style.GENUINE)
    valid = history.dropna(subset="auc")
    for column, name, colour in (
        ("clip_accuracy", "whole clip within ±1 frame", style.GENUINE),
        ("k5", "one window within ±1 frame", style.ACCENT),
        ("auc", "AUC, genuine against shifted", style.NEUTRAL),
    ):
        right.plot(valid.epoch, 100 * valid[column], marker="o", color=colour, label=name)
    right.set_ylim(0, 102)
    right.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def distance_histogram(genuine: Float[np.ndarray, "windows"], shifted: Float[np.ndarray, "pairs"]) -> Figure:
    """Distances of positives and negatives.

    Args:
        genuine: a distance a window.
        shifted: a distance a window and shift.
    """
    auc = scoring.roc_auc(genuine, shifted)
    title = f"A genuine pair is closer than a shifted one in {auc:.0%} of draws (AUC {auc:.3f})"
    figure, axes = style.canvas(8, 3.4, title, "distance of video and audio", "share of windows (%)")
    bins = np.histogram_bin_edges(np.concatenate([genuine, shifted]), 60).tolist()
    for values, name, colour in ((genuine, "genuine", style.GENUINE), (shifted, "shifted", style.FALSE)):
        axes.hist(values, bins, weights=np.full(len(values), 100 / len(values)), alpha=0.6, color=colour, label=name)
    axes.legend(frameon=False)
    return figure


def phase_bars(timing: pd.DataFrame) -> Figure:
    """The phases of every step, stacked; first steps of epochs are marked.

    Args:
        timing: the table of `timing.PhaseTimer`.
    """
    table = timing.tail(300).reset_index(drop=True)  # more bars than pixels would tell nothing
    means = timing[list(PHASES)].sum() / timing.total.sum()
    top = means.idxmax()
    figure, axes = style.canvas(
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
        style.label(
            axes, f"{name}: median step {table.total.median():.0f} ms, loading {share:.1%} of all time", "", "ms"
        )
    rows[-1].set_xlabel("step (grey lines: first of an epoch)")
    figure.legend(*rows[0].get_legend_handles_labels(), frameon=False, ncols=len(PHASES), loc="outside lower center")
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
