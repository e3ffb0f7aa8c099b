"""Distances over shifts: sign, edges, [Agrawal]'s numbers, accuracy by length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from syncnet_lib.model import scoring


def embeddings(n: int, offset: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Lips and sound of a clip whose sound is ahead by `offset` frames."""
    both = np.random.default_rng(seed).normal(size=(n + 2 * abs(offset), 16)).astype(np.float32)
    start = abs(offset)
    return both[start : start + n], both[start + offset : start + offset + n]


@given(st.integers(-10, 10), st.integers(40, 80), st.sampled_from(["mask", "zero"]))
def test_sign_audio_ahead_is_positive(offset, n, edges):
    video, audio = embeddings(n, offset)
    # Ahead by k: what the lips do in window n was heard in window n - k.
    if offset > 0:
        np.testing.assert_array_equal(video[offset], audio[0])
    means = scoring.mean_distances(scoring.shift_distances(video, audio, 15, edges))
    assert scoring.offset(means) == offset
    assert scoring.confidence(means) > 1


def test_shapes_of_the_seeds_example():
    video, audio = embeddings(894, 3)
    distances = scoring.shift_distances(video, audio, vshift=10)
    means = scoring.mean_distances(distances)
    assert distances.shape == (894, 21)
    assert means.shape == (21,)
    assert int(np.argmin(means)) == 7
    assert scoring.offset(means) == 3
    assert scoring.frame_confidence(distances).shape == (894,)


def test_confidence_of_single_windows_is_a_running_median():
    video, audio = embeddings(60, 3)
    distances = scoring.shift_distances(video, audio, 10)
    single = scoring.frame_confidence(distances)
    assert np.isnan(single[:3]).all(), "what is said there was heard before the clip began"
    assert np.isfinite(single[3:]).all()
    means = scoring.mean_distances(distances)
    raw = np.nanmedian(means) - distances[:, 7]
    np.testing.assert_allclose(single[20], np.median(raw[16:25]), rtol=1e-6)
    np.testing.assert_allclose(single[-1], np.median(raw[-5:]), rtol=1e-6)


def test_masked_and_zero_edges_differ_only_at_the_edges():
    video, audio = embeddings(40, 0)
    masked = scoring.shift_distances(video, audio, 5)
    zero = scoring.shift_distances(video, audio, 5, "zero")
    inside = ~np.isnan(masked)
    assert (~inside).sum() == 2 * sum(range(1, 6))
    np.testing.assert_array_equal(masked[inside], zero[inside])
    np.testing.assert_allclose(
        zero[~inside], np.linalg.norm(np.repeat(video, 11, 0).reshape(40, 11, 16)[~inside], axis=1)
    )


def test_mean_ignores_what_is_masked():
    distances = np.array([[np.nan, 1, np.nan, 2], [3, 1, np.nan, np.nan], [5, 4, np.nan, np.nan]], np.float32)
    everything = 16 / 6
    expected = [
        everything + (4 - everything) * (2 / 3) ** 0.5,
        2,
        np.nan,
        everything + (2 - everything) * (1 / 3) ** 0.5,
    ]
    np.testing.assert_allclose(scoring.mean_distances(distances), expected, rtol=1e-6)
    assert np.isnan(scoring.mean_distances(np.full((2, 3), np.nan))).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(2, 12))
def test_means_are_plain_where_nothing_is_masked(seed, windows, shifts):
    distances = np.random.default_rng(seed).uniform(0, 2, (windows, shifts)).astype(np.float32)
    np.testing.assert_array_equal(scoring.mean_distances(distances), distances.sum(axis=0) / np.float32(windows))


def test_chance_reaches_equally_low_at_every_shift():
    """Unrelated lips and sound of 1 s: the least plain mean is one of the four outermost shifts twice as often as four
    others, the least even mean hardly more often."""
    rng = np.random.default_rng(0)
    plain, even = [], []
    for _ in range(400):
        video, audio = rng.normal(size=(2, 20, 16)).astype(np.float32)
        distances = scoring.shift_distances(video, audio, 14)
        plain.append(np.nanargmin(np.nanmean(distances, axis=0)))
        even.append(np.nanargmin(scoring.mean_distances(distances)))
    ends = [np.isin(found, (0, 1, 27, 28)).mean() for found in (plain, even)]
    assert ends[0] > 2 * 4 / 29
    assert ends[1] < 1.5 * 4 / 29


def test_confidence_is_median_less_minimum():
    assert scoring.confidence(np.array([5.0, 1.0, 4.0, 3.0, 6.0])) == 3.0


@given(st.integers(0, 2**32 - 1))
def test_auc_is_that_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    genuine, false = rng.integers(0, 6, 20).astype(float), rng.integers(2, 9, 30).astype(float)
    label = np.r_[np.ones(20), np.zeros(30)]
    assert scoring.roc_auc(genuine, false) == pytest.approx(roc_auc_score(label, -np.r_[genuine, false]))


def test_accuracy_by_length_grows_with_noise_averaged_out():
    rng = np.random.default_rng(0)
    distances, truths = [], []
    for truth in (0, 2, -4, 0):
        video, audio = embeddings(70, truth, seed=truth + 9)
        noisy = audio + rng.normal(0, 2.0, audio.shape).astype(np.float32)
        distances.append(scoring.shift_distances(video, noisy))
        truths.append(truth)
    figures = scoring.summarise(distances, truths)
    by_frames = figures["accuracy_by_frames"]
    assert list(by_frames) == ["5", "7", "9", "11", "13", "15"]
    assert by_frames["5"] < by_frames["9"] < by_frames["15"]
    assert figures["clip_accuracy"] == 1.0
    assert figures["clips"] == 4
    assert figures["windows"] == 280
    assert scoring.summarise(distances, [truth + 5 for truth in truths])["clip_accuracy"] == 0.0


def test_within_one_frame_counts():
    distances = np.ones((30, 31), np.float32)
    distances[:, 14] = 0  # offset +1
    assert scoring.right_at(distances, 5, 0).all()
    assert scoring.right_at(distances, 5, 2).all()
    assert not scoring.right_at(distances, 5, 3).any()


def test_a_clip_shorter_than_the_stretch_gives_none():
    assert len(scoring.right_at(np.ones((3, 31), np.float32), 15)) == 0
