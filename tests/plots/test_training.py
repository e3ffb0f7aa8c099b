import numpy as np
import pandas as pd

from syncnet_lib.plots import training
from tests.plots.examples import has_units, text, timing


def test_a_learning_curve_tells_its_ends() -> None:
    history = pd.DataFrame({"epoch": [1, 2], "loss": [4.0, 2.0], "auc": [np.nan, 0.9], "k5": [np.nan, 0.5]})
    figure = training.learning_curve(history.assign(clip_accuracy=[np.nan, 1.0]))
    assert "from 4.000 to 2.000" in text(figure)
    assert has_units(figure)


def test_distances_tell_how_far_they_are_apart() -> None:
    figure = training.distance_histogram(np.array([0.1, 0.2]), np.array([0.3, 0.15, 0.4, 0.5]))
    assert "in 88% of draws (AUC 0.875)" in text(figure)
    assert has_units(figure)


def test_the_largest_phase_is_named() -> None:
    assert "Backward takes 50%" in text(training.phase_bars(timing()))
    assert "one: median step 100 ms, loading 10.0%" in text(training.loader_bars({"one": timing()}))


def test_networks_side_by_side() -> None:
    table = training.model_sizes()
    assert table.embedding["paper"] == 256
    assert table.gflop["v2"] > table.gflop["small"]
