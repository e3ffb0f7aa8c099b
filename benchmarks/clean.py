"""Does `syncnet clean` sort as it should, and does it end with the same lists when it is killed?

    python -m benchmarks.clean [--count 1000] [--kills 5] [--whole 1000] [--clips ../shared/clips]
    until python -m benchmarks.clean --work DIR; do :; done     # the same in pieces, for a machine that others need too

Clips of grid_s1 from the last one backwards, of which the shipped network has not seen the last 90, then those of
grid_talkers, then grid_s1 again, become a folder of known truth: 30 % have their sound moved by 120 to 600 ms to either
side, in steps of 10 ms, 15 % are dubbed, half of these with another sentence of their own talker, half with another
talker of grid_talkers, and the rest stays. It is cleaned by a process that is killed so many times, spread over its
work, and started again; and once more without a break, all of it or the first so many files. With --work each call
does one piece, from a kill to the next, and exits with 3 while some are left. Writes reports/bench/clean.json: all
files, and by themselves those whose pictures the network has not seen.
"""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import av
import numpy as np
import typer

from benchmarks import machine
from syncnet_lib import files
from syncnet_lib.media import remux, retime
from syncnet_lib.media.correction import Cure
from syncnet_lib.media.decode import SUFFIXES
from syncnet_lib.paths import ROOT

MOVED, DUBBED = 0.3, 0.15
LEAST_MS, MOST_MS = 120, 600
OWN, OTHER = "dubbed by its own talker", "dubbed by another talker"
WANTED = {"fine": "kept", "moved": "corrected", OWN: "rejected", OTHER: "rejected"}
"""What becomes of a file, by its truth."""
FRAME_MS = 40
UNSEEN = 90
"""Of grid_s1, the last so many clips in sorted order: no training of the shipped network had them."""
TRUTH, PIECES = "truth.json", "pieces.txt"
"""Files of the work: what is true of each video; and a line a piece: whether it was killed, seconds, measurements."""
LEFT = 3
"""Exit code where pieces are left."""


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
    """Make the files; gives each one's truth: what it is, by how many ms its sound is ahead, and whether the network
    has seen its pictures."""
    random = np.random.default_rng(0)
    own = sorted((path for path in (clips / "grid_s1").glob("*") if path.suffix.lower() in SUFFIXES), reverse=True)
    others = sorted(path for path in (clips / "grid_talkers").glob("*") if path.suffix.lower() in SUFFIXES)
    kinds = np.array(["fine"] * count, dtype=object)
    order = random.permutation(count)
    moved, dubbed = round(MOVED * count), round(DUBBED * count)
    kinds[order[:moved]] = "moved"
    kinds[order[moved : moved + dubbed : 2]], kinds[order[moved + 1 : moved + dubbed : 2]] = OWN, OTHER
    folder.mkdir(parents=True)
    truth = {}
    sources = [*own, *others]
    for number, kind in enumerate(kinds):
        source = sources[number % len(sources)]
        stranger = source in others
        if stranger and kind == OWN:  # of each there is one sentence
            kind = OTHER
        out = folder / f"{number:04d}{source.suffix}"
        ms = 0
        if kind == "moved":
            ms = int(random.integers(LEAST_MS // 10, MOST_MS // 10 + 1)) * 10 * int(random.choice([-1, 1]))
            retime.retime(source, out, Cure.shift(Fraction(-ms, 1000)))
        elif kind == "fine":
            shutil.copyfile(source, out)
        else:
            at = int(random.integers(1, len(own)))
            lenders = [path for path in others if path != source]
            lender = own[(number + at) % len(own)] if kind == OWN else lenders[number % len(lenders)]
            dub(source, lender, out)
        truth[out.name] = {"kind": str(kind), "ms": ms, "unseen": stranger or source in own[:UNSEEN]}
    return truth


def start(folder: Path, out: Path, workers: int) -> subprocess.Popen[bytes]:
    """The command, as a process."""
    command = [sys.executable, "-m", "syncnet_lib", "clean", str(folder), str(out), "--workers", str(workers)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def lines(out: Path) -> int:
    """How many files an unfinished run has measured."""
    journal = out / ".kept.csv.journal"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def killed(folder: Path, out: Path, workers: int, wanted: int) -> bool:
    """Clean by a process that is killed when so many measurements are there; whether it was."""
    process = start(folder, out, workers)
    while process.poll() is None and lines(out) < wanted:
        time.sleep(0.02)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    _, err = process.communicate()
    assert alive or process.returncode == 0, err.decode()
    return alive


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


def pieces(work: Path, clips: Path, count: int, whole: int, kills: int, workers: int) -> Iterator[None]:
    """Do all that is left of the work in a folder, and stop after each piece."""
    videos, first = work / "videos", work / "first"
    if not (work / TRUTH).exists():
        shutil.rmtree(videos, ignore_errors=True)  # half of them
        truth = make(videos, clips, count)
        shutil.rmtree(first, ignore_errors=True)
        first.mkdir()
        for name in sorted(truth)[:whole]:
            os.link(videos / name, first / name)
        files.write_json(work / TRUTH, truth)
    # Each corrected copy is measured too.
    each = round(count * (1 + MOVED)) // (kills + 1)
    broken = work / "killed"
    while not (broken / "kept.csv").exists():
        began, before = time.monotonic(), lines(broken)
        alive = killed(videos, broken, workers, (before // each + 1) * each if before < each * kills else sys.maxsize)
        with (work / PIECES).open("a") as file:
            file.write(f"{int(alive)} {time.monotonic() - began:.1f} {lines(broken) - before}\n")
        yield
    if not (work / "whole" / "kept.csv").exists():
        assert not (work / "whole").exists() or not lines(work / "whole"), "this one must have no break"
        finish(start(first, work / "whole", workers))
        yield


def result(work: Path) -> dict[str, Any]:
    """What the pieces came to."""
    truth = json.loads((work / TRUTH).read_text())
    done = [line.split() for line in (work / PIECES).read_text().splitlines()]
    ended, whole = lists(work / "killed"), lists(work / "whole")
    first = {path.name for path in (work / "first").iterdir()}
    same = [{name: row for name, row in table.items() if name in first} for table in ended] == list(whole)
    return {
        "count": len(truth),
        "seconds": sum(float(seconds) for _, seconds, _ in done),
        "kills": sum(int(alive) for alive, _, _ in done),
        "whole": len(first),
        "same_lists": same,
        "all": score(truth, work / "killed"),
        "unseen": score({name: each for name, each in truth.items() if each["unseen"]}, work / "killed"),
    }


def main(
    count: Annotated[int, typer.Option(min=10, help="files that are made")] = 1000,
    kills: Annotated[int, typer.Option(min=1)] = 5,
    whole: Annotated[int, typer.Option(min=1, help="files that are also cleaned without a break")] = 1000,
    workers: Annotated[int, typer.Option(min=1, help="processes of the command")] = 2,
    clips: Annotated[Path, typer.Option(help="folder of grid_s1 and grid_talkers")] = ROOT.parent / "shared" / "clips",
    work: Annotated[Path | None, typer.Option(help="folder of what is done; each call then does one piece")] = None,
    out: Annotated[Path, typer.Option(help="the results")] = ROOT / "reports" / "bench" / "clean.json",
) -> None:
    """Make files, clean them twice, compare and count."""
    with tempfile.TemporaryDirectory(prefix="syncnet-clean-") as scratch:
        folder = work or Path(scratch)
        for _ in pieces(folder, clips.resolve(), count, whole, kills, workers):
            if work:
                print((folder / PIECES).read_text(), flush=True)
                raise typer.Exit(LEFT)
        found = result(folder)
    print(json.dumps(found))
    files.write_json(out, {"machine": machine.describe(), **found})


if __name__ == "__main__":
    typer.run(main)
