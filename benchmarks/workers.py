"""What more workers bring: `syncnet offset FOLDER --workers N`, or an extraction, its seconds and the memory of all its
processes.

    python -m benchmarks.workers      # 20 copies of a clip of 3 s; into reports/bench/workers.json
    python -m benchmarks.workers --extract --out extract_workers.json
    python -m benchmarks.workers --counts 1,2 --before CHECKOUT   # another checkout's code in the same run

Memory is what the processes take together, shared pages counted once (PSS, Linux), at its highest.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import machine
from benchmarks.infer import make_video
from syncnet_lib import files
from syncnet_lib.paths import ROOT

VIDEOS = 20
EXTRACT = """
import sys
from pathlib import Path
import pandas as pd
from syncnet_lib.dataset import extract
from syncnet_lib.dataset.settings import ExtractSettings
if __name__ == "__main__":
    folder, workers = Path(sys.argv[1]), int(sys.argv[2])
    names = sorted(path.name for path in folder.iterdir())
    videos, out = pd.DataFrame({"video_id": names, "path": names, "sha256": names}), folder.parent / f"out{workers}"
    extract.extract(videos, folder, out, out / "cache", ExtractSettings(), workers, progress=False)
"""
"""A process that extracts a folder; the copies in it are told apart by their names."""
LOOK = 0.2
"""Seconds between two looks at the memory."""


def tree(process: int) -> list[int]:
    """A process and all that it has started, directly or not."""
    try:
        threads = list(Path(f"/proc/{process}/task").iterdir())
        children = [child for each in threads for child in (each / "children").read_text().split()]
    except OSError:  # it has ended
        return []
    return [process, *(below for child in children for below in tree(int(child)))]


def memory(process: int) -> int:
    """Bytes of a process, its share of what it shares with others; 0 once it has ended."""
    try:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))


def measure(command: list[str], checkout: Path) -> dict[str, float]:
    """Seconds and peak memory of a command.

    Raises:
        RuntimeError: the command failed.
    """
    before = os.times()
    start = time.perf_counter()
    own = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.Popen(command, cwd=checkout, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = worker = 0
    while done.poll() is None:
        taken = [memory(process) for process in tree(done.pid)]
        peak, worker = max(peak, sum(taken)), max(worker, *taken[1:], 0)
        time.sleep(LOOK)
    wall = time.perf_counter() - start
    after = os.times()
    if done.returncode not in (0, 2):  # 2: not sure
        assert done.stderr is not None
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.read().decode()}")
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return {
        "wall_s": round(wall, 1),
        "processor_s": round(processor, 1),
        "peak_mib": peak >> 20,
        "worker_mib": worker >> 20,
    }


def main(
    counts: Annotated[str, typer.Option(help="of workers")] = "1,2,4,8,16",
    video: Annotated[Path | None, typer.Option(help="a clip; one of 3 s is made without it")] = None,
    checkpoint: Annotated[str, typer.Option(help="what measures")] = "small",
    extract: Annotated[bool, typer.Option("--extract", help="make clips of the videos, do not measure them")] = False,
    before: Annotated[Path | None, typer.Option(help="another checkout, measured in the same run")] = None,
    out: Annotated[Path, typer.Option(help="file of the result")] = ROOT / "reports" / "bench" / "workers.json",
) -> None:
    """What more workers bring, and what memory each takes."""
    content: dict[str, Any] = {"machine": machine.describe(), "videos": VIDEOS, "checkpoint": checkpoint}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "videos")
        folder.mkdir()
        first = folder / f"0{video.suffix if video else '.mp4'}"
        if video is None:
            make_video(first, 3)
        else:
            shutil.copy(video, first)
        for number in range(1, VIDEOS):
            shutil.copy(first, first.with_stem(str(number)))
        for name, checkout in {"before": before, "now": ROOT}.items():
            if checkout is None:
                continue
            for count in counts.split(","):
                offset = ["-m", "syncnet_lib", "offset", str(folder), "--workers", count, "--json", "-"]
                what = ["-c", EXTRACT, str(folder), count] if extract else [*offset, "--checkpoint", checkpoint]
                found = measure([sys.executable, *what], checkout.resolve())
                content.setdefault(name, {})[count] = found
                print(name, count, json.dumps(found), flush=True)
    files.write_json(out, content)


if __name__ == "__main__":
    typer.run(main)
