"""What the page of the experiment tells beside its figures."""

import io
from pathlib import Path

import av
import numpy as np
import pytest

from syncnet_lib import files
from syncnet_lib.experiment import report
from syncnet_lib.media import encode
from syncnet_lib.media.clock import SAMPLES_PER_FRAME
from syncnet_lib.paths import ROOT
from tests import explorable
from tests.plots.examples import METRICS


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return explorable.make(tmp_path_factory.mktemp("report") / "data")


def test_clips_of_each_verdict_can_be_played(data: Path) -> None:
    found = report.films(data, data.parent)
    assert [film.title.split(":")[0] for film in found] == ["kept", "kept", "left out"]
    for film in found:
        with av.open(io.BytesIO(film.mp4)) as opened:
            assert (len(opened.streams.video), len(opened.streams.audio)) == (1, 1)
        assert film.poster.startswith(b"\xff\xd8"), "a JPEG"


def test_a_video_outside_the_corpus_is_found_and_played(data: Path) -> None:
    path = data.parent / "videos" / "v0.mp4"
    path.parent.mkdir()
    samples = np.random.default_rng(0).integers(-3000, 3000, 60 * SAMPLES_PER_FRAME, np.int16)
    encode.write_video(path, np.random.default_rng(0).integers(0, 256, (60, 48, 64, 3), np.uint8), samples)
    film = next(film for film in report.films(data, data.parent) if film.title.endswith("clip000"))
    assert film.mp4 == path.read_bytes()
    assert film.poster.startswith(b"\xff\xd8"), "a JPEG"


def test_the_flow_follows_the_stages(tmp_path: Path) -> None:
    trained = {"epochs": 2, "positives": 7000, "val_auc": 0.75}
    parts = {name: {"clips": count} for name, count in (("train", 10), ("val", 2), ("test", 3))}
    told = {
        "corpus": {"videos": 15, "talkers": 5},
        "extract": {"clips": 15, "minutes": 0.75},
        "pairs": {**parts, "skipped": 0},
        "train": trained,
        "filter": {"clips_kept": 7, "clips_off-sync": 1, "clips_dubbed": 2},
        "retrain": trained,
        "evaluate": METRICS,
    }
    for stage, figures in told.items():
        files.write_json(tmp_path / "metrics" / f"{stage}.json", figures)
    flow = report.flow(tmp_path)
    assert list(flow) == list(told)
    assert flow["filter"] == "7 clips kept, 1 off-sync, 2 left out"
    assert flow["train"] == "2 epochs over 7,000 positives, validation AUC 0.750"


def test_it_is_said_with_what_it_was_run() -> None:
    about = report.about(ROOT)
    assert "torch " in about["packages"]
    assert "profile default" in about["parameters"]
    assert about["machine"]
