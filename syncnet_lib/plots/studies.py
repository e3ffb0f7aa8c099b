"""Figures of the studies: refinement, losses, number of talkers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from syncnet_lib.plots import style

COLOURS = {"noisy": style.NEUTRAL, "refined": style.GENUINE, "repaired": style.ACCENT, "clean": "black"}
"""Of what a network was trained on."""


def over_noise(noise: Mapping[str, Mapping[str, Any]], title: str) -> Figure:
    """Accuracy, and what is kept, over the share of noise.

    Args:
        noise: by share: `k5` by what was trained on (a value a seed), `precision` and `recall`.
        title: the finding.
    """
    shares = sorted(noise, key=float)
    figure = style.headed(10, 3.6, title)
    left, right = figure.subplots(1, 2)
    style.label(left, "", "share of noise (%)", "right within a frame at K = 5 (%)")
    style.label(right, "", "share of noise (%)", "share (%)")
    at = [100 * float(share) for share in shares]
    for name, colour in COLOURS.items():
        known = [share for share in shares if name in noise[share]["k5"]]
        means, spreads = (
            [100 * float(part(noise[share]["k5"][name])) for share in known] for part in (np.mean, np.std)
        )
        places = [100 * float(share) for share in known]
        left.errorbar(places, means, spreads, color=colour, marker="o", capsize=3, label=name)
    for name, colour in (("precision", style.GENUINE), ("recall", style.FALSE)):
        right.plot(at, [100 * noise[share][name] for share in shares], color=colour, marker="o", label=name)
    left.legend(frameon=False)
    right.legend(frameon=False)
    return figure


def loss_curves(losses: Mapping[str, Mapping[str, Any]], chance: float, title: str) -> Figure:
    """Validation AUC over the steps, a line and its deviation over the seeds for each loss.

    Args:
        losses: by name: `curve` (step, mean, deviation).
        chance: the AUC from which a training has left chance.
        title: the finding.
    """
    figure, axes = style.canvas(9, 4.2, title, "step of training", "validation AUC")
    for name, each in losses.items():
        step, mean, spread = np.array(each["curve"]).T
        (line,) = axes.plot(step, mean, label=name)
        axes.fill_between(step, mean - spread, mean + spread, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.axhline(chance, color="black", linewidth=0.8, linestyle=":")
    axes.legend(frameon=False, fontsize=8, bbox_to_anchor=(1.0, 1.0), loc="upper left")
    return figure


def over_talkers(rows: Sequence[Mapping[str, Any]], tests: Mapping[str, str], title: str) -> Figure:
    """Accuracy over the number of talkers that a network learnt from, a line and its 95 % interval for each test.

    Args:
        rows: `talkers`, and by test `k15` and `whole` (`mean`, `low`, `high`), by rising number of talkers.
        tests: the tests, and how they are called.
        title: the finding.
    """
    figure = style.headed(10, 3.8, title)
    at = [row["talkers"] for row in rows]
    for axes, measure, words in zip(figure.subplots(1, 2), ("k15", "whole"), ("K = 15", "whole clip"), strict=True):
        style.label(axes, "", "talkers trained on (logarithmic)", f"right within a frame, {words} (%)")
        axes.set_xscale("log")
        axes.set_xticks(at, [str(count) for count in at])
        axes.minorticks_off()
        axes.set_ylim(0, 100)
        for (test, name), colour in zip(tests.items(), (style.GENUINE, style.ACCENT, style.NEUTRAL), strict=True):
            mean, low, high = ([100 * row[test][measure][end] for row in rows] for end in ("mean", "low", "high"))
            axes.plot(at, mean, color=colour, marker="o", label=name)
            axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
        if measure == "k15":
            axes.legend(frameon=False, fontsize=9)
    return figure
