"""Faces in a picture: mediapipe's detectors and face mesh, and the geometry of the crops that follow from the mesh."""

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any, NamedTuple

import cv2
import numpy as np

from syncnet_lib.faces import geometry
from syncnet_lib.faces.crops import full_range, gray_crop
from syncnet_lib.faces.geometry import (
    DETECTOR_SIZE,
    LIKENESS_SIZE,
    MESH_MARGIN,
    MESH_SIZE,
    POINTS,
    Box,
    Face,
    Region,
    Roi,
    square,
)
from syncnet_lib.media.decode import Picture

CONFIDENCE = 0.5
"""Score from which a detection counts (mediapipe's default)."""
SURELY_UPRIGHT, FILLED = 0.88, 1.1
"""Score of a detection, and side of the fitted mesh over that of the detection's region: a face that reaches either is
within about 45 degrees of upright. Of 78 people, each in four quarter turns, all 68 wrong fits stay below both (at most
0.86 and 1.08), as do 7 of the 76 upright faces."""
SAME_BOX = 0.3
"""Overlap (IoU) from which two detections are of one face."""


class _Graphs:
    """mediapipe's models: built when first needed and then kept, since building takes longer than hundreds of uses.

    The C++ side reports every new graph, and every first use, on the process's stderr; that is suppressed.
    """

    def __init__(self) -> None:
        self._graphs: dict[str, Any] = {}
        self._quiet: set[str] = set()

    def run(self, name: str, image: np.ndarray) -> Any:
        """Run the model of this name on a (h, w, 3) uint8 RGB image."""
        if name in self._quiet:
            return self._call(name, image)
        with silent_stderr():
            if name not in self._graphs:
                self._graphs[name] = self._mesh() if name == "mesh" else self._detector(name)
            result = self._call(name, image)
        # Some messages come with the first face: output is suppressed until then.
        if result is not None:
            self._quiet.add(name)
        return result

    def _call(self, name: str, image: np.ndarray) -> Any:
        if name == "mesh":
            return self._graphs[name].process({"image": image, "roi": self._whole}).landmarks
        return self._graphs[name].process(image).detections

    def _mesh(self) -> Any:
        from google.protobuf import text_format

        with _without_unused():
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
        with _without_unused():
            from mediapipe.python.solutions import face_detection

        return face_detection.FaceDetection(model_selection=int(name == "full"), min_detection_confidence=CONFIDENCE)


_graphs = _Graphs()


_UNUSED = "matplotlib", "matplotlib.pyplot", "mediapipe.tasks", "mediapipe.tasks.python"
"""What mediapipe imports for its examples, and its other interface, for which it looks for a sound card by starting
programs: four fifths of the time of its import."""


@contextlib.contextmanager
def _without_unused() -> Iterator[None]:
    """Import mediapipe without what is not used of it."""
    names = [name for name in _UNUSED if name not in sys.modules]
    sys.modules.update({name: ModuleType(name) for name in names})
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Suppress what C++ code writes to the process's stderr."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class Detection(NamedTuple):
    """A face that a detector found.

    Attributes:
        box: pixels of the picture.
        roi: region for `mesh`.
        score: 0-1.
    """

    box: Box
    roi: Roi
    score: float


def detect(picture: Picture, region: Region) -> list[Detection]:
    """Find faces in a part of a picture."""
    part = picture.luma[region.top : region.top + region.height, region.left : region.left + region.width]
    scale = DETECTOR_SIZE / max(part.shape)
    if scale < 1:
        part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    part = np.ascontiguousarray(np.rot90(full_range(picture, part), region.turns))
    image = cv2.cvtColor(part, cv2.COLOR_GRAY2RGB)
    found = _graphs.run("full" if region.full_range else "short", image) or []
    faces = []
    for detection in found:
        data = detection.location_data
        box, (right_eye, left_eye) = data.relative_bounding_box, data.relative_keypoints[:2]
        corners = region.position(box.xmin, box.ymin), region.position(box.xmin + box.width, box.ymin + box.height)
        (left, right), (top, bottom) = (sorted(values) for values in zip(*corners, strict=True))
        eyes = region.position(right_eye.x, right_eye.y), region.position(left_eye.x, left_eye.y)
        across, down = (there - here for here, there in zip(*eyes, strict=True))
        outline = Box(left, top, right, bottom)
        roi = Roi(*outline.centre, MESH_MARGIN * max(right - left, bottom - top), math.atan2(down, across))
        faces.append(Detection(outline, roi, float(detection.score[0])))
    return faces


def mesh(picture: Picture, roi: Roi) -> Face | None:
    """Fit the face mesh.

    Args:
        picture: where the face is.
        roi: region of the face, pixels.

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


def fit(picture: Picture, found: Detection) -> Face | None:
    """Fit the face mesh to a detection, also where a detector took a face for upright that is not.

    The detectors find faces that lie on their side or upside down too, with a lower score and the eyes where the mouth
    is. Turned upright, such a face scores more.

    Returns:
        The face, or None where the model says that there is none.
    """
    face = mesh(picture, found.roi)
    if face is None or found.score >= SURELY_UPRIGHT or face.roi.side >= FILLED * found.roi.side:
        return face
    around = geometry.around(found.box, *picture.size)
    others = [other for turns in range(4) for other in detect(picture, replace(around, turns=turns))]
    same = [other for other in others if other.box.iou(found.box) >= SAME_BOX]
    best = max(same, key=lambda other: other.score, default=found)
    turned = math.cos(best.roi.angle - found.roi.angle) < math.cos(math.pi / 4)
    return mesh(picture, best.roi) if turned else face


def likeness(picture: Picture, face: Face, other_picture: Picture, other: Face) -> float:
    """Correlation of two upper faces after alignment; the mouth is left out because it moves."""
    patches: list[np.ndarray] = []
    for shown, found in ((picture, face), (other_picture, other)):
        roi = found.roi
        patch = gray_crop(shown, square(roi.x, roi.y, roi.side / MESH_MARGIN, roi.angle, LIKENESS_SIZE), LIKENESS_SIZE)
        patches.append(patch[: LIKENESS_SIZE * 5 // 8].ravel())
    return float(np.corrcoef(patches[0], patches[1])[0, 1])
