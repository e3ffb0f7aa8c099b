"""Points are computed once, found again, and not lost when another one fails."""

import json
from pathlib import Path

import numpy as np
import pytest

from syncnet_lib.errors import InputError
from syncnet_lib.experiment import loss_report, loss_study, refine_report, refine_study
from syncnet_lib.experiment.points import Study


def doubled(corpora: Path, device: str, *, corpus: str, number: int) -> dict:
    if number == 3:
        raise ValueError("three is refused")
    return {"twice": 2 * number}


@pytest.fixture
def study(tmp_path):
    (tmp_path / "corpora").mkdir()
    for name in ("c.npz", "c.mp4"):
        (tmp_path / "corpora" / name).write_bytes(b"a corpus")
    return Study("toy", doubled, "model.scoring", tmp_path / "corpora", tmp_path / "points")


def points(*numbers: int) -> list[dict]:
    return [{"corpus": "c", "number": number} for number in numbers]


def test_a_point_is_computed_once_and_a_failing_one_costs_no_other(study):
    first = list(study.compute(points(1, 2), "cpu", 1))
    assert sorted(figures["twice"] for _, figures, _ in first) == [2, 4]
    assert all(computed for *_, computed in first)
    with pytest.raises(Exception, match=r"toy .*'number': 3.*three is refused"):
        list(study.compute(points(1, 2, 3, 4), "cpu", 1))
    again = list(study.compute(points(1, 2, 4), "cpu", 1))
    assert not any(computed for *_, computed in again)
    kept = json.loads(study.path(points(4)[0]).read_text())
    assert (kept["figures"], kept["device"]) == ({"twice": 8}, "cpu")


def test_other_data_are_other_points(study):
    before = study.path(points(1)[0])
    (study.corpora / "c.mp4").write_bytes(b"another")
    assert study.path(points(1)[0]) != before
    with pytest.raises(InputError, match="no such corpus"):
        study.path({"corpus": "d"})


def noisy_point(share: float, precision: float, gained: float) -> dict:
    k5 = {"noisy": [0.4, 0.5], "refined": [0.4 + gained, 0.5 + gained], "repaired": [0.4 + gained, 0.5 + gained]}
    judged = {"precision": precision, "recall": 0.95, "rejected": share, "verdicts": {}}
    judged |= {"repaired_within_1": 1.0 if share else None, "repair_error_ms": [0.0, 10.0] if share else []}
    return {"rounds": [judged], "k5": k5, "k15": k5}


def test_the_refinement_is_summed_up_in_the_form_that_is_kept():
    found = []
    for seed in (0, 1):
        for share, gained in ((0.0, 0.0), (0.3, 0.06)):
            point = noisy_point(share, 0.98, gained)
            if not share:
                point["k5"] = {name: [0.5, 0.6] for name in point["k5"]}  # clean clips: a tenth more
            found.append(({"corpus": "synthetic", "share": share, "seed": seed}, point))
    summary = refine_report.summarise(found)
    assert set(summary) == {"noise"}
    each = summary["noise"]["0.3"]
    assert each["k5"] == {"noisy": [0.45] * 2, "refined": [0.51] * 2, "repaired": [0.51] * 2, "clean": [0.55] * 2}
    assert (each["precision"], each["recall"], each["repaired_within_1"], each["repair_error_ms"]) == (
        0.98,
        0.95,
        1.0,
        5.0,
    )
    assert each["gain5"]["clean"]["mean"] == pytest.approx(0.1)
    claims = refine_report.claims(summary)
    assert claims == dict.fromkeys(claims, True)
    assert "60% of what clean clips would gain" in refine_report.conclude(summary)
    assert refine_report.table(summary).loc[("synthetic", "0.3"), "K=5 refined"] == "51.0% ± 0.0%"


def test_the_losses_are_summed_up_in_the_form_that_is_kept():
    found = [
        (
            {"loss": name, "seed": seed},
            {
                "curve": [[40, 0.7, 0.5, 0.1], [80, 0.6, 0.5 + rise, 0.2]],
                "left_chance_at_step": 80 if rise > 0.05 else None,
                "k5": [0.2, 0.4], "k15": [rise, rise], "by_frames": {"5": 0.3, "15": rise},
            },
        )
        for name, rise in (("binary cross-entropy", 0.01), ("binary, lr 0.008", 0.2), ("multi-way matching", 0.3))
        for seed in (0, 1)
    ]  # fmt: skip
    summary = loss_report.summarise(found)
    assert summary["losses"]["binary cross-entropy"]["left_chance_at_step"] == [None, None]
    assert summary["losses"]["multi-way matching"]["k15"] == [0.3, 0.3]
    text = loss_report.conclude(summary)
    assert text.startswith("Of the losses multi-way matching is best at K = 15 (30.0%).")
    assert "do not leave chance: binary cross-entropy" in text
    assert "binary, lr 0.008 +19.0% ± 0.0%" in loss_report.what_helps(summary)
    assert loss_report.table(summary).loc["binary cross-entropy", "leaves chance at step"] == "never, never"
    assert loss_report.by_length(summary).loc["multi-way matching", "15"] == 30.0


def test_chance_is_left_where_it_is_not_met_again():
    rows = [[step, 0.0, auc, 0.0] for step, auc in ((40, 0.6), (80, 0.5), (120, 0.56), (160, 0.7))]
    assert loss_study.left_chance(rows) == 120
    assert loss_study.left_chance(rows[:2]) is None


def test_a_study_without_figures_says_so():
    assert refine_report.conclude(refine_report.summarise([])) == refine_report.NONE
    assert loss_report.conclude(loss_report.summarise([])) == loss_report.NONE
    assert loss_report.what_helps({"losses": {}}) == ""
    assert loss_report.by_length({"losses": {}}).empty


def test_clean_clips_may_not_be_measured_yet():
    found = [({"corpus": "synthetic", "share": 0.3, "seed": 0}, noisy_point(0.3, 0.98, 0.06))]
    summary = refine_report.summarise(found)
    assert "clean" not in summary["noise"]["0.3"]["k5"]
    assert "clean clips not measured" in refine_report.conclude(summary)
    assert not any("clean" in claim for claim in refine_report.claims(summary))


def test_points_name_all_that_decides_them():
    assert len(refine_study.POINTS) == 24
    assert refine_study.POINTS[0]["share"] == 0.3, "the share of the claims first"
    assert len({json.dumps(point) for point in loss_study.POINTS}) == len(loss_study.LOSSES) * len(loss_study.SEEDS)
    assert set(loss_study.MAIN) <= set(loss_study.LOSSES)
    assert np.isfinite([each.lr for each in loss_study.LOSSES.values()]).all()
