import numpy as np

from syncnet_lib.plots import filtering
from tests.plots.examples import has_units, text, verdict


def test_what_a_threshold_keeps() -> None:
    figure = filtering.kept_and_rejected(verdict(), 0.5)
    assert "0.5 keeps 50.0% of 10 positives" in text(figure)
    assert has_units(figure)


def test_how_much_hangs_on_the_threshold() -> None:
    assert "10.0 % of the positives lie within 0.01 of the threshold 0.45" in text(
        filtering.kept_over_threshold(verdict(), 0.45)
    )


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
