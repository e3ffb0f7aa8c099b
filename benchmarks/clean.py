"""Does `syncnet clean` sort as it should, and does it end with the same lists when it is killed?

    python -m benchmarks.clean [--count 1000] [--kills 5] [--clips ../shared/clips]

Clips of grid_s1 from the last one backwards, which the shipped network has not seen in the last 90 of them, become a
folder of known truth: 30 % have their sound moved by 120 to 600 ms to either side, in steps of 10 ms, 15 % are dubbed,
half of these with another sentence of their own talker, half with another talker of grid_talkers, and the rest stays.
It is cleaned once without a break, and once by a process that is killed so many times, spread over its work, and
started again. Writes reports/bench/clean.json.
"""

import csv
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import av
import numpy as np
import typer

from benchmarks import machine
from syncnet_lib import files
from syncnet_lib.media import remux
from syncnet_lib.media.decode import SUFFIXES
from syncnet_lib.paths import ROOT

MOVED, DUBBED = 0.3, 0.15
LEAST_MS, MOST_MS = 120, 600
OWN, OTHER = "dubbed by its own talker", "dubbed by another talker"
WANTED = {"fine": "kept", "moved": "corrected", OWN: "rejected", OTHER: "rejected"}
"""What becomes of a file, by its truth."""
FRAME_MS = 40


def dub(pictures: Path, sound: Path, out: Path) -> None:
    """Write the pictures of one file with the sound of another, both as they are."""
    with (
        av.open(str(out), "w") as target,
        av.open(str(pictures)) as one,
        av.open(str(sound)) as other,
    ):
        streams = [one.streams.video[0], other.streams.audio[0]]
        copies = [remux.add_copy(target, stream) for stream in streams]
        for container, stream, copy in zip((one, other), streams, copies, strict=True):
            for packet in container.demux(stream):
                if packet.dts is not None:
                    packet.stream = copy
                    target.mux(packet)


def make(folder: Path, clips: Path, count: int) -> dict[str, dict[str, Any]]:
    """Make the files; gives each one's truth: what it is, and by how many ms its sound is ahead."""
    random = np.random.default_rng(0)
    own = sorted((path for path in (clips / "grid_s1").glob("*") if path.suffix.lower() in SUFFIXES), reverse=True)
    others = sorted(path for path in (clips / "grid_talkers").glob("*") if path.suffix.lower() in SUFFIXES)
    kinds = np.array(["fine"] * count, dtype=object)
    order = random.permutation(count)
    moved, dubbed = round(MOVED * count), round(DUBBED * count)
    kinds[order[:moved]] = "moved"
    kinds[order[moved : moved + dubbed : 2]], kinds[order[moved + 1 : moved + dubbed : 2]] = OWN, OTHER
    folder.mkdir()
    truth = {}
    for number, kind in enumerate(kinds):
        source = own[number % len(own)]
        out = folder / f"{number:04d}{source.suffix}"
        ms = 0
        if kind == "moved":
            ms = int(random.integers(LEAST_MS // 10, MOST_MS // 10 + 1)) * 10 * int(random.choice([-1, 1]))
            remux.move_sound(source, out, Fraction(-ms, 1000))
        elif kind == "fine":
            shutil.copyfile(source, out)
        else:
            at = int(random.integers(1, len(own)))
            lender = own[(number + at) % len(own)] if kind == OWN else others[number % len(others)]
            dub(source, lender, out)
        truth[out.name] = {"kind": str(kind), "ms": ms}
    return truth


def start(folder: Path, out: Path, workers: int) -> subprocess.Popen[bytes]:
    """The command, as a process."""
    command = [sys.executable, "-m", "syncnet_lib", "clean", str(folder), str(out), "--workers", str(workers)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def lines(out: Path) -> int:
    """How many files an unfinished run has measured."""
    journal = out / ".kept.csv.journal"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def killed(folder: Path, out: Path, workers: int, count: int, kills: int) -> int:
    """Clean by processes that are killed; gives how many were killed before the last had its way."""
    done = 0
    for kill in range(kills):
        process = start(folder, out, workers)
        wanted = (kill + 1) * count // (kills + 1)
        while process.poll() is None and lines(out) < wanted:
            time.sleep(0.02)
        if process.poll() is None:
            done += 1
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finish(start(folder, out, workers))
    return done


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a run that must succeed."""
    _, err = process.communicate()
    assert process.returncode == 0, err.decode()


def lists(out: Path) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
    """The rows of what was kept and of what was rejected, by name."""
    tables = []
    for name in ("kept.csv", "rejected.csv"):
        with (out / name).open(newline="") as file:
            tables.append({row["path"]: row for row in csv.DictReader(file)})
    return tables[0], tables[1]


def score(truth: dict[str, dict[str, Any]], out: Path) -> dict[str, Any]:
    """What became of what, and precision and recall of each class."""
    kept, _ = lists(out)
    became = {name: kept[name]["file"].split("/")[0] if name in kept else "rejected" for name in truth}
    table: dict[str, Counter[str]] = {kind: Counter() for kind in WANTED}
    for name, each in truth.items():
        table[each["kind"]][became[name]] += 1
    classes = {}
    for label in ("kept", "corrected", "rejected"):
        given = [name for name in truth if became[name] == label]
        right = [name for name in given if WANTED[truth[name]["kind"]] == label]
        wanted = sum(WANTED[each["kind"]] == label for each in truth.values())
        classes[label] = {
            "precision": len(right) / len(given) if given else None,
            "recall": len(right) / wanted if wanted else None,
        }
    errors = [
        abs(float(kept[name]["moved_ms"]) - each["ms"])
        for name, each in truth.items()
        if each["kind"] == "moved" and became[name] == "corrected"
    ]
    return {
        "became": {kind: dict(counts) for kind, counts in table.items()},
        **classes,
        "corrected_median_error_ms": float(np.median(errors)) if errors else None,
        "corrected_within_a_frame": float(np.mean(np.array(errors) <= FRAME_MS)) if errors else None,
    }


def main(
    count: Annotated[int, typer.Option(min=10, help="files that are made")] = 1000,
    kills: Annotated[int, typer.Option(min=0, help="0 for no second run")] = 5,
    workers: Annotated[int, typer.Option(min=1, help="processes of the command")] = 2,
    clips: Annotated[Path, typer.Option(help="folder of grid_s1 and grid_talkers")] = ROOT.parent / "shared" / "clips",
    out: Annotated[Path, typer.Option(help="the results")] = ROOT / "reports" / "bench" / "clean.json",
) -> None:
    """Make files, clean them twice, compare and count."""
    with tempfile.TemporaryDirectory(prefix="syncnet-clean-") as scratch:
        folder = Path(scratch) / "videos"
        truth = make(folder, clips.resolve(), count)
        began = time.monotonic()
        finish(start(folder, whole := Path(scratch) / "whole", workers))
        result: dict[str, Any] = {"count": count, "seconds": time.monotonic() - began, **score(truth, whole)}
        print(json.dumps(result), flush=True)
        if kills:
            broken = Path(scratch) / "killed"
            result["kills"] = killed(folder, broken, workers, count, kills)
            result["same_lists"] = lists(broken) == lists(whole)
            print(json.dumps({key: result[key] for key in ("kills", "same_lists")}))
    files.write_json(out, {"machine": machine.describe(), **result})


if __name__ == "__main__":
    typer.run(main)
