"""portrait and puppet: the mesh moves as told, and what is drawn has no holes."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from syncnet_lib.synthetic import portrait
from syncnet_lib.synthetic.articulation import shape_of
from syncnet_lib.synthetic.painting import Look, Scene
from syncnet_lib.synthetic.portrait import INNER
from syncnet_lib.synthetic.puppet import Puppet

MAGENTA = (255.0, 0.0, 255.0)
SCENE = Scene(width=360, height=288, scale=1.0, centre=(180.0, 150.0), background=(MAGENTA, MAGENTA))
UPPER_MIDDLE, LOWER_MIDDLE = INNER.index(13), INNER.index(14)


def posed(puppet: Puppet, ipa: str, blink: float = 0.0, pose: tuple[float, ...] = (0, 0, 0, 0, 0)) -> np.ndarray:
    track = shape_of(ipa)[None]
    return puppet.positions(track, np.array([blink]), np.zeros(1), np.array([pose], float))[0]


def inner(points: np.ndarray) -> np.ndarray:
    return points[portrait.builtin().mesh.rows(INNER)]


def opening(points: np.ndarray) -> float:
    lips = inner(points)
    return float(np.linalg.norm(lips[UPPER_MIDDLE] - lips[LOWER_MIDDLE]))


def width(points: np.ndarray) -> float:
    lips = inner(points)
    return float(np.ptp(lips[:, 0]))


def test_lips_take_the_shape_of_the_sound() -> None:
    puppet = Puppet(portrait.builtin(), Look(), SCENE)
    assert opening(posed(puppet, "m")) < 0.3
    assert opening(posed(puppet, "a")) > 6
    assert width(posed(puppet, "u")) < 0.85 * width(posed(puppet, "m")) < 0.95 * width(posed(puppet, "i"))
    chin = portrait.builtin().mesh.rows((152,))
    assert posed(puppet, "a")[chin, 1] - posed(puppet, "m")[chin, 1] > 3


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("ipa", ["m", "a", "u", "f", "i"])
def test_a_face_has_no_holes(ipa: str, mirror: bool) -> None:
    puppet = Puppet(portrait.builtin(), Look(mirror=mirror), SCENE)
    points = posed(puppet, ipa, blink=0.5, pose=(0.1, -0.1, 0.1, 3, -2))
    frame = puppet.draw(points, shape_of(ipa)).astype(int)
    oval = points[portrait.builtin().mesh.rows(portrait.OVAL)]
    middle, reach = oval.mean(0), 0.8 * (oval.max(0) - oval.min(0)) / 2
    y, x = np.mgrid[:288, :360]
    face = (((x - middle[0]) / reach[0]) ** 2 + ((y - middle[1]) / reach[1]) ** 2) < 1
    magenta = np.minimum(frame[..., 0], frame[..., 2]) - frame[..., 1]
    assert magenta[face].max() < 60
    assert magenta[:20, :20].min() > 200


def test_a_layered_face_has_no_gaps_where_its_edge_folds() -> None:
    gaps = {}
    for layered in (False, True):
        puppet = Puppet(replace(portrait.builtin(), layered=layered), Look(), SCENE)
        gaps[layered] = 0
        for yaw in (-0.35, -0.18, 0.18, 0.35):
            frame = puppet.draw(posed(puppet, "a", pose=(yaw, 0.05, 0, 0, 0)), shape_of("a")).astype(int)
            magenta = (np.minimum(frame[..., 0], frame[..., 2]) - frame[..., 1] > 120).astype(np.uint8)
            areas = cv2.connectedComponentsWithStats(magenta, connectivity=4)[2][1:, cv2.CC_STAT_AREA]
            gaps[layered] += int((areas < 40).sum())
    assert gaps[False] > 0 == gaps[True]


def test_a_mirrored_person_is_the_picture_turned_over() -> None:
    look, scene = Look(), replace(SCENE, centre=(179.5, 150.0))
    plain, turned = (
        Puppet(portrait.builtin(), look, scene),
        Puppet(portrait.builtin(), replace(look, mirror=True), scene),
    )
    one = plain.draw(posed(plain, "a"), shape_of("a")).astype(int)
    other = turned.draw(posed(turned, "a"), shape_of("a")).astype(int)
    assert np.abs(one - other[:, ::-1]).mean() < 1.5


def test_an_open_mouth_is_dark_inside_and_a_closed_one_is_skin() -> None:
    puppet = Puppet(portrait.builtin(), Look(), SCENE)
    for ipa, low, high in (("a", 0, 70), ("m", 90, 255)):
        points = posed(puppet, ipa)
        lips = inner(points)
        x, y = ((lips[UPPER_MIDDLE] + 2 * lips[LOWER_MIDDLE]) / 3 + [0, 0 if ipa == "a" else 3]).round().astype(int)
        assert low <= puppet.draw(points, shape_of(ipa))[y, x].mean() <= high


def test_a_look_changes_the_skin_and_leaves_the_background() -> None:
    dark = Look(skin=(0.5, 0.5, 0.5), beard=0.8)
    frames = []
    for look in (Look(), dark):
        puppet = Puppet(portrait.builtin(), look, SCENE)
        frames.append(puppet.draw(posed(puppet, "m"), shape_of("m")).astype(int))
    plain, changed = frames
    assert changed[110:120, 175:185].mean() < 0.65 * plain[110:120, 175:185].mean()
    np.testing.assert_array_equal(plain[:20], changed[:20])


def test_a_face_that_leaves_the_frame_can_be_drawn() -> None:
    puppet = Puppet(portrait.builtin(), Look(), replace(SCENE, centre=(-20.0, 300.0)))
    assert puppet.draw(posed(puppet, "a"), shape_of("a")).shape == (288, 360, 3)
