"""How finely is an offset measured, and does its interval hold, on real video?

    python -m benchmarks.milliseconds [--checkpoint small] [--clips ../shared/clips] [--moves 4]

The faces of each clip are watched once. Its sound is moved by multiples of 10 ms within ±600 (samples cut off on one
side, zeros on the other) and measured again: the answer must move by as much, where that is sure too. For the interval
there is no truth to the millisecond, since nobody knows how these clips were recorded; but both halves of a clip have
the same offset, so that their estimates differ by no more than their intervals together (root of the sum of the squared
half widths) allow, in 95 of 100 clips. For the boundaries of the standards the sound is moved so that the unmoved
estimate lies 5 ms inside and 5 ms outside of a limit, the limits of all standards in turn over the clips: the one must
pass, the other fail. Only clips whose unmoved verdict is sure count. Of grid_s1 60 of the first 809 clips are taken,
evenly spread. Writes reports/bench/milliseconds.json.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks import machine
from syncnet_lib import files
from syncnet_lib.errors import InputError
from syncnet_lib.measurement import analyse, checkpoints, compliance, examination, fine, standard, stream, verdict
from syncnet_lib.measurement.analyse import Analysis
from syncnet_lib.measurement.result import Limits, Result
from syncnet_lib.media.clock import SAMPLE_RATE
from syncnet_lib.media.decode import SUFFIXES
from syncnet_lib.media.report import Report
from syncnet_lib.model import scoring
from syncnet_lib.paths import ROOT

FOLDERS = {"grid_s1": 809, "grid_talkers": None, "wild": None}
"""Folder to how many of its clips, in sorted order, may be chosen by; the others are for reporting."""
MOST = 60
"""Clips of a folder that are taken."""
REACH_MS = 600
INSIDE = 5
"""Milliseconds from a limit to either side."""
LIMITS = [(each, sign) for each in standard.STANDARDS.values() for sign in (1, -1)]
"""A standard, and which of its limits: that of early sound or that of late."""


class Bench:
    """One model over many clips."""

    def __init__(self, checkpoint: str) -> None:
        self.model, self.info = checkpoints.load(checkpoint, "cpu")
        self.settings = analyse.settings_for(self.model, scoring.VSHIFT, None, cropped=False)

    def measure(self, path: Path, seen: list[stream.Event], sound: np.ndarray) -> tuple[Analysis, Result]:
        """Measure pictures that were seen with a sound, which begins FAR frames and the search before them."""
        heard: list[stream.Event] = [stream.AudioBlock(sound), stream.AudioEnd(Report())]
        return examination.examine(path, self.model, self.info, self.settings, events=[*heard, *seen])

    def clip(self, path: Path, moves: list[int], limits: Limits, sign: int) -> dict[str, Any]:
        """All that is asked of one clip.

        Args:
            path: of the clip.
            moves: milliseconds by which its sound is moved.
            limits, sign: as in `LIMITS`.

        Raises:
            InputError: it cannot be measured.
        """
        seen = list(stream.see(path, self.settings, self.model.spec.crop))
        blocks = stream.hear(path, self.settings.vshift + stream.FAR)
        sound = np.concatenate([event.samples for event in blocks if isinstance(event, stream.AudioBlock)])
        began = time.perf_counter()
        found, still = self.measure(path, seen, sound)
        seconds = time.perf_counter() - began
        speakers = verdict.speaking(found.tracks)
        rows = [track.rows for track in found.tracks if track.number in speakers] or [found.tracks[0].rows]
        middle = rows[0].first + len(rows[0].sums) // 2
        halves = [fine.estimate(rows[:1], [1.0], still.offset_frames, *span) for span in ((0, middle), (middle, None))]
        row: dict[str, Any] = {"path": path.name, "offset_ms": still.offset_ms, "interval": still.offset_interval_ms}
        row |= {"sure": still.sureness == "sure", "windows": found.tracks[0].windows, "seconds": seconds}
        row["halves"] = [[each.ms, each.low, each.high] for each in halves]
        row["moves"] = []
        for ms in moves:
            _, moved = self.measure(path, seen, shifted(sound, ms))
            low, high = moved.offset_interval_ms
            error = moved.offset_ms - (still.offset_ms - ms)
            row["moves"].append([ms, error, low - moved.offset_ms, high - moved.offset_ms, moved.sureness == "sure"])
        limit = limits.early_ms if sign > 0 else -limits.late_ms
        row["boundary"] = []
        for beyond, wanted in ((-INSIDE, "pass"), (INSIDE, "fail")):
            sounded = shifted(sound, still.offset_ms - limit - sign * beyond)
            _, moved = self.measure(path, seen, sounded)
            said = compliance.held_against(moved, limits).compliance
            row["boundary"].append([limits.name, limit, said, said == wanted])
        return row


def shifted(sound: np.ndarray, ms: float) -> np.ndarray:
    """Sound that comes later by so many milliseconds, of the same length."""
    samples = round(ms * SAMPLE_RATE / 1000)
    kept = sound[: len(sound) - samples] if samples >= 0 else sound[-samples:]
    zeros = np.zeros(abs(samples), np.int16)
    return np.concatenate([zeros, kept] if samples >= 0 else [kept, zeros])


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Errors and coverage over the clips whose unmoved verdict is sure."""
    sure = [row for row in rows if row["sure"]]
    if not sure:
        return {"clips": len(rows), "sure": 0}
    asked = np.array([move for row in sure for move in row["moves"]])
    moves = asked[asked[:, -1] > 0]
    errors = np.abs(moves[:, 1])
    halves = np.array([row["halves"] for row in sure])
    widths = (halves[:, :, 2] - halves[:, :, 1]) / 2
    apart = np.abs(halves[:, 0, 0] - halves[:, 1, 0])
    return {
        "clips": len(rows),
        "sure": len(sure),
        "moves": len(asked),
        "moves_sure": len(moves),
        "median_error_ms": float(np.median(errors)),
        "error_95_ms": float(np.quantile(errors, 0.95)),
        "moved_covered": float(((moves[:, 2] <= -moves[:, 1]) & (-moves[:, 1] <= moves[:, 3])).mean()),
        "boundary_told_apart": float(np.mean([all(right for *_, right in row["boundary"]) for row in sure])),
        "half_width_ms": float(np.median([(row["interval"][1] - row["interval"][0]) / 2 for row in sure])),
        "halves_apart_ms": float(np.median(apart)),
        "halves_covered": float((apart <= np.hypot(widths[:, 0], widths[:, 1])).mean()),
    }


def main(
    checkpoint: Annotated[str, typer.Option(help="small, base, refined, or a file")] = "small",
    clips: Annotated[Path, typer.Option(help="folder of folders of videos")] = ROOT.parent / "shared" / "clips",
    moves: Annotated[int, typer.Option(min=1, help="a clip")] = 4,
    out: Annotated[Path, typer.Option(help="the results")] = ROOT / "reports" / "bench" / "milliseconds.json",
) -> None:
    """Measure clips of each folder; a line a folder."""
    bench, random = Bench(checkpoint), np.random.default_rng(0)
    result: dict[str, Any] = {"model": bench.info.model_dump()}
    everything = {}
    for folder, first in FOLDERS.items():
        videos = sorted(path for path in (clips / folder).glob("*") if path.suffix.lower() in SUFFIXES)[:first]
        rows, skipped = [], {}
        for number, path in enumerate(videos[:: max(1, -(-len(videos) // MOST))]):
            chosen = [int(ms) * 10 for ms in random.integers(-REACH_MS // 10, REACH_MS // 10, moves)]
            try:
                rows.append(bench.clip(path, chosen, *LIMITS[number % len(LIMITS)]))
            except InputError as error:
                skipped[path.name] = error.cause
        everything[folder] = rows
        result[folder] = {**summary(rows), "skipped": skipped}
        print(folder, json.dumps(result[folder]))
    files.write_json(out, {"machine": machine.describe(), **result, "rows": everything})


if __name__ == "__main__":
    typer.run(main)
