"""Does sound that is moved by k frames change the answer by exactly k, on real video?

    python benchmarks/equivariance.py [--checkpoint small] [--clips ../shared/clips] [--every 45]

Each clip is measured as it is, with its sound moved by k = -10..10 (re-muxed, nothing re-encoded), after conversion to
24, 30, 50 and a variable number of pictures a second, and after `correct`. Only clips whose unmoved verdict is sure
count for the shares. Swapped sound gives the confidences from which the threshold is taken: 99 % of these false
verdicts are below it. It is that of the folder's next clip, its halves exchanged, because GRID's sentences share their
timing. Writes reports/bench/equivariance.json.
"""

import itertools
import json
import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import av
import numpy as np
import typer
from tqdm import tqdm

from syncnet_lib import checkpoints, config, corpus, files, infer, media, remux, verdict
from syncnet_lib.errors import InputError
from syncnet_lib.media import FPS
from syncnet_lib.results import Result

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
        self.settings = infer.settings_for(self.model, 15, None, cropped=False)

    def measure(self, path: Path) -> Result:
        """The verdict on a file."""
        return verdict.measure(path, self.model, self.info, self.settings)

    def clip(self, path: Path, other: Path) -> dict[str, Any]:
        """All that is asked of one clip; `other` lends its sound for the control.

        Raises:
            InputError: it cannot be measured.
        """
        still = self.measure(path)
        row: dict[str, Any] = {"path": path.name, "offset": still.offset_frames, "confidence": still.confidence}
        row["sure"] = still.sureness == "sure"
        with tempfile.TemporaryDirectory() as folder:
            # In steps of 1/90000 s; Matroska's milliseconds decide where the truth lies between two frames.
            made = Path(folder) / ("moved.mkv" if path.suffix in KEPT_BY_MATROSKA else "moved.mp4")
            row["moves"] = {k: self.changed(path, made, k) - still.offset_frames for k in MOVES if k}
            row["rates"] = {name: self.converted(path, Path(folder), rates) for name, rates in RATES.items()}
            swapped = Path(folder) / "swapped.mp4"
            frames, sound = list(media.read_frames(path)), media.read_audio(other)
            other_sound = np.resize(np.roll(sound, len(sound) // 2), len(frames) * media.SAMPLES_PER_FRAME)
            media.write_video(swapped, frames, other_sound)
            row["swapped_confidence"] = self.measure(swapped).confidence
            fixed = Path(folder) / f"fixed{'.mkv' if path.suffix in KEPT_BY_MATROSKA else path.suffix}"
            row["exact_copy"] = remux.move_sound(path, fixed, Fraction(still.offset_frames, FPS))
            row["corrected"] = self.measure(fixed).offset_frames
        return row

    def changed(self, path: Path, made: Path, k: int) -> int:
        """The offset with the sound k frames earlier, which is k frames further ahead."""
        remux.move_sound(path, made, Fraction(-k, FPS))
        offset = self.measure(made).offset_frames
        made.unlink()
        return offset

    def converted(self, path: Path, folder: Path, rates: tuple[int, ...]) -> int:
        """The offset at other rates: each picture of the new clock shows what was on the screen then."""
        made = folder / "rate.mp4"
        shown = list(media.read_frames(path))
        times = list(itertools.takewhile(lambda time: time < Fraction(len(shown), FPS), clock(rates)))
        frames = (shown[int(time * FPS)] for time in times)
        height, width = shown[0].shape[:2]
        write_timed(made, zip(times, frames, strict=True), (width, height), media.read_audio(path))
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
        video = out.add_stream("libx264", rate=50, options=media.encoder_options("libx264", 18))
        video.width, video.height = size
        video.pix_fmt, video.codec_context.time_base = "yuv420p", ticks
        sound = out.add_stream("aac", rate=media.SAMPLE_RATE, layout="mono")
        for time, pixels in frames:
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time / ticks), ticks
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        block = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        block.sample_rate, block.pts, block.time_base = media.SAMPLE_RATE, 0, Fraction(1, media.SAMPLE_RATE)
        out.mux([*sound.encode(block), *sound.encode(None)])


def summary(rows: list[dict[str, Any]], threshold: float | None) -> dict[str, Any]:
    """The shares over the clips whose unmoved verdict is sure.

    Returns:
        Counts and shares, and `threshold_by_swapped_sound`: 99 % of the false verdicts have less confidence.
    """
    sure = [row for row in rows if row["sure"]]
    moved = [change == k for row in sure for k, change in row["moves"].items()]
    rates = {name: [abs(row["rates"][name] - row["offset"]) <= 1 for row in sure] for name in RATES}
    swapped = [row["swapped_confidence"] for row in rows]
    return {
        "clips": len(rows),
        "sure": len(sure),
        "threshold": threshold,
        "threshold_by_swapped_sound": float(np.quantile(swapped, 0.99)) if swapped else None,
        "moves": len(moved),
        "moved_by_exactly_k": float(np.mean(moved)) if moved else None,
        "within_a_frame_at_other_rates": {name: float(np.mean(right)) for name, right in rates.items() if right},
        "corrected_gives_0": float(np.mean([row["corrected"] == 0 for row in sure])) if sure else None,
        "exact_copies": float(np.mean([row["exact_copy"] for row in sure])) if sure else None,
    }


def main(
    checkpoint: Annotated[str, typer.Option(help="small, base, refined, or a file")] = "small",
    clips: Annotated[Path, typer.Option(help="folder of videos")] = config.ROOT.parent / "shared" / "clips",
    every: Annotated[int, typer.Option(min=1, help="in folders of more than 20 videos, one of so many")] = 45,
    out: Annotated[Path, typer.Option(help="the results")] = config.ROOT / "reports" / "bench" / "equivariance.json",
) -> None:
    """Measure, and write the results after each clip, so that an interruption keeps them."""
    if not clips.is_dir():
        print(f"skipped: no folder {clips}")
        return
    bench = Bench(checkpoint)
    chosen = []
    for folder in sorted({path.parent for path in clips.rglob("*") if path.suffix.lower() in corpus.SUFFIXES}):
        videos = sorted(path for path in folder.iterdir() if path.suffix.lower() in corpus.SUFFIXES)
        chosen += list(zip(videos, videos[1:] + videos[:1], strict=True))[:: every if len(videos) > 20 else 1]
    rows, skipped = [], {}
    for path, other in tqdm(chosen, "equivariance", unit="clip"):
        try:
            rows.append(bench.clip(path, other))
        except InputError as error:
            skipped[path.name] = error.cause
        result = {**summary(rows, bench.info.threshold), "model": bench.info.model_dump(), "skipped": skipped}
        files.write_json(out, {**result, "rows": rows})
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    typer.run(main)
