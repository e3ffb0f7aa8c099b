"""Are offsets of seconds found without being asked for, and is nothing found where there is nothing?

    python -m benchmarks.far [--checkpoint small] [--clips ../shared/clips] [--groups 6]

Eight clips after each other make a video of 24 s, whose faces are watched once. Its sound is moved by -50, -20 and +30
frames; and replaced by that of another group, its halves exchanged, when nothing may be sure at any offset. The
seconds are those of measuring what was seen, without decoding and finding faces: of sound found at once, and with
the search further away. Of grid_s1 only the first 809 clips are used. Writes reports/bench/far.json.
"""

import dataclasses
import json
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks import machine
from syncnet_lib import files
from syncnet_lib.measurement import analyse, checkpoints, examination, stream
from syncnet_lib.measurement.result import Result
from syncnet_lib.measurement.stream import FAR, Event, TrackCrops, TrackEnd, VideoEnd
from syncnet_lib.media.clock import SAMPLES_PER_FRAME
from syncnet_lib.media.decode import SUFFIXES
from syncnet_lib.media.report import Report
from syncnet_lib.model import scoring
from syncnet_lib.paths import ROOT

FIRST = 809
"""Clips of grid_s1, in sorted order, that may be chosen by."""
TOGETHER = 8
"""Clips of a group."""
MOVES = (-50, -20, 30)
"""Frames by which the sound is ahead."""


class Bench:
    """One model over groups of clips."""

    def __init__(self, checkpoint: str) -> None:
        self.model, self.info = checkpoints.load(checkpoint, "cpu")
        self.settings = analyse.settings_for(self.model, scoring.VSHIFT, None, cropped=False)

    def group(self, paths: list[Path]) -> tuple[list[Event], np.ndarray]:
        """What is seen and heard of clips that follow each other."""
        events: list[Event] = []
        sounds, frames, tracks, report = [], 0, 0, Report()
        for path in paths:
            most = 0
            for event in stream.see(path, self.settings, self.model.spec.crop):
                if isinstance(event, VideoEnd):
                    length, timecode = event.frames, event.timecode
                elif isinstance(event, TrackEnd):
                    number, begin, end = event.number + tracks, event.first + frames, event.last + frames
                    events.append(dataclasses.replace(event, number=number, shot=tracks, first=begin, last=end))
                elif isinstance(event, TrackCrops):
                    most = max(most, event.number + 1)
                    events.append(dataclasses.replace(event, number=event.number + tracks))
            heard = [event.samples for event in stream.hear(path, 0) if isinstance(event, stream.AudioBlock)]
            sounds.append(np.resize(np.concatenate(heard), length * SAMPLES_PER_FRAME))
            frames, tracks = frames + length, tracks + most
        return [*events, VideoEnd(frames, report, timecode)], np.concatenate(sounds)

    def measure(self, path: Path, seen: list[Event], sound: np.ndarray) -> tuple[Result, float]:
        """The verdict on pictures of a file, with a sound that begins FAR + vshift frames before them; its seconds."""
        heard: list[Event] = [stream.AudioBlock(sound), stream.AudioEnd(Report())]
        began = time.process_time()
        found = examination.measure(path, self.model, self.info, self.settings, events=[*heard, *seen])
        return found, time.process_time() - began


def led(sound: np.ndarray, ahead: int, lead: int) -> np.ndarray:
    """Sound that is so many frames ahead, with `lead` frames of silence before it."""
    return np.concatenate([np.zeros((lead - ahead) * SAMPLES_PER_FRAME, np.int16), sound])


def main(
    checkpoint: Annotated[str, typer.Option(help="small, base, refined, or a file")] = "small",
    clips: Annotated[Path, typer.Option(help="folder of folders of videos")] = ROOT.parent / "shared" / "clips",
    groups: Annotated[int, typer.Option(min=2, help="of grid_s1")] = 6,
    out: Annotated[Path, typer.Option(help="the results")] = ROOT / "reports" / "bench" / "far.json",
) -> None:
    """Measure groups of clips; a line each."""
    bench = Bench(checkpoint)
    lead = bench.settings.vshift + FAR
    known = sorted(path for path in (clips / "grid_s1").glob("*") if path.suffix.lower() in SUFFIXES)[:FIRST]
    others = sorted(path for path in (clips / "grid_talkers").glob("*") if path.suffix.lower() in SUFFIXES)
    every = max(1, len(known) // groups)
    chosen = [known[start * every :][:: max(1, every // TOGETHER)][:TOGETHER] for start in range(groups)]
    every_group = [*chosen, others]
    made = [bench.group(paths) for paths in every_group]
    rows: list[dict[str, Any]] = []
    for number, (seen, sound) in enumerate(made):
        first = every_group[number][0]
        still, seconds = bench.measure(first, seen, led(sound, 0, lead))
        row: dict[str, Any] = {"strangers": number == groups, "offset": still.offset_frames, "seconds": seconds}
        row |= {"confidence": still.confidence, "sure": still.sureness, "moves": {}}
        for ahead in MOVES:
            found, seconds = bench.measure(first, seen, led(sound, ahead, lead))
            right = found.sureness == "sure" and abs(found.offset_frames - still.offset_frames - ahead) <= 1
            row["moves"][ahead] = [right, found.offset_frames, found.confidence, found.verdict, seconds]
        other = made[(number + 1) % len(made)][1]
        false, _ = bench.measure(first, seen, led(np.roll(np.resize(other, len(sound)), len(sound) // 2), 0, lead))
        row["another_sound"] = [false.sureness, false.offset_frames, false.confidence, false.verdict]
        rows.append(row)
        print(json.dumps(row))
    summary = {
        "groups": len(rows),
        "found": float(np.mean([move[0] for row in rows for move in row["moves"].values()])),
        "false": sum(row["another_sound"][0] == "sure" for row in rows),
        "seconds": float(np.median([row["seconds"] for row in rows])),
        "seconds_further": float(np.median([move[4] for row in rows for move in row["moves"].values()])),
    }
    print(json.dumps(summary))
    files.write_json(out, {"machine": machine.describe(), "model": bench.info.model_dump(), **summary, "rows": rows})


if __name__ == "__main__":
    typer.run(main)
