"""gallery: which photographs can be animated, and that each is measured by its own proportions."""

import shutil
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from syncnet_lib.errors import InputError
from syncnet_lib.synthetic import gallery, portrait
from syncnet_lib.synthetic.articulation import shape_of
from syncnet_lib.synthetic.painting import Look, Scene
from syncnet_lib.synthetic.puppet import Puppet
from tests.conftest import shared

ASTRONAUT = skimage.data.astronaut()
HEAD = ASTRONAUT[:330, 60:400]


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.ascontiguousarray(image[..., ::-1]))


def turned(image: np.ndarray, degrees: float, scale: float) -> np.ndarray:
    height, width = image.shape[:2]
    to = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale)
    return np.asarray(cv2.warpAffine(image, to, (width, height), borderMode=cv2.BORDER_REPLICATE))


def drawn(image: np.ndarray) -> np.ndarray:
    flat = cv2.medianBlur(cv2.pyrMeanShiftFiltering(image, 8, 24) // 24 * 24, 5)
    return np.asarray(cv2.resize(flat, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of two people, of one of whom there is another that smiles, and files that cannot be used."""
    folder = tmp_path_factory.mktemp("portraits")
    write(folder / "neutral" / "1.png", HEAD)
    write(folder / "smiling" / "1.png", HEAD[:, ::-1])
    write(folder / "neutral" / "2.jpg", turned(cv2.resize(HEAD, None, fx=3, fy=3), 20, 0.8))
    write(folder / "far.jpg", cv2.resize(HEAD, None, fx=0.5, fy=0.5))
    write(folder / "nobody.png", np.full((300, 300, 3), 128, np.uint8))
    write(folder / "pair.png", np.hstack([HEAD, HEAD]))
    write(folder / "cut.png", ASTRONAUT[:150])
    write(folder / "drawing.png", drawn(HEAD))
    (folder / "empty.jpg").touch()
    (folder / "text.jpeg").write_text("no picture")
    (folder / "README.md").write_text("about the pictures")
    (folder / "broken.jpg").symlink_to("nowhere")
    shutil.copy(folder / "neutral" / "2.jpg", folder / "twin.jpg")
    (folder / "phone.HEIC").write_bytes(b"ftypheic")
    (folder / "huge.png").write_bytes(header_of_png(40_000, 40_000))
    (folder / "album.jpg").mkdir()
    return folder


def header_of_png(width: int, height: int) -> bytes:
    """As much of a PNG as says how large it is, and that pixels follow."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    size, check = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + size + chunk + check + size + b"IDAT" + bytes(20)


def test_people_and_reasons(folder: Path, tmp_path: Path) -> None:
    people, skipped = gallery.find(folder, tmp_path)
    assert [[p.path.relative_to(folder).as_posix() for p in person] for person in people] == [
        ["neutral/1.png", "smiling/1.png"],
        ["neutral/2.jpg"],
    ]
    assert [p.smiling for p in people[0]] == [False, True]
    assert people[0][1].neutral == people[0][0].cache
    reasons = dict(zip(skipped.file, skipped.reason, strict=True))
    assert set(reasons) == {path.name for path in folder.iterdir() if not path.is_dir()} - {"README.md"}
    for file, part in (
        ("far.jpg", "too small"),
        ("nobody.png", "no face"),
        ("pair.png", "more than one face"),
        ("cut.png", "cut off"),
        ("drawing.png", "drawn"),
        ("empty.jpg", "cannot be read"),
        ("text.jpeg", "cannot be read"),
        ("broken.jpg", "cannot be read (No such file"),
        ("twin.jpg", "same content as neutral/2.jpg"),
        ("phone.HEIC", ".HEIC pictures are not read"),
        ("huge.png", "too many pixels"),
    ):
        assert part in reasons[file], file


def test_a_photograph_is_measured_once(folder: Path, tmp_path: Path) -> None:
    first, _ = gallery.find(folder / "neutral", tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(kept) == 2
    again, _ = gallery.find(folder / "neutral", tmp_path)
    assert again == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept


def test_the_built_in_photograph_is_measured_as_it_is_built_in(folder: Path, tmp_path: Path) -> None:
    people, _ = gallery.find(folder, tmp_path)
    own, turned_twin = (gallery.load(person[0]).points[:, :2] for person in people)
    there = portrait.builtin().points[:, :2]
    assert np.abs(own - there).mean() < 1.0
    assert np.abs(turned_twin - there).mean() < 1.5  # upright again, at the same size


def test_a_head_turned_aside_is_refused() -> None:
    points = portrait.builtin().points * 4
    image = np.zeros((2048, 2048, 3), np.uint8)
    gallery._check_pose(Path("frontal.png"), image, points)
    middle = points.mean(0)
    x, _, z = (points - middle).T
    for sign in (-1, 1):
        angle = sign * np.radians(50)
        aside = points.copy()
        aside[:, 0] = middle[0] + x * np.cos(angle) + z * np.sin(angle)
        with pytest.raises(InputError, match="turned aside"):
            gallery._check_pose(Path("profile.png"), image, aside)


def test_a_mouth_is_measured_without_its_opening_and_the_heads_tilt() -> None:
    points = portrait.builtin().points.copy()
    one = gallery.resting(points)
    angle = np.radians(15)
    points[:, :2] = points[:, :2] @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    other = gallery.resting(points)
    for name in ("half_width", "height", "at", "at_inner", "upper_lip", "lower_lip", "seam"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), atol=1e-9, err_msg=name)
    opened = points.copy()
    down = np.array([-np.sin(angle), np.cos(angle), 0])
    opened[list(portrait.INNER_LOWER[1:-1] + portrait.OUTER_LOWER[1:-1])] += 3 * down
    np.testing.assert_allclose(
        gallery.resting(opened).upper_lip + gallery.resting(opened).lower_lip, one.upper_lip + one.lower_lip, atol=1e-9
    )


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_people_are_an_error(count: int, folder: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    shutil.copy(folder / "nobody.png", few)
    for number in range(count):
        shutil.copy(folder / "neutral" / "1.png", few / f"{number}.png")
    with pytest.raises(InputError, match=rf"corpus.portraits: .*\({count}\).*nobody.png: no face"):
        gallery.find(few, tmp_path / "cache")
    with pytest.raises(InputError, match="no such folder"):
        gallery.find(tmp_path / "nowhere", tmp_path / "cache")


def test_real_portraits_keep_their_faces(tmp_path: Path) -> None:
    faces = shared("faces", "portraits")
    for name in ("neutral/001.jpg", "smiling/001.jpg", "neutral/099.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(faces / name, tmp_path / name)
    people, skipped = gallery.find(tmp_path, tmp_path / "cache")
    assert skipped.empty
    neutral, smiling = (gallery.load(each) for each in people[0])
    assert np.array_equal(neutral.mouth.upper_lip, smiling.mouth.upper_lip)
    scene = Scene(width=360, height=288, scale=1.0, centre=(180.0, 150.0))
    closed, opened = shape_of("m")[None], shape_of("a")[None]
    for photo in (neutral, smiling):
        puppet = Puppet(photo, Look(folds=1.0, lip_strength=0.0), scene)
        still = [puppet.positions(track, np.zeros(1), np.zeros(1), np.zeros((1, 5)))[0] for track in (closed, opened)]
        rows = photo.mesh.rows((13, 14))
        gap = [float(np.linalg.norm(points[rows[0]] - points[rows[1]])) for points in still]
        assert gap[0] < 1 < 6 < gap[1]
