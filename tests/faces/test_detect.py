"""faces, tracks and shots: geometry, models, tracks through gaps, cuts and crowds, on an embedded photograph."""

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st

from syncnet_lib.faces import detect, geometry
from syncnet_lib.faces.crops import PAD_VALUE, gray_crop, mouth_crop, sample
from syncnet_lib.faces.settings import TrackSettings
from syncnet_lib.faces.shots import THUMBNAIL, Cut, ShotFinder
from syncnet_lib.faces.track import Crops, FaceTracker, Track
from syncnet_lib.media import decode


def _picture(pixels: np.ndarray) -> decode.Picture:
    return decode.Picture(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p"))


@cache
def _photo() -> np.ndarray:
    return np.ascontiguousarray(skimage.data.astronaut()[:320, 64:384])


def _scene(
    *places: tuple[float, float, float], width: int = 640, height: int = 360, mirror: bool = False
) -> np.ndarray:
    """The photographed head at (x, y of the face's middle, height of the face), pixels, on a plain ground."""
    scene = np.full((height, width, 3), 90, np.uint8)
    for number, (x, y, size) in enumerate(places):
        head = _photo()[30:250, 70:260]
        if mirror and number % 2:
            head = head[:, ::-1]
        scale = size / 130
        head = cv2.resize(head, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        top, left = round(y - head.shape[0] / 2), round(x - head.shape[1] / 2)
        scene[top : top + head.shape[0], left : left + head.shape[1]] = head
    return scene


def _follow(
    scenes: list[np.ndarray], settings: TrackSettings, cuts: dict[int, Cut] | None = None, **kinds: bool
) -> tuple[list[Track], dict[int, list[Crops]]]:
    tracker = FaceTracker(settings, **kinds)
    over: list[Track] = []
    crops: dict[int, list[Crops]] = {}

    def sort(items: Iterable[Track | Crops]) -> None:
        for item in items:
            if isinstance(item, Crops):
                crops.setdefault(item.track.number, []).append(item)
            else:
                over.append(item)

    for number, scene in enumerate(scenes):
        sort(tracker.show(_picture(scene), (cuts or {}).get(number, Cut.NO)))
    sort(tracker.finish())
    return over, crops


@given(st.floats(0, 640), st.floats(0, 360), st.floats(10, 400), st.floats(-3, 3), st.sampled_from([111, 120, 224]))
def test_square_takes_its_centre_to_the_centre_and_its_side_to_the_size(
    x: float, y: float, side: float, angle: float, size: int
) -> None:
    to_crop = geometry.square(x, y, side, angle, size)
    assert to_crop @ (x, y, 1) == pytest.approx([(size - 1) / 2] * 2)
    along = side / 2 * np.array([np.cos(angle), np.sin(angle)])
    assert to_crop @ (x + along[0], y + along[1], 1) == pytest.approx([(size - 1) / 2 + size / 2, (size - 1) / 2])


@pytest.mark.parametrize("side", [60.0, 120.0, 250.0, 500.0, 1000.0])
def test_samples_lie_where_the_map_says_at_every_scale(side: float) -> None:
    rows, columns = np.mgrid[:1100, :1300]
    ramp = (20 * columns + 10 * rows).astype(np.uint16)
    to_crop = geometry.square(640, 560, side, 0.3, 120)
    crop = sample(ramp, to_crop, 120, 0)
    places = cv2.invertAffineTransform(to_crop) @ np.array([[10, 60, 100], [20, 60, 90], [1, 1, 1]])
    wanted = 20 * places[0] + 10 * places[1]
    assert crop[[20, 60, 90], [10, 60, 100]] == pytest.approx(wanted, abs=6)


def test_outside_of_the_picture_is_the_pad_value() -> None:
    picture = _picture(np.zeros((64, 64, 3), np.uint8))
    crop = gray_crop(picture, geometry.square(0, 0, 64, 0, 120), 120)
    assert crop[0, 0] == pytest.approx(PAD_VALUE, abs=1)
    assert crop[-5, -5] <= 1


@pytest.mark.parametrize("angle", [-30, 0, 30])
def test_the_mouth_crop_turns_with_the_head(angle: int) -> None:
    straight, turned = (
        cv2.warpAffine(
            _photo(), cv2.getRotationMatrix2D((160, 130), turn, 1), (320, 320), borderMode=cv2.BORDER_REPLICATE
        )
        for turn in (0, -angle)
    )
    found = []
    for pixels in (straight, turned):
        picture = _picture(pixels)
        (_, roi, _), *_ = detect.detect(picture, geometry.whole(320, 320))
        face = detect.mesh(picture, roi)
        assert face is not None
        face = detect.mesh(picture, face.roi)  # the second fit sees the head upright
        assert face is not None
        found.append((face, mouth_crop(picture, face.mouth)))
    (first, crop), (second, turned_crop) = found
    assert np.rad2deg(second.angle - first.angle) == pytest.approx(angle, abs=5)
    assert np.corrcoef(crop.ravel(), turned_crop.ravel())[0, 1] > 0.9


@given(st.integers(100, 2000), st.integers(100, 2000), st.integers(5, 200))
def test_tiles_cover_the_picture_and_overlap_by_a_third(width: int, height: int, smallest: int) -> None:
    assert bool(geometry.tiles(width, height, smallest)) == (min(width, height) >= smallest)
    for side in {tile.width for tile in geometry.tiles(width, height, smallest)}:
        level = [tile for tile in geometry.tiles(width, height, smallest) if tile.width == side]
        for length, starts in ((width, {t.left for t in level}), (height, {t.top for t in level})):
            edges = sorted(starts)
            assert edges[0] == 0
            assert edges[-1] + side == length
            assert all(after - before <= side * 2 / 3 + 1 for before, after in itertools.pairwise(edges))


@pytest.mark.parametrize(("height", "share"), [(360, 0.5), (720, 0.1), (1080, 0.05)])
def test_faces_down_to_a_twentieth_of_the_height_are_found(height: int, share: float) -> None:
    width = height * 16 // 9
    scene = _scene((width * 0.63, height * 0.52, share * height), width=width, height=height)
    over, _ = _follow([scene] * 20, TrackSettings(min_face_size=20))
    assert [(track.first, track.last, track.refused) for track in over] == [(0, 19, "")]
    assert over[0].face.box.centre == pytest.approx((width * 0.63, height * 0.52), abs=share * height * 0.25)


def test_a_moving_head_is_one_track_with_steady_crops() -> None:
    scenes = [_scene((200 + 3 * number, 180, 130)) for number in range(74)]
    over, crops = _follow(scenes, TrackSettings())
    assert [(track.first, track.last, track.faceless) for track in over] == [(0, 73, 0)]
    mouth = np.concatenate([part.mouth for part in crops[0]])
    lips = np.concatenate([part.lip_aperture for part in crops[0]])
    assert (mouth.shape, mouth.dtype, lips.shape, lips.dtype) == ((74, 120, 120), np.uint8, (74,), np.float32)
    # The head moves, its crop does not (the ends are held, so they lag).
    for crop in mouth[12:-12]:
        assert np.corrcoef(crop.ravel(), mouth[37].ravel())[0, 1] > 0.97


@pytest.mark.parametrize("batch", [1, 5, 1000])
def test_crops_do_not_depend_on_when_they_are_made(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    scenes = [_scene((300 + 20 * np.sin(number / 5), 180, 120 + number)) for number in range(45)]
    _, wanted = _follow(scenes, TrackSettings(), face=True)
    monkeypatch.setattr("syncnet_lib.faces.track.BATCH", batch)
    _, crops = _follow(scenes, TrackSettings(), face=True)
    for name in ("mouth", "face", "lip_aperture"):
        first, second = (np.concatenate([getattr(part, name) for part in run[0]]) for run in (wanted, crops))
        np.testing.assert_array_equal(first, second)
    assert np.concatenate([part.face for part in crops[0]]).shape == (45, 224, 224, 3)


@pytest.mark.parametrize(("gap", "spans"), [(10, [(0, 83)]), (25, [(0, 23), (49, 83)])])
def test_short_gaps_are_bridged_and_long_ones_are_not(gap: int, spans: list[tuple[int, int]]) -> None:
    head, empty = _scene((300, 180, 130)), _scene()
    scenes = [head] * 24 + [empty] * gap + [head] * (60 - gap)
    over, crops = _follow(scenes, TrackSettings(num_failed_det=15, min_track=5))
    assert len(over) == len(spans)
    for track, span in zip(over, spans, strict=True):
        assert (track.first, track.last) == pytest.approx(span, abs=3)
    if len(spans) == 1:
        assert over[0].faceless == pytest.approx(gap, abs=3)
        assert sum(len(part.mouth) for part in crops[0]) == 84


def test_a_track_ends_at_a_cut_even_if_the_face_stays() -> None:
    over, crops = _follow([_scene((300, 180, 130))] * 40, TrackSettings(), cuts={20: Cut.YES})
    assert [(track.shot, track.first, track.last) for track in over] == [(0, 0, 19), (1, 20, 39)]
    assert [sum(len(part.mouth) for part in crops[number]) for number in (0, 1)] == [20, 20]


def test_a_doubtful_cut_is_none_while_the_face_stays() -> None:
    over, _ = _follow([_scene((300, 180, 130))] * 40, TrackSettings(), cuts={20: Cut.MAYBE})
    assert [(track.shot, track.first, track.last) for track in over] == [(0, 0, 39)]


def test_two_people_are_two_tracks() -> None:
    scenes = [_scene((170 + number, 180, 120), (470 - number, 170, 140), mirror=True) for number in range(40)]
    over, _ = _follow(scenes, TrackSettings())
    assert [(track.first, track.last, track.refused) for track in over] == [(0, 39, "")] * 2
    middles = sorted(track.face.box.centre[0] for track in over)
    assert middles == pytest.approx([209, 431], abs=15)


def test_a_face_that_comes_between_two_searches_is_followed_back() -> None:
    scenes = [_scene()] * 17 + [_scene((300, 180, 130))] * 30
    over, _ = _follow(scenes, TrackSettings())
    assert over[0].first == pytest.approx(17, abs=2)
    assert over[0].last == 46


def test_the_refused_say_why() -> None:
    over, crops = _follow([_scene((300, 180, 130))] * 10, TrackSettings(min_track=12))
    assert [track.refused for track in over] == ["face track of 10 frames is shorter than min_track (12)"]
    assert not crops
    over, _ = _follow([_scene((300, 180, 130))] * 20, TrackSettings(min_face_size=300))
    assert over == []


def test_cuts_are_seen_at_once_and_only_where_they_are() -> None:
    room, other = _scene((300, 180, 130)), 255 - _scene((200, 150, 100))
    scenes = [room] * 20 + [other] * 20 + [np.roll(other, 3 * number, 1) for number in range(20)]
    finder = ShotFinder(27.0)
    cuts = [finder.cut_before(_picture(scene).thumbnail(THUMBNAIL)) for scene in scenes]
    assert [number for number, cut in enumerate(cuts) if cut is Cut.YES] == [20]


def test_mediapipe_is_quiet() -> None:
    code = (
        "import numpy as np, skimage.data, av\n"
        "from syncnet_lib.faces import detect, geometry; from syncnet_lib.media import decode\n"
        "pixels = np.ascontiguousarray(skimage.data.astronaut()[:320, 64:384])\n"
        "picture = decode.Picture(av.VideoFrame.from_ndarray(pixels, format='rgb24').reformat(format='yuv420p'))\n"
        "(_, roi, _), *_ = detect.detect(picture, geometry.whole(320, 320))\n"
        "assert detect.mesh(picture, roi) is not None\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stderr == ""
    assert done.stdout == ""


@pytest.mark.parametrize("arrange", [np.hstack, np.vstack])
def test_two_real_talkers_give_two_clean_tracks(real_clips: Path, arrange: Callable) -> None:
    paths = sorted((real_clips / "grid_talkers").iterdir())[2:4]
    scenes = [arrange(pair) for pair in zip(*map(decode.read_frames, paths), strict=True)]
    over, _ = _follow(scenes, TrackSettings())
    assert [(track.first, track.last, track.faceless) for track in over] == [(0, 74, 0)] * 2


def test_a_cut_between_real_talkers_ends_the_track(real_clips: Path) -> None:
    paths = sorted((real_clips / "grid_talkers").iterdir())
    scenes = [frame for path in paths for frame in list(decode.read_frames(path))[20:45]]
    finder = ShotFinder(TrackSettings().shot_threshold)
    cuts = {k: finder.cut_before(_picture(scene).thumbnail(THUMBNAIL)) for k, scene in enumerate(scenes)}
    over, _ = _follow(scenes, TrackSettings(), cuts=cuts)
    for track in over:
        assert track.first // 25 == track.last // 25, f"frames {track.first} to {track.last} are two talkers"
    assert len(over) == len(paths)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [60, 110, 180])
def test_faces_on_their_side_and_upside_down_give_upright_crops(turns: int, size: int) -> None:
    upright = _scene((330, 190, size))
    _, wanted = _follow([upright] * 20, TrackSettings(), face=True)
    over, crops = _follow([np.ascontiguousarray(np.rot90(upright, turns))] * 20, TrackSettings(), face=True)
    assert [(track.first, track.last, track.refused, track.turns) for track in over] == [(0, 19, "", -turns % 4)]
    for kind in ("mouth", "face"):
        one, other = (np.concatenate([getattr(part, kind) for part in run[0]]).astype(float) for run in (wanted, crops))
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.9


def test_people_upright_and_on_their_side_are_told_apart(real_clips: Path) -> None:
    for path in sorted((real_clips / "grid_talkers").iterdir()):
        scene = next(itertools.islice(decode.read_frames(path), 20, None))
        for turns in range(4):
            over, _ = _follow([np.ascontiguousarray(np.rot90(scene, turns))] * 15, TrackSettings())
            assert [track.turns for track in over] == [-turns % 4], path.name


@given(st.integers(0, 3), st.floats(0, 1), st.floats(0, 1))
def test_a_turned_region_gives_positions_in_the_picture(turns: int, x: float, y: float) -> None:
    width, height = 40, 30
    rows, columns = np.mgrid[: 10 * height, : 10 * width] / 10
    turned = [np.rot90(each, turns) for each in (columns, rows)]
    row, column = (min(int(share * size), size - 1) for share, size in zip((y, x), turned[0].shape, strict=True))
    region = geometry.Region(7, 5, width, height, False, turns)
    wanted = 7 + turned[0][row, column], 5 + turned[1][row, column]
    assert region.position(x, y) == pytest.approx(wanted, abs=0.2)


@pytest.mark.parametrize("aspect", [Fraction(2), Fraction(64, 45), Fraction(3, 4)])
def test_crops_have_true_proportions_where_pixels_are_not_square(aspect: Fraction) -> None:
    shown = _scene((330, 190, 140))
    height, width = shown.shape[:2]
    size = (round(width / aspect), height) if aspect > 1 else (width, round(height * aspect))
    coded = av.VideoFrame.from_ndarray(cv2.resize(shown, size, interpolation=cv2.INTER_AREA), format="rgb24")
    pictures = [decode.Picture(coded.reformat(format="yuv420p"), aspect), _picture(shown)]
    assert pictures[0].size == pictures[1].size
    found = []
    for picture in pictures:
        (_, roi, _), *_ = detect.detect(picture, geometry.whole(*picture.size))
        face = detect.mesh(picture, roi)
        assert face is not None
        found.append((face.box, mouth_crop(picture, face.mouth), picture.rgb))
    assert found[0][0].iou(found[1][0]) > 0.9
    for one, other in zip(*(each[1:] for each in found), strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.95
