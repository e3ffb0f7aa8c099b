"""Offsets below a frame: where a known valley lies, how often the interval holds it, and stretches put together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncnet_lib.measurement import fine

SHIFTS = 31


def valley(ms: float, windows: int, noise: float, seed: int = 0) -> np.ndarray:
    """Distances at steps of 10 ms with the least one at an offset; noise that neighbours of 50 ms share, of each window
    and of the four after it."""
    at = (SHIFTS // 2) * 40 - 10 * np.arange(SHIFTS * fine.PHASES)
    drawn = np.random.default_rng(seed).normal(0, noise, (windows + 4, len(at) + 4))
    own = np.sum([drawn[n : n + windows, m : m + len(at)] for n in range(5) for m in range(5)], axis=0) / 5
    return (1.3 - 0.35 * np.exp(-0.5 * ((at - ms) / 50) ** 2) + own).astype(np.float32)


def rows(distances: np.ndarray, first: int = 0) -> fine.Rows:
    made = fine.Rows.empty(first, len(distances), SHIFTS)
    made.add(first, distances)
    return made


@given(st.floats(-500, 500))
def test_a_valley_is_found_where_it_is(ms):
    found = fine.estimate([rows(valley(ms, 50, 0.0))], [1.0], round(ms / 40))
    assert found.ms == pytest.approx(ms, abs=1.5)
    assert found.low <= found.ms <= found.high


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    covered, widths = [], []
    for seed in range(150):
        ms = 37.0 + seed / 10
        found = fine.estimate([rows(valley(ms, 100, 0.25, seed))], [1.0], round(ms / 40))
        covered.append(found.low <= ms <= found.high)
        widths.append(found.high - found.low)
    assert 0.88 <= np.mean(covered) <= 0.99
    assert 4 < np.median(widths) < 70


def test_pieces_make_the_same_rows():
    distances = valley(12.0, 63, 0.2)
    distances[:7, -20:] = np.nan
    whole, pieces = rows(distances, 13), fine.Rows.empty(13, 63, SHIFTS)
    for start in range(0, 63, 9):
        pieces.add(13 + start, distances[start : start + 9])
    np.testing.assert_allclose(pieces.sums, whole.sums, rtol=1e-6)
    np.testing.assert_array_equal(pieces.counts, whole.counts)
    assert whole.counts.max() == fine.BLOCK
    assert whole.counts[:, 0].sum() == 63
    assert whole.counts[:, -1].sum() == 63 - 7


def test_a_stretch_has_its_own_offset():
    both = rows(np.concatenate([valley(-120, 100, 0.1), valley(165, 100, 0.1)]))
    assert fine.estimate([both], [1.0], -3, 0, 20).ms == pytest.approx(-120, abs=8)
    assert fine.estimate([both], [1.0], 4, 20).ms == pytest.approx(165, abs=8)


@pytest.mark.parametrize("ms", [-600, 600])
def test_the_end_of_the_search_is_no_error(ms):
    found = fine.estimate([rows(valley(ms, 50, 0.05))], [1.0], ms // 40)
    assert found.ms == pytest.approx(ms, abs=40)


def test_shifts_without_sound_are_left_out():
    distances = valley(80, 50, 0.0)
    distances[:, : 15 * fine.PHASES - 10] = np.nan
    assert fine.estimate([rows(distances)], [1.0], 2).ms == pytest.approx(80, abs=20)
