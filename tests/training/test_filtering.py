"""The filter by distance."""

import numpy as np
import pandas as pd
import pytest
import torch

from syncnet_lib.errors import InputError
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.training import filtering
from syncnet_lib.training.settings import FilterSettings
from tests import packed


def distances() -> pd.DataFrame:
    return pd.DataFrame(
        {"clip_id": ["a"] * 3 + ["b"] * 2, "window": [0, 1, 2, 0, 1], "distance": [0.1, 0.9, 0.5, 1.2, 1.3]}
    )


def test_over_the_threshold_is_rejected_and_at_it_kept():
    verdict = filtering.judge(distances(), FilterSettings(threshold=0.5, context=1))
    assert verdict.kept.tolist() == [True, False, True, False, False]
    assert filtering.summarise(verdict) == {
        "positives": 5, "kept": 2, "kept_share": 0.4, "clips": 2, "clips_emptied": 1,
    }  # fmt: skip
    assert filtering.per_clip(verdict).index.tolist() == ["b", "a"]


def test_a_threshold_that_keeps_nothing_is_one_line():
    with pytest.raises(InputError, match=r"filter\.threshold: no positive is within 0\.05 \(they run from 0\.100"):
        filtering.judge(distances(), FilterSettings(threshold=0.05, context=1))


def test_context_averages_within_a_clip_and_never_over_its_end():
    verdict = filtering.judge(distances(), FilterSettings(threshold=0.6, context=3))
    assert verdict.evidence.round(3).tolist() == [0.5, 0.5, 0.7, 1.25, 1.25]
    assert verdict.kept.tolist() == [True, True, False, False, False]


def test_every_positive_is_measured():
    torch.manual_seed(0)
    model, split = SyncNet("small").eval(), packed.split([20, 30])
    table = filtering.positive_distances(model, split, progress=False)
    assert table.groupby("clip_id").size().tolist() == [15, 25]
    assert np.isfinite(table.distance).all()
    assert (table.distance <= 2).all()


def test_a_quantile_keeps_its_share_and_a_false_accept_rate_lets_its_share_pass():
    rng = np.random.default_rng(0)
    positives, negatives = rng.normal(0.6, 0.1, 1000), rng.normal(1.2, 0.1, 1000)
    threshold = filtering.find_threshold("quantile", 0.8, positives, negatives)
    assert (positives <= threshold).mean() == pytest.approx(0.8, abs=0.001)
    threshold = filtering.find_threshold("far", 0.05, positives, negatives)
    assert (negatives <= threshold).mean() == pytest.approx(0.05, abs=0.001)
    assert filtering.find_threshold("fixed", 0.97, positives, negatives) == 0.97
    with pytest.raises(InputError, match=r"filter\.threshold: 1\.5 is no share"):
        filtering.find_threshold("quantile", 1.5, positives, negatives)


# A fit to a sample is right most of the time and not always: fixed samples, not a search for the unlucky one.
@pytest.mark.parametrize("seed", range(20))
def test_a_mixture_finds_where_two_groups_meet(seed):
    rng = np.random.default_rng(seed)
    noise, apart, count = rng.uniform(0.05, 0.6), rng.uniform(5, 12), 600
    far = rng.random(count) < noise
    positives = np.where(far, rng.normal(0.6 + 0.1 * apart, 0.1, count), rng.normal(0.6, 0.1, count))
    found = filtering.fit_mixture(positives)
    assert found.means[0] < found.crossing < found.means[1]
    assert ((positives > found.crossing) == far).mean() > 0.97
    assert found.shares[1] == pytest.approx(far.mean(), abs=0.05)
    assert filtering.find_threshold("mixture", 0.0, positives, positives) == found.crossing


@pytest.mark.parametrize("seed", range(10))
def test_one_group_is_not_torn_apart(seed):
    positives = np.random.default_rng(seed).normal(0.6, 0.1, 300)
    with pytest.raises(InputError, match=r"filter\.method: the distances are one group"):
        filtering.fit_mixture(positives)


def test_too_few_distances_for_a_mixture_are_one_line():
    with pytest.raises(InputError, match="too few"):
        filtering.fit_mixture(np.array([0.5, 0.5, 0.9]))
