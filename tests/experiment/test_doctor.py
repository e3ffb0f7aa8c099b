"""The doctor says what a corpus lacks, and is silent about what it does not know."""

import json

import numpy as np
import pandas as pd
import pytest

from syncnet_lib.dataset.pairs_settings import PairsSettings
from syncnet_lib.errors import InputError
from syncnet_lib.experiment import doctor
from syncnet_lib.experiment.talkers_study import EVERY_CLIP
from syncnet_lib.training.refinement import SEARCH
from syncnet_lib.training.settings import TrainSettings
from tests.training.test_refinement import SURE

PAIRS, TRAIN = PairsSettings(), TrainSettings()


def manifest(clips: int, talkers: int, speech: float = 0.8) -> pd.DataFrame:
    names = [f"t{n % talkers}" if talkers else "" for n in range(clips)]
    table = pd.DataFrame({"clip_id": [f"c{n}" for n in range(clips)], "speaker": names, "frames": 75})
    table["video_id"], table["path"] = table.clip_id, "a/" + table.clip_id + ".mp4"
    return table.assign(speech_share=speech, faceless_share=0.0)


def levels(findings) -> dict[str, str]:
    return {finding.what: finding.level for finding in findings}


@pytest.mark.parametrize(("talkers", "level"), [(0, "note"), (2, "bad"), (5, "bad"), (40, "good")])
def test_few_talkers_are_bad_and_unknown_ones_worth_a_note(tmp_path, talkers, level):
    assert levels(doctor.of_talkers(manifest(80, talkers), PAIRS, tmp_path / "none.json")) == {"talkers": level}


def test_accuracy_is_expected_only_from_a_measured_curve(tmp_path):
    curve = tmp_path / "talkers.json"
    rows = [
        {"talkers": talkers, "clips_each": EVERY_CLIP, "real": False, "steps": 900, "strangers": {"k5": {"mean": mean}}}
        for talkers, mean in ((8, 0.2), (128, 0.6))
    ]
    curve.write_text(json.dumps({"rows": rows}))
    (_, expected) = doctor.of_talkers(manifest(100, 50), PAIRS, curve)
    assert expected.says.startswith("about 40% at K = 5 on people whom training has not seen, by the study of drawn")
    assert "have 900 steps" in expected.says


def test_speech_and_batches_are_counted():
    good = list(doctor.of_speech(manifest(100, 10), TRAIN, PAIRS))
    assert levels(good) == {"speech": "good", "without a face": "good"}
    assert good[0].says == "4.0 minutes in 100 clips of 5.0 minutes"
    assert levels(doctor.of_speech(manifest(10, 10, speech=0.0), TRAIN, PAIRS)) == {
        "speech": "bad", "batch": "bad", "without a face": "good",
    }  # fmt: skip


def measured(offsets: list[float | None], source: str, seed: int) -> pd.DataFrame:
    rows = []
    for number, offset in enumerate(offsets):
        distances = np.random.default_rng([seed, number]).normal(1.0, 0.1, (70, 2 * SEARCH + 1)).astype(np.float32)
        if offset is not None:
            distances[:, SEARCH - int(offset)] -= 0.5
        rows.append({"clip_id": f"{source}{number}", "source": source, "distances": distances})
    return pd.DataFrame(rows)


def test_a_source_with_an_offset_of_its_own_is_named():
    table = pd.concat([measured([0] * 12, "good", 0), measured([4, 4, 4, 5], "late", 1), measured([7], "one", 2)])
    found = {finding.what: finding for finding in doctor.of_offsets(table, SURE)}
    assert set(found) == {"in sync", "source late"}
    assert found["source late"].says == "100% of 4 sure clips are off by +4.0 frames"
    assert found["in sync"].level == "bad"
    assert "of 17 clips 71% are surely in sync, 29% surely off-sync, 0% doubtful" in found["in sync"].says


def test_mostly_doubtful_clips_are_not_called_good():
    (found,) = doctor.of_offsets(measured([0, 0, *[None] * 4], "a", 0), SURE)
    assert (found.level, found.what) == ("note", "in sync")
    assert "67% doubtful" in found.says
    (found,) = doctor.of_offsets(measured([0, 0, 0, None], "a", 0), SURE)
    assert found.level == "good"


def test_what_cannot_be_told_is_not_told():
    assert levels(doctor.of_offsets(measured([0], "a", 0), None)) == {"offsets": "note"}
    assert levels(doctor.of_offsets(measured([], "a", 0), SURE)) == {"offsets": "note"}
    (nothing,) = doctor.of_offsets(measured([None, None], "a", 0), SURE)
    assert (nothing.level, nothing.says) == ("bad", "not one of 2 clips surely is")


def test_no_clips_are_one_line(tmp_path):
    with pytest.raises(InputError, match="no clips to examine"):
        doctor.examine(tmp_path, tmp_path, TRAIN, PAIRS, 0, tmp_path)
