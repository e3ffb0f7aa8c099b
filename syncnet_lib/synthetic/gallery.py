"""Portrait photographs as faces of the synthetic corpus: found in a folder, measured once and cached."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from tqdm import tqdm

from syncnet_lib import verbosity
from syncnet_lib.errors import InputError
from syncnet_lib.faces.detect import silent_stderr
from syncnet_lib.files import atomic, sha256
from syncnet_lib.synthetic import teeth
from syncnet_lib.synthetic.portrait import (
    BOTTOM,
    DENSITY,
    INNER_LOWER,
    INNER_UPPER,
    LEFT,
    OUTER_LOWER,
    OUTER_UPPER,
    OVAL,
    RIGHT,
    TOP,
    Mouth,
    Photo,
    builtin,
    closed,
    measured,
    shrunk,
    to_texture,
)

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_OTHERS = (".heic", ".heif", ".avif", ".jxl", ".gif", ".svg", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw")
"""Pictures that are not read, of which a folder of photographs may be full."""
_EXPRESSIONS = ("neutral", "smiling")
"""Names of folders whose files of the same name are one person."""
_VERSION = 1
"""Part of a cached measurement's name: raise it when the same photograph shall be measured otherwise."""
_LARGEST = 2048
"""Pixels of the longer side to which a photograph is reduced before it is searched."""
_MIN_EYES = 40
"""Pixels between the eyes: fewer and the texture, which has 64, would be a blur."""
_TURNED = 2.2
"""Largest ratio of the nose's distances to the two sides of the face: at most 1.5 in 204 frontal photographs."""
_BYSTANDER = 0.4
"""Width of a second face, as a share of the first's, from which it counts."""
_FLAT_SHARE = 0.25
"""Share of the face's pixels that equal their neighbours but for a level of 255: at most 0.02 in 204 photographs."""
_IRISES, _SIDES, _NOSE, _NOSE_BASE, _CHIN, _CORNERS = [468, 473], [234, 454], 1, 2, 152, [61, 291]
_CANVAS = 2
"""Pixels per pixel of the built-in photograph at which landmarks and outline are found, as in that one."""


@dataclass(frozen=True)
class Portrait:
    """A photograph that can be animated.

    Args:
        path: the photograph.
        sha256: of its bytes.
        cache: file of its measurement.
        neutral: file of the measurement of the person's neutral photograph, else the same file.
        smile: file of the measurement of the photograph that may lend teeth: the smiling one, else the same file.
    """

    path: Path
    sha256: str
    cache: Path
    neutral: Path
    smile: Path

    @property
    def smiling(self) -> bool:
        """Whether it lies in a folder of smiling portraits."""
        return self.path.parent.name == "smiling"


def find(folder: Path, cache_dir: Path, progress: bool = True) -> tuple[list[tuple[Portrait, ...]], pd.DataFrame]:
    """Measure the photographs of a folder.

    Args:
        folder: with all below it. ``neutral/NAME.jpg`` and ``smiling/NAME.jpg`` are the same person.
        cache_dir: gets a file a photograph, named by its content, so that it is measured once.
        progress: show a bar.

    Returns:
        people: the photographs of each person, neutral first, in the order of their names.
        skipped: file (relative to `folder`), reason; a row for each photograph that cannot be animated.

    Raises:
        InputError: no such folder, or fewer than two people in it.
    """
    if not folder.is_dir():
        raise InputError(f"corpus.portraits: {folder}", "no such folder", "give a folder of photographs, or builtin")
    found: dict[Path, list[tuple[Path, str, Path]]] = {}
    skipped: list[tuple[str, str]] = []
    first: dict[str, Path] = {}
    pictures = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES + _OTHERS)
    for path in tqdm([path for path in pictures if not path.is_dir()], desc="portraits", disable=not progress):
        name = path.relative_to(folder).as_posix()
        try:
            digest, cache = _once(path, cache_dir)
        except InputError as error:
            skipped.append((name, error.cause))
            continue
        same = first.setdefault(digest, path)
        if _person(same) != _person(path):  # one face would be two people, perhaps in two splits
            skipped.append((name, f"same content as {same.relative_to(folder).as_posix()}"))
            continue
        found.setdefault(_person(path), []).append((path, digest, cache))
    people = [
        tuple(Portrait(*each, neutral=several[0][2], smile=several[-1][2]) for each in several)
        for several in found.values()
    ]
    if len(people) < 2:
        cause = f"fewer than two portraits can be used ({len(people)})"
        if skipped:
            cause += f", e.g. not {skipped[0][0]}: {skipped[0][1]}"
        raise InputError(
            f"corpus.portraits: {folder}", cause, "add frontal photographs of one face each, or use builtin"
        )
    return people, pd.DataFrame(skipped, columns=["file", "reason"])


def _once(path: Path, cache_dir: Path) -> tuple[str, Path]:
    """The hash of a photograph, and the file of its measurement, which is made where it is not there."""
    if path.suffix.lower() in _OTHERS:
        raise InputError(path, f"{path.suffix} pictures are not read: save it as JPEG or PNG")
    try:
        digest = sha256(path)
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})") from None
    cache = cache_dir / f"{digest[:32]}-{_VERSION}.npz"
    if not cache.exists():
        _save(measure(path), cache)
    return digest, cache


def _person(path: Path) -> Path:
    """What the photographs of one person have in common."""
    folder = path.parent.parent if path.parent.name in _EXPRESSIONS else path.parent
    return folder / path.stem


@lru_cache(maxsize=4)
def load(portrait: Portrait) -> Photo:
    """A photograph from the cache, kept in memory for the clips that follow."""
    roles = portrait.cache, portrait.neutral, portrait.smile
    read = {cache: _read(cache) for cache in set(roles)}
    own, neutral, smile = (read[cache] for cache in roles)
    cover, mouth = shrunk(own.cover.astype(np.float32) / 255), resting(neutral.points)
    photo = measured(own.points, closed(own.image, own.points), cover, mouth)
    found = teeth.cut(smile.image, smile.points, neutral.points, mouth)
    if isinstance(found, str):
        verbosity.say(f"{portrait.path}: its teeth are drawn: {found}")
        return replace(photo, layered=True)
    light = np.median(teeth.skin(own.image, own.points) / teeth.skin(smile.image, smile.points), axis=0)
    return replace(photo, layered=True, teeth=replace(found, colour=(found.colour * light).astype(np.float32)))


@dataclass(frozen=True)
class Measurement:
    """What is found in a photograph, turned and scaled so that its eyes are where the built-in photograph has them.

    Args:
        points: (478, 3) landmarks in pixels of the built-in photograph.
        image: (h, w, 3) texture.
        cover: (h, w) 0..255, the person.
    """

    points: Float[np.ndarray, "478 3"]
    image: UInt8[np.ndarray, "height width 3"]
    cover: UInt8[np.ndarray, "height width"]


def measure(path: Path) -> Measurement:
    """Find the face in a photograph, its landmarks and its outline.

    Args:
        path: the photograph.

    Raises:
        InputError: it cannot be animated; the cause says why.
    """
    image = _pixels(path)
    rows, columns = _only_face(path, image)
    points = np.add(_landmarks(path, image[rows, columns]), [columns.start, rows.start, 0])
    _check_pose(path, image, points)
    canvas = _aligned(image, points)
    points = np.add(_landmarks(path, canvas) / _CANVAS, [LEFT, -TOP, 0])
    with silent_stderr(), _solutions().selfie_segmentation.SelfieSegmentation(model_selection=0) as segmenter:
        cover = np.round(segmenter.process(canvas).segmentation_mask * 255).astype(np.uint8)
    size = (round((RIGHT - LEFT) * DENSITY), round((BOTTOM + TOP) * DENSITY))
    texture, cover = (np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_AREA)) for each in (canvas, cover))
    _check_texture(path, texture, points)
    return Measurement(points, texture, cover)


def _pixels(path: Path) -> np.ndarray:
    """The picture, (h, w, 3) uint8 RGB, turned as its EXIF says and reduced to `_LARGEST`."""
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB) if path.stat().st_size else None
    except cv2.error:  # of 2^20 pixels to a side or 2^30 in all
        raise InputError(path, "the picture has too many pixels to be read") from None
    if image is None:
        raise InputError(path, "cannot be read as a picture")
    scale = _LARGEST / max(image.shape[:2])
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image)


def _only_face(path: Path, image: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of a picture that hold its only face and half its size around it."""
    found: list[Any] = []
    for model in (0, 1):  # of near and of far faces
        with silent_stderr(), _solutions().face_detection.FaceDetection(model_selection=model) as detector:
            found = detector.process(image).detections or []
        if found:
            break
    else:
        raise InputError(path, "no face is found in it")
    boxes = [detection.location_data.relative_bounding_box for detection in found]
    widest = max(boxes, key=lambda box: box.width)
    for box in boxes:
        apart = max(abs(box.xmin - widest.xmin) / widest.width, abs(box.ymin - widest.ymin) / widest.height)
        if apart > 0.5 and box.width > _BYSTANDER * widest.width:
            raise InputError(path, "more than one face is found in it")
    height, width = image.shape[:2]
    left, top = round((widest.xmin - widest.width / 2) * width), round((widest.ymin - widest.height / 2) * height)
    right, bottom = left + round(2 * widest.width * width), top + round(2 * widest.height * height)
    return slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))


def _landmarks(path: Path, image: np.ndarray) -> np.ndarray:
    """Landmarks of a face that fills a picture, (478, 3) pixels."""
    with silent_stderr(), _solutions().face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True) as mesh:
        faces = mesh.process(np.ascontiguousarray(image)).multi_face_landmarks
    if not faces:
        raise InputError(path, "no face is found in it")
    height, width = image.shape[:2]
    return np.array([(p.x, p.y, p.z) for p in faces[0].landmark]) * [width, height, width]


def _check_pose(path: Path, image: np.ndarray, points: np.ndarray) -> None:
    """Refuse faces that are small, turned aside or not wholly in the picture."""
    eyes = _eye_distance(points)
    if eyes < _MIN_EYES:
        raise InputError(path, f"the face is too small: {eyes:.0f} pixels between the eyes, {_MIN_EYES} are needed")
    left, right = np.linalg.norm(points[_SIDES, :2] - points[_NOSE, :2], axis=1)
    if max(left, right) > _TURNED * min(left, right):
        raise InputError(path, "the face is turned aside")
    oval, (height, width) = points[list(OVAL), :2], image.shape[:2]
    if (oval < 0).any() or (oval >= [width, height]).any():
        raise InputError(path, "the face is cut off by the edge of the picture")


def _check_texture(path: Path, texture: np.ndarray, points: np.ndarray) -> None:
    """Refuse drawings: large parts of their faces are of one colour."""
    face = np.zeros(texture.shape[:2], np.uint8)
    cv2.fillPoly(face, [np.round(to_texture(points[list(OVAL)])).astype(np.int32)], (1,))
    gray = cv2.cvtColor(texture, cv2.COLOR_RGB2GRAY)
    flat = cv2.morphologyEx(gray, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) <= 1
    if float(flat[face > 0].mean()) > _FLAT_SHARE:
        raise InputError(path, "the face is drawn: large parts of it are of one colour")


def _aligned(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The part of a picture that becomes the texture, upright, `_CANVAS` pixels a pixel of the built-in photograph."""
    (ax, ay), (bx, by) = points[_IRISES, :2]
    (cx, cy), (dx, dy) = (builtin().points[_IRISES, :2] - [LEFT, -TOP]) * _CANVAS
    turn = complex(dx - cx, dy - cy) / complex(bx - ax, by - ay)
    shift = complex(cx, cy) - turn * complex(ax, ay)
    similarity = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    if abs(turn) < 1:  # a low-pass filter against aliasing
        image = cv2.GaussianBlur(image, (0, 0), 0.5 / abs(turn))
    size = ((RIGHT - LEFT) * _CANVAS, (BOTTOM + TOP) * _CANVAS)
    return np.asarray(cv2.warpAffine(image, similarity, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))


def resting(points: Float[np.ndarray, "478 3"]) -> Mouth:
    """Measure a mouth at rest.

    Args:
        points: landmarks of a neutral face.
    """
    along = np.diff(points[_IRISES, :2], axis=0)[0] / _eye_distance(points)
    level = points[:, :2] @ np.array([[along[0], -along[1]], [along[1], along[0]]])
    corners = level[_CORNERS]
    half = float(np.linalg.norm(corners[1] - corners[0])) / 2
    seat = corners.mean(0)

    def profile(landmarks: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        x, y = ((level[list(landmarks)] - seat) / half).T
        return x, y

    upper_x, upper_y = profile(OUTER_UPPER)
    lower_x, lower_y = profile(OUTER_LOWER)
    inner_x, inner_top = profile(INNER_UPPER)
    inner_x2, inner_bottom = profile(INNER_LOWER)
    # Lips that are a little apart are put together by moving both.
    parted = (inner_bottom - inner_top) / 2
    ends = np.array([0.0, *[1.0] * 9, 0.0])
    nose, chin = level[_NOSE_BASE, 1], level[_CHIN, 1]
    return Mouth(
        half_width=half / _eye_distance(points),
        height=float((seat[1] - nose) / (chin - nose)),
        at=np.array([-1.0, *((upper_x + lower_x) / 2)[1:-1], 1.0]),
        at_inner=(inner_x + inner_x2) / 2,
        upper_lip=-(upper_y + parted) * ends,
        lower_lip=(lower_y - parted) * ends,
        seam=(inner_top + inner_bottom) / 2,
    )


def _eye_distance(points: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(points[_IRISES, :2], axis=0)))


def _save(found: Measurement, cache: Path) -> None:
    coded = cv2.imencode(".png", cv2.cvtColor(found.image, cv2.COLOR_RGB2BGR))[1]
    with atomic(cache) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, points=found.points, image=coded, cover=found.cover)


def _read(cache: Path) -> Measurement:
    with np.load(cache) as content:
        image = cv2.imdecode(content["image"], cv2.IMREAD_COLOR_RGB)
        return Measurement(content["points"], np.asarray(image), content["cover"])


def _solutions() -> Any:
    import mediapipe

    return mediapipe.solutions
