"""The filter by distance."""

import numpy as np
import pandas as pd
import pytest
import torch

from syncnet_lib.errors import InputError
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.training import filtering
from syncnet_lib.training.filtering import FilterSettings
from tests import packed


def distances() -> pd.DataFrame:
    return pd.DataFrame(
        {"clip_id": ["a"] * 3 + ["b"] * 2, "window": [0, 1, 2, 0, 1], "distance": [0.1, 0.9, 0.5, 1.2, 1.3]}
    )


def test_over_the_threshold_is_rejected_and_at_it_kept():
    verdict = filtering.judge(distances(), FilterSettings(threshold=0.5))
    assert verdict.kept.tolist() == [True, False, True, False, False]
    assert filtering.summarise(verdict) == {
        "positives": 5, "kept": 2, "kept_share": 0.4, "clips": 2, "clips_emptied": 1,
    }  # fmt: skip
    assert filtering.per_clip(verdict).index.tolist() == ["b", "a"]


def test_a_threshold_that_keeps_nothing_is_one_line():
    with pytest.raises(InputError, match=r"filter\.threshold: no positive is within 0\.05 \(they run from 0\.100"):
        filtering.judge(distances(), FilterSettings(threshold=0.05))


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
