"""shots: a cut is a cut when the picture does not come back."""

import av
import cv2
import numpy as np
import pytest
import skimage.data

from syncnet_lib.faces.settings import TrackSettings
from syncnet_lib.faces.shots import FLASH_FRAMES, Cut, find_cuts
from syncnet_lib.faces.track import FaceTracker, Track
from syncnet_lib.media.decode import Picture

LENGTH = 60


def talking(frames: int = LENGTH) -> list[np.ndarray]:
    """A photographed head that sways a little before a plain ground."""
    head = cv2.resize(np.ascontiguousarray(skimage.data.astronaut()[30:250, 134:324]), None, fx=0.9, fy=0.9)
    scenes = []
    for number in range(frames):
        scene = np.full((240, 320, 3), 90, np.uint8)
        left = 70 + round(6 * np.sin(number / 6))
        scene[20 : 20 + head.shape[0], left : left + head.shape[1]] = head
        scenes.append(scene)
    return scenes


def other() -> np.ndarray:
    return np.ascontiguousarray(skimage.data.coffee()[:240, :320])


def lit(scene: np.ndarray, gain: float, light: float = 0) -> np.ndarray:
    return np.clip(scene.astype(float) * gain + light, 0, 255).astype(np.uint8)


def cuts(scenes: list[np.ndarray]) -> dict[int, Cut]:
    marked = find_cuts(map(picture, scenes), TrackSettings().shot_threshold)
    return {number: cut for number, (_, cut) in enumerate(marked) if cut is not Cut.NO}


def tracks(scenes: list[np.ndarray]) -> list[tuple[int, int, str]]:
    marked = find_cuts(map(picture, scenes), TrackSettings().shot_threshold)
    over = [item for item in FaceTracker(TrackSettings()).follow(marked) if isinstance(item, Track)]
    return [(track.first, track.last, track.refused) for track in over]


def picture(pixels: np.ndarray) -> Picture:
    return Picture(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p"))


def changed(gains: dict[int, tuple[float, float]]) -> list[np.ndarray]:
    """The talking head with another gain and light in some frames."""
    return [lit(scene, *gains.get(number, (1, 0))) for number, scene in enumerate(talking())]


FLASHES = {
    "a camera's flash every 12 frames": dict.fromkeys(range(6, LENGTH, 12), (0.25, 191)),
    "a flash in each search for faces": dict.fromkeys(range(12, LENGTH, 12), (0.25, 191)),
    "a flash that whitens everything": {20: (0, 255)},
    "two pictures lost to black": {30: (0, 0), 31: (0, 0)},
    "a flash that decays": {n: (1, 220 * 0.7 ** (n - 20)) for n in range(20, 32)},
    "a strobe light": {n: (0.15, 0) for n in range(LENGTH) if n // 4 % 2},
    "a dip to black within half a second": {n: (abs(n - 25) / 5, 0) for n in range(20, 31)},
    "lightning": {20: (1, 150), 22: (1, 200), 23: (1, 60), 27: (1, 180)},
}


@pytest.mark.parametrize("kind", FLASHES)
def test_a_picture_that_comes_back_is_no_cut(kind: str) -> None:
    scenes = changed(FLASHES[kind])
    assert Cut.YES not in cuts(scenes).values()
    assert tracks(scenes) == [(0, LENGTH - 1, "")]


STEADY = {
    "a light that is switched on": dict.fromkeys(range(30, LENGTH), (1, 60)),
    "a light that is switched off": dict.fromkeys(range(30, LENGTH), (0.35, 0)),
    "a fade from black": {n: (n / 25, 0) for n in range(25)},
    "a fade to black": {n: ((LENGTH - n) / 25, 0) for n in range(LENGTH - 25, LENGTH)},
}


@pytest.mark.parametrize("kind", STEADY)
def test_another_brightness_of_the_same_is_no_cut(kind: str) -> None:
    scenes = changed(STEADY[kind])
    assert Cut.YES not in cuts(scenes).values()
    ((first, last, refused),) = tracks(scenes)
    assert refused == ""
    assert first <= 12, "found with the first search in a picture that is no longer dark"
    assert last >= LENGTH - 12


def test_another_picture_is_a_cut_at_its_frame_after_a_flash_and_before_one() -> None:
    scenes = talking(30) + [other()] * 30
    assert cuts(scenes) == {30: Cut.YES}
    scenes[25] = scenes[35] = np.full_like(scenes[0], 255)
    assert cuts(scenes) == {25: Cut.FLASH, 30: Cut.YES, 35: Cut.FLASH}


def test_short_shots_that_do_not_come_back_are_shots() -> None:
    third = 255 - np.ascontiguousarray(skimage.data.coffee()[100:340, 200:520])
    assert cuts([*talking(20), *[other()] * 6, *[third] * 20]) == {20: Cut.YES, 26: Cut.YES}


def test_a_cut_at_the_end_is_not_lost() -> None:
    assert cuts(talking(20) + [other()] * 3) == {20: Cut.YES}


def test_no_more_than_half_a_second_is_held_back() -> None:
    given = 0

    def counted() -> object:
        nonlocal given
        for scene in talking(20) + [other()] * 40:
            given += 1
            yield picture(scene)

    for number, _ in enumerate(find_cuts(counted(), 27.0), 1):
        assert given - number <= FLASH_FRAMES


def test_another_size_of_the_pictures_begins_a_shot_and_a_track() -> None:
    scenes = talking(30) + [cv2.resize(scene, (480, 360)) for scene in talking(30)]
    assert cuts(scenes) == {30: Cut.YES}
    assert tracks(scenes) == [(0, 29, ""), (30, 59, "")]


def test_a_change_of_size_within_a_flash_loses_nothing() -> None:
    scenes = talking(30)
    scenes[28] = np.full_like(scenes[0], 255)
    scenes += [cv2.resize(scene, (480, 360)) for scene in talking(20)]
    scenes[30] = np.full_like(scenes[30], 255)
    marked = list(find_cuts(map(picture, scenes), 27.0))
    assert [each.size for each, _ in marked] == [(320, 240)] * 30 + [(480, 360)] * 20
    assert marked[30][1] is Cut.YES
