"""Sound decoded, moved in pieces or stretched, and encoded again; pictures stay what they are."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Int16

from syncnet_lib.errors import InputError
from syncnet_lib.media import audio, encode
from syncnet_lib.media.clock import FPS, SAMPLE_RATE
from syncnet_lib.media.correction import Cure, Piece
from syncnet_lib.media.resound import rewrite_sound
from tests import scenes

SECONDS = 12


@pytest.fixture(scope="module")
def noise() -> Int16[np.ndarray, " samples"]:
    rng = np.random.default_rng(0)
    level = np.repeat(rng.uniform(0.02, 1, SECONDS * 8), SAMPLE_RATE // 8)
    return (3000 * rng.normal(0, 1, SECONDS * SAMPLE_RATE) * level).astype(np.int16)


@pytest.fixture(scope="module", params=[".mp4", ".mkv"])
def video(request, noise, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("resound") / f"video{request.param}"
    encode.write_video(path, [np.full((64, 64, 3), 100, np.uint8)] * (SECONDS * FPS), noise)
    return path


def place(sound: np.ndarray, piece: np.ndarray) -> int:
    """The sample at which a piece begins."""
    return int(np.correlate(sound.astype(float), piece.astype(float), "valid").argmax())


def test_each_piece_is_moved_by_its_own(video, tmp_path):
    out = tmp_path / f"out{video.suffix}"
    assert rewrite_sound(video, out, Cure((Piece(Fraction(0), Fraction(0)), Piece(Fraction(6), Fraction(1, 5))))) == []
    before, after = audio.read_audio(video), audio.read_audio(out)
    for second, moved in ((2, 0), (8, 3200)):
        at = second * SAMPLE_RATE
        assert abs(place(after, before[at : at + 4000]) - at - moved) <= 16
    assert scenes.packet_bytes(out, "video") == scenes.packet_bytes(video, "video")


def test_earlier_and_longer(video, tmp_path):
    out = tmp_path / f"out{video.suffix}"
    stretch = Fraction(1001, 1000)
    rewrite_sound(video, out, Cure((Piece(Fraction(0), Fraction(-1, 2)),), stretch))
    before, after = audio.read_audio(video), audio.read_audio(out)
    for second in (1, 10):
        at = second * SAMPLE_RATE
        assert abs(place(after, before[at : at + 1000]) - float(at * stretch) + 8000) <= 16


def test_what_has_no_sound_is_one_line(tmp_path):
    silent = tmp_path / "silent.mp4"
    encode.write_video(silent, [np.zeros((64, 64, 3), np.uint8)] * FPS, np.zeros(0, np.int16))
    with pytest.raises(InputError, match="no sound"):
        rewrite_sound(silent, tmp_path / "out.mp4", Cure.shift(Fraction(1, 10)))
    assert [path.name for path in tmp_path.iterdir()] == ["silent.mp4"]
