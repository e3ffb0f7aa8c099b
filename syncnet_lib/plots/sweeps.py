"""Figures and tables of sweeps: which values were tried, what they reached, and what decided."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from syncnet_lib.plots import style

COLOURS = "viridis"
"""Colour map of what was reached: also told apart without colour vision, and in grey print."""
FEW = 8
"""Different numbers on an axis that are each written beside it, evenly spaced; more are drawn to scale."""
SEED = "seed"
"""The parameter that is repeated and not chosen."""


def example() -> pd.DataFrame:
    """A made-up sweep, for whoever opens the notebook without one: two parameters, three seeds, one trial failed."""
    rng = np.random.default_rng(0)
    rows = [
        {"trial": f"lr={lr},margin={margin},seed={seed}", "lr": lr, "margin": margin, SEED: seed, "error": "",
         "val_auc": 0.9 - 0.05 * np.log10(lr / 2e-3) ** 2 - 0.01 * abs(margin - 1.0) + rng.normal(0, 0.004)}
        for lr in (2e-4, 6e-4, 2e-3, 6e-3) for margin in (0.5, 1.0) for seed in range(3)
    ]  # fmt: skip
    rows[-1] |= {"error": "the kernel died", "val_auc": np.nan}
    return pd.DataFrame(rows)


def best(trials: pd.DataFrame, names: Sequence[str], objective: str, count: int = 5) -> pd.DataFrame:
    """The trials that reached most, best first.

    Args:
        trials: a row a trial.
        names: of the parameters that were tried.
        objective: name of the column of what was reached.
        count: rows at most.
    """
    return trials.dropna(subset=objective).nlargest(count, objective)[[*names, objective]].reset_index(drop=True)


def spread(trials: pd.DataFrame, names: Sequence[str], objective: str) -> pd.DataFrame:
    """What the same values reached with different seeds: a row each choice, best mean first.

    Args:
        trials: a row a trial; those without a result are left out.
        names: of the parameters that were tried; all but the seed make a choice.
        objective: name of the column of what was reached.

    Returns:
        The values, and `mean`, `deviation` (NaN for one seed), `least`, `most`, `seeds`.
    """
    chosen = [name for name in names if name != SEED]
    done = trials[trials[objective].notna()]
    groups = done.groupby(chosen)[objective] if chosen else done.groupby(lambda _: 0)[objective]
    table = groups.agg(mean="mean", deviation="std", least="min", most="max", seeds="count")
    return table.sort_values("mean", ascending=False).reset_index(drop=not chosen)


def parallel_coordinates(trials: pd.DataFrame, names: Sequence[str], objective: str) -> Figure:
    """A line a trial over an axis a parameter, coloured by what it reached; the best is drawn thick.

    Args:
        trials: a row a trial; those without a result are left out.
        names: of the parameters that were tried.
        objective: name of the column of what was reached: the last axis.
    """
    done = trials[trials[objective].notna()].sort_values(objective)
    top = done.iloc[-1]
    said = ", ".join(f"{name} {top[name]:.3g}" if _numeric(done[name]) else f"{name} {top[name]}" for name in names)
    columns = [*names, objective]
    figure, axes = style.canvas(max(6.0, 1.8 * len(columns)), 3.6, f"Best of {len(done)}: {said}")
    places = {name: _ranked(done[name]) for name in names} | {objective: _scaled(done[objective])}
    heights = np.stack([place[0] for place in places.values()], axis=1)
    scale, colours = Normalize(done[objective].min(), done[objective].max()), colormaps[COLOURS]
    for row, reached in zip(heights, done[objective], strict=True):
        last = reached == top[objective]
        axes.plot(range(len(columns)), row, color=colours(scale(reached)), alpha=1 if last else 0.6,
                  linewidth=3 if last else 1.2)  # fmt: skip
    for at, (_, ticks) in enumerate(places.values()):
        axes.axvline(at, color="black", alpha=0.25, linewidth=0.8)
        for text, height in ticks.items():
            axes.annotate(text, (at, height), (4, 0), "data", "offset points", fontsize=9, va="center",
                          bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5})  # fmt: skip
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(columns) - 0.6)
    axes.spines[["left", "bottom"]].set_visible(False)
    return figure


def importance_bars(importance: Mapping[str, float], objective: str) -> Figure:
    """How much of the differences in what was reached each parameter explains.

    Args:
        importance: parameter to its share, 0-1.
        objective: name of what was reached.
    """
    first = max(importance, key=lambda name: importance[name])
    figure, axes = style.canvas(
        7, 0.8 + 0.4 * len(importance), f"{first} decides most", f"share of the differences in {objective}"
    )
    names = sorted(importance, key=lambda name: importance[name])
    axes.barh(names, [importance[name] for name in names], color=style.GENUINE)
    axes.set_xlim(0, 1)
    return figure


def _numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _ranked(column: pd.Series) -> tuple[np.ndarray, dict[str, float]]:
    """Heights of tried values on an axis of 0 to 1, evenly spaced where they are few, and the texts beside it."""
    numeric = _numeric(column)
    values = sorted(column.unique(), key=lambda value: value if numeric else str(value))
    if numeric and len(values) > FEW:
        return _scaled(column)
    step = max(1, len(values) - 1)
    at = {value: rank / step for rank, value in enumerate(values)}
    texts = {f"{value:g}" if numeric else str(value): height for value, height in at.items()}
    return column.map(at).to_numpy(float), texts


def _scaled(column: pd.Series) -> tuple[np.ndarray, dict[str, float]]:
    """Heights of numbers between the least and the most of them, and the texts of these two."""
    low, high = column.min(), column.max()
    heights = ((column - low) / ((high - low) or 1)).to_numpy(float)
    return heights, {f"{low:.4g}": 0.0, f"{high:.4g}": 1.0}
