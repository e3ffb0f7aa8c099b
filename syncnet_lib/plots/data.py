"""Figures of the data: videos, face tracks, clips, and how fast they are made."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.figure import Figure

from syncnet_lib.media.clock import FPS
from syncnet_lib.plots import style


def contact_sheet(crops: Mapping[str, UInt8[np.ndarray, "frames height width *colours"]], columns: int = 10) -> Figure:
    """Some moments of each clip, a row a clip.

    Args:
        crops: clip name to pictures, gray or RGB.
        columns: moments a clip, evenly spread.
    """
    height, width = next(iter(crops.values())).shape[1:3]
    size = columns * 0.85 + 1, len(crops) * 0.85 * height / width + 0.5
    figure = style.headed(*size, f"{len(crops)} clips, {columns} moments each")
    grid = figure.subplots(len(crops), columns, squeeze=False)
    for row, (name, frames) in zip(grid, crops.items(), strict=True):
        for axes, at in zip(row, np.linspace(0, len(frames) - 1, columns).astype(int), strict=True):
            axes.imshow(frames[at], cmap="gray", vmin=0, vmax=255)
            axes.set_xticks([])
            axes.set_yticks([])
        row[0].set_ylabel(name[:14], fontsize=7, rotation=0, ha="right", va="center")
    return figure


def counts(values: Sequence[float], title: str, x: str, y: str = "clips", bins: int = 40) -> Figure:
    """A histogram of one quantity.

    Args:
        values: numbers; nan is left out.
        title, x, y: the finding and the axes with their units.
        bins: how many.
    """
    figure, axes = style.canvas(8, 3, title, x, y)
    numbers = np.asarray(values, float)
    axes.hist(numbers[np.isfinite(numbers)], bins, color=style.GENUINE)
    return figure


def timelines(tracks: pd.DataFrame, count: int = 12) -> Figure:
    """When the face tracks of some videos begin and end; neighbouring shots differ in colour.

    Args:
        tracks: tracks.parquet of `extract.extract`; `first` and `last` are frames, `reason` is "" where it is a clip.
        count: videos; those with the most shots and tracks come first.
    """
    kept, shots = int((tracks.reason == "").sum()), len(tracks[["path", "shot"]].drop_duplicates())
    found = f"{kept} of {len(tracks)} face tracks in {shots} shots of {tracks.path.nunique()} videos became clips"
    colours = {"clip, even shot": style.GENUINE, "clip, odd shot": style.ACCENT, "refused": style.FALSE}
    busiest = tracks.groupby("path").size().sort_values(ascending=False, kind="stable").index[:count]
    figure, axes = style.canvas(10, 1.2 + 0.3 * len(busiest), found, "time in the video (s)", "")
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
    figure, axes = style.canvas(10, 3, title, "work for a second of video (ms)")
    axes.barh(list(phases), 1000 * spent / seconds, color=style.GENUINE)
    axes.invert_yaxis()
    return figure


def pictures(shown: Mapping[str, UInt8[np.ndarray, "height width 3"]], title: str, columns: int = 3) -> Figure:
    """Pictures with what is to be said about each.

    Args:
        shown: text to RGB picture; may be empty.
        title: of all.
        columns: pictures a row.
    """
    rows = max(1, -(-len(shown) // columns))
    figure = style.headed(11, 0.5 + 2.6 * rows if shown else 0.5, title)
    if not shown:
        figure.subplots().axis("off")  # a notebook does not show a figure without axes
    for number, (text, image) in enumerate(shown.items()):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.imshow(image)
        axes.axis("off")
        axes.set_title("\n".join(textwrap.wrap(text, 48)), fontsize=7)
    return figure
