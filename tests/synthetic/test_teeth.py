"""teeth: a smile lends them to the mouth that speaks; where none are seen, a reason is given."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from syncnet_lib.synthetic import gallery, portrait, teeth
from syncnet_lib.synthetic.articulation import shape_of
from syncnet_lib.synthetic.painting import Look, Scene
from syncnet_lib.synthetic.portrait import AVERAGE_MOUTH, INNER, INNER_LOWER, INNER_UPPER, Photo, Teeth
from syncnet_lib.synthetic.puppet import Puppet
from tests.conftest import shared

SCENE = Scene(width=360, height=288, scale=1.2, centre=(179.5, 150.0))


def texture() -> np.ndarray:
    """The built-in photograph, who smiles with parted lips, as `gallery.measure` cuts it."""
    left, right, bottom, top = portrait.LEFT, portrait.RIGHT, portrait.BOTTOM, portrait.TOP
    image = cv2.copyMakeBorder(skimage.data.astronaut(), top, 0, 0, 0, cv2.BORDER_REPLICATE)[: top + bottom, left:right]
    return np.asarray(cv2.resize(image, None, fx=portrait.DENSITY, fy=portrait.DENSITY, interpolation=cv2.INTER_CUBIC))


def cut(image: np.ndarray, points: np.ndarray | None = None) -> Teeth | str:
    own = portrait.builtin().points
    return teeth.cut(image, own if points is None else points, own, AVERAGE_MOUTH)


def mouth_of(photo: Photo, ipa: str = "i", mirror: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A frame, and where in it the mouth is open."""
    puppet = Puppet(photo, Look(mirror=mirror), SCENE)
    track = shape_of(ipa)[None]
    points = puppet.positions(track, np.zeros(1), np.zeros(1), np.zeros((1, 5)))[0]
    inside = np.zeros((SCENE.height, SCENE.width), np.uint8)
    cv2.fillPoly(inside, [np.round(points[photo.mesh.rows(INNER)]).astype(np.int32)], (1,))
    return puppet.draw(points, track[0]), inside > 0


def test_teeth_are_bright_and_end_behind_the_lips() -> None:
    found = cut(texture())
    assert isinstance(found, Teeth)
    front = np.abs(Teeth.grid()[0, :, 0]) < 0.25
    assert found.ends[0] < -0.5 < 0.5 < found.ends[1]
    assert 0 <= np.median(found.edge[front]) < 0.3
    row = round((float(np.median(found.edge[front])) - Teeth.TOP) * Teeth.FINE) - 4
    red, green, blue = found.colour[row, front].mean(0)
    assert min(red, green, blue) > 120
    assert green > 0.8 * red


def test_closed_lips_and_hidden_teeth_are_told() -> None:
    points = portrait.builtin().points.copy()
    points[list(INNER_LOWER)] = points[list(INNER_UPPER)]
    assert cut(texture(), points) == "its lips are closed"
    inpainted = np.clip(portrait.builtin().colour, 0, 255).astype(np.uint8)
    assert cut(inpainted) == "no teeth are seen between its lips"


def test_own_teeth_are_drawn_between_the_lips_only_and_turn_over_with_the_face() -> None:
    plain, found = portrait.builtin(), cut(texture())
    assert isinstance(found, Teeth)
    green = replace(found, colour=np.full_like(found.colour, (0, 255, 0)))
    green.colour[:, :48] = (255, 0, 255)  # the left half
    own = replace(plain, teeth=green)
    (before, _), (after, inside) = mouth_of(plain), mouth_of(own)
    changed = (before.astype(int) != after).any(2)
    near = cv2.dilate(inside.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    assert changed[inside].mean() > 0.3
    assert not changed[~near].any()
    turned, _ = mouth_of(own, mirror=True)
    assert np.abs(turned[:, ::-1].astype(int) - after)[near].mean() < 10  # the other way round: over 40


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[gallery.Portrait, ...]]:
    """Real portraits: an open smile, of which there is a darker copy, and a closed one."""
    faces, folder = shared("faces", "portraits"), tmp_path_factory.mktemp("faces")
    for expression in ("neutral", "smiling"):
        (folder / expression).mkdir()
        for name in ("001", "002"):
            shutil.copy(faces / expression / f"{name}.jpg", folder / expression)
    same = (faces / "neutral" / "002.jpg").read_bytes()
    (folder / "neutral" / "dark.jpg").write_bytes(same + b"0")  # no copy, which would be passed over
    smile = cv2.imread(str(faces / "smiling" / "002.jpg"))
    cv2.imwrite(str(folder / "smiling" / "dark.jpg"), (smile * np.array([0.6, 0.7, 0.75])).astype(np.uint8))
    return gallery.find(folder, folder / "cache", progress=False)[0]


def test_a_smile_lends_its_teeth_to_both_photographs(people: list[tuple[gallery.Portrait, ...]]) -> None:
    closed, open_, dark = ([gallery.load(each) for each in person] for person in people)
    assert [photo.teeth for photo in closed] == [None, None]
    assert all(isinstance(photo.teeth, Teeth) for photo in open_ + dark)
    neutral, again = open_[0].teeth, dark[0].teeth
    assert neutral is not None
    assert again is not None
    # Brightness and white balance are the neutral photograph's, whatever those of the smile.
    seen = np.s_[20:26, 40:58]
    np.testing.assert_allclose(neutral.colour[seen].mean((0, 1)), again.colour[seen].mean((0, 1)), rtol=0.08)
    before, _ = mouth_of(replace(open_[0], teeth=None))
    after, inside = mouth_of(open_[0])
    assert np.abs(after.astype(int) - before)[inside].mean() > 3


def test_a_single_photograph_lends_its_own_teeth(people: list[tuple[gallery.Portrait, ...]], tmp_path: Path) -> None:
    for person, name in ((people[1][1], "open.jpg"), (people[0][0], "closed.jpg")):
        shutil.copy(person.path, tmp_path / name)
    found, _ = gallery.find(tmp_path, people[0][0].cache.parent, progress=False)
    assert [gallery.load(person[0]).teeth is None for person in found] == [True, False]
