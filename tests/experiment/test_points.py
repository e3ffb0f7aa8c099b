"""Points are computed once, found again, and not lost when another one fails."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from syncnet_lib.errors import InputError
from syncnet_lib.experiment import loss_report, loss_study, refine_report, refine_study, talkers_report, talkers_study
from syncnet_lib.experiment.points import Study
from syncnet_lib.plots import studies as plots
from tests import packed


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
    first = []
    with pytest.raises(Exception, match=r"toy .*'number': 3.*three is refused"):
        first.extend(study.compute(points(1, 2, 3, 4), "cpu", 1))
    assert sorted(figures["twice"] for _, figures, _ in first) == [2, 4, 8]
    assert all(computed for *_, computed in first)
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


def test_a_smaller_number_of_talkers_is_among_a_greater_one():
    names = np.repeat([*(f"s{number:03d}" for number in range(8)), talkers_study.REAL], 4)
    index = pd.DataFrame({"speaker": names})
    chosen = {count: talkers_study.choose(index, count, 3, False, seed=1) for count in (1, 3, 8)}
    assert [int(each.sum()) for each in chosen.values()] == [3, 9, 24]
    assert not (chosen[1] & ~chosen[3]).any()
    assert not (chosen[3] & ~chosen[8]).any()
    with_real = talkers_study.choose(index, 1, 3, True, seed=1)
    assert set(names[with_real]) == {*names[chosen[1]], talkers_study.REAL}
    assert with_real.sum() == 3 + 4


def test_some_clips_of_a_split_are_as_they_were():
    split = packed.split([30, 40, 35])
    part = talkers_study.subset(split, np.array([True, False, True]))
    assert part.index.clip_id.tolist() == split.index.clip_id[[0, 2]].tolist()
    np.testing.assert_array_equal(part.frames, split.frames[[*range(30), *range(70, 105)]])
    np.testing.assert_array_equal(part.mfcc[0], np.concatenate([split.mfcc[0, :120], split.mfcc[0, 280:]]))
    assert part.kept.sum() == split.kept.sum() - split.windows[1]
    assert part.starts.tolist() == [0, 30]


def test_the_curve_over_talkers_says_what_is_more_than_the_seeds_spread():
    def figures(k15: float) -> dict:
        measured = {"k5": [k15 / 2] * 4, "k15": [k15] * 4, "whole": [1.0] * 4, "talker": ["a", "a", "b", "c"]}
        return {"clips": 21, **dict.fromkeys(talkers_study.TESTS, measured)}

    each = {"corpus": "talkers", "clips": talkers_study.EVERY_CLIP, "real": False, "steps": 9}
    found = [
        ({**each, "talkers": talkers, "seed": seed}, figures(k15 + 0.02 * seed))
        for seed in (1, 0)
        for talkers, k15 in ((96, 0.7), (1, 0.3))
    ]
    found.append(({**each, "talkers": 96, "real": True, "seed": 0}, figures(0.8)))
    summary = talkers_report.summarise(found)
    assert [(row["talkers"], row["real"]) for row in summary] == [(1, False), (96, False), (96, True)]
    assert summary[0]["strangers"]["k15"]["by_seed"] == [0.3, 0.32]
    rows = talkers_report.curve(summary)
    assert talkers_report.finding(rows) == "GRID strangers at K = 15 after 9 steps: 31% from 1 talker, 71% from 96"
    assert "GRID strangers: K = 15 goes from 31.0% with 1 talker to 71.0% with 96" in talkers_report.conclude(summary)
    assert talkers_report.expected(summary) == [(1, 0.155), (96, 0.355)]
    assert list(talkers_report.table(summary).index) == [("1 drawn", 21), ("96 drawn", 21), ("96 drawn, talker 1", 21)]
    assert talkers_report.table([]).empty
    assert talkers_report.conclude([]) == talkers_report.finding([]) == talkers_report.NONE
    figure = plots.over_talkers(rows, talkers_report.NAMES, talkers_report.finding(rows))
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["1", "96"]


def test_a_point_over_talkers_trains_and_measures(tmp_path, monkeypatch):
    people = {"train": ["s0", "s1"] * 16, "apart": ["p"] * 3, "strangers": ["p", "q"], "television": ["p", "q"] * 4}
    splits = {name: packed.split([30] * len(names), seed=len(names)) for name, names in people.items()}
    for name, split in splits.items():
        split.index["speaker"] = people[name]
    monkeypatch.setattr(talkers_study.corpora, "read", lambda folder, corpus: splits)
    found = talkers_study.point(tmp_path, "cpu", corpus="talkers", talkers=1, clips=2, real=True, seed=0, steps=1)
    assert found["clips"] == 2 + 16
    assert len(found["strangers"]["k5"]) == 2
    assert found["television"]["talker"] == ["p", "q"] * 4
    assert all(0 <= value <= 1 for value in found["television"]["k15"])
