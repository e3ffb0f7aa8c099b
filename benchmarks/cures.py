"""Does `syncnet correct` cure what it says it cures, over the whole length?

    python -m benchmarks.cures [--clips ../shared/clips]

Clips follow each other in one video, of grid_s1 from the last one backwards, which the shipped network has not seen,
and of grid_talkers, strangers, three times, as a drift of 0.1 % takes 40 s to a frame. Its sound is made late by 280
ms; late by 240 ms after an edit at 12 s; faster, slower by 0.1 %; faster by 25/24, as film on television, and slower,
and by a ratio that has no name. Each is corrected by the command, by time stamps and with --samples. What is known
exactly is where each sample came from: the corrected sound is put on the clock of the unspoilt pictures by the time
stamps of its own, blocks of 3 s of it are found in the unspoilt sound by cross-correlation, and must all be off it by
what the unspoilt video was measured to be off, which is no fault of the cure. Beside it stands what the network itself
measures again. Writes reports/bench/cures.json.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import av
import numpy as np
import typer

import syncnet_lib
from benchmarks import machine
from benchmarks.corpora import videos_of
from syncnet_lib import files
from syncnet_lib.measurement import finding, reference
from syncnet_lib.media import audio, decode, encode, remux
from syncnet_lib.media.clock import SAMPLE_RATE, SAMPLES_PER_FRAME
from syncnet_lib.paths import ROOT

SETS = {"grid_s1": (26, 1), "grid_talkers": (10, 3)}
"""How many clips of 3 s from the last one backwards, and how many times."""
EDIT, LATE, LATER = 12, 0.28, 0.24
SIZE = 360, 288


def late(samples: np.ndarray, seconds: float, start: float = 0.0) -> np.ndarray:
    """The sound from `start` on, later."""
    at, by = round(start * SAMPLE_RATE), round(seconds * SAMPLE_RATE)
    return np.concatenate([samples[:at], np.zeros(by, np.int16), samples[at:]])[: len(samples)]


def faster(samples: np.ndarray, ratio: Fraction) -> np.ndarray:
    """The sound at another speed."""
    at = np.arange(round(len(samples) / ratio)) * float(ratio)
    return np.interp(at, np.arange(len(samples)), samples).astype(np.int16)


CASES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "late by 280 ms": lambda samples: late(samples, LATE),
    "edit": lambda samples: late(samples, LATER, EDIT),
    "faster by 0.1 %": lambda samples: faster(samples, Fraction(1001, 1000)),
    "slower by 0.1 %": lambda samples: faster(samples, Fraction(1000, 1001)),
    "25/24": lambda samples: faster(samples, Fraction(25, 24)),
    "24/25": lambda samples: faster(samples, Fraction(24, 25)),
    "1.007": lambda samples: faster(samples, Fraction(1007, 1000)),
}
"""What is done to the sound."""
WAYS: tuple[tuple[str, ...], ...] = ((), ("--samples",))
"""Options that each is cured with."""


def joined(folder: Path, name: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Pictures and sound of a set."""
    count, times = SETS[name]
    paths = videos_of(folder, name)
    return together(paths[: -count - 1 : -1] * times)


def together(paths: list[Path]) -> tuple[list[np.ndarray], np.ndarray]:
    """Pictures and sound of clips after each other, the pictures of a size other than SIZE left out."""
    pictures: list[np.ndarray] = []
    sounds = []
    for path in paths:
        seen = [frame for frame in decode.read_frames(path) if frame.shape[1::-1] == SIZE]
        heard = audio.read_audio(path)
        sounds.append(np.resize(np.pad(heard, (0, SAMPLE_RATE)), len(seen) * SAMPLES_PER_FRAME))
        pictures += seen
    return pictures, np.concatenate(sounds)


def off(out: Path, sound: np.ndarray) -> list[float]:
    """Milliseconds by which blocks of a file's sound are ahead of the unspoilt one, at FPS pictures a second."""
    found = audio.read_audio(out)
    with av.open(str(out)) as container:
        shown = sorted(float(remux.moment(packet) or 0) for packet in container.demux(video=0) if packet.size)
    at = (np.arange(len(shown) * SAMPLES_PER_FRAME) + 0.5) / SAMPLES_PER_FRAME
    # A line, as Matroska rounds each time stamp.
    lasts = np.polyfit(np.arange(len(shown)), shown, 1)[0]
    found = np.interp(at * lasts * SAMPLE_RATE - 0.5, np.arange(len(found)), found, right=0).astype(np.int16)
    coarse = reference._coarse(found, sound)
    return [1000 * lag / SAMPLE_RATE for lag in reference._fine(found, sound, coarse)]


def cured(video: Path, out: Path, options: tuple[str, ...], sound: np.ndarray, level: float) -> dict[str, Any]:
    """Correct a video, and tell how well."""
    command = [sys.executable, "-m", "syncnet_lib", "correct", str(video), str(out), *options]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if not out.exists():
        return {"refused": said.stderr.strip()}
    lags = np.array(off(out, sound)) + level
    again = syncnet_lib.measure(out)
    drift = finding.significant(again.drift)
    points = [point.offset_ms for point in again.points]
    return {
        "code": said.returncode,
        "off_ms": [round(float(np.median(lags)), 1), round(float(lags.min()), 1), round(float(lags.max()), 1)],
        "within_10": float(np.mean(np.abs(lags) <= 10)),
        "again_ms": again.offset_ms,
        "again_points_ms": [round(float(each), 1) for each in (min(points), max(points))],
        "verdict": again.verdict,
        "again_ppm": drift and [round(each) for each in (drift.ppm, drift.ppm_low, drift.ppm_high)],
        "said": said.stdout.splitlines()[:2],
    }


def main(
    only: Annotated[str, typer.Option(help="one of the sets")] = "",
    cases: Annotated[str, typer.Option(help="some of the cases, by commas")] = "",
    clips: Annotated[Path, typer.Option(help="folder of grid_s1 and grid_talkers")] = ROOT.parent / "shared" / "clips",
    out: Annotated[Path, typer.Option(help="the results")] = ROOT / "reports" / "bench" / "cures.json",
) -> None:
    """Spoil, cure and measure; a line a cure."""
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="syncnet-cures-") as scratch:
        for name in [only] if only else SETS:
            pictures, sound = joined(clips, name)
            plain = Path(scratch) / f"{name}.mkv"
            encode.write_video(plain, pictures, sound, audio_codec="flac")
            level = syncnet_lib.measure(plain).offset_ms
            result[name] = {"seconds": len(sound) / SAMPLE_RATE, "unspoilt_ms": level}
            for case, spoil in CASES.items():
                if cases and case not in cases.split(","):
                    continue
                spoilt = Path(scratch) / f"{name}-{case.replace('/', ' to ')}.mkv"
                encode.write_video(spoilt, pictures, spoil(sound), audio_codec="flac")
                for options in WAYS:
                    target = spoilt.with_name(f"{spoilt.stem}-cured{''.join(options)}.mkv")
                    row = cured(spoilt, target, options, sound, level)
                    result[name][f"{case} {' '.join(options) or 'by time stamps'}"] = row
                    print(name, case, *options, json.dumps(row), flush=True)
    files.write_json(out, {"machine": machine.describe(), **result})


if __name__ == "__main__":
    typer.run(main)
