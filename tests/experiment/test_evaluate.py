"""Evaluation against clips whose true offset is known, on disk as the pipeline leaves them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from syncnet_lib import files
from syncnet_lib.dataset import clips
from syncnet_lib.errors import InputError
from syncnet_lib.experiment import baseline, evaluate, failures, protocol
from syncnet_lib.experiment.evaluate import Embedded
from syncnet_lib.experiment.settings import EvaluateSettings
from syncnet_lib.media import features
from syncnet_lib.media.clock import SAMPLES_PER_FRAME
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.plots import tables
from tests import packed
from tests.measurement.test_voice import speech as say


def speech(lips: np.ndarray, seed: int) -> np.ndarray:
    """(T * 640,) int16 noise that is as loud as the lips are open."""
    noise = np.random.default_rng(seed).normal(0, 6000, len(lips) * 640)
    return (noise * np.repeat(lips, 640)).astype(np.int16)


def write_clip(folder: Path, seed: int, offset: int = 0, frames: int = 60) -> None:
    """A clip whose sound is ahead of its lips by `offset` frames."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    walk = np.convolve(rng.random(frames + 40), np.ones(4) / 4, "same")
    lips = np.clip((walk - 0.3) * 2, 0.02, 1)
    np.save(folder / "mouth.npy", packed.split([frames], seed).frames)
    np.save(folder / "lip_aperture.npy", lips[20 : 20 + frames].astype(np.float32))
    heard = lips[20 + offset : 20 + offset + frames]
    with clips.write_sound(folder / "audio.wav") as file:
        file.writeframes(speech(heard, seed).tobytes())
    np.save(folder / "mfcc.npy", features.frame_mfcc(speech(heard, seed)))
    np.save(folder / "speech.npy", np.ones(frames, bool))
    (folder / "clip.json").write_text(json.dumps({}))


@pytest.fixture
def working_folder(tmp_path: Path) -> Path:
    """Three held-out clips, one of each kind, and a filter's verdict on two more."""
    table = pd.DataFrame({"clip_id": ["a", "b", "c"], "video_id": ["va", "vb", "vc"], "start": 0, "frames": 60})
    (tmp_path / "pairs" / "test").mkdir(parents=True)
    table.to_parquet(tmp_path / "pairs" / "test" / "index.parquet")
    (tmp_path / "pairs" / "train").mkdir()
    train = pd.DataFrame({"clip_id": ["d", "e"], "video_id": ["vd", "ve"]})
    train.to_parquet(tmp_path / "pairs" / "train" / "index.parquet")
    (tmp_path / "raw").mkdir()
    truth = [("va", "clean", 0), ("vb", "shifted", 5), ("vc", "dubbed", 0), ("vd", "clean", 0), ("ve", "dubbed", 0)]
    pd.DataFrame(truth, columns=["video_id", "kind", "offset_frames"]).to_csv(tmp_path / "raw" / "truth.csv")
    (tmp_path / "filter").mkdir()
    verdict = pd.DataFrame(
        {"clip_id": ["d", "d", "e", "e"], "window": [0, 1, 0, 1], "kept": [True, False, False, False]}
    )
    verdict.to_parquet(tmp_path / "filter" / "windows.parquet")
    pd.DataFrame({"clip_id": ["d", "e"], "moved": [4.25, 0.0]}).to_parquet(tmp_path / "filter" / "clips.parquet")
    speakers = {"a": "anna", "b": "", "c": "anna", "d": "dora", "e": "dora"}
    (tmp_path / "clips").mkdir()
    manifest = pd.DataFrame({"clip_id": list(speakers), "speaker": list(speakers.values())})
    manifest.to_parquet(tmp_path / "clips" / "clips.parquet")
    for seed, (name, offset) in enumerate({"a": 0, "b": 5, "c": 0}.items()):
        write_clip(tmp_path / "clips" / name, seed, offset)
    return tmp_path


def test_held_out_clips_carry_their_truth(working_folder):
    table = evaluate.held_out(working_folder).set_index("clip_id")
    assert table.kind.to_dict() == {"a": "clean", "b": "shifted", "c": "dubbed"}
    assert table.offset["b"] == 5
    assert np.isnan(table.offset["c"])
    assert table.talker.to_dict() == {"a": "anna", "b": "vb", "c": "anna"}
    assert table.test.to_dict() == {"a": "unseen talkers", "b": "unseen clips", "c": "unseen talkers"}
    manifest = working_folder / "clips" / "clips.parquet"
    pd.read_parquet(manifest).replace("dora", "anna").to_parquet(manifest)
    assert set(evaluate.held_out(working_folder).test) == {"unseen clips"}


def test_real_videos_count_as_in_sync(working_folder):
    (working_folder / "raw" / "truth.csv").unlink()
    table = evaluate.held_out(working_folder)
    assert (table.kind == "clean").all()
    assert (table.offset == 0).all()


def test_rejections_by_what_clips_really_are(working_folder):
    table = evaluate.rejected_by_truth(working_folder)
    assert table.rejected_share.to_dict() == {"clean": 0.5, "dubbed": 1.0}
    assert table.moved.to_dict() == {"clean": 1, "dubbed": 0}


def test_the_baseline_finds_moved_sound(working_folder):
    found = baseline.aperture_verdicts(working_folder / "clips", {"a": 0, "b": 5}, 15)
    assert found.offset.tolist() == [0, 5]
    assert found.right.all()
    for offset in (-9, -1, 12):
        write_clip(working_folder / "clips" / f"moved{offset}", 7, offset)
        (row,) = baseline.aperture_verdicts(working_folder / "clips", {f"moved{offset}": 0}, 15).itertuples()
        assert row.offset == offset
        assert row.right == (abs(offset) <= 1)


def test_lips_that_nobody_has_measured_are_no_baseline(working_folder):
    lips = working_folder / "clips" / "a" / "lip_aperture.npy"
    np.save(lips, np.full_like(np.load(lips), np.nan))
    assert baseline.aperture_verdicts(working_folder / "clips", {"a": 0, "b": 5}, 15).clip_id.tolist() == ["b"]
    assert baseline.aperture_verdicts(working_folder / "clips", {"a": 0}, 15).empty


def test_models_side_by_side(working_folder):
    torch.manual_seed(0)
    models = {"base": SyncNet("small").eval(), "refined": SyncNet("small").eval()}
    table = evaluate.held_out(working_folder)
    results = evaluate.compare(models, working_folder / "clips", table, EvaluateSettings(vshift=10))
    assert results.metrics["base"]["clips"] == 2
    assert results.metrics["base"]["windows"] == 110
    assert results.metrics["aperture"]["clip_accuracy"] == 1.0
    curves, title = evaluate.example(results, "refined")
    assert set(curves) == {"base", "refined"}
    assert curves["base"].shape == (21,)
    assert "the refined model finds" in title
    none = evaluate.Extra(None, pd.DataFrame(), pd.DataFrame())
    content = evaluate.metrics(results, evaluate.rejected_by_truth(working_folder), none, {"1": {"right": 1.0}})
    assert content["calibration"] == {"1": {"right": 1.0}}
    assert json.loads(json.dumps(content))["filter"]["dubbed"]["rejected"] == 2
    for name in models:
        low, high = content[name]["intervals"]["15"].values()
        assert low <= content[name]["accuracy_by_frames"]["15"] <= high
    differences = [results.verdicts["refined"]["15"] - results.verdicts["base"]["15"]]
    assert content["gain"]["mean"] == pytest.approx(np.mean(differences), abs=1e-6)
    tables = evaluate.plotted(results, curves)
    assert tables["accuracy"].refined.iloc[-1] == pytest.approx(100 * content["refined"]["accuracy_by_frames"]["15"])
    assert tables["roc"].swapped.tolist() == [0.0, 50.0, 100.0]
    assert (tables["roc"].base.diff()[1:] >= 0).all()
    assert tables["roc"].base.iloc[-1] == 100.0
    assert tables["shifts"]["shift"].tolist() == list(range(10, -11, -1))
    assert evaluate.headline(content)["clip"] == pytest.approx(100 * content["refined"]["clip_accuracy"], abs=0.1)


def test_what_papers_report(working_folder):
    torch.manual_seed(0)
    models = {"base": SyncNet("small").eval()}
    table, settings = evaluate.held_out(working_folder), EvaluateSettings(vshift=10)
    results = evaluate.compare(models, working_folder / "clips", table, settings)
    tests = protocol.groups(models, working_folder, table, results, settings)
    assert {name: found.metrics["base"]["clips"] for name, found in tests.items()} == {
        "unseen clips": 1,
        "unseen talkers": 1,
    }
    alone = protocol.groups(models, working_folder, table.assign(test="unseen clips"), results, settings)
    assert alone["unseen clips"] is results
    rows = protocol.by_the_book({"unseen clips": results, "other footage": results}, {"a": "anna"})
    assert rows.test.value_counts().to_dict() == {"unseen clips": 4, "other footage": 4}
    by_windows = rows[(rows.test == "unseen clips") & (rows.model == "base")].set_index("windows")
    assert by_windows.talkers["all"] == 2, "a clip of nobody's is one of its own"
    assert pd.isna(by_windows["15"]["speech"]), "noise as loud as speech is none"
    shown = tables.by_the_book(rows)
    assert shown.loc[("unseen clips", "aperture", "all"), "whole clip"] == "100.0 (100–100)"
    assert shown.loc[("published, on LRS2", "SyncNet [Chung16], 13.6 M", "all"), "K=15"] == "96.1"


def test_speech_is_what_silero_vad_hears(working_folder):
    said = say("six spoons of fresh snow peas and five thick slabs of blue cheese")[: 60 * SAMPLES_PER_FRAME]
    with clips.write_sound(working_folder / "clips" / "a" / "audio.wav") as file:
        file.writeframes(said.tobytes())
    models = {"one": SyncNet("small").eval()}
    spoken, noise = evaluate.embed(models, working_folder / "clips", {"a": 0, "b": 5})["one"]
    assert spoken.speech.mean() > 0.7
    assert not noise.speech.any()


def test_stretches_count_where_half_of_them_is_speech():
    distances = np.ones((20, 31), np.float32)
    distances[:10, 15] = 0  # right in the first half, and at another offset in the second
    distances[10:, 3] = 0
    half = np.arange(24) < 12
    shares = evaluate.placed(distances, 0, half)
    assert shares["5"] == 0.5
    assert shares["5 speech"] == 1.0
    assert np.isnan(evaluate.placed(distances, 0, None)["5 speech"])
    assert np.isnan(evaluate.placed(distances, 0, np.zeros(24, bool))["15 speech"])


def test_the_worst_clips_come_first():
    table = pd.DataFrame({"right": [True, False, True, False], "confidence": [0.5, 0.1, 0.2, 0.3]})
    results = evaluate.Results({}, {"refined": table}, {})
    assert list(failures.worst(results, "refined", 3).index) == [3, 1, 2]


def test_the_champion_is_chosen_on_validation_data(tmp_path):
    for name, aucs in {"base": [0.8, None, 0.9], "refined": [0.85, None, 0.84]}.items():
        files.write_bytes(tmp_path / name / "history.csv", pd.DataFrame({"auc": aucs}).to_csv().encode())
    assert evaluate.champion(tmp_path) == ("base", 0.9, "validation AUC 0.9000, refined 0.8500")


def test_nothing_with_a_known_offset_is_one_line(working_folder):
    table = evaluate.held_out(working_folder)
    with pytest.raises(InputError, match="no clip has a known offset"):
        evaluate.compare({}, working_folder, table[table.kind == "dubbed"], EvaluateSettings())


def test_swapped_sound_is_told_apart():
    rng = np.random.default_rng(0)
    sides = [rng.normal(size=(50, 8)).astype(np.float32) for _ in range(6)]
    embedded = [Embedded(str(n), side, side) for n, side in enumerate(sides)]
    figures, genuine, swapped = evaluate.measure(embedded, 15)
    assert figures["clip_accuracy"] == 1.0
    assert figures["swapped"]["confidence_auc"] == 1.0
    assert figures["swapped"]["clip_accuracy"] < 1.0
    assert genuine.confidence.min() > swapped.confidence.max()
    assert figures["intervals"]["clip"] == figures["intervals"]["15"] == {"low": 1.0, "high": 1.0}


def test_a_missing_extra_folder_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        evaluate.extra({}, tmp_path, tmp_path, EvaluateSettings(extra_path="nowhere"), 0)


def test_an_empty_extra_folder_is_no_error(tmp_path):
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "notes.txt").touch()
    found = evaluate.extra({}, tmp_path, tmp_path, EvaluateSettings(extra_path="extra"), 0)
    assert found.results is None
    assert found.skipped.file.tolist() == ["notes.txt"]
