"""Offsets of seconds: the coarse distances, what counts as a rival, and real faces with their sound far off."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.far import Bench, led
from syncnet_lib.measurement import far
from syncnet_lib.measurement.stream import FAR


def test_coarse_distances_are_those_of_every_fourth_window():
    rng = np.random.default_rng(0)
    lips = rng.normal(size=(9, 5)).astype(np.float32)
    audio = rng.normal(size=(9 + 2 * FAR, 5)).astype(np.float32)
    audio[:30] = np.nan
    found = far._distances(lips[:: far.STRIDE], audio)
    wanted = np.stack([np.linalg.norm(lips[n] - audio[n : n + far.SHIFTS], axis=1) for n in (0, 4, 8)])
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def means(depths: dict[int, float]) -> np.ndarray:
    """A curve over all shifts with valleys at some offsets."""
    at = FAR - np.arange(far.SHIFTS)
    noise = np.random.default_rng(0).normal(0, 0.01, far.SHIFTS)
    return 1.3 + noise - sum(depth * np.exp(-0.5 * ((at - offset) / 1.2) ** 2) for offset, depth in depths.items())


@given(st.integers(-FAR, FAR))
def test_a_single_valley_is_the_candidate(offset):
    found = far.candidate(means({offset: 0.4}))
    assert found == far.Candidate(offset, ())


def test_what_fits_nearly_as_well_is_a_rival():
    assert far.candidate(means({-50: 0.4, 25: 0.36})).rivals == (25,)
    assert far.candidate(means({-50: 0.4, 25: 0.2})).rivals == ()
    assert far.candidate(means({-50: 0.4, -45: 0.36})).rivals == (), "the same valley"


def test_shifts_without_sound_are_no_candidates():
    curve = means({100: 0.4})
    curve[:80] = np.nan
    assert far.candidate(curve).offset == 100


@pytest.mark.parametrize("ahead", [-50, -20, 30])
def test_real_faces_find_their_sound_seconds_away(real_clips, ahead):
    bench = Bench("small")
    clips = sorted((real_clips / "grid_s1").iterdir())[:80:10]
    seen, sound = bench.group(clips)
    found, _ = bench.measure(clips[0], seen, led(sound, ahead, bench.settings.vshift + FAR))
    assert found.sureness == "sure", found.verdict
    assert found.offset_frames == pytest.approx(ahead, abs=1)
    assert found.offset_ms == pytest.approx(40 * ahead, abs=40)
    assert found.segments[0].offset_frames == found.offset_frames
    assert any("found by a search of ±10 s" in warning for warning in found.warnings)


@pytest.mark.parametrize("ahead", [-15, 15])
def test_an_offset_at_the_end_of_the_search_needs_no_more_than_others(real_clips, ahead):
    bench = Bench("small")
    clips = sorted((real_clips / "grid_s1").iterdir())[:1]
    seen, sound = bench.group(clips)
    found, _ = bench.measure(clips[0], seen, led(sound, ahead, bench.settings.vshift + FAR))
    assert found.sureness == "sure", found.verdict
    assert found.offset_ms == pytest.approx(40 * ahead, abs=40)
    assert any("no offset within ±10 s fits better" in warning for warning in found.warnings)
