"""Verdicts are compared with the truth, or their purity estimated without it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncnet_lib.experiment import known_noise


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "clip_id": list("abcdef"),
            "verdict": ["kept", "kept", "off-sync", "off-sync", "kept", "dubbed"],
            "fine": [0.0, 0.0, 5.25, 3.0, 0.0, 0.0],
            "kind": ["clean", "clean", "shifted", "shifted", "dubbed", "clean"],
            "true_offset": [0.0, 0.0, 5.0, 9.0, np.nan, 0.0],
        }
    )


def test_precision_recall_and_repair():
    found = known_noise.agreement(table())
    assert found["precision"]["mean"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["recall"]["mean"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["recall"]["low"] < 2 / 3 < found["recall"]["high"]
    assert found["repaired_within_1"] == 0.5
    assert known_noise.group(table()).tolist() == ["genuine"] * 2 + ["noisy"] * 3 + ["genuine"]
    assert known_noise.sentence(found).startswith("Of the clips that are kept 66.7% (95 %: ")


@settings(max_examples=30)  # each is a bootstrap over 4,000 clips
@given(st.floats(0.05, 0.6), st.floats(0.01, 0.3), st.integers(0, 99))
def test_purity_is_estimated_from_what_was_rejected(noise, accepts, seed):
    rng = np.random.default_rng(seed)
    spoilt = rng.random(4000) < noise
    kept = ~spoilt | (rng.random(4000) < accepts)
    clips = pd.DataFrame({"verdict": np.where(kept, "kept", "dubbed")})
    found = known_noise.purity(clips, accepts, seed)
    assert found["low"] <= found["mean"] <= found["high"]
    assert found["mean"] == pytest.approx((~spoilt)[kept].mean(), abs=0.04)
    assert "genuine by estimate" in known_noise.sentence({"purity": found})


def test_real_videos_have_no_truth(tmp_path):
    assert known_noise.beside(table()[["clip_id", "verdict"]], pd.DataFrame(), tmp_path) is None
