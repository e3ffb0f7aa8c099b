"""The photograph behind every synthetic face: its mesh, its regions, and how it is painted to be somebody else.

The photograph is scikit-image's `astronaut` (NASA, public domain); its mesh and outline come from mediapipe.
Lengths are pixels of the photograph unless said otherwise.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from scipy.spatial import Delaunay

from syncnet_lib.faces.detect import silent_stderr

# Landmark numbers of mediapipe's face mesh, from the picture's left to its right.
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
"""Landmarks that the jaw carries, with the share of its drop that reaches them."""
_NOSE = (1, 2, 4, 5, 6, 94, 98, 327, 168, 195, 197, 48, 278, 64, 294, 129, 358)
STILL = (*_NOSE, *OVAL[:11], *OVAL[26:], 116, 345, 117, 346, 118, 347)
"""Landmarks that speaking does not move."""
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

_DENSE = 1.5
"""Texture pixels per pixel of the photograph."""
_TOP = 40
"""Rows of background above the photograph, whose upper edge nearly touches the hair."""
_LEFT, _RIGHT, _BOTTOM = 10, 440, 380
"""Part of the photograph that may be seen."""
_GAP = 8
"""A landmark joins the mesh where its nearest neighbour in it is further than this."""
_GRID = 112.0
"""Distance of the mesh's vertices where nothing but hair, clothes and background moves."""


@dataclass(frozen=True)
class Look:
    """What somebody looks like. Factors are 1 and offsets 0 for the photograph with a resting mouth.

    Args:
        jaw_width, face_length, eye_spacing, nose_length, chin_length, cheek_width: factors on the face.
        mouth_width, upper_lip, lower_lip: factors on the resting mouth.
        mouth_height: where the mouth sits, in half mouth widths below its usual place.
        crooked: skew of the mouth, -1..1.
        skin: factors on red, green, blue of the skin.
        hair, suit: factors on red, green, blue of what is dark or not skin-coloured above and below the chin.
        lip_colour: RGB 0..1 by which the lips are tinted, and `lip_strength` 0..1 how much.
        beard, moustache: 0..1 darkness of a shaven or grown beard.
        folds: 0..1 how much of the photograph's smile folds stays.
        teeth: brightness 0..1 of the teeth.
        teeth_shown: factor on how far the upper teeth come down behind the lips.
        modelling: 0..1 how much darker the lips' lower sides are than their upper sides.
        shine: 0..1 light on the lower lip.
        mirror: left and right exchanged.
    """

    jaw_width: float = 1.0
    face_length: float = 1.0
    eye_spacing: float = 1.0
    nose_length: float = 1.0
    chin_length: float = 1.0
    cheek_width: float = 1.0
    mouth_width: float = 1.0
    upper_lip: float = 1.0
    lower_lip: float = 1.0
    mouth_height: float = 0.0
    crooked: float = 0.0
    skin: tuple[float, float, float] = (1.0, 1.0, 1.0)
    hair: tuple[float, float, float] = (1.0, 1.0, 1.0)
    suit: tuple[float, float, float] = (1.0, 1.0, 1.0)
    lip_colour: tuple[float, float, float] = (0.7, 0.4, 0.4)
    lip_strength: float = 0.3
    beard: float = 0.0
    moustache: float = 0.0
    folds: float = 0.3
    teeth: float = 0.8
    teeth_shown: float = 1.0
    modelling: float = 0.5
    shine: float = 0.2
    mirror: bool = False


@dataclass(frozen=True)
class Scene:
    """How somebody is filmed.

    Args:
        width, height: of the frame, pixels, multiples of 4.
        scale: frame pixels per pixel of the photograph (its face is 107 high).
        centre: where the middle of the face is, frame pixels.
        light: direction and strength of side light (x), top light (y), each -1..1.
        exposure: factor on brightness.
        gamma: exponent on brightness.
        colour: factors on red, green, blue.
        background: RGB 0..255 at the top and at the bottom of the frame.
        clutter: 0..1 how uneven the background is.
        blur: standard deviation of the lens' blur, frame pixels.
        noise: standard deviation of the sensor's noise, 0..255.
    """

    width: int
    height: int
    scale: float
    centre: tuple[float, float]
    light: tuple[float, float] = (0.0, 0.0)
    exposure: float = 1.0
    gamma: float = 1.0
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    background: tuple[tuple[float, float, float], tuple[float, float, float]] = (
        (90, 150, 200),
        (60, 120, 180),
    )
    clutter: float = 0.0
    blur: float = 0.0
    noise: float = 0.0


@dataclass(frozen=True)
class Photo:
    """The photograph and what is where in it; everything but `points` is texture sized.

    Args:
        points: (478, 3) landmarks.
        colour: (h, w, 3) RGB 0..255, without the teeth.
        smooth: the same without folds and shine.
        cover: (h, w) 0..1, 0 where the background was.
        regions: name to (h, w, 1) in 0..1.
        across, down: (h, w) place in the face in eye distances from its middle.
    """

    points: np.ndarray
    colour: np.ndarray
    smooth: np.ndarray
    cover: np.ndarray
    regions: dict[str, np.ndarray]
    across: np.ndarray
    down: np.ndarray


@dataclass(frozen=True)
class Mesh:
    """Vertices on the face and around it, and the triangles between them, those inside the mouth first.

    Args:
        landmarks: of mediapipe's mesh; vertex i < len(landmarks) is landmarks[i], the others lie around them.
        points: (V, 2) in the photograph.
        texture: (V, 2) the same in texture pixels.
        triangles: (N, 3) vertex numbers.
    """

    landmarks: list[int]
    points: np.ndarray
    texture: np.ndarray
    triangles: np.ndarray

    def rows(self, landmarks: tuple[int, ...]) -> np.ndarray:
        """Vertex numbers of landmarks."""
        row = {landmark: number for number, landmark in enumerate(self.landmarks)}
        return np.array([row[landmark] for landmark in landmarks])


def _to_texture(points: np.ndarray) -> np.ndarray:
    return (points[..., :2] - [_LEFT, -_TOP]) * _DENSE


@lru_cache(maxsize=1)
def photo() -> Photo:
    """The photograph; found and measured once a process."""
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
    part = np.s_[: _TOP + _BOTTOM, _LEFT:_RIGHT]
    image = cv2.copyMakeBorder(image, _TOP, 0, 0, 0, cv2.BORDER_REPLICATE)[part]
    cover = cv2.copyMakeBorder(cover, _TOP, 0, 0, 0, cv2.BORDER_CONSTANT, value=(0,))[part]
    image = cv2.resize(image, None, fx=_DENSE, fy=_DENSE, interpolation=cv2.INTER_CUBIC)
    cover = cv2.resize(cover, None, fx=_DENSE, fy=_DENSE, interpolation=cv2.INTER_LINEAR)
    # The photograph's own teeth must never bleed over the edge of a lip.
    mouth = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(mouth, [np.round(_to_texture(points[list(INNER)])).astype(np.int32)], (255,))
    image = cv2.inpaint(image, cv2.dilate(mouth, np.ones((5, 5), np.uint8)), 4, cv2.INPAINT_TELEA)
    # Pull the outline inwards: the photograph's own bright background shines through its last pixels.
    cover = np.clip((cv2.GaussianBlur(cover, (0, 0), 1.2) - 0.6) / 0.4, 0, 1)
    colour = image.astype(np.float32)
    return _measured(points, colour, cover)


def _measured(points: np.ndarray, colour: np.ndarray, cover: np.ndarray) -> Photo:
    height, width = cover.shape
    places = _to_texture(points)
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
    # A line of light along the lower lip, where it bulges most.
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
        colour=colour,
        smooth=cv2.GaussianBlur(colour, (0, 0), 0.10 * unit),
        cover=cover,
        regions={name: region.astype(np.float32) for name, region in regions.items()},
        across=((xx - middle[0]) / unit).astype(np.float32),
        down=((yy - middle[1]) / unit).astype(np.float32),
    )


@lru_cache(maxsize=1)
def mesh() -> Mesh:
    """The mesh on the photograph; made once a process."""
    points = photo().points
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
    # Closed lips press the triangles between them flat; what is drawn first is drawn over.
    return Mesh(chosen, around, _to_texture(around), triangles[np.argsort(~inner, kind="stable")])


def painted(look: Look, scene: Scene) -> np.ndarray:
    """The photograph as somebody else in other light.

    Args:
        look: the person.
        scene: the light and the camera.

    Returns:
        (h, w, 4) uint8 RGB times cover, and cover: the texture of `mesh`.
    """
    source = photo()
    region = source.regions
    colour = source.colour + (source.smooth - source.colour) * (region["folds"] * np.float32(1 - look.folds))
    factor = 1 + region["skin"] * (np.array(look.skin, np.float32) - 1)
    factor *= 1 + region["hair"] * (np.array(look.hair, np.float32) - 1)
    factor *= 1 + region["clothes"] * (np.array(look.suit, np.float32) - 1)
    box = _face_box()
    luma = colour[box] @ np.array([[0.299], [0.587], [0.114]], np.float32)
    colour *= factor
    face, part = colour[box], {name: area[box] for name, area in region.items()}
    tint = np.array(look.lip_colour, np.float32) * luma * np.float32(1.5 * np.mean(look.skin))
    face += (tint - face) * part["lips"] * np.float32(look.lip_strength)
    face *= 1 - np.float32(0.18 * look.modelling) * part["upper_lip"]  # it faces down, the lower one up
    face *= 1 + np.float32(0.10 * look.modelling) * part["lower_lip"]
    face += np.float32(70 * look.shine) * part["shine"]
    face *= 1 - np.float32(0.25 * look.modelling) * part["under_lip"]
    if look.beard > 0 or look.moustache > 0:
        whiskers = np.maximum(part["beard"] * np.float32(look.beard), part["moustache"] * np.float32(look.moustache))
        dark = np.minimum(np.array([58, 48, 42], np.float32) * np.float32(np.mean(look.hair)), face * 0.6)
        face += (dark - face) * np.clip(whiskers, 0, 0.92)
    side, top = scene.light
    bulge = np.exp(-((np.hypot(source.across, source.down * 0.8) / 1.6) ** 2))
    light = 1 + 0.55 * side * np.tanh(source.across * 1.2) * (0.4 + 0.6 * bulge) - 0.30 * top * np.tanh(source.down)
    cover = source.cover[..., None]
    lit = filmed(np.clip(colour * light[..., None], 0, 255).astype(np.uint8), scene)
    blur = scene.blur * _DENSE / scene.scale
    texture = np.dstack([lit * cover, 255 * cover]).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(texture, (0, 0), blur) if blur > 0.25 else texture)


@lru_cache(maxsize=1)
def _face_box() -> tuple[slice, slice]:
    """Rows and columns of the texture that hold the face."""
    places = _to_texture(photo().points[list(OVAL)])
    (left, top), (right, bottom) = (
        np.floor(places.min(0)).astype(int) - 8,
        np.ceil(places.max(0)).astype(int) + 8,
    )
    return slice(top, bottom), slice(left, right)


def filmed(colour: np.ndarray, scene: Scene) -> np.ndarray:
    """What the camera makes of colours, (h, w, 3) uint8 both."""
    levels = np.arange(256) / 255 * scene.exposure
    curves = np.clip(levels[:, None] ** scene.gamma * np.array(scene.colour), 0, 1) * 255
    return np.asarray(cv2.LUT(colour, curves.round().astype(np.uint8)[None]))


def backdrop(scene: Scene) -> np.ndarray:
    """What is behind the person, (H, W, 3) uint8: a wall in uneven light, out of focus."""
    top, bottom = (np.array(colour) for colour in scene.background)
    v = np.linspace(0, 1, scene.height)[:, None, None]
    u = np.linspace(-1, 1, scene.width)[None, :, None]
    uneven = 1 + 0.15 * scene.light[0] * u - 0.2 * u * u
    if scene.clutter > 0:
        things: np.ndarray = np.random.default_rng(round(top.sum() * 1000)).uniform(-1, 1, (6, 8))
        things = cv2.resize(things, (scene.width, scene.height), interpolation=cv2.INTER_CUBIC)
        uneven = uneven * (1 + scene.clutter * things[..., None])
    wall = np.clip((top + (bottom - top) * v) * uneven, 0, 255).astype(np.uint8)
    return filmed(wall, scene)
