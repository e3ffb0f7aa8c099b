"""The photograph behind a synthetic face: its landmarks, its triangle mesh and its regions.

The built-in photograph is scikit-image's `astronaut` (NASA, public domain); landmarks and outline come from mediapipe.
Lengths are pixels of that photograph (512x512, 43 between the eyes) unless said otherwise.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int, UInt8
from scipy.spatial import Delaunay

from syncnet_lib.faces.detect import silent_stderr

# Landmark numbers of mediapipe's face mesh, from the left of the picture to its right.
OUTER_UPPER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
OUTER_LOWER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
INNER_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
OUTER = OUTER_UPPER + OUTER_LOWER[-2:0:-1]
INNER = INNER_UPPER + INNER_LOWER[-2:0:-1]
_EYES = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)
UPPER_LIDS = tuple(i for eye in _EYES for i in eye[0][1:-1])
LOWER_LIDS = tuple(i for eye in _EYES for i in eye[1][1:-1])
BROWS = (70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 300, 293, 334, 296, 336, 276, 283, 282, 295, 285)
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152),
    *(148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
JAW = {152: 1.0, 148: 1.0, 377: 1.0, 176: 0.97, 400: 0.97, 149: 0.88, 378: 0.88, 150: 0.72, 379: 0.72}
JAW |= {136: 0.5, 365: 0.5, 172: 0.28, 397: 0.28, 58: 0.12, 288: 0.12, 199: 1.0, 175: 1.0, 200: 0.95, 18: 0.8}
"""Landmarks that move with the jaw, and the share of its drop that they follow."""
_NOSE = (1, 2, 4, 5, 6, 94, 98, 327, 168, 195, 197, 48, 278, 64, 294, 129, 358)
STILL = (*_NOSE, *OVAL[:11], *OVAL[26:], 116, 345, 117, 346, 118, 347)
"""Landmarks that do not move in speech."""
_BEARD = (
    132,
    58,
    172,
    136,
    150,
    149,
    176,
    148,
    152,
    377,
    400,
    378,
    379,
    365,
    397,
    288,
    361,
    425,
    326,
    2,
    97,
    205,
)
_MOUSTACHE = (57, 205, 97, 2, 326, 425, 287, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185, 61)
_UPPER_LIP = OUTER_UPPER + INNER_UPPER[::-1]
_LOWER_LIP = OUTER_LOWER + INNER_LOWER[::-1]
_FOLDS = (
    (50, 101, 129, 98, 165, 92, 186, 57, 43, 106, 211, 210, 214, 207),
    (280, 330, 358, 327, 391, 322, 410, 287, 273, 335, 431, 430, 434, 427),
)

DENSITY = 1.5
"""Texture pixels per pixel of the photograph."""
TOP = 40
"""Rows added above the photograph, whose upper edge nearly touches the hair."""
LEFT, RIGHT, BOTTOM = 10, 440, 380
"""Columns and rows of the photograph that the texture shows."""
_GAP = 8
"""Least distance of a further landmark from those already in the mesh."""
_GRID = 112.0
"""Spacing of the mesh's vertices away from the face, in hair, clothes and background."""


@dataclass(frozen=True)
class Mouth:
    """A mouth at rest; profiles run from corner to corner along the lip landmarks, in half mouth widths.

    Args:
        half_width: half the distance of the corners, in eye distances.
        height: where the lips meet, as a share of the way from the nose to the chin.
        at, at_inner: horizontal positions of the outer and the inner landmarks.
        upper_lip, lower_lip: height of the outer edges above and below the corners.
        seam: where the lips meet, below the corners.
    """

    half_width: float
    height: float
    at: Float[np.ndarray, "11"]
    at_inner: Float[np.ndarray, "11"]
    upper_lip: Float[np.ndarray, "11"]
    lower_lip: Float[np.ndarray, "11"]
    seam: Float[np.ndarray, "11"]


AVERAGE_MOUTH = Mouth(
    half_width=0.395,
    height=0.335,
    at=np.array([-1.0, -0.86, -0.66, -0.43, -0.19, 0.0, 0.19, 0.43, 0.66, 0.86, 1.0]),
    at_inner=np.array([-0.93, -0.82, -0.63, -0.41, -0.19, 0.0, 0.19, 0.41, 0.63, 0.82, 0.93]),
    upper_lip=np.array([0.0, 0.10, 0.21, 0.30, 0.345, 0.30, 0.345, 0.30, 0.21, 0.10, 0.0]),
    lower_lip=np.array([0.0, 0.11, 0.23, 0.34, 0.40, 0.415, 0.40, 0.34, 0.23, 0.11, 0.0]),
    seam=np.array([0.0, -0.01, -0.015, -0.01, 0.01, 0.025, 0.01, -0.01, -0.015, -0.01, 0.0]),
)
"""Proportions of an adult's mouth, chosen by eye: the built-in photograph smiles with parted lips."""


@dataclass(frozen=True)
class Teeth:
    """A person's upper teeth behind the lips; positions are half mouth widths from the middle of the resting seam.

    Args:
        colour: (h, w, 3) RGB 0..255, `FINE` pixels a half mouth width, from `LEFT` and `TOP` on; what lips and gums
            hid is continued from what was seen.
        edge: (w,) their lower edge, which rises towards the sides by about `BEND` times the position squared.
        ends: where the row ends on the left and on the right.
    """

    FINE: ClassVar[int] = 40
    LEFT: ClassVar[float] = -1.2
    TOP: ClassVar[float] = -0.6
    BEND: ClassVar[float] = 0.10
    colour: Float32[np.ndarray, "height width 3"]
    edge: Float[np.ndarray, " width"]
    ends: tuple[float, float]

    @classmethod
    def grid(cls) -> Float[np.ndarray, "height width 2"]:
        """Positions of the pixels, in half mouth widths."""
        x, y = np.meshgrid(np.arange(97), np.arange(57))
        return np.stack([x, y], 2) / cls.FINE + [cls.LEFT, cls.TOP]


@dataclass(frozen=True)
class Photo:
    """A measured photograph; (h, w) is the size of the texture.

    Args:
        points: (478, 3) landmarks.
        mesh: the triangles that carry the texture.
        mouth: the person's mouth at rest.
        colour: (h, w, 3) RGB 0..255, the mouth inpainted.
        smooth: the same blurred, without folds and shine.
        cover: (h, w) alpha in 0..1, 0 in the background.
        regions: name -> (h, w, 1) mask in 0..1.
        across, down: (h, w) horizontal and vertical distance from the middle of the face, in eye distances.
        layered: whether the face is drawn coarsely under its finer parts too, which closes gaps where triangles fold.
        teeth: the person's own; None where they are drawn by rule.
    """

    points: Float[np.ndarray, "478 3"]
    mesh: "Mesh"
    mouth: Mouth
    colour: Float32[np.ndarray, "height width 3"]
    smooth: Float32[np.ndarray, "height width 3"]
    cover: Float32[np.ndarray, "height width"]
    regions: dict[str, np.ndarray]
    across: Float32[np.ndarray, "height width"]
    down: Float32[np.ndarray, "height width"]
    layered: bool = False
    teeth: Teeth | None = None

    @property
    def face(self) -> tuple[slice, slice]:
        """Rows and columns of the texture that hold the face."""
        places = to_texture(self.points[list(OVAL)])
        left, top = np.floor(places.min(0)).astype(int) - 8
        right, bottom = np.ceil(places.max(0)).astype(int) + 8
        return slice(top, bottom), slice(left, right)


@dataclass(frozen=True)
class Mesh:
    """A triangulation of the face and what is around it; triangles inside the mouth come first.

    Args:
        landmarks: landmark number of each of the first vertices; the vertices after them lie around the face.
        points: (V, 2) vertices in pixels of the photograph.
        texture: (V, 2) the same in texture pixels.
        triangles: (N, 3) vertex numbers.
    """

    landmarks: list[int]
    points: Float[np.ndarray, "vertices 2"]
    texture: Float[np.ndarray, "vertices 2"]
    triangles: Int[np.ndarray, "triangles 3"]

    def rows(self, landmarks: tuple[int, ...]) -> Int[np.ndarray, " landmarks"]:
        """Vertex numbers of the given landmarks."""
        row = {landmark: number for number, landmark in enumerate(self.landmarks)}
        return np.array([row[landmark] for landmark in landmarks])


def to_texture(points: Float[np.ndarray, "*points dims"]) -> Float[np.ndarray, "*points 2"]:
    """Pixels of the texture in which points of the photograph lie."""
    return (points[..., :2] - [LEFT, -TOP]) * DENSITY


@lru_cache(maxsize=1)
def builtin() -> Photo:
    """The built-in photograph; measured once a process."""
    import mediapipe
    import skimage.data

    image = skimage.data.astronaut()
    larger = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    solutions = mediapipe.solutions
    with silent_stderr(), solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True) as mesh:
        marks = mesh.process(larger).multi_face_landmarks[0].landmark
    with silent_stderr(), solutions.selfie_segmentation.SelfieSegmentation(model_selection=0) as segmenter:
        cover = segmenter.process(image).segmentation_mask.astype(np.float32)
    points = np.array([(p.x, p.y, p.z) for p in marks]) * image.shape[0]
    part = np.s_[: TOP + BOTTOM, LEFT:RIGHT]
    image = cv2.copyMakeBorder(image, TOP, 0, 0, 0, cv2.BORDER_REPLICATE)[part]
    cover = cv2.copyMakeBorder(cover, TOP, 0, 0, 0, cv2.BORDER_CONSTANT, value=(0,))[part]
    image = cv2.resize(image, None, fx=DENSITY, fy=DENSITY, interpolation=cv2.INTER_CUBIC)
    cover = cv2.resize(cover, None, fx=DENSITY, fy=DENSITY, interpolation=cv2.INTER_LINEAR)
    return measured(points, closed(image, points), shrunk(cover), AVERAGE_MOUTH)


def closed(
    image: UInt8[np.ndarray, "height width 3"], points: Float[np.ndarray, "478 3"]
) -> Float32[np.ndarray, "height width 3"]:
    """A texture without what is between the lips: teeth would bleed over their edges."""
    mouth: np.ndarray = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(mouth, [np.round(to_texture(points[list(INNER)])).astype(np.int32)], (255,))
    mouth = cv2.dilate(mouth, np.ones((5, 5), np.uint8))
    return np.asarray(cv2.inpaint(image, mouth, 4, cv2.INPAINT_TELEA), np.float32)


def shrunk(cover: Float32[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
    """An outline drawn inwards: its last pixels are mixed with the photograph's background."""
    return np.asarray(np.clip((cv2.GaussianBlur(cover, (0, 0), 1.2) - 0.6) / 0.4, 0, 1), np.float32)


def measured(
    points: Float[np.ndarray, "478 3"],
    colour: Float32[np.ndarray, "height width 3"],
    cover: Float32[np.ndarray, "height width"],
    mouth: Mouth,
) -> Photo:
    """Complete a photograph by its mesh and the regions of the face.

    Args:
        points: landmarks.
        colour: texture, RGB 0..255.
        cover: alpha of the texture.
        mouth: the mouth at rest.
    """
    height, width = cover.shape
    places = to_texture(points)
    unit = float(np.linalg.norm(places[473] - places[468]))
    yy, xx = np.mgrid[0:height, 0:width].astype(np.float32)
    middle = places[list(OVAL)].mean(0)

    def area(landmarks: tuple[int, ...], soft: float, grow: int = 0) -> np.ndarray:
        mask: np.ndarray = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [np.round(places[list(landmarks)] * 16).astype(np.int32)], (255,), cv2.LINE_AA, 4)
        if grow:
            mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1, 2 * grow + 1)))
        return np.asarray(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), soft) / 255)[..., None]

    luma = colour @ np.array([0.299, 0.587, 0.114], np.float32)
    face = area(OVAL, 3.0, 4)[..., 0]
    warm = np.clip((colour[..., 0] - colour[..., 2] - 8) / 30, 0, 1) * np.clip((luma - 75) / 50, 0, 1)
    above = 1 / (1 + np.exp((yy - places[152, 1] - 0.5 * unit) / (0.1 * unit)))
    skin = np.maximum(face * np.clip((luma - 60) / 50, 0, 1), cv2.GaussianBlur(warm * above, (0, 0), 1.0) * 0.9)
    eyes = sum((area(upper + lower[-2:0:-1], 0.7) for upper, lower in _EYES), np.zeros((height, width, 1)))
    lips = area(OUTER, 1.0)
    off_lips = 1 - area(OUTER, 1.2, 1)
    grain = np.random.default_rng(0).standard_normal((height, width)).astype(np.float32)
    grain = np.clip(0.85 + 0.3 * cv2.GaussianBlur(grain, (0, 0), 1.0), 0, 1.2)[..., None]
    # A highlight along the lower lip, where it bulges most.
    shine = area((84, 17, 314, 317, 14, 87), 2.0) * lips
    regions = {
        "skin": skin[..., None] * (1 - eyes),
        "hair": (above * (1 - skin) * (1 - face))[..., None] * (1 - eyes),
        "clothes": (1 - above)[..., None],
        "lips": lips,
        "upper_lip": area(_UPPER_LIP, 1.5),
        "lower_lip": area(_LOWER_LIP, 1.5),
        "shine": shine / max(float(shine.max()), 1e-6),
        "under_lip": area((43, 106, 182, 83, 18, 313, 406, 335, 273, 405, 17, 181), 0.05 * unit) * off_lips,
        "folds": np.clip(area(_FOLDS[0], 0.06 * unit) + area(_FOLDS[1], 0.06 * unit), 0, 1) * (1 - area(OUTER, 2.0, 3)),
        "beard": area(_BEARD, 0.08 * unit) * off_lips * grain,
        "moustache": area(_MOUSTACHE, 0.03 * unit) * off_lips * grain,
    }
    return Photo(
        points=points,
        mesh=_triangulated(points),
        mouth=mouth,
        colour=colour,
        smooth=cv2.GaussianBlur(colour, (0, 0), 0.10 * unit),
        cover=cover,
        regions={name: region.astype(np.float32) for name, region in regions.items()},
        across=((xx - middle[0]) / unit).astype(np.float32),
        down=((yy - middle[1]) / unit).astype(np.float32),
    )


def _triangulated(points: Float[np.ndarray, "478 3"]) -> Mesh:
    """Delaunay mesh of the moving landmarks, some of the others, and a coarse grid around the face."""
    groups = (OUTER, INNER, UPPER_LIDS, LOWER_LIDS, BROWS, OVAL, tuple(JAW), STILL)
    chosen = list(dict.fromkeys(i for group in groups for i in group))
    for landmark in range(468):
        if np.linalg.norm(points[chosen, :2] - points[landmark, :2], axis=1).min() > _GAP:
            chosen.append(landmark)
    oval = points[list(OVAL), :2]
    middle = oval.mean(0)
    ring = middle + (oval[::2] - middle) * 1.3
    x, y = np.meshgrid(np.arange(-150, 601, _GRID), np.arange(-150, 526, _GRID))
    grid = np.stack([x.ravel(), y.ravel()], 1)
    radius = 1.75 * float(np.abs(oval - middle).max(0)[0])
    far = np.linalg.norm((grid - middle) / [1.0, 1.25], axis=1) > radius
    around = np.vstack([points[chosen, :2], ring, grid[far]])
    triangles = Delaunay(around).simplices
    inner = np.isin(triangles, [chosen.index(i) for i in INNER]).all(1)
    # Closed lips fold the triangles between them flat: drawn first, these are covered by their neighbours.
    return Mesh(chosen, around, to_texture(around), triangles[np.argsort(~inner, kind="stable")])
