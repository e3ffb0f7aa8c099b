"""Adaptation to people: real videos in, a better checkpoint for them out, and what is refused."""

import shutil

import pytest

from syncnet_lib.errors import InputError
from syncnet_lib.experiment import adapt
from syncnet_lib.model import checkpoint, header, named
from syncnet_lib.model.networks import SyncNet


@pytest.mark.slow
def test_a_folder_of_videos_gives_a_checkpoint_with_a_threshold(real_clips, tmp_path, monkeypatch):
    monkeypatch.setattr(adapt, "STEPS", 40)
    folder = tmp_path / "anna"
    folder.mkdir()
    for video in sorted((real_clips / "grid_s1").iterdir())[:14]:
        shutil.copy(video, folder)
    out = tmp_path / "anna.safetensors"
    start = tmp_path / "untrained.safetensors"
    checkpoint.save(SyncNet("small"), start)
    found = adapt.adapt(folder, out, start, "cpu", progress=False)
    assert found.pieces >= 12
    assert found.after > found.before + 0.05
    assert found.speech_seconds > adapt.LEAST_SPEECH
    about = header.read(out)
    assert about.spec == header.read(start).spec
    assert about.threshold is not None
    assert not list(tmp_path.glob(".adapt-*")), "nothing is left but the checkpoint"


@pytest.mark.slow
def test_too_little_speech_says_how_much_is_needed(real_clips, tmp_path):
    folder = tmp_path / "anna"
    folder.mkdir()
    shutil.copy(sorted((real_clips / "grid_s1").iterdir())[0], folder)
    with pytest.raises(InputError, match=r"s of speech.*give at least 30 s"):
        adapt.adapt(folder, tmp_path / "out.safetensors", named.find("small", tmp_path), "cpu", progress=False)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no usable video"):
        adapt.adapt(tmp_path, tmp_path / "out.safetensors", named.find("small", tmp_path), "cpu", progress=False)
