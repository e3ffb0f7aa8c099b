"""What the points of the study of the number of talkers say together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from syncnet_lib.experiment.statistics import bootstrap
from syncnet_lib.experiment.talkers_study import EVERY_CLIP, LENGTHS, TESTS

NONE = "No figures are there yet: dvc repro studies/dvc.yaml:talkers_study."
"""What a study without points concludes."""
MEASURES = (*(f"k{frames}" for frames in LENGTHS), "whole")
"""What is measured on each test clip."""
NAMES = {"apart": "drawn people kept apart", "strangers": "GRID strangers", "television": "television"}
"""The tests in words."""


def summarise(found: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> list[dict[str, Any]]:
    """The figures of the study for JSON.

    Args:
        found: settings and figures of the points.

    Returns:
        A row for each thing that was trained on, by number of talkers: `talkers` (drawn ones), `clips_each`, `real`
        (whether the real talker's clips are among them), `clips`, `steps`, `seeds`, and by test, by measure:
        `by_seed` (a mean over the test clips for each seed), `mean`, `low` and `high` (95 % by bootstrap over talkers).
    """
    rows = []
    keys = sorted(
        {(s["real"], s["clips"], s["talkers"], s["steps"]) for s, _ in found}, key=lambda key: (*key[:2], key)
    )
    for real, clips, talkers, steps in keys:
        wanted = {"real": real, "clips": clips, "talkers": talkers, "steps": steps}
        parts = sorted(
            ((s["seed"], figures) for s, figures in found if wanted.items() <= s.items()), key=lambda part: part[0]
        )
        row = {"talkers": talkers, "clips_each": clips, "real": real, "clips": parts[0][1]["clips"], "steps": steps}
        tests = {name: _measures([figures[name] for _, figures in parts]) for name in TESTS}
        rows.append({**row, "seeds": [seed for seed, _ in parts], **tests})
    return rows


def _measures(parts: Sequence[Mapping[str, list[Any]]]) -> dict[str, dict[str, Any]]:
    found = {}
    for measure in MEASURES:
        values = np.array([part[measure] for part in parts], float)
        interval = bootstrap(values.mean(axis=0), groups=parts[0]["talker"])
        found[measure] = {
            "by_seed": values.mean(axis=1).round(4).tolist(),
            **{name: round(value, 4) for name, value in interval.items()},
        }
    return found


def curve(summary: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows over the number of drawn talkers: all clips of each, no real talker.

    Args:
        summary: of `summarise`.
    """
    rows = [row for row in summary if row["clips_each"] == EVERY_CLIP and not row["real"]]
    return sorted(rows, key=lambda row: row["talkers"])


def expected(summary: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """Accuracy at K = 5 on GRID strangers over the number of talkers.

    Args:
        summary: of `summarise`.
    """
    return [(row["talkers"], row["strangers"]["k5"]["mean"]) for row in curve(summary)]


def table(summary: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The summary as a table: a row for each thing that was trained on.

    Args:
        summary: of `summarise`.
    """
    rows = [
        {
            "talkers": f"{row['talkers']} drawn" + (", talker 1" if row["real"] else ""),
            "clips": row["clips"],
            "seeds": len(row["seeds"]),
            **{
                f"{NAMES[test]}, {measure.replace('k', 'K=')}": _percent(row[test][measure])
                for test in TESTS
                for measure in MEASURES
            },
        }
        for row in summary
    ]
    return pd.DataFrame(rows, columns=["talkers", "clips"] if not rows else None).set_index(["talkers", "clips"])


def _percent(value: Mapping[str, Any]) -> str:
    return f"{100 * value['mean']:.1f} ({100 * value['low']:.0f}–{100 * value['high']:.0f})"


def finding(rows: Sequence[Mapping[str, Any]]) -> str:
    """The curve in a line, for a title.

    Args:
        rows: of `curve`.
    """
    if len(rows) < 2:
        return NONE
    few, many = (rows[end]["strangers"]["k15"]["mean"] for end in (0, -1))
    talkers = f"{few:.0%} from {rows[0]['talkers']} talker, {many:.0%} from {rows[-1]['talkers']}"
    return f"GRID strangers at K = 15 after {steps(rows)} steps: {talkers}"


def steps(rows: Sequence[Mapping[str, Any]]) -> str:
    """How long the trainings of some rows were, in words: what holds for a short one need not hold for a long one.

    Args:
        rows: of `summarise`.
    """
    return ", ".join(f"{value:,}" for value in sorted({row["steps"] for row in rows}))


def conclude(summary: Sequence[Mapping[str, Any]]) -> str:
    """The study's conclusion in words, out of the figures.

    Args:
        summary: of `summarise`.
    """
    rows = curve(summary)
    if len(rows) < 2:
        return NONE
    few, many = rows[0], rows[-1]
    told = []
    for test in TESTS:
        one, all_of_them = few[test]["k15"], many[test]["k15"]
        spread = max(float(np.ptp(row[test]["k15"]["by_seed"])) for row in rows)
        gain = all_of_them["mean"] - one["mean"]
        word = "goes" if abs(gain) > spread else "stays within the spread of the seeds:"
        told.append(
            f"{NAMES[test]}: K = 15 {word} from {one['mean']:.1%} with {few['talkers']} talker to "
            f"{all_of_them['mean']:.1%} with {many['talkers']}"
            + (f" (seeds lie up to {spread:.1%} apart)" if spread else "")
        )
    seeds = min(len(row["seeds"]) for row in rows)
    alone = "; one seed each, so that the spread of seeds is not known" if seeds < 2 else ""
    return f"After {steps(rows)} steps{alone}: " + "; ".join(told) + "."
