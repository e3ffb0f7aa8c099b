"""overlay: a rendered video has one size, whatever its source has, and the sound that can be copied."""

from pathlib import Path

import numpy as np
import pytest

from syncnet_lib.measurement import overlay
from syncnet_lib.measurement.analyse import Analysis
from syncnet_lib.measurement.result import Result, TrackResult
from syncnet_lib.media import decode
from tests.media import test_audio as sounds


@pytest.mark.parametrize(
    ("shape", "inside"),
    [
        ((240, 320), (slice(0, 240), slice(0, 320))),
        ((241, 321), (slice(0, 240), slice(0, 320))),
        ((480, 640), (slice(0, 240), slice(0, 320))),
        ((320, 240), (slice(0, 240), slice(70, 250))),
        ((90, 160), (slice(30, 210), slice(0, 320))),
    ],
)
def test_another_size_is_fitted_in_true_proportions(shape: tuple[int, int], inside: tuple[slice, slice]) -> None:
    fitted = overlay.fitted(np.full((*shape, 3), 200, np.uint8), (320, 240))
    assert fitted.shape == (240, 320, 3)
    assert (fitted[inside] == 200).all()
    fitted[inside] = 0
    assert not fitted.any()


def test_sound_without_a_decoder_is_left_out_and_named(tmp_path: Path) -> None:
    tracks = [("alac", "mono", [samples]) for samples in (sounds._voice(), sounds._hum(0.2))]
    path = sounds._spatial(sounds._clip(tmp_path / "clip.mov", tracks), tmp_path / "iphone.mov", first=False)
    nothing = Analysis([], sounds.SECONDS * 25, sounds.SECONDS * 16_000, np.zeros(0, bool))
    result = Result.model_construct(verdict="not sure", confidence=0.0, sureness="none", tracks=[])
    (left_out,) = overlay.render(path, tmp_path / "out.mov", nothing, result, progress=False)
    assert left_out.startswith("stream 2: sound track")
    info = decode.probe(tmp_path / "out.mov")
    assert ([track.codec for track in info.audio], info.undecodable) == (["alac"], 0)


@pytest.mark.parametrize(
    ("speaking", "frames", "running", "label"),
    [
        (True, 1, 0.421, "audio 40 ms ahead, confidence 0.42"),
        (True, -5, None, "audio 200 ms behind"),
        (True, 0, 0.3, "audio in place, confidence 0.30"),
        (False, 0, 0.3, "does not speak"),
    ],
)
def test_a_label_says_what_its_numbers_are(speaking: bool, frames: int, running: float | None, label: str) -> None:
    track = TrackResult.model_construct(speaking=speaking, offset_frames=frames)
    assert overlay._label(track, running) == label
