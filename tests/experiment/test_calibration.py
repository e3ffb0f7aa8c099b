import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncnet_lib.experiment import calibration


def verdict(clip_id: str, truth: int, depth: float, windows: int = 71, speech: int | None = None) -> dict:
    """A clip whose distance is lower by `depth` at its true offset, and that speaks in its first `speech` frames."""
    distances = np.ones((windows, 31), np.float32)
    distances[:, 15 - truth] -= depth
    spoken = None if speech is None else np.arange(windows + 4) < speech
    return {"clip_id": clip_id, "truth": truth, "distances": distances, "speech": spoken}


def test_speech_of_a_talker_is_put_together() -> None:
    clips = pd.DataFrame([verdict("a", 0, 0.5), verdict("b", 4, 0.5), verdict("c", -2, 0.3, speech=40)])
    found = calibration.stretches(clips, {"a": "anna", "b": "anna", "c": "carl"})
    assert found.right.all()
    counts = found.seconds.value_counts().to_dict()
    assert counts == {1: (142 - 25) // 5 + 1 + (38 - 25) // 5 + 1, 3: (142 - 75) // 15 + 1}
    assert sorted(found.confidence.round(4).unique()) == [0.3, 0.5]


def test_the_confidence_from_which_95_percent_are_right() -> None:
    own = pd.DataFrame({"seconds": 1, "confidence": np.arange(1, 101) / 100, "right": np.arange(1, 101) > 10})
    swapped = pd.DataFrame({"seconds": 1, "confidence": np.arange(1, 101) / 200, "right": False})
    row = calibration.summary(own, swapped)["1"]
    assert row["stretches"] == 100
    assert row["right"] == 0.9
    assert row["confidence"] == pytest.approx(0.07), "90 of the 94 surest are right"
    assert row["above"] == 0.94
    assert row["mixed"] == pytest.approx(0.495), "51 right, 2 false"
    none = calibration.summary(own.assign(right=False), swapped)
    assert none["1"]["confidence"] is None
    assert none["10"]["stretches"] == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_what_is_reached_is_right_often_enough(rows: list[tuple[float, bool]]) -> None:
    confidence, right = (np.array(side, float) for side in zip(*rows, strict=True))
    level = calibration.needed(confidence, right, np.ones(len(rows)))
    levels = [each for each in confidence if right[confidence >= each].mean() >= calibration.WANTED]
    assert level == (min(levels) if levels else None)
