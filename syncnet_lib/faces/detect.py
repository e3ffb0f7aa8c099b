"""Faces in a picture: mediapipe's detectors and face mesh, and the geometry of the crops that follow from the mesh."""

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from syncnet_lib.media.decode import Picture

MESH_SIZE = 192
"""Input of mediapipe's face mesh, pixels."""
MESH_MARGIN = 1.5
"""Side of the mesh's input over the longer side of the face, as in mediapipe's own graph."""

LIKENESS_SIZE = 32
"""Side of the faces that are compared, pixels: enough for features and hair, too little for expressions."""
DETECTOR_SIZE = 192
"""Longer side of what the detectors are shown, pixels: the input of the full-range model."""
CONFIDENCE = 0.5
"""Score from which a detection counts (mediapipe's default)."""
SMALLEST = 0.15
"""Smallest face that the full-range model finds anywhere in a square, as a share of the side (measured)."""
LEVELS = 3
"""Squares of the picture's height, a half and a third of it: enough for a face of a twentieth of the height."""

# Points of the face mesh (canonical_face_model of mediapipe).
RIGHT_EYE, LEFT_EYE = 33, 263
"""Outer eye corners of the person."""
NASION, CHIN, FOREHEAD = 168, 152, 10
LIP_CORNERS = (61, 291)
UPPER_LIP, LOWER_LIP = 13, 14
"""Inner edge of the lips in the middle: their distance is the lip aperture."""
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""Outline of the face."""
POINTS = (*OVAL, RIGHT_EYE, LEFT_EYE, NASION, *LIP_CORNERS, UPPER_LIP, LOWER_LIP)
"""What is read of the 468 points; reading all of them in Python costs a third of the mesh itself."""
PLACE = {point: place for place, point in enumerate(POINTS)}

MOUTH_SIZE = 120
"""Side of a stored mouth crop; the paper's figure says 120, its text and the seed say 111, which is cut from it."""
FACE_SIZE = 224
"""Side of a stored face crop: the input of the released model."""
PAD_VALUE = 110
"""Gray of what lies outside the picture (reference: run_pipeline.py)."""


@dataclass(frozen=True)
class Box:
    """An upright rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def size(self) -> float:
        """Half the sum of width and height, pixels."""
        return (self.right - self.left + self.bottom - self.top) / 2

    @property
    def centre(self) -> tuple[float, float]:
        """Middle, pixels."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def iou(self, other: "Box") -> float:
        """Intersection over union with another box."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        if width <= 0 or height <= 0:
            return 0.0
        both = width * height
        return both / (self._area + other._area - both)

    @property
    def _area(self) -> float:
        return (self.right - self.left) * (self.bottom - self.top)


@dataclass(frozen=True)
class Roi:
    """A square that is turned with the head: where the mesh looks.

    Attributes:
        x: centre, pixels.
        y: centre, pixels.
        side: pixels.
        angle: clockwise turn as seen on the screen, radians.
    """

    x: float
    y: float
    side: float
    angle: float


@dataclass(frozen=True)
class Face:
    """One face in one picture, from its mesh.

    Attributes:
        points: (43, 2) float32 pixels, in the order of POINTS.
    """

    points: np.ndarray

    def point(self, number: int) -> np.ndarray:
        """(2,) float32 position in pixels of a point of the mesh."""
        return self.points[PLACE[number]]

    @property
    def angle(self) -> float:
        """Roll of the head by the line through the outer eye corners, radians, clockwise on the screen."""
        across = self.point(LEFT_EYE) - self.point(RIGHT_EYE)
        return float(np.arctan2(across[1], across[0]))

    @property
    def box(self) -> Box:
        """Upright box around the outline."""
        (left, top), (right, bottom) = self.points.min(0), self.points.max(0)
        return Box(float(left), float(top), float(right), float(bottom))

    @property
    def lips(self) -> float:
        """Aperture of the lips over the height of the face (forehead to chin)."""
        height = np.linalg.norm(self.point(FOREHEAD) - self.point(CHIN))
        return float(np.linalg.norm(self.point(UPPER_LIP) - self.point(LOWER_LIP)) / height)

    @property
    def roi(self) -> Roi:
        """Where the mesh should look for this face in the next picture."""
        angle = self.angle
        cos, sin = np.cos(angle), np.sin(angle)
        turned = self.points @ np.array([[cos, -sin], [sin, cos]], np.float32)
        low, high = turned.min(0), turned.max(0)
        x, y = (low + high) / 2
        side = MESH_MARGIN * float((high - low).max())
        return Roi(float(cos * x - sin * y), float(sin * x + cos * y), side, angle)

    @property
    def mouth(self) -> np.ndarray:
        """(4,) float64 geometry of the mouth crop: centre x, y, side in pixels, roll in radians.

        The side is 1.15 times the larger of the outer-eye distance and 0.75 times nasion to chin, so that neither a
        turned nor a nodding head makes it collapse.
        """
        eyes = np.linalg.norm(self.point(LEFT_EYE) - self.point(RIGHT_EYE))
        height = np.linalg.norm(self.point(NASION) - self.point(CHIN))
        lips = [self.point(number) for number in (*LIP_CORNERS, UPPER_LIP, LOWER_LIP)]
        return np.array([*np.mean(lips, axis=0), 1.15 * max(eyes, 0.75 * height), self.angle])


class _Graphs:
    """mediapipe's models: built when first needed and then kept, since building takes longer than hundreds of uses.

    The C++ side reports every new graph, and once every first use, on stderr past Python's back; that is held off.
    """

    def __init__(self) -> None:
        self._graphs: dict[str, Any] = {}
        self._talked: set[str] = set()

    def run(self, name: str, image: np.ndarray) -> Any:
        """Run the model of this name on a (h, w, 3) uint8 RGB image."""
        if name in self._talked:
            return self._call(name, image)
        with silent_stderr():
            if name not in self._graphs:
                self._graphs[name] = self._mesh() if name == "mesh" else self._detector(name)
            result = self._call(name, image)
        # Some messages come with the first face, so silence lasts until then.
        if result is not None:
            self._talked.add(name)
        return result

    def _call(self, name: str, image: np.ndarray) -> Any:
        if name == "mesh":
            return self._graphs[name].process({"image": image, "roi": self._whole}).landmarks
        return self._graphs[name].process(image).detections

    def _mesh(self) -> Any:
        from google.protobuf import text_format

        with _without_plotting():
            from mediapipe.framework import calculator_pb2
            from mediapipe.framework.formats import rect_pb2
            from mediapipe.python import solution_base

        # The solution of mediapipe has its own detector and tracker around the same node; here the caller has these.
        text = """
            input_stream: "image" input_stream: "roi" output_stream: "landmarks"
            node { calculator: "FaceLandmarkCpu"
                   input_stream: "IMAGE:image" input_stream: "ROI:roi" output_stream: "LANDMARKS:landmarks" }
        """
        self._whole = rect_pb2.NormalizedRect(x_center=0.5, y_center=0.5, width=1, height=1, rotation=0)
        return solution_base.SolutionBase(graph_config=text_format.Parse(text, calculator_pb2.CalculatorGraphConfig()))

    @staticmethod
    def _detector(name: str) -> Any:
        with _without_plotting():
            from mediapipe.python.solutions import face_detection

        return face_detection.FaceDetection(model_selection=int(name == "full"), min_detection_confidence=CONFIDENCE)


_graphs = _Graphs()


@contextlib.contextmanager
def _without_plotting() -> Iterator[None]:
    """Hold off matplotlib, two thirds of the time to import mediapipe, which draws its own examples with it."""
    names = [name for name in ("matplotlib", "matplotlib.pyplot") if name not in sys.modules]
    sys.modules.update({name: ModuleType(name) for name in names})
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Hold off what C++ code writes to stderr past Python's back."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@dataclass(frozen=True)
class Region:
    """An upright part of a picture and the detector that looks at it.

    Attributes:
        left: pixels.
        top: pixels.
        width: pixels.
        height: pixels.
        full_range: mediapipe's model for faces from a seventh of the region's side, in place of the faster one for
            faces from a third.
    """

    left: int
    top: int
    width: int
    height: int
    full_range: bool


def whole(width: int, height: int) -> Region:
    """The fast look at everything, which finds faces from a third of the picture's height."""
    return Region(0, 0, width, height, False)


def tiles(width: int, height: int, min_face_size: int) -> list[Region]:
    """Overlapping squares in which the full-range model finds the smaller faces, larger squares first.

    Args:
        width: of the picture, pixels.
        height: of the picture, pixels.
        min_face_size: smallest face that is wanted, pixels; those below a twentieth of the height are never sought.
    """
    regions = []
    for level in range(1, LEVELS + 1):
        side = min(width, height) // level
        if side < min_face_size:
            break
        for top in _starts(height, side):
            regions += [Region(left, top, side, side, True) for left in _starts(width, side)]
        if side * SMALLEST <= min_face_size:
            break
    return regions


def _starts(length: int, side: int) -> list[int]:
    """Where squares start that cover a length and overlap by a third, so that a face on an edge is whole in one."""
    count = 1 + math.ceil((length - side) / (side * 2 / 3))
    return [round(start) for start in np.linspace(0, length - side, count)]


def around(box: Box, width: int, height: int) -> Region:
    """The neighbourhood of a lost face, three times its size, for the fast model."""
    x, y = box.centre
    half = 1.5 * box.size
    left, top = max(0, int(x - half)), max(0, int(y - half))
    right, bottom = min(width, int(x + half)), min(height, int(y + half))
    return Region(left, top, max(1, right - left), max(1, bottom - top), False)


def detect(picture: Picture, region: Region) -> list[tuple[Box, Roi]]:
    """Find faces in a part of a picture.

    Returns:
        For each face its box and where the mesh should look, in pixels of the picture.
    """
    part = picture.luma[region.top : region.top + region.height, region.left : region.left + region.width]
    scale = DETECTOR_SIZE / max(part.shape)
    if scale < 1:
        part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    image = cv2.cvtColor(_full_range(picture, part), cv2.COLOR_GRAY2RGB)
    found = _graphs.run("full" if region.full_range else "short", image) or []
    faces = []
    for detection in found:
        data = detection.location_data
        box, (right_eye, left_eye) = data.relative_bounding_box, data.relative_keypoints[:2]
        left, top = region.left + box.xmin * region.width, region.top + box.ymin * region.height
        right, bottom = left + box.width * region.width, top + box.height * region.height
        across, down = (left_eye.x - right_eye.x) * region.width, (left_eye.y - right_eye.y) * region.height
        placed = Box(left, top, right, bottom)
        side = MESH_MARGIN * max(right - left, bottom - top)
        faces.append((placed, Roi(*placed.centre, side, float(np.arctan2(down, across)))))
    return faces


def mesh(picture: Picture, roi: Roi) -> Face | None:
    """Fit the face mesh.

    Args:
        picture: where the face is.
        roi: where to look, pixels.

    Returns:
        The face, or None where the model says that there is none.
    """
    to_patch = square(roi.x, roi.y, roi.side, roi.angle, MESH_SIZE)
    patch = gray_crop(picture, to_patch, MESH_SIZE)
    found = _graphs.run("mesh", cv2.cvtColor(patch, cv2.COLOR_GRAY2RGB))
    if found is None:
        return None
    marks = found.landmark
    # mediapipe counts from the edge of the first pixel, OpenCV from its centre
    points = np.array([(marks[number].x, marks[number].y) for number in POINTS]) * MESH_SIZE - 0.5
    back = cv2.invertAffineTransform(to_patch)
    return Face((points @ back[:, :2].T + back[:, 2]).astype(np.float32))


def likeness(picture: Picture, face: Face, other_picture: Picture, other: Face) -> float:
    """Correlation of two upper faces, brought into the same place; the mouth is left out because it moves."""
    patches: list[np.ndarray] = []
    for shown, seen in ((picture, face), (other_picture, other)):
        roi = seen.roi
        patch = gray_crop(shown, square(roi.x, roi.y, roi.side / MESH_MARGIN, roi.angle, LIKENESS_SIZE), LIKENESS_SIZE)
        patches.append(patch[: LIKENESS_SIZE * 5 // 8].ravel())
    return float(np.corrcoef(patches[0], patches[1])[0, 1])


def gray_crop(picture: Picture, to_crop: np.ndarray, size: int) -> np.ndarray:
    """(size, size) uint8 crop of the luma, full range; see `sample`. Only the crop's own pixels are converted."""
    black, white = picture.luma_range
    pad = round(black + PAD_VALUE * (white - black) / 255)
    return _full_range(picture, sample(picture.luma, to_crop, size, pad))


def _full_range(picture: Picture, luma: np.ndarray) -> np.ndarray:
    """Luma of a picture as uint8 over 0-255."""
    black, white = picture.luma_range
    if (black, white) == (0, 255):
        return luma
    scale = 255 / (white - black)
    # convertScaleAbs takes the absolute value, so nothing may be blacker than black
    return cv2.convertScaleAbs(cv2.max(luma, black), alpha=scale, beta=-black * scale)


def square(x: float, y: float, side: float, angle: float, size: int) -> np.ndarray:
    """(2, 3) float64 affine map from the picture to a square crop.

    Args:
        x: centre, pixels.
        y: centre, pixels.
        side: of the square in the picture, pixels.
        angle: clockwise turn of the square, radians.
        size: of the crop, pixels.
    """
    scale, middle = size / side, (size - 1) / 2
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, sin, middle - cos * x - sin * y], [-sin, cos, middle + sin * x - cos * y]])


def sample(image: np.ndarray, to_crop: np.ndarray, size: int, pad: int) -> np.ndarray:
    """Cut a square crop out of a picture.

    Args:
        image: (H, W) or (H, W, C) uint8 or uint16.
        to_crop: (2, 3) map from picture to crop, without shear.
        size: of the crop, pixels.
        pad: value outside the picture.

    Returns:
        (size, size) or (size, size, C) of the image's dtype.
    """
    shrink = int(1 / np.hypot(to_crop[0, 0], to_crop[0, 1]))
    if shrink >= 2:
        # Bilinear sampling of a much larger region would skip pixels; average whole blocks of them first.
        height, width = image.shape[:2]
        corners = cv2.invertAffineTransform(to_crop) @ np.array([[0, size, 0, size], [0, 0, size, size], [1] * 4])
        left, top = np.clip(np.floor(corners.min(1)).astype(int) - shrink, 0, (width, height))
        right, bottom = np.clip(np.ceil(corners.max(1)).astype(int) + shrink, 0, (width, height))
        right, bottom = right - (right - left) % shrink, bottom - (bottom - top) % shrink
        if right > left and bottom > top:
            part = image[top:bottom, left:right]
            image = cv2.resize(part, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
            # Pixel centres: x = left + shrink * x' + (shrink - 1) / 2
            half = (shrink - 1) / 2
            to_crop = np.column_stack(
                (to_crop[:, :2] * shrink, to_crop[:, :2] @ (left + half, top + half) + to_crop[:, 2])
            )
    return cv2.warpAffine(
        image, to_crop, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(pad,) * 3
    )
