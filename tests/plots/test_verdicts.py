import numpy as np

from syncnet_lib.plots import verdicts
from tests.plots.examples import CURVE, METRICS, has_units, text


def test_accuracy_by_length_tells_its_ends() -> None:
    figure = verdicts.accuracy_by_length(METRICS)
    assert "refined: from 50% on one window to 90% on 15 frames" in text(figure)
    assert len(figure.axes[0].collections) == 1, "a band where the interval is known"
    assert has_units(figure)


def test_own_and_swapped_audio_side_by_side() -> None:
    figure = verdicts.confidence_histogram(np.array([0.5, 0.6]), np.array([0.1, 0.55]))
    assert "in 75% of draws" in text(figure)
    assert has_units(figure)


def test_windows_that_speak_for_the_offset_are_counted() -> None:
    assert "75% of the windows" in text(verdicts.confidence_over_time(np.array([np.nan, 1.0, 2.0, -1.0, 3.0])))


def test_a_curve_has_its_least_at_the_offset() -> None:
    figure = verdicts.shift_curve({"base": np.roll(CURVE, -3)}, "found")
    assert "base: offset +3" in figure.axes[0].get_legend().get_texts()[0].get_text()
    assert "found" in text(verdicts.result(METRICS, {"base": CURVE}, "found"))


def test_a_measurement_shows_its_threshold() -> None:
    tracks = [
        {"track": 0, "start_s": 0.0, "speaking": True, "frame_confidence": [0.5, None, 0.4]},
        {"track": 1, "start_s": 0.0, "speaking": False, "frame_confidence": [0.0, -0.1]},
    ]
    known = {"model": {"threshold": 2.0}, "search_centre": 0}
    result = {"path": "x" * 60, "mean_distances": CURVE.tolist(), "tracks": tracks, **known}
    figure = verdicts.measurement(result, "audio is 200 ms behind: advance it; " * 3)
    upper, lower = figure.axes
    assert [line.get_ydata()[0] for line in upper.lines if line.get_linestyle() == "--"] == [np.median(CURVE) - 2.0]
    assert [entry.get_text() for entry in lower.get_legend().get_texts()] == [
        "face 0, speaks",
        "face 1, does not speak",
    ]
    assert max(map(len, upper.get_title("left").splitlines())) <= 60
    assert has_units(figure)
    without = verdicts.measurement(result | {"model": {"threshold": None}}, "x")
    assert not [line for line in without.axes[0].lines if line.get_linestyle() == "--"]
