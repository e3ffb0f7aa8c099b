"""Does sound that is moved by k frames change the answer by exactly k, on real video?

    python -m benchmarks.equivariance [--checkpoint small] [--clips ../shared/clips] [--every 15]

Each clip is measured as it is, with its sound moved by k = -10..10 (re-muxed, nothing re-encoded), and after `correct`.
One of `every` is looked at more closely: each moved file is watched anew, where for the others the faces that were seen
in the unmoved file serve, whose pictures are the same packets; and it is measured after conversion to 24, 30, 50 and a
variable number of pictures a second. Only clips whose unmoved verdict is sure count for the shares. Swapped sound gives
the confidences from which the threshold is taken: 99 % of these false verdicts are below it. It is that of the folder's
next clip, its halves exchanged, because GRID's sentences share their timing. Writes reports/bench/equivariance.json.
"""

import functools
import itertools
import json
import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import av
import numpy as np
import typer

from benchmarks import machine
from syncnet_lib import files, parallel
from syncnet_lib.measurement import analyse, checkpoints, examination, stream
from syncnet_lib.measurement.result import Result
from syncnet_lib.measurement.stream import Event
from syncnet_lib.media import audio, decode, encode, retime
from syncnet_lib.media.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from syncnet_lib.media.correction import Cure
from syncnet_lib.paths import ROOT

MOVES = range(-10, 11)
RATES = {"24": (24,), "30": (30,), "50": (50,), "variable": (15, 30, 24, 50)}
"""Pictures a second; of several, each for half a second in turn."""
TURN = Fraction(1, 2)
KEPT_BY_MATROSKA = {".avi", ".ogg"}
"""Files whose codecs mp4 does not take."""


class Bench:
    """One model over many files.

    Args:
        checkpoint: name or file.
    """

    def __init__(self, checkpoint: str) -> None:
        self.model, self.info = checkpoints.load(checkpoint, "cpu")
        self.settings = analyse.settings_for(self.model, 15, None, cropped=False)

    def measure(self, path: Path, seen: list[Event] | None = None) -> Result:
        """The verdict on a file, by the faces that were seen in one with the same pictures where there is one."""
        events = None if seen is None else itertools.chain(stream.hear(path, self.settings.vshift + stream.FAR), seen)
        return examination.measure(path, self.model, self.info, self.settings, events=events)

    def clip(self, path: Path, other: Path | None) -> dict[str, Any]:
        """All that is asked of one clip.

        Args:
            path: of the clip.
            other: lends its sound for the control; None for a clip that is not looked at more closely.

        Raises:
            InputError: it cannot be measured.
        """
        seen = list(stream.see(path, self.settings, self.model.spec.crop, cropped=False))
        still = self.measure(path, seen)
        row: dict[str, Any] = {"path": path.name, "offset": still.offset_frames, "confidence": still.confidence}
        row["sure"] = still.sureness == "sure"
        again = seen if other is None else None
        with tempfile.TemporaryDirectory() as folder:
            # In steps of 1/90000 s; Matroska's milliseconds decide where the truth lies between two frames.
            made = Path(folder) / ("moved.mkv" if path.suffix in KEPT_BY_MATROSKA else "moved.mp4")
            row["moves"] = {str(k): self.changed(path, made, k, again) - still.offset_frames for k in MOVES if k}
            fixed = Path(folder) / f"fixed{'.mkv' if path.suffix in KEPT_BY_MATROSKA else path.suffix}"
            row["exact_copy"] = retime.retime(path, fixed, Cure.shift(Fraction(still.offset_frames, FPS))).exact
            row["corrected"] = self.measure(fixed, again).offset_frames
            if other is not None:
                row["rates"] = {name: self.converted(path, Path(folder), rates) for name, rates in RATES.items()}
                swapped = Path(folder) / "swapped.mp4"
                frames, sound = list(decode.read_frames(path)), audio.read_audio(other)
                other_sound = np.resize(np.roll(sound, len(sound) // 2), len(frames) * SAMPLES_PER_FRAME)
                encode.write_video(swapped, frames, other_sound)
                row["swapped_confidence"] = self.measure(swapped).confidence
        return row

    def changed(self, path: Path, made: Path, k: int, seen: list[Event] | None) -> int:
        """The offset with the sound k frames earlier, which is k frames further ahead."""
        retime.retime(path, made, Cure.shift(Fraction(-k, FPS)))
        offset = self.measure(made, seen).offset_frames
        made.unlink()
        return offset

    def converted(self, path: Path, folder: Path, rates: tuple[int, ...]) -> int:
        """The offset at other rates: each picture of the new clock shows what was on the screen then."""
        made = folder / "rate.mp4"
        shown = list(decode.read_frames(path))
        times = list(itertools.takewhile(lambda time: time < Fraction(len(shown), FPS), clock(rates)))
        frames = (shown[int(time * FPS)] for time in times)
        height, width = shown[0].shape[:2]
        write_timed(made, zip(times, frames, strict=True), (width, height), audio.read_audio(path))
        offset = self.measure(made).offset_frames
        made.unlink()
        return offset


def clock(rates: tuple[int, ...]) -> Iterator[Fraction]:
    """Times of pictures whose rate changes every TURN seconds."""
    time = Fraction(0)
    for turn, rate in enumerate(itertools.cycle(rates)):
        while time < (turn + 1) * TURN:
            yield time
            time += Fraction(1, rate)


def write_timed(
    path: Path, frames: Iterable[tuple[Fraction, np.ndarray]], size: tuple[int, int], samples: np.ndarray
) -> None:
    """A video whose pictures have any times, in seconds."""
    ticks = Fraction(1, 600)  # of 24, 30, 50 and 15 a second all are whole numbers
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=50, options=encode.encoder_options("libx264", 18))
        video.width, video.height = size
        video.pix_fmt, video.codec_context.time_base = "yuv420p", ticks
        sound = out.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for time, pixels in frames:
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time / ticks), ticks
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        block = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        block.sample_rate, block.pts, block.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
        out.mux([*sound.encode(block), *sound.encode(None)])


@functools.cache
def bench(checkpoint: str) -> Bench:
    """The bench of this process."""
    return Bench(checkpoint)


class Job(NamedTuple):
    """A clip to be worked on; see `Bench.clip`."""

    checkpoint: str
    path: Path
    other: Path | None


def work(job: Job) -> dict[str, Any]:
    """One clip."""
    return bench(job.checkpoint).clip(job.path, job.other)


def summary(rows: list[dict[str, Any]], threshold: float | None) -> dict[str, Any]:
    """The shares over the clips whose unmoved verdict is sure.

    Returns:
        Counts and shares, and `threshold_by_swapped_sound`: 99 % of the false verdicts have less confidence.
    """
    sure = [row for row in rows if row["sure"]]
    closely = [row for row in rows if "rates" in row]
    moved = [change == int(k) for row in sure for k, change in row["moves"].items()]
    rates = {name: [abs(row["rates"][name] - row["offset"]) <= 1 for row in closely if row["sure"]] for name in RATES}
    swapped = [row["swapped_confidence"] for row in closely]
    return {
        "clips": len(rows),
        "sure": len(sure),
        "threshold": threshold,
        "threshold_by_swapped_sound": float(np.quantile(swapped, 0.99)) if swapped else None,
        "moves": len(moved),
        "moved_by_exactly_k": float(np.mean(moved)) if moved else None,
        "looked_at_closely": len(closely),
        "within_a_frame_at_other_rates": {name: float(np.mean(right)) for name, right in rates.items() if right},
        "corrected_gives_0": float(np.mean([row["corrected"] == 0 for row in sure])) if sure else None,
        "exact_copies": float(np.mean([row["exact_copy"] for row in sure])) if sure else None,
    }


def main(
    checkpoint: Annotated[str, typer.Option(help="small, base, refined, or a file")] = "small",
    clips: Annotated[Path, typer.Option(help="folder of videos")] = ROOT.parent / "shared" / "clips",
    every: Annotated[int, typer.Option(min=1, help="in folders of more than 20 videos, one of so many closely")] = 15,
    out: Annotated[Path, typer.Option(help="the results")] = ROOT / "reports" / "bench" / "equivariance.json",
) -> None:
    """Measure all clips of a folder; the results are written after each clip, so that an interruption keeps them."""
    if not clips.is_dir():
        print(f"skipped: no folder {clips}")
        return
    jobs = []
    for folder in sorted({path.parent for path in clips.rglob("*") if path.suffix.lower() in decode.SUFFIXES}):
        videos = sorted(path for path in folder.iterdir() if path.suffix.lower() in decode.SUFFIXES)
        closely = every if len(videos) > 20 else 1
        for number, (path, other) in enumerate(zip(videos, videos[1:] + videos[:1], strict=True)):
            jobs.append(Job(checkpoint, path, None if number % closely else other))
    _, info = checkpoints.load(checkpoint, "cpu")
    rows, skipped = {}, {}
    cores = parallel.cores()
    for job, row in parallel.run(work, jobs, workers=cores, describe="equivariance"):
        if isinstance(row, Exception):
            skipped[job.path.name] = parallel.reason(row)
        else:
            rows[job.path] = row
        ordered = [rows[path] for path in sorted(rows)]
        result = {**summary(ordered, info.threshold), "model": info.model_dump(), "skipped": skipped}
        # A clip is listed only where it does not do what it should.
        wrong = [row for row in ordered if any(int(k) != change for k, change in row["moves"].items())]
        files.write_json(out, {"machine": machine.describe(), **result, "not_moved_by_k": wrong})
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    typer.run(main)
