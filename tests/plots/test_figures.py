"""Figures say what the numbers say, and are the same picture for the same numbers."""

import numpy as np
import pandas as pd
import pytest

from syncnet_lib import files
from syncnet_lib.plots import tables
from syncnet_lib.plots.figures import (
    accuracy_by_length,
    confidence_over_time,
    contact_sheet,
    counts,
    distance_histogram,
    index_rule,
    kept_and_rejected,
    learning_curve,
    pair,
    phase_bars,
    pictures,
    result,
    shift_curve,
    throughput,
    timelines,
    window_over_sound,
)
from syncnet_lib.plots.page import experiment, page, png
from syncnet_lib.training.timing import PHASES

BY_FRAMES = {"5": 0.5, "7": 0.6, "9": 0.7, "11": 0.8, "13": 0.85, "15": 0.9}
MODEL = {"clip_accuracy": 0.95, "accuracy_by_frames": BY_FRAMES, "auc": 0.9, "clips": 20, "windows": 1400}
METRICS = {
    "base": {**MODEL, "swapped": {"clip_accuracy": 0.1, "confidence_auc": 0.99}},
    "refined": {**MODEL, "clip_accuracy": 1.0},
    "aperture": {"clip_accuracy": 0.7, "clips": 20},
    "filter": {"clean": {"clips": 3, "positives": 10, "rejected": 1, "rejected_share": 0.1}},
}


def timing() -> pd.DataFrame:
    rows = [{"epoch": e, "step": s, **dict.fromkeys(PHASES, 10.0), "backward": 50.0} for e in (1, 2) for s in range(3)]
    table = pd.DataFrame(rows)
    table["total"] = table[list(PHASES)].sum(axis=1)
    return table


def tracks() -> pd.DataFrame:
    rows = [("v", 0, 0, 0, 40, ""), ("v", 0, 1, 5, 30, ""), ("v", 1, 2, 41, 44, "short"), ("w", 0, 0, 0, 74, "")]
    return pd.DataFrame(rows, columns=["path", "shot", "track", "first", "last", "reason"])


def figures() -> dict:
    rng = np.random.default_rng(0)
    history = pd.DataFrame({"epoch": [1, 2], "loss": [4.0, 2.0], "auc": [np.nan, 0.9], "k5": [np.nan, 0.5]})
    history["clip_accuracy"] = [np.nan, 1.0]
    verdict = pd.DataFrame({"clip_id": ["a"] * 5 + ["b"] * 5, "evidence": rng.random(10)})
    verdict["kept"] = verdict.evidence <= 0.5
    curve = np.abs(np.arange(-15, 16)).astype(float)
    return {
        "sheet": contact_sheet({"one": rng.integers(0, 255, (20, 12, 12)), "two": np.zeros((3, 12, 12))}, 4),
        "pair": pair(np.zeros((5, 8, 8)), rng.random((20, 13)), rng.random((20, 13)), -7),
        "learning": learning_curve(history),
        "distances": distance_histogram(rng.normal(0.5, 0.1, 50), rng.normal(1, 0.1, 90)),
        "phases": phase_bars(timing()),
        "kept": kept_and_rejected(verdict, 0.5),
        "shift": shift_curve({"base": curve, "refined": curve * 2}, "found"),
        "lengths": accuracy_by_length(METRICS),
        "counts": counts([1, 2, 2], "title", "pixels"),
        "window": window_over_sound(np.zeros((5, 8, 8)), np.zeros(4000, np.int16), rng.random((20, 13))),
        "rule": index_rule(),
        "confidence": confidence_over_time(np.array([np.nan, 1.0, 2.0, -1.0, 3.0])),
        "timelines": timelines(tracks()),
        "no timelines": timelines(tracks().iloc[:0]),
        "throughput": throughput(
            pd.DataFrame({"frames": [50, 50], "decode": [0.1, 0.1], "faces": 0.15}), ["decode", "faces"]
        ),
        "pictures": pictures({"a reason": np.zeros((8, 9, 3), np.uint8)}, "refused"),
        "no pictures": pictures({}, "nothing"),
        "result": result(METRICS, {"base": curve}, "found"),
    }


@pytest.mark.parametrize("name", list(figures()))
def test_the_same_numbers_give_the_same_picture(name):
    one, again = (png(figures()[name]) for _ in range(2))
    assert one == again
    assert one.startswith(b"\x89PNG")


def titles(figure) -> str:
    found = [figure._suptitle.get_text()] if figure._suptitle else []
    return " | ".join(found + [axes.get_title(loc) for axes in figure.axes for loc in ("left", "center")])


def test_titles_state_the_finding():
    drawn = figures()
    assert "-7 frames away" in titles(drawn["pair"])
    assert "-280 ms" in titles(drawn["pair"])
    assert "from 4.000 to 2.000" in titles(drawn["learning"])
    assert "Backward takes 50%" in titles(drawn["phases"])
    assert "3,440 samples, 215 ms" in titles(drawn["window"])
    assert "25 + 19 × 10 = 215 ms" in titles(drawn["rule"])
    assert "75% of the windows" in titles(drawn["confidence"])
    assert "from 50% on one window to 90%" in titles(drawn["lengths"])
    assert "3 of 4 face tracks in 3 shots of 2 videos" in titles(drawn["timelines"])
    assert "8.0 times as fast as the video plays; faces take 60%" in titles(drawn["throughput"])


def test_axes_have_units():
    for name in ("learning", "distances", "phases", "kept", "shift", "lengths", "rule", "confidence"):
        for axes in figures()[name].axes:
            assert axes.get_xlabel(), name
            assert axes.get_ylabel(), name


def test_comparison_and_controls():
    table = tables.comparison(METRICS)
    assert table.index.tolist() == ["base", "refined"]
    assert table.loc["refined", "whole clip (%)"] == 100.0
    controls = tables.controls(METRICS)["whole clip (%)"]
    assert controls["no learning: lip opening against loudness"] == 70.0
    assert controls["base, another clip's sound"] == 10.0


def test_the_whole_experiment_on_one_page(tmp_path):
    for stage in ("corpus", "extract", "train", "retrain"):
        files.write_json(tmp_path / "metrics" / f"{stage}.json", {"clips": 3})
    files.write_json(tmp_path / "metrics" / "filter.json", {"kept": 3})
    files.write_json(tmp_path / "metrics" / "pairs.json", {"train": {"clips": 3}, "skipped": 0})
    files.write_json(tmp_path / "metrics" / "evaluate.json", {**METRICS, "extra": METRICS})
    files.write_bytes(tmp_path / "figures" / "result.png", png(figures()["result"]))
    files.write_bytes(tmp_path / "figures" / "train_loss.png", png(figures()["learning"]))
    page = experiment(tmp_path)
    assert page.count("<img") == 2
    assert 'src="http' not in page
    for heading in ("Base against refined", "Further videos", "Stage: retrain"):
        assert heading in page


def test_what_a_page_is_told_cannot_become_markup():
    assert "<script>" not in page("<script>", ["# <script>", "<script>"])
