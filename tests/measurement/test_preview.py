"""preview: both sounds are there, and each picture lies over its sound."""

from pathlib import Path

import numpy as np

from syncnet_lib.measurement import preview
from syncnet_lib.media import audio, decode, encode
from syncnet_lib.media.clock import FPS, SAMPLE_RATE

SECONDS, WIDTH = 2, 400
CLICK = 1.0
"""Seconds at which the corrected sound is loud; before that it came DELAY later."""
DELAY = 0.4


def clip(path: Path, click: float) -> Path:
    sound = np.zeros(SECONDS * SAMPLE_RATE, np.int16)
    sound[round(click * SAMPLE_RATE) :][: SAMPLE_RATE // 25] = 12_000
    encode.write_video(path, [np.full((48, WIDTH, 3), 90, np.uint8)] * (SECONDS * FPS), sound)
    return path


def loud(pixels: np.ndarray) -> float:
    """The middle, as a share of the width, of what is high in the strip of a half, but for the line."""
    row = pixels[-preview.STRIP + 8].mean(axis=1)
    row[WIDTH // 2 - 2 : WIDTH // 2 + 3] = 0
    return float(np.flatnonzero(row > 70).mean() / WIDTH)


def test_each_half_shows_and_has_its_sound(tmp_path):
    before, after = clip(tmp_path / "before.mp4", CLICK + DELAY), clip(tmp_path / "after.mp4", CLICK)
    out = tmp_path / "preview.mkv"
    preview.write(before, after, out, 0.0, "before: late", "after: in sync")
    info = decode.probe(out)
    assert [track.title for track in info.audio] == ["after", "before"]
    shown = [picture.rgb for picture in decode.pictures(out)]
    assert len(shown) == SECONDS * FPS
    assert shown[0].shape == (48 + preview.STRIP, 2 * WIDTH, 3)
    left, right = np.hsplit(shown[round(CLICK * FPS)], 2)
    assert abs(loud(right) - 0.51) < 0.03
    assert abs(loud(left) - 0.71) < 0.03
    for track, click in ((0, CLICK), (1, CLICK + DELAY)):
        sound = audio.read_audio(out, track)
        assert abs(int(np.abs(sound).argmax()) / SAMPLE_RATE - click) < 0.05


def test_each_half_has_its_own_pictures(tmp_path):
    slow, fast = tmp_path / "slow.mp4", tmp_path / "fast.mp4"
    for path, lit in ((slow, 30), (fast, 20)):
        frames = [np.full((48, WIDTH, 3), 200 if number >= lit else 40, np.uint8) for number in range(SECONDS * FPS)]
        encode.write_video(path, frames, np.zeros(SECONDS * SAMPLE_RATE, np.int16))
    preview.write(slow, fast, tmp_path / "out.mp4", 0.0, "", "")
    left, right = np.hsplit(list(decode.read_frames(tmp_path / "out.mp4"))[25][:40], 2)
    assert left.mean() < 100 < right.mean()


def test_it_begins_where_it_is_asked_to(tmp_path):
    before, after = clip(tmp_path / "before.mp4", CLICK + DELAY), clip(tmp_path / "after.mp4", CLICK)
    out = tmp_path / "preview.mp4"
    preview.write(before, after, out, 1.0, "before", "after")
    assert len(list(decode.pictures(out))) == FPS
    assert abs(int(np.abs(audio.read_audio(out)).argmax()) / SAMPLE_RATE) < 0.05
