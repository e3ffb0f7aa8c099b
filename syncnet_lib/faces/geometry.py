"""Where a face is in a picture: boxes, landmarks, regions to search, and the transforms of crops."""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64

MESH_SIZE = 192
"""Input of mediapipe's face mesh, pixels."""
MESH_MARGIN = 1.5
"""Side of the mesh's input over the longer side of the face, as in mediapipe's own graph."""

LIKENESS_SIZE = 32
"""Side of the faces that are compared, pixels: enough for features and hair, too little for expressions."""
DETECTOR_SIZE = 192
"""Longer side of what the detectors are shown, pixels: the input of the full-range model."""
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
INDEX = {point: index for index, point in enumerate(POINTS)}
"""Row of each of the mesh's points in `Face.points`."""


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
    """A square that is turned with the head: the region to which the face mesh is fitted.

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
        points: positions in pixels, in the order of POINTS.
    """

    points: Float32[np.ndarray, "43 2"]

    def point(self, number: int) -> Float32[np.ndarray, "2"]:
        """Position in pixels of a point of the mesh."""
        return self.points[INDEX[number]]

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
    def lip_aperture(self) -> float:
        """Aperture of the lips over the height of the face (forehead to chin)."""
        height = np.linalg.norm(self.point(FOREHEAD) - self.point(CHIN))
        return float(np.linalg.norm(self.point(UPPER_LIP) - self.point(LOWER_LIP)) / height)

    @property
    def roi(self) -> Roi:
        """Region to which the mesh is fitted in the next picture."""
        angle = self.angle
        cos, sin = np.cos(angle), np.sin(angle)
        turned = self.points @ np.array([[cos, -sin], [sin, cos]], np.float32)
        low, high = turned.min(0), turned.max(0)
        x, y = (low + high) / 2
        side = MESH_MARGIN * float((high - low).max())
        return Roi(float(cos * x - sin * y), float(sin * x + cos * y), side, angle)

    @property
    def mouth(self) -> Float64[np.ndarray, "4"]:
        """Geometry of the mouth crop: centre x, y, side in pixels, roll in radians.

        The side is 1.15 times the larger of the outer-eye distance and 0.75 times nasion to chin, so that neither a
        turned nor a nodding head makes it collapse.
        """
        eyes = np.linalg.norm(self.point(LEFT_EYE) - self.point(RIGHT_EYE))
        height = np.linalg.norm(self.point(NASION) - self.point(CHIN))
        lips = [self.point(number) for number in (*LIP_CORNERS, UPPER_LIP, LOWER_LIP)]
        return np.array([*np.mean(lips, axis=0), 1.15 * max(eyes, 0.75 * height), self.angle])


@dataclass(frozen=True)
class Region:
    """An upright part of a picture and the detector that searches it.

    Attributes:
        left: pixels.
        top: pixels.
        width: pixels.
        height: pixels.
        full_range: mediapipe's model for faces from a seventh of the region's side, in place of the faster one for
            faces from a third.
        turns: quarter turns counter-clockwise by which the region is turned before the search, for faces that lie on
            their side or upside down: the models find those within about 45 degrees of upright.
    """

    left: int
    top: int
    width: int
    height: int
    full_range: bool
    turns: int = 0

    def position(self, x: float, y: float) -> tuple[float, float]:
        """Position in the picture, pixels, of a point of the turned region, as shares of its width and height."""
        x, y = [(x, y), (1 - y, x), (1 - x, 1 - y), (y, 1 - x)][self.turns]
        return self.left + x * self.width, self.top + y * self.height


def whole(width: int, height: int) -> Region:
    """The whole picture with the fast model, which finds faces from a third of the picture's height."""
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


def turned(width: int, height: int, min_face_size: int, turns: int) -> list[Region]:
    """Where faces that do not stand upright are sought: the whole picture, and the largest squares of `tiles`.

    Args:
        width, height, min_face_size: as for `tiles`.
        turns: quarter turns counter-clockwise that bring such a face upright, 1-3.
    """
    side = min(width, height)
    regions = [whole(width, height), *(each for each in tiles(width, height, min_face_size) if each.width == side)]
    return [replace(region, turns=turns) for region in regions]


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


def square(x: float, y: float, side: float, angle: float, size: int) -> Float64[np.ndarray, "2 3"]:
    """Affine map from the picture to a square crop.

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
