from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncnet_lib.errors import InputError
from syncnet_lib.experiment import explorer, scene
from syncnet_lib.experiment.explorer import Explorer
from syncnet_lib.model import named, scoring
from tests import explorable


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return explorable.make(tmp_path_factory.mktemp("explorer") / "data")


@given(st.integers(1, 100_000))
def test_parts_follow_each_other(frames: int) -> None:
    found = list(scene.parts(frames))
    assert [first for first, _ in found] == list(np.cumsum([0, *(length for _, length in found)]))[:-1]
    assert sum(length for _, length in found) == frames
    assert all(length <= 1.5 * scene.LENGTH for _, length in found)


def test_the_first_clip_is_shown_with_what_the_filter_said(data: Path) -> None:
    shown = Explorer(data, data.parent)
    assert [choice["label"] for choice in shown.choices] == [
        f"clip{n:03d} · 2.4 s · filter: {verdict}" for n, verdict in enumerate(explorable.VERDICTS)
    ]
    assert (shown.says, shown.wrong) == ("", "")
    assert shown.networks == ["small"]
    assert shown.scene["key"] == shown.chosen == shown.choices[0]["key"]
    frames, shifts = shown.scene["frames"], shown.scene["shifts"]
    assert shifts == 2 * scoring.VSHIFT + 1
    distances = np.frombuffer(shown.scene["distances"], "<f4").reshape(-1, shifts)
    assert len(distances) == frames - 5
    means = scoring.mean_distances(distances)
    assert shown.scene["offset"] == scoring.offset(means)
    assert len(shown.scene["mouths"]) == frames == explorable.FRAMES
    assert len(shown.scene["sound"]) == 2 * 640 * frames
    assert shown.scene["pictures"] == [], "its video is gone"
    shown.chosen = shown.choices[2]["key"]
    assert shown.scene["clip"] == "clip002"


def test_pairs_are_those_of_the_filter(data: Path) -> None:
    pairs = explorer.of_filter(data)
    assert [clip["verdict"] for clip in pairs["clips"]] == list(explorable.VERDICTS)
    distance, clip = (np.frombuffer(pairs[name], kind) for name, kind in (("distance", "<f4"), ("clip", "<i4")))
    assert len(distance) == len(clip) == 3 * (explorable.FRAMES - 5)
    over = distance > pairs["threshold"]
    assert over[clip == 2].mean() > 0.9
    assert over[clip != 2].mean() < 0.1


def test_without_clips_it_says_what_is_missing(tmp_path: Path) -> None:
    shown = Explorer(tmp_path / "data", tmp_path)
    assert shown.choices == []
    assert shown.scene == {}
    assert shown.says.startswith("No clips in data yet: make repro makes them")
    assert shown.networks == ["small"]


def test_a_clip_that_is_gone_is_told_in_a_line(data: Path) -> None:
    shown = Explorer(data, data.parent)
    before = shown.scene
    (data / "clips" / "clip001").rename(data / "clips" / "elsewhere")
    shown.chosen = shown.choices[1]["key"]
    (data / "clips" / "elsewhere").rename(data / "clips" / "clip001")
    assert "clip001: is not a clip" in shown.wrong
    assert shown.scene == before, "what was shown stays"
    shown.chosen = shown.choices[0]["key"]
    assert shown.wrong == ""


def test_a_stretch_too_short_to_search(data: Path) -> None:
    with pytest.raises(InputError, match="no stretch to search"):
        scene.of_clip(data / "clips" / "clip000", data / "no.mp4", explorable.FRAMES - 4, 4, named.find("small", data))


@pytest.mark.slow
def test_a_dropped_file_that_is_no_video_is_told_in_a_line(tmp_path: Path) -> None:
    shown = Explorer(tmp_path / "data", tmp_path)
    for number, last in ((0, False), (1, True)):
        shown._receive(shown, {"name": "../notes.txt", "number": number, "last": last}, [memoryview(b"no video")])
    assert shown.wrong.startswith("no usable video") or "notes.txt" in shown.wrong
    assert "\n" not in shown.wrong
    assert not list(tmp_path.iterdir()), "nothing is written beside the scratch folder"
