"""How fast extraction is: seconds of video per second on one core, by phase; against the reference's way; and memory.

    python -m benchmarks.extract                           # all of it, on videos that it makes first
    python -m benchmarks.extract speed VIDEO ...           # phases, and the reference's way with the same detector
    python -m benchmarks.extract workers FOLDER            # one worker against two
    python -m benchmarks.extract memory VIDEO MINUTES ...  # peak memory for the video repeated to these lengths
    python -m benchmarks.extract found FOLDER              # frames in which a face is found, a row a folder below it

What is measured is printed and kept in reports/bench/extract.json, a part a key.

The reference (joonson/syncnet_python, run_pipeline.py) writes every picture as a JPEG, reads it back for detection, for
shots and for the crops, and detects on each frame; so does `reference` here, by the same libraries.
"""

import argparse
import json
import multiprocessing
import os
import re
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pandas as pd

from benchmarks import machine
from syncnet_lib import files, parallel
from syncnet_lib.dataset import extract, sources
from syncnet_lib.dataset.settings import ExtractSettings
from syncnet_lib.faces import crops, detect, geometry
from syncnet_lib.faces.shots import THUMBNAIL, ShotFinder, find_cuts
from syncnet_lib.faces.track import FaceTracker
from syncnet_lib.media import audio, decode, encode, remux
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.decode import Picture
from syncnet_lib.paths import ROOT
from syncnet_lib.stopwatch import Stopwatch
from syncnet_lib.synthetic import corpus
from syncnet_lib.synthetic.settings import SyntheticSettings

OUT = ROOT / "reports" / "bench" / "extract.json"
MADE = {"360p.mp4": ((640, 360), "libx264"), "1080p.mp4": ((1920, 1080), "libx265")}
"""Videos that are made to be measured: size and encoder."""
LENGTHS = (2.0, 20.0)
"""Minutes whose peak memory is compared where none are asked for."""


def phases(path: Path) -> dict[str, float]:
    """Processor seconds of each phase of one video, and its duration."""
    settings = ExtractSettings()
    watch = Stopwatch(("sound", "decode", "shots", "faces and crops"), time.process_time)
    for _ in watch.each("sound", audio.audio_blocks(path)):
        pass
    tracker = FaceTracker(settings)
    marked = find_cuts(watch.each("decode", decode.pictures(path)), settings.shot_threshold)
    for _ in watch.each("faces and crops", tracker.follow(watch.each("shots", marked))):
        pass
    return {**watch.seconds, "whole": sum(watch.seconds.values()), "duration": tracker.frames / FPS}


def reference(path: Path) -> float:
    """Processor seconds of the reference's way with the same detector and crops."""
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        for _ in audio.audio_blocks(path):
            pass
        files = []
        for number, frame in enumerate(decode.read_frames(path)):
            files.append(f"{folder}/{number:06d}.jpg")
            cv2.imwrite(files[-1], frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        finder = ShotFinder(ExtractSettings().shot_threshold)
        for file in files:
            image = cv2.imread(file)
            step = max(1, max(image.shape) // THUMBNAIL)
            finder.cut_before(np.ascontiguousarray(image[::step, ::step]))
        places = []
        for file in files:
            picture = _picture(cv2.imread(file))
            width, height = picture.size
            found = detect.detect(picture, geometry.whole(width, height))
            for region in geometry.tiles(width, height, min(width, height)):
                found = found or detect.detect(picture, region)
            face = detect.mesh(picture, found[0][1]) if found else None
            places.append(None if face is None else face.mouth)
        for file, place in zip(files, places, strict=True):
            image = cv2.imread(file)
            if place is not None:
                x, y, side, roll = place
                crops.sample(image, geometry.square(x, y, side, roll, 120), 120, crops.PAD_VALUE)
    return time.process_time() - start


def _picture(image: np.ndarray) -> Picture:
    return Picture(av.VideoFrame.from_ndarray(image, format="bgr24"))


def speed(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Times real time on one core, by phase, and the reference's way with the same detector; a row a video."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    phases(paths[0])  # models are loaded once per process, and that is no part of a video
    rows = []
    for path in paths:
        info, spent = decode.probe(path), phases(path)
        duration = spent.pop("duration")
        row = {name: duration / seconds for name, seconds in spent.items()}
        row["reference's way"] = duration / reference(path)
        row["ratio"] = row["whole"] / row["reference's way"]
        row = {name: round(value, 2) for name, value in row.items()}
        rows.append({"video": path.name, "size": f"{info.width}x{info.height}", "codec": info.video_codec, **row})
    os.sched_setaffinity(0, cores)
    return rows


def workers(folder: Path) -> dict[str, Any]:
    """Wall time of a folder with one and with two workers."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    table = pd.DataFrame({"video_id": names, "path": names})
    seconds = {}
    for count in (1, 2):
        with tempfile.TemporaryDirectory() as scratch:
            start = time.perf_counter()
            out, cache = Path(scratch, "clips"), Path(scratch, "cache")
            extract.extract(table, folder, out, cache, ExtractSettings(), count, progress=False)
            seconds[str(count)] = round(time.perf_counter() - start, 1)
    return {"videos": len(names), "seconds": seconds, "ratio": round(seconds["1"] / seconds["2"], 2)}


def found(tree: Path) -> list[dict[str, Any]]:
    """In which share of the frames a face that became a clip is seen; a row a folder of videos."""
    cores = parallel.cores()
    videos, unusable = sources.scan(tree, cores, progress=False)
    with tempfile.TemporaryDirectory() as scratch:
        out, cache = Path(scratch, "clips"), Path(scratch, "cache")
        manifest, refused = extract.extract(videos, tree, out, cache, ExtractSettings(), cores)
        frames = pd.read_csv(cache / "timing.csv").set_index("path").frames
    for row in pd.concat([unusable, refused]).itertuples():
        print(f"not used: {row.file}: {row.reason}")
    manifest["seen"] = manifest.frames * (1 - manifest.faceless_share)
    rows = []
    for folder, part in videos.groupby(videos["path"].map(lambda path: Path(path).parent.as_posix())):
        own = manifest[manifest["path"].isin(part["path"])]
        total = int(frames.reindex(part["path"]).sum())
        rows.append(
            {
                "folder": folder,
                "videos": len(part),
                "without_a_clip": len(part) - own["path"].nunique(),
                "frames": total,
                "with_face": round(float(own.seen.sum() / total), 4) if total else None,
            }
        )
    return rows


def memory(path: Path, lengths: Sequence[float]) -> list[dict[str, Any]]:
    """Peak memory of extracting a video that repeats another for so many minutes, each in a process of its own."""
    rows = []
    for minutes in lengths:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            rows.append(pool.submit(_peak, path, minutes).result())
    return rows


def _peak(path: Path, minutes: float) -> dict[str, Any]:
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        long = Path(scratch, "long.mkv")
        repeat(path, long, minutes * 60)
        before = _resident()
        table = pd.DataFrame({"video_id": ["long"], "path": [long.name]})
        start = time.perf_counter()
        manifest, _ = extract.extract(
            table, long.parent, long.parent / "clips", long.parent / "cache", ExtractSettings(), 0, progress=False
        )
        seconds = time.perf_counter() - start
    return {
        "minutes": round(float(manifest.frames.sum()) / FPS / 60, 2),
        "clips": len(manifest),
        "seconds": round(seconds, 1),
        "peak_mib": _resident(),
        "before_mib": before,
    }


def _resident() -> int:
    """MiB that this process has held in memory at most."""
    # Not getrusage: its figure begins with that of the process which started this one.
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match
    return int(match[1]) // 1024


def repeat(path: Path, out: Path, seconds: float) -> None:
    """A video over and over until it is so long, at least once, by its packets; nothing is decoded but to count."""
    period = Fraction(sum(1 for _ in decode.pictures(path)), FPS)
    with av.open(str(out), "w") as target:
        copies: dict[int, av.stream.Stream] = {}
        for turn in range(max(1, round(seconds / period))):
            with av.open(str(path)) as source:
                for stream in source.streams:
                    if turn == 0:
                        copies[stream.index] = target.add_stream_from_template(stream, opaque=True)
                for packet in source.demux():
                    # The sound may begin a little before the pictures and end after them; what is over is left out.
                    time = remux.moment(packet)
                    if not packet.size or time is None or not 0 <= time < period:
                        continue
                    index = packet.stream.index
                    remux.move(packet, turn * period)
                    packet.stream = copies[index]
                    target.mux(packet)


def _made(folder: Path) -> list[Path]:
    """A talking head in each of the formats of MADE."""
    settings = SyntheticSettings(clips=1, identities=2, seconds=8.0, noisy_share=0.0)
    videos, _ = corpus.make(folder / "small", settings, seed=0, workers=0, progress=False)
    source = folder / "small" / videos["path"][0]
    for name, (size, codec) in MADE.items():
        larger = (cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in decode.read_frames(source))
        with detect.silent_stderr():  # x265 reports every setting
            encode.write_video(folder / name, larger, audio.read_audio(source), video_codec=codec, crf=23)
    return [folder / name for name in MADE]


def _everything(folder: Path) -> dict[str, Any]:
    made = _made(folder)
    several = SyntheticSettings(clips=96, identities=8, seconds=10.0, noisy_share=0.0)
    corpus.make(folder / "several", several, seed=0, workers=parallel.cores())
    return {
        "speed": speed(made),
        "workers": workers(folder / "several" / "videos"),
        "memory": memory(made[0], LENGTHS),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind")
    kinds.add_parser("speed").add_argument("videos", nargs="+", type=Path)
    kinds.add_parser("workers").add_argument("folder", type=Path)
    kinds.add_parser("found").add_argument("folder", type=Path)
    lengths = kinds.add_parser("memory")
    lengths.add_argument("video", type=Path)
    lengths.add_argument("minutes", nargs="+", type=float)
    chosen = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    if chosen.kind is None:
        with tempfile.TemporaryDirectory() as folder:
            measured = _everything(Path(folder))
    elif chosen.kind == "speed":
        measured = {"speed": speed(chosen.videos)}
    elif chosen.kind == "workers":
        measured = {"workers": workers(chosen.folder)}
    elif chosen.kind == "found":
        measured = {"found": found(chosen.folder)}
    else:
        measured = {"memory": memory(chosen.video, chosen.minutes)}
    for part, content in measured.items():
        print(f"{part}{' (times real time on one core)' if part == 'speed' else ''}")
        print(pd.DataFrame(content if isinstance(content, list) else [content]).to_string(index=False))
    kept = json.loads(OUT.read_text()) if OUT.exists() else {}
    files.write_json(OUT, {**kept, "machine": machine.describe(), **measured})


if __name__ == "__main__":
    main()
