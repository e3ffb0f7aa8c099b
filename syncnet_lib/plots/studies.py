"""Figures of the studies of refinement and losses."""

from collections.abc import Mapping
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
