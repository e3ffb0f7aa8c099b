import numpy as np
import pandas as pd
import pytest

from syncnet_lib.plots import filtering
from syncnet_lib.training.filtering import Mixture
from tests.plots.examples import has_units, text, verdict


def test_what_is_kept_and_how_far_apart_it_is() -> None:
    clips = pd.DataFrame({"verdict": ["kept", "kept", "off-sync", "dubbed"], "distance": [0.4, 0.5, 1.1, 1.2]})
    clips["offset"], clips["confidence"] = [0, 0, 5, 2], [0.5, 0.4, 0.4, 0.1]
    negatives = np.linspace(1.0, 1.4, 50)
    figure = filtering.histograms(clips, negatives, None, 0.9)
    assert "50.0% of 4 clips are kept; the threshold of distance is 0.90" in text(figure)
    assert has_units(figure)
    groups = pd.Series(["genuine", "genuine", "noisy", "noisy"])
    figure = filtering.histograms(clips, negatives, groups, 0.9)
    shown = [entry.get_text() for entry in figure.axes[0].get_legend().get_texts()]
    assert {"genuine (2)", "noisy (2)", "shifted audio"} <= set(shown)


def test_two_groups_are_drawn_with_their_crossing() -> None:
    clips = pd.DataFrame({"verdict": ["kept", "dubbed"], "distance": [0.4, 1.2], "offset": 0, "confidence": 0.3})
    mixture = Mixture(means=(0.5, 1.1), deviations=(0.1, 0.1), shares=(0.5, 0.5), crossing=0.8)
    near, far = mixture.densities(np.array([0.5, 0.8]))
    assert near == pytest.approx([0.5 * 3.989, far[1]], abs=1e-3)
    figure = filtering.histograms(clips, np.linspace(0.3, 1.4, 50), None, 0.9, mixture)
    shown = [entry.get_text() for entry in figure.axes[0].get_legend().get_texts()]
    assert "mixture, crossing at 0.80" in shown


def test_asynchrony_is_seen_over_time() -> None:
    moved = np.ones((40, 31), np.float32)
    moved[:, 15 - 6] = 0.2  # the audio is 6 frames ahead
    figure = filtering.distance_maps({"a": moved, "b": np.roll(moved, 6, axis=1)}, verdict(), 0.5)
    assert "a: least at offset +6" in text(figure)
    assert "b: least at offset 0" in text(figure)
    row, _ = np.unravel_index(figure.axes[0].images[0].get_array().argmin(), (31, 40))
    low, high = figure.axes[0].images[0].get_extent()[2:]
    assert low + (row + 0.5) * (high - low) / 31 == 6, "the dark line is drawn at the offset"
    assert has_units(figure)
