"""One look for all figures: the finding as title, axes with units, colours with one meaning each."""

from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

GENUINE: Final = "#1b7f79"
"""Genuine pairs, what is kept, the refined model."""
FALSE: Final = "#d1495b"
"""False pairs, what is rejected, waiting."""
NEUTRAL: Final = "#8d99ae"
"""What others are compared with: the base model."""
ACCENT: Final = "#edae49"


def canvas(width: float, height: float, title: str, x: str = "", y: str = "") -> tuple[Figure, Axes]:
    """A figure of one pair of axes.

    Args:
        width, height: inches.
        title: the finding.
        x, y: labels with units.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    label(axes, title, x, y)
    return figure, axes


def headed(width: float, height: float, title: str) -> Figure:
    """A figure for several axes under one finding; width and height in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def label(axes: Axes, title: str, x: str, y: str) -> None:
    """Title and labels of one pair of axes."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set(xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
