"""How far the mouths of drawn talkers look from those of real ones.

    python -m benchmarks.mouths REAL DRAWN [OTHER]

Three folders of videos; a file's name up to `_` is its person. In mouth crops of the size that `small` sees, the pixels
between the lips are taken over the brightness of the skin beside the mouth: their luma, and how steep their edges are.
Distributions of frames that are open alike are compared (1-Wasserstein distance, mean over apertures), with 95 %
intervals by a bootstrap over people; those of DRAWN and OTHER, the same people drawn in two ways, are drawn together.
Two random halves of the real people say what people differ by. Prints a table and writes reports/bench/mouths.json.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import cv2
import mediapipe
import numpy as np
import typer

from benchmarks import machine
from syncnet_lib.faces.detect import silent_stderr
from syncnet_lib.faces.geometry import square
from syncnet_lib.media.decode import SUFFIXES, read_frames
from syncnet_lib.model.spec import SPECS
from syncnet_lib.paths import ROOT
from syncnet_lib.synthetic.portrait import INNER

APERTURES = np.array([0.0, 0.02, 0.06, 0.12, 0.2, 0.3, 0.6])
"""Bounds of what counts as open alike: distance of the lips over the inner width of the mouth."""
SCALES = {"luma": 2.0, "edges": 0.4}
"""Largest value of each histogram, in units of the skin's brightness (and pixels)."""
BINS, SIDE, DRAWS = 100, SPECS["small"].stored, 1000
LEAST = 5
"""Frames that both sides need for an aperture to be compared."""
SKIN = [205, 425, 50, 280, 187, 411]
"""Landmarks of the cheeks beside the mouth."""


def main(
    real: Annotated[Path, typer.Argument(help="folder of videos of real people")],
    drawn: Annotated[Path, typer.Argument(help="folder of drawn videos")],
    other: Annotated[Path | None, typer.Argument(help="the same people, drawn otherwise")] = None,
    out: Annotated[Path, typer.Option(help="JSON")] = ROOT / "reports" / "bench" / "mouths.json",
) -> None:
    """Compare the inside of real and drawn mouths."""
    truth = np.array(list(people(real).values()))
    found = [people(folder) for folder in (drawn, other) if folder]
    same = sorted(set.intersection(*(set(each) for each in found)))
    ways = [np.array([each[name] for name in same]) for each in found]
    rng = np.random.default_rng(0)
    drawings = []
    for _ in range(DRAWS):
        one, two = rng.integers(len(same), size=len(same)), rng.integers(len(truth), size=len(truth))
        drawings.append([distances(way[one], truth[two]) for way in ways])
    halves = [distances(*np.array_split(truth[rng.permutation(len(truth))], 2)) for _ in range(DRAWS // 10)]
    rows: dict[str, dict[str, list[float]]] = {}
    for number, what in enumerate(SCALES):
        spread = np.array(drawings)[:, :, number]
        values = [distances(way, truth)[number] for way in ways]
        names = ("drawn", "other")[: len(ways)]
        rows[what] = {
            name: told(value, spread[:, i]) for i, (name, value) in enumerate(zip(names, values, strict=True))
        }
        if other:
            rows[what]["other - drawn"] = told(values[1] - values[0], spread[:, 1] - spread[:, 0])
        rows[what]["halves of the real"] = [round(float(np.median(np.array(halves)[:, number])), 3)]
        for name, row in rows[what].items():
            print(f"{what:6} {name:18}", *row)
    result = {"machine": machine.describe(), "real": len(truth), "drawn": len(same), "distance": rows}
    out.write_text(json.dumps(result, indent=1) + "\n")


def people(folder: Path) -> dict[str, np.ndarray]:
    """Histograms of each person, (2, apertures, BINS): luma and edges between the lips; each frame counts one."""
    found: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((len(SCALES), len(APERTURES) - 1, BINS)))
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES):
        histograms = found[path.stem.partition("_")[0]]
        with silent_stderr(), mediapipe.solutions.face_mesh.FaceMesh(refine_landmarks=True) as mesh:
            for frame in read_frames(path):
                if faces := mesh.process(frame).multi_face_landmarks:
                    size = np.array(frame.shape[1::-1])
                    add(histograms, frame, np.array([(p.x, p.y) for p in faces[0].landmark]) * size - 0.5)
    return dict(found)


def add(histograms: np.ndarray, frame: np.ndarray, points: np.ndarray) -> None:
    """Count a frame in."""
    across = points[263] - points[33]
    side = 1.15 * max(np.linalg.norm(across), 0.75 * np.linalg.norm(points[168] - points[152]))
    x, y = points[[61, 291, 0, 17]].mean(0)
    to_crop = square(x, y, float(side), float(np.arctan2(across[1], across[0])), 2 * SIDE)
    gray = cv2.warpAffine(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), to_crop, (2 * SIDE, 2 * SIDE))
    gray = cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    to_crop = to_crop / 2 - np.array([[0, 0, 0.25], [0, 0, 0.25]])
    points = points @ to_crop[:, :2].T + to_crop[:, 2]
    width = np.linalg.norm(points[INNER[0]] - points[INNER[len(INNER) // 2]])
    at = int(np.searchsorted(APERTURES, np.linalg.norm(points[13] - points[14]) / width, side="right")) - 1
    if at >= len(APERTURES) - 1:
        return
    between = np.zeros(gray.shape, np.uint8)
    cv2.fillPoly(between, [np.round(points[list(INNER)] * 16).astype(np.int32)], (1,), cv2.LINE_8, 4)
    skin = np.median([cv2.getRectSubPix(gray, (3, 3), points[i].tolist()).mean() for i in SKIN])
    edges = np.hypot(*(cv2.Sobel(gray, cv2.CV_32F, 1 - i, i, scale=1 / 8) for i in range(2)))
    for histogram, values, largest in zip(histograms, (gray, edges), SCALES.values(), strict=True):
        inside = np.minimum(values[between > 0] / skin, 0.999 * largest)
        histogram[at] += np.histogram(inside, BINS, (0, largest))[0] / max(len(inside), 1)


def distances(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """1-Wasserstein distances of luma and of edges, (2,), each the mean over apertures that both have."""
    one, two = some.sum(0), others.sum(0)
    frames = np.minimum(one.sum(2), two.sum(2))
    shares = [each / np.maximum(each.sum(2, keepdims=True), 1e-9) for each in (one, two)]
    apart = np.abs(np.cumsum(shares[0] - shares[1], axis=2)).sum(2) * np.array([list(SCALES.values())]).T / BINS
    return np.array([row[enough].mean() for row, enough in zip(apart, frames >= LEAST, strict=True)])


def told(value: float, drawings: np.ndarray) -> list[float]:
    """A value and its 95 % interval."""
    return [round(float(each), 3) for each in (value, *np.percentile(drawings, [2.5, 97.5]))]


if __name__ == "__main__":
    typer.run(main)
