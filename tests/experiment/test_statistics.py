import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncnet_lib.experiment import statistics


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_an_interval_is_around_its_mean(values: list[float]) -> None:
    found = statistics.bootstrap(np.array(values))
    assert min(values) - 1e-9 <= found["low"] <= found["mean"] + 1e-9
    assert found["mean"] - 1e-9 <= found["high"] <= max(values) + 1e-9


def test_the_interval_is_that_of_the_mean() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.2, 400)
    found = statistics.bootstrap(np.append(values, np.nan))
    half = 1.96 * values.std() / 20
    assert found["low"] == pytest.approx(values.mean() - half, abs=0.003)
    assert found["high"] == pytest.approx(values.mean() + half, abs=0.003)


def clips(depth: float) -> list[np.ndarray]:
    """Distances of 12 clips that are `depth` closer at the true shift."""
    rng = np.random.default_rng(1)
    distances = [rng.normal(1, 0.1, (70, 31)).astype(np.float32) for _ in range(12)]
    for clip in distances:
        clip[:, 15] -= depth
    return distances


def test_the_shuffled_control_stays_at_chance_however_good_the_model() -> None:
    for depth in (0.0, 0.5):
        assert abs(statistics.shuffled_auc(clips(depth)).mean() - 0.5) < 0.03


def test_true_and_other_shifts_are_told_apart() -> None:
    genuine, shifted = statistics.genuine_and_shifted(clips(0.5))
    assert (len(genuine), len(shifted)) == (12 * 70, 12 * 70 * 28)
    assert genuine.mean() < shifted.mean() - 0.4


def test_a_shift_beyond_the_clip_is_no_distance() -> None:
    distances = clips(0.0)
    distances[0][:5, 0] = np.nan
    assert len(statistics.genuine_and_shifted(distances)[1]) == 12 * 70 * 28 - 5


def test_groups_are_drawn_whole() -> None:
    values = np.array([0.0, 0.0, 0.0, 1.0])
    one = statistics.bootstrap(values)
    two = statistics.bootstrap(values, groups=["a", "a", "a", "b"])
    assert one["mean"] == two["mean"] == 0.25
    assert (two["low"], two["high"]) == (0.0, 1.0), "a talker alone, or the other"
    assert one["high"] < 1.0
    assert statistics.bootstrap(np.append(values, np.nan), groups=[*"aaabc"]) == two
