import numpy as np
import pandas as pd
import pytest

from syncnet_lib.plots import sweeps
from tests.plots.examples import text

TRIALS = pd.DataFrame(
    {
        "lr": [1e-3, 1e-3, 1e-2, 1e-2],
        "seed": [0, 1, 0, 1],
        "model": ["small", "paper", "small", "paper"],
        "auc": [0.8, 0.9, 0.5, np.nan],
    }
)


def test_the_spread_is_over_seeds() -> None:
    table = sweeps.spread(TRIALS, ["lr", "seed"], "auc").reset_index()
    assert table.lr.tolist() == [1e-3, 1e-2]
    assert table["mean"].tolist() == pytest.approx([0.85, 0.5])
    assert table.deviation[0] == pytest.approx(np.std([0.8, 0.9], ddof=1))
    assert np.isnan(table.deviation[1])
    assert table.seeds.tolist() == [2, 1], "a failed trial reached nothing"
    alone = sweeps.spread(TRIALS, ["seed"], "auc")
    assert alone.seeds.tolist() == [3]


def test_the_best_is_told_and_drawn_thick() -> None:
    assert sweeps.best(TRIALS, ["lr"], "auc").auc.tolist() == [0.9, 0.8, 0.5]
    figure = sweeps.parallel_coordinates(TRIALS, ["lr", "seed", "model"], "auc")
    assert "Best of 3: lr 0.001, seed 1, model paper" in text(figure)
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 4]
    assert len(lines) == 3
    assert lines[-1].get_linewidth() > lines[0].get_linewidth()
    assert lines[-1].get_ydata() == pytest.approx([0.0, 1.0, 0.0, 1.0])


def test_what_decides_is_the_title() -> None:
    assert "lr decides most" in text(sweeps.importance_bars({"seed": 0.1, "lr": 0.9}, "auc"))
