import numpy as np

from syncnet_lib.plots import tables
from tests.plots.examples import METRICS


def test_comparison_and_controls() -> None:
    table = tables.comparison(METRICS)
    assert table.index.tolist() == ["base", "refined"]
    assert table.loc["base", "K=15 (%)"] == "90.0"
    assert table.loc["refined", "whole clip (%)"] == "100.0 (90–100)"
    controls = tables.controls(METRICS)["whole clip (%)"]
    assert controls["no learning: mouth aperture against loudness"] == 70.0
    assert controls["base, another clip's audio"] == 10.0


def test_the_verdict_claims_no_more_than_its_interval() -> None:
    assert "changed less than these clips can tell" in tables.verdict(METRICS)
    assert "+3.0 points, 95 % interval over 20 clips -1.0 to +7.0" in tables.verdict(METRICS)
    assert " helped:" in tables.verdict({**METRICS, "gain": {"mean": 0.03, "low": 0.01, "high": 0.07}})
    assert " harmed:" in tables.verdict({**METRICS, "gain": {"mean": -0.03, "low": -0.07, "high": -0.01}})


def test_shapes_of_arrays() -> None:
    table = tables.shapes(mfcc=np.zeros((20, 13), np.float32))
    assert table.loc["mfcc"].tolist() == ["20 × 13", "float32 0 to 0"]
