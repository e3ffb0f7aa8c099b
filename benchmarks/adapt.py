"""What `syncnet adapt` gives to a talker whom the checkpoint has never seen.

    python -m benchmarks.adapt CHECKPOINT [--clips ../shared/clips] [--minutes 1 --minutes 5] [--draws 2]

The talker is GRID's first, so the checkpoint must be one that was trained without him: the shipped one was not. Each
draw takes other clips of his at random, none of the last 90 in sorted order; on those 90 the checkpoint is measured
before and after, and on the other talkers of grid_talkers, whom an adaptation to one person may cost. Nothing is chosen
by the outcome. Writes reports/bench/adapt.json after every draw.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks import machine, strangers
from benchmarks.corpora import TEST, videos_of
from syncnet_lib import files, parallel
from syncnet_lib.experiment import adapt
from syncnet_lib.paths import ROOT

SECONDS = 3
"""Length of a clip of GRID."""
SETS = ["grid_s1", "grid_talkers"]


def main(
    checkpoint: Annotated[Path, typer.Argument(help="a checkpoint that has not seen talker 1")],
    clips: Annotated[Path, typer.Option(help="folder of the sets")] = ROOT.parent / "shared" / "clips",
    minutes: Annotated[list[int] | None, typer.Option(help="of video")] = None,
    draws: Annotated[int, typer.Option(min=1, help="of other clips, for each length")] = 2,
    work: Annotated[Path | None, typer.Option(help="keeps the extracted clips for the next run")] = None,
    out: Annotated[Path, typer.Option(help="JSON; what is in it already is not measured again")] = ROOT
    / "reports"
    / "bench"
    / "adapt.json",
) -> None:
    """Adapt a checkpoint to a talker with some minutes of video, and measure it on the rest."""
    unkept = files.scratch()
    work = work or Path(unkept.name)
    manifest, spoken = strangers.extracted(SETS, clips, work)
    result: dict[str, Any] = (
        json.loads(out.read_text()) if out.exists() else {"machine": machine.describe(), "rows": {}}
    )

    def measured(name: str, path: Path, seconds: float) -> None:
        table = strangers.measure(str(path), work, manifest, spoken)
        row: dict[str, Any] = {"seconds": round(seconds)}
        for source in SETS:
            part = table[table.source == source]
            part = part.assign(group=part.talker if part.talker.nunique() > 1 else part.clip_id, sure=part.sure * 1.0)
            row[source] = {
                column: strangers.interval(part, column) for column in ("5 speech", "15 speech", "whole", "sure")
            }
        result["rows"][name] = row
        files.write_json(out, result)
        print(name, row, flush=True)

    if "before" not in result["rows"]:
        measured("before", checkpoint, 0)
    videos = videos_of(clips, "grid_s1")[:-TEST]
    for length in minutes or [1, 5]:
        for draw in range(draws):
            name = f"{length} min, draw {draw}"
            if name in result["rows"]:
                continue
            chosen = np.random.default_rng([length, draw]).choice(len(videos), length * 60 // SECONDS, replace=False)
            with tempfile.TemporaryDirectory() as folder:
                own = Path(folder) / "videos"
                own.mkdir()
                for number in chosen:
                    (own / videos[number].name).symlink_to(videos[number].resolve())
                adapted, began = Path(folder) / "adapted.safetensors", time.perf_counter()
                adapt.adapt(own, adapted, checkpoint, workers=parallel.cores(), progress=False)
                measured(name, adapted, time.perf_counter() - began)
    unkept.cleanup()


if __name__ == "__main__":
    typer.run(main)
