"""The filter by distance."""

import numpy as np
import pandas as pd
import pytest

from syncnet_lib.errors import InputError
from syncnet_lib.training import filtering
from syncnet_lib.training.settings import FilterSettings


def test_what_is_kept_is_counted():
    windows = pd.DataFrame(
        {
            "clip_id": ["a"] * 3 + ["b"] * 2,
            "distance": [0.1, 0.9, 0.5, 1.2, 1.3],
            "kept": [True, False, True, False, False],
        }
    )
    assert filtering.summarise(windows) == {
        "positives": 5, "kept": 2, "kept_share": 0.4, "clips": 2, "clips_emptied": 1,
    }  # fmt: skip
    assert filtering.per_clip(windows).index.tolist() == ["b", "a"]


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"method": "far", "threshold": 1.5}, "threshold 1.5 is no share between 0 and 1"),
        ({"method": "fixed", "threshold": 0.0}, "keeps nothing"),
        ({"folds": 1}, "folds 1 leaves nothing to train on"),
        ({"unit": "window", "repair": True}, "a single window does not tell an offset"),
    ],
)
def test_settings_that_do_not_go_together_are_one_line(values, cause):
    with pytest.raises(InputError, match=f"^params.yaml: filter: .*{cause}"):
        FilterSettings.parse(values, "params.yaml: filter")


def test_choices_are_compared_with_the_truth():
    rng = np.random.default_rng(0)
    genuine = np.arange(300) < 200
    positives = np.where(genuine, rng.normal(0.5, 0.05, 300), rng.normal(1.2, 0.05, 300))
    table = filtering.choices(positives, rng.normal(1.2, 0.05, 5000), genuine)
    assert table.method.tolist() == [method for method, _ in filtering.CHOICES]
    assert table.recall[table.method == "mixture"].item() == 1.0
    assert table.precision[table.method == "mixture"].item() == 1.0
    one_group = filtering.choices(positives[:200], positives)
    assert "mixture" not in set(one_group.method)
    assert "precision" not in one_group


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
