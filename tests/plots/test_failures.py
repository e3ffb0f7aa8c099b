import numpy as np
import pandas as pd

from syncnet_lib.plots import failures, page, tables
from tests.plots.examples import CURVE, has_units, text


def test_gallery() -> None:
    rows = [
        {"clip_id": str(n), "right": n > 0, "offset": n, "truth": 0, "confidence": 0.5, "means": CURVE}
        for n in range(6)
    ]
    figure = failures.gallery(pd.DataFrame(rows), [np.zeros((20, 30, 3), np.uint8)] * 6)
    assert "The 6 worst clips: 1 placed wrong, 5 right but least sure" in text(figure)
    assert "+3, truly +0; confidence 0.50" in text(figure)
    page.png(figure)


def test_calibration() -> None:
    own = pd.DataFrame({"seconds": [1] * 9 + [3], "confidence": 0.1, "right": [True, False, True] * 3 + [True]})
    figure = failures.calibration(own)
    assert "Placed right: 67% with 1 s, 100% with 3 s of speech" in text(figure)
    assert has_units(figure)
    failures.calibration(own[:0])
    row = {"stretches": 9, "right": 2 / 3, "confidence": 0.12345, "above": 0.5, "mixed": None}
    assert tables.calibration({"1": row}).loc["1 s"].tolist() == [9, "66.7", "0.123", "50.0", "–"]
