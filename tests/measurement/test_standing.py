"""A minimum that chance could make is told from one that the whole video agrees on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncnet_lib.measurement import standing
from syncnet_lib.model import scoring

SHIFTS = 2 * scoring.VSHIFT + 1


def distances(offset: int, windows: int = 80, depth: float = 0.3, seed: int = 0) -> np.ndarray:
    """(windows, 31) float32: noise around 1, deeper at an offset."""
    found = np.random.default_rng(seed).normal(1, 0.1, (windows, SHIFTS)).astype(np.float32)
    found[:, scoring.VSHIFT - offset] -= depth
    return found


def doubt(*tracks: np.ndarray) -> str:
    return standing.doubt(tracks, [1.0] * len(tracks), scoring.offset(scoring.mean_distances(np.concatenate(tracks))))


@given(st.integers(-scoring.VSHIFT, scoring.VSHIFT), st.integers(60, 300), st.integers(0, 99))
def test_what_all_moments_agree_on_stands(offset, windows, seed):
    assert doubt(distances(offset, windows, seed=seed)) == ""


@given(st.integers(-scoring.VSHIFT, scoring.VSHIFT), st.integers(3, scoring.VSHIFT))
def test_a_second_minimum_of_half_the_depth_is_a_doubt(offset, apart):
    other = offset + apart if offset + apart <= scoring.VSHIFT else offset - apart
    found = distances(offset)
    found[:, scoring.VSHIFT - other] -= 0.2
    assert doubt(found) == "another offset fits nearly as well"


def test_what_a_single_moment_says_is_a_doubt():
    found = distances(4, depth=0.0)
    found[20:30, scoring.VSHIFT - 4] -= 0.9  # as deep in the mean as 0.11 throughout
    assert doubt(found) == "moments of it say other offsets"
    assert doubt(distances(4, depth=0.11)) == ""


def test_tracks_count_by_their_weight_and_masked_shifts_do_not():
    one, other = distances(3), distances(-6, seed=1)
    assert standing.doubt([one, other], [1.0, 0.01], 3) == ""
    assert standing.doubt([one, other], [1.0, 1.0], 3)
    masked = one.copy()
    masked[:, : scoring.VSHIFT - 3] = np.nan
    assert standing.doubt([masked], [1.0], 3) == ""


@pytest.mark.parametrize("windows", [1, 9, 11])
def test_few_windows_are_no_error(windows):
    doubt(distances(2, windows))
