"""Is sound of another speed found, in short videos too, and its speed measured as it is?

    python -m benchmarks.drift [--clips ../shared/clips] [--seconds 30,48,75]

Clips of grid_s1, of the first 809 that may be chosen by, follow each other in one video, and all of television's in
one: their faces are watched once, and measured with their sound as it is and at other speeds. A drift is found where
the result says that it is one: the speed's interval is beyond 0. Writes reports/bench/drift.json.
"""

import json
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks import machine
from benchmarks.corpora import videos_of
from benchmarks.cures import faster
from benchmarks.far import FIRST, Bench, led
from syncnet_lib import files
from syncnet_lib.measurement import analyse, conversion, examination, finding
from syncnet_lib.measurement.result import Result
from syncnet_lib.measurement.soundtrack import Soundtrack
from syncnet_lib.measurement.stream import FAR, AudioBlock, AudioEnd, Event
from syncnet_lib.media.clock import FPS, SAMPLE_RATE
from syncnet_lib.media.report import Report
from syncnet_lib.paths import ROOT

SPEEDS = {name: Fraction(name) for name in ("1", "1001/1000", "1000/1001", "25/24", "24/25", "1007/1000")}
"""Of the sound; the last one has no name."""
CLIP_SECONDS = 3
"""Of a clip of GRID."""
GROUPS = 3
"""Videos of each length."""


def told(result: Result, speed: Fraction, seconds: float) -> dict[str, Any]:
    """What a result says of a speed, millionths by which the offset grows: `ppm` (low, there, high; None where nothing
    is said), `truth`, `off` (frames at the end by which it is wrong), `covered` by the interval, and the `name`."""
    drift, truth = finding.significant(result.drift), 1e6 * (1 - 1 / float(speed))
    row: dict[str, Any] = {"truth": round(truth), "ppm": None, "sureness": result.sureness}
    if drift is not None:
        row["ppm"] = [round(each) for each in (drift.ppm_low, drift.ppm, drift.ppm_high)]
        row["off"] = round(abs(drift.ppm - truth) / 1e6 * seconds * FPS, 3)
        row["covered"] = drift.ppm_low <= truth <= drift.ppm_high
        row["name"] = conversion.named(drift)
    return row


def main(
    clips: Annotated[Path, typer.Option(help="folder of grid_s1 and tv")] = ROOT.parent / "shared" / "clips",
    lengths: Annotated[str, typer.Option("--seconds", help="of the videos of GRID, by commas")] = "30,48,75",
    out: Annotated[Path, typer.Option(help="the results")] = ROOT / "reports" / "bench" / "drift.json",
) -> None:
    """Measure each video at each speed; a line each."""
    bench = Bench("small")
    lead = bench.settings.vshift + FAR
    known, television = (videos_of(clips, name) for name in ("grid_s1", "tv"))
    videos = []
    for number, count in enumerate(int(each) // CLIP_SECONDS for each in lengths.split(",")):
        starts = (np.arange(GROUPS) * FIRST // GROUPS + 61 * number).tolist()  # other clips at each length
        videos += [("grid_s1", known[start : start + count]) for start in starts]
    videos.append(("television", television))
    rows: list[dict[str, Any]] = []
    for name, paths in videos:
        seen, sound = bench.group(paths)
        seconds = len(sound) / SAMPLE_RATE
        heard: list[Event] = []
        for number, speed in enumerate(SPEEDS.values(), 1):
            block = AudioBlock(led(faster(sound, speed), 0, lead))
            heard += [block, AudioEnd(Report(), more=number < len(SPEEDS))]
        with analyse.watched(paths[0], bench.model, bench.settings, events=[*heard, *seen]) as video:
            for (case, speed), track in zip(SPEEDS.items(), video.sounds, strict=True):
                assert isinstance(track, Soundtrack)
                found = examination.examined(paths[0], video.beside(track), bench.info, bench.settings)[1]
                rows.append({"video": name, "seconds": round(seconds), "speed": case, **told(found, speed, seconds)})
                print(json.dumps(rows[-1]), flush=True)
    files.write_json(out, {"machine": machine.describe(), "rows": rows})


if __name__ == "__main__":
    typer.run(main)
