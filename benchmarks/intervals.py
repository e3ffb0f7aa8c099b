"""Does the 95 % interval of an offset cover the truth, and is what is called sure right?

    python -m benchmarks.intervals [--clips ../shared/clips]

Nobody knows to the millisecond how these clips were recorded, but both halves of one have the same offset, and it is
known by how much a sound was moved. So one half is measured as it is and the other with the sound moved: by 0 and 3.7
ms, by multiples of 10 ms of 200 to 600 to either side, and by any number in ±600. What they say differs by the move and
by the errors of both; 0.2 s between them are left out, as windows that touch share what they see and hear. The interval
of the difference has the root of the sum of their squared standard errors (a side of the interval over Student's t of
its blocks), times Student's t of Welch's degrees of freedom: it covers the move as often as an interval covers the
truth. A clip is one observation, its moves repeat it: the bounds of the share are by bootstrap over clips. Half a clip
has 4 blocks, a whole one 7, so beside it stands how often the whole clip's interval covers the median of its talker's
clips: a lower bound, as clips have offsets of their own.

What is sure of a moved sound and not within a frame of what is sure of the unmoved one less the move is counted and
named as wrong; clips that are sure and more than a frame off their talker's median are named beside it. Of grid_s1
clips of the first 809, which the shipped network knows and intervals may be chosen by, and the other 90, which are for
reporting. Writes reports/bench/intervals.json.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from scipy.special import stdtrit

from benchmarks import machine
from benchmarks.milliseconds import Bench, shifted
from syncnet_lib import files
from syncnet_lib.errors import InputError
from syncnet_lib.measurement import analyse, examination, fine, stream, verdict
from syncnet_lib.media.clock import FRAME_MS
from syncnet_lib.media.decode import SUFFIXES
from syncnet_lib.media.report import Report
from syncnet_lib.paths import ROOT

SETS = {"chosen by": ("grid_s1", 0, 809), "held out": ("grid_s1", 809, None), "strangers": ("grid_talkers", 0, None)}
"""Folder, and which of its clips in sorted order."""
FRACTION_MS, FAR_MS = 3.7, (20, 61)
QUANTILE = (100 + fine.LEVEL) / 200
DRAWS = 2000


def moves(random: np.random.Generator) -> list[float]:
    """Milliseconds by which a clip's sound is moved; the first is 0."""
    either = [float(sign * 10 * random.integers(*FAR_MS)) for sign in (1, -1)]
    return [0.0, FRACTION_MS, *either, round(float(random.uniform(-600, 600)), 1)]


def measured(bench: Bench, path: Path, by: list[float]) -> dict[str, Any]:
    """A clip with each of its sounds, whose faces are followed once."""
    blocks = stream.hear(path, bench.settings.vshift + stream.FAR)
    sound = np.concatenate([event.samples for event in blocks if isinstance(event, stream.AudioBlock)])

    def events() -> Iterator[stream.Event]:
        for number, ms in enumerate(by, 1):
            yield stream.AudioBlock(shifted(sound, ms))
            yield stream.AudioEnd(Report(), more=number < len(by))
        yield from stream.see(path, bench.settings, bench.model.spec.crop)

    row: dict[str, Any] = {"path": path.name, "moves": []}
    with analyse.watched(path, bench.model, bench.settings, events=events()) as video:
        for number, (ms, soundtrack) in enumerate(zip(by, video.sounds, strict=True), 1):
            if isinstance(soundtrack, InputError):
                raise soundtrack
            settings = bench.settings.model_copy(update={"audio_track": number})
            found, said = examination.examined(path, video.beside(soundtrack), bench.info, settings)
            speakers = verdict.speaking(found.tracks)
            rows = [track.rows for track in found.tracks if track.number in speakers] or [found.tracks[0].rows]
            begin, end = rows[0].first, rows[0].first + len(rows[0].sums)
            middle = (begin + end) // 2
            halves = []
            for start, stop in ((begin, middle), (middle + 1, end)):
                part = fine.estimate(rows[:1], [1.0], said.offset_frames - found.centre, start, stop)
                halves.append([*part.moved(found.centre).interval, part.ms + FRAME_MS * found.centre, stop - start])
            sure = said.sureness == "sure"
            whole = [said.offset_ms, *said.offset_interval_ms]
            row["moves"].append({"ms": ms, "sure": sure, "whole": whole, "halves": halves, "verdict": said.verdict})
    return row


def covers(one: list[float], other: list[float], wanted: float) -> bool:
    """Whether the interval of the difference of two halves (low, high, ms, rows) covers what it is known to be."""
    error = one[2] - other[2] - wanted
    sides = (one[2] - one[0], other[1] - other[2]) if error > 0 else (one[1] - one[2], other[2] - other[0])
    freedom = np.array([-(-each[3] // fine.DRAWN) - 1 for each in (one, other)])
    variances = (np.array(sides) / stdtrit(freedom, QUANTILE)) ** 2
    if not variances.any():
        return error == 0
    welch = variances.sum() ** 2 / (variances**2 / freedom).sum()
    return bool(abs(error) <= stdtrit(welch, QUANTILE) * variances.sum() ** 0.5)


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Coverage over the clips that are sure as they are, and what is sure and wrong."""
    still = [row for row in rows if row["moves"][0]["sure"]]
    if not still:
        return {"clips": len(rows), "sure": 0}
    middle = float(np.median([row["moves"][0]["whole"][0] for row in still]))
    shares, widths, common = [], [], []
    for row in still:
        first, *rest = row["moves"]
        pairs = [(first, first, 0, 1)]
        pairs += [(first, other, *order) for other in rest if other["sure"] for order in ((0, 1), (1, 0))]
        # Sound moved by ms comes later by as much, so that it is less ahead.
        shares.append(np.mean([covers(a["halves"][i], b["halves"][j], b["ms"] - a["ms"]) for a, b, i, j in pairs]))
        _, low, high = first["whole"]
        widths.append((high - low) / 2)
        common.append(low <= middle <= high)
    drawn = np.random.default_rng(0).choice(shares, (DRAWS, len(shares))).mean(axis=1)
    moved = [(row, move) for row in still for move in row["moves"][1:]]
    sure = [(row, move) for row, move in moved if move["sure"]]
    own = {row["path"]: row["moves"][0]["whole"][0] for row in still}
    wrong = [
        (row["path"], move) for row, move in sure if abs(move["whole"][0] + move["ms"] - own[row["path"]]) > FRAME_MS
    ]
    return {
        "clips": len(rows),
        "sure": len(still),
        "halves_covered": float(np.mean(shares)),
        "halves_covered_between": np.quantile(drawn, (0.025, 0.975)).tolist(),
        "median_covered": float(np.mean(common)),
        "half_width_ms": float(np.median(widths)),
        "median_ms": middle,
        "own_offset_ms": {path: round(ms, 1) for path, ms in own.items() if abs(ms - middle) > FRAME_MS},
        "moved": len(moved),
        "moved_sure": len(sure),
        "moved_sure_and_wrong": [[path, move["ms"], round(move["whole"][0], 1)] for path, move in wrong],
    }


def main(
    checkpoint: Annotated[str, typer.Option(help="small, base, refined, or a file")] = "small",
    clips: Annotated[Path, typer.Option(help="folder of folders of videos")] = ROOT.parent / "shared" / "clips",
    most: Annotated[int, typer.Option(min=2, help="clips of a set, evenly spread")] = 90,
    only: Annotated[str, typer.Option(help="one of the sets")] = "",
    out: Annotated[Path, typer.Option(help="the results")] = ROOT / "reports" / "bench" / "intervals.json",
) -> None:
    """Measure clips of each set; a line a set."""
    bench = Bench(checkpoint)
    result: dict[str, Any] = {"model": bench.info.model_dump()}
    everything = {}
    for name, (folder, first, stop) in SETS.items():
        if only not in ("", name):
            continue
        random = np.random.default_rng(0)
        videos = sorted(path for path in (clips / folder).glob("*") if path.suffix.lower() in SUFFIXES)[first:stop]
        rows, skipped = [], {}
        for path in videos[:: max(1, -(-len(videos) // most))]:
            try:
                rows.append(measured(bench, path, moves(random)))
            except InputError as error:
                skipped[path.name] = error.cause
        everything[name] = rows
        result[name] = {**summary(rows), "skipped": skipped}
        print(name, json.dumps(result[name]), flush=True)
    files.write_json(out, {"machine": machine.describe(), **result, "rows": everything})


if __name__ == "__main__":
    typer.run(main)
