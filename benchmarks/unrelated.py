"""Is anything called sure where lips and sound have nothing to do with each other?

    python -m benchmarks.unrelated [--clips ../shared/clips] [--faces ../shared/faces] [--voices ../shared/voices]

Faces that speak, of clips that the shipped network has not seen, with the sound of another talker, with music, with the
babble of six voices and with none. Photographs, slowly moved and enlarged as editors do, with the speech of somebody
else. And cartoons: the two photographs of a person as paintings, of which one or the other is shown from one twelfth of
a second to the next. Each is measured as `syncnet offset` measures it; bounds are of 95 % (Clopper and Pearson). Writes
reports/bench/unrelated.json.
"""

import csv
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from scipy.stats import beta
from tqdm import tqdm

from benchmarks import machine
from benchmarks.corpora import held_out
from benchmarks.far import Bench, led
from syncnet_lib import files
from syncnet_lib.errors import InputError
from syncnet_lib.measurement import examination
from syncnet_lib.measurement.result import Result
from syncnet_lib.measurement.stream import FAR, AudioBlock, AudioEnd, Event
from syncnet_lib.media import audio, encode
from syncnet_lib.media.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from syncnet_lib.media.report import Report
from syncnet_lib.paths import ROOT

SETS = ("grid_talkers", "grid_s1", "tv", "studio", "wild")
FRAMES = 4 * FPS
"""Of a photograph or a cartoon."""
SIDE = 480
"""Pixels of their pictures."""
HELD = 2
"""Pictures that a cartoon shows without a change: it is drawn on twos, 12.5 a second."""
VOICES = 6
"""In a babble."""
LOUD = 5000
"""Root mean square of made sound, in units of 16 bits."""


def music(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Chords and drums at a steady beat."""
    at = np.arange(samples) / SAMPLE_RATE
    beat = 60 / rng.uniform(70, 170)
    phase = at % beat
    root = 110 * 2 ** (rng.integers(0, 12, int(samples / SAMPLE_RATE / beat) + 2) / 12)
    pitch = root[(at / beat).astype(int)]
    chord = sum(np.sin(2 * np.pi * np.cumsum(pitch * step) / SAMPLE_RATE) for step in (1, 1.26, 1.5, 2))
    drum = rng.standard_normal(samples) * np.exp(-40 * phase)
    return loud(chord * np.exp(-2 * phase) + 1.5 * drum)


def loud(sound: np.ndarray) -> np.ndarray:
    """As 16-bit samples of LOUD."""
    return np.clip(sound * LOUD / max(float(np.sqrt(np.mean(sound**2))), 1e-6), -32768, 32767).astype(np.int16)


def photograph(image: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Pictures that move slowly over one."""
    start, end = rng.uniform([1.0, -0.03, -0.03], [1.15, 0.03, 0.03], (2, 3))
    for share in np.linspace(0, 1, FRAMES):
        scale, right, down = start + share * (end - start)
        to = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), 0, scale)
        to[:, 2] += [right * SIDE, down * SIDE]
        yield np.asarray(cv2.warpAffine(image, to, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE))


def cartoon(images: list[np.ndarray], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Paintings of a face, one of them at a time."""
    painted = [np.asarray(cv2.stylization(image, sigma_s=40, sigma_r=0.3)) for image in images]
    for number in np.repeat(rng.integers(0, len(painted), FRAMES // HELD), HELD):
        yield painted[number]


def square(path: Path) -> np.ndarray:
    """A portrait as a picture of SIDE pixels, RGB."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    side = min(image.shape[:2])
    left = (image.shape[1] - side) // 2
    return np.asarray(cv2.resize(image[:side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def spoken(voices: Path) -> Iterator[np.ndarray]:
    """Speech of FRAMES, of one speaker after another."""
    for index in sorted(voices.rglob("index.csv")):
        with index.open(encoding="utf-8", newline="") as file:
            rows = {row["speaker"]: row["file"] for row in csv.DictReader(file)}
        for name in rows.values():
            yield np.resize(audio.read_audio(index.parent / name), FRAMES * SAMPLES_PER_FRAME)


def heard(sound: np.ndarray, lead: int) -> list[Event]:
    """Sound as it is heard before pictures are seen."""
    return [AudioBlock(led(sound, 0, lead)), AudioEnd(Report())]


def said(measure: Callable[[], Result]) -> str:
    """How sure a measurement is; "refused" where there is none."""
    try:
        return measure().sureness
    except InputError:
        return "refused"


def verdict(measured: list[str]) -> dict[str, object]:
    """How many are sure, with the bounds of their share in per cent."""
    counts = Counter(measured)
    sure, known = counts["sure"], len(measured) - counts["refused"]
    low = beta.ppf(0.025, sure, known - sure + 1) if sure else 0.0
    high = beta.ppf(0.975, sure + 1, known - sure) if sure < known else 1.0
    bounds = [round(100 * float(each), 2) for each in (low, high)] if known else None
    return {"videos": len(measured), "refused": counts["refused"], "sure": sure, "percent": bounds}


def main(
    clips: Annotated[Path, typer.Option(help="folder of the sets of clips")] = ROOT.parent / "shared" / "clips",
    faces: Annotated[Path, typer.Option(help="folder of neutral and smiling")] = ROOT.parent / "shared" / "faces",
    voices: Annotated[Path, typer.Option(help="folder of recordings")] = ROOT.parent / "shared" / "voices",
    out: Annotated[Path, typer.Option(help="the results")] = ROOT / "reports" / "bench" / "unrelated.json",
) -> None:
    """Measure what has nothing to do with each other; a line a kind."""
    bench, rng = Bench("small"), np.random.default_rng(0)
    lead, network = bench.settings.vshift + FAR, (bench.model, bench.info, bench.settings)
    found: dict[str, list[str]] = defaultdict(list)
    paths = [path for name in SETS for path in held_out(clips, name)]
    seen = []
    for path in tqdm(paths, "faces", unit="clip", disable=None):
        try:
            seen.append((path, *bench.group([path])))
        except InputError:
            continue
    sounds = [sound for _, _, sound in seen]
    for number, (path, events, own) in enumerate(tqdm(seen, "sounds", unit="clip", disable=None)):
        apart = number + len(seen) // 2 + 11 * np.arange(VOICES)  # other people: of one there are ten in a row at most
        others = [np.resize(sounds[other % len(seen)], len(own)) for other in apart]
        made = {
            "another talker": np.roll(others[0], len(own) // 2),
            "music": music(len(own), rng),
            "babble": loud(np.sum([each / max(each.std(), 1) for each in others], axis=0)),
            "silence": np.zeros_like(own),
        }
        for kind, sound in made.items():
            found[kind].append(said(partial(examination.measure, path, *network, events=heard(sound, lead) + events)))
    with tempfile.TemporaryDirectory(prefix="syncnet-unrelated-") as scratch:
        video = Path(scratch) / "video.mp4"
        people = sorted(path.name for path in (faces / "neutral").glob("*.jpg"))
        for name, speech in tqdm(list(zip(people, spoken(voices), strict=False)), "photographs", disable=None):
            images = [square(faces / expression / name) for expression in ("neutral", "smiling")]
            for kind, pictures in (("photograph", photograph(images[0], rng)), ("cartoon", cartoon(images, rng))):
                encode.write_video(video, pictures, speech)
                found[kind].append(said(partial(examination.measure, video, *network)))
    table = {kind: verdict(measured) for kind, measured in found.items()}
    for kind, row in table.items():
        print(kind, json.dumps(row))
    files.write_json(out, {"machine": machine.describe(), "kinds": table})


if __name__ == "__main__":
    typer.run(main)
