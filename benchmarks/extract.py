"""How fast extraction is: seconds of video per second on one core, by phase; against the reference's way; and memory.

    python -m benchmarks.extract                       # as the next line, on two videos that it makes first
    python -m benchmarks.extract speed VIDEO ...       # phases, and the reference's way with the same detector
    python -m benchmarks.extract workers FOLDER        # one worker against two
    python -m benchmarks.extract memory VIDEO MINUTES  # peak memory for the video repeated to this length

The reference (joonson/syncnet_python, run_pipeline.py) writes every picture as a JPEG, reads it back for detection, for
shots and for the crops, and detects on each frame; so does `reference` here, by the same libraries.
"""

import argparse
import itertools
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd

from syncnet_lib import clips, faces, media, synthetic
from syncnet_lib.clips import ExtractSettings
from syncnet_lib.media import FPS, Picture
from syncnet_lib.shots import THUMBNAIL, ShotFinder
from syncnet_lib.tracks import FaceTracker


def phases(path: Path) -> dict[str, float]:
    """Processor seconds of each phase of one video, and its duration."""
    settings = ExtractSettings()
    spent = dict.fromkeys(("sound", "decode", "shots", "faces and crops"), 0.0)
    at = time.process_time()

    def clock(phase: str) -> None:
        nonlocal at
        now = time.process_time()
        spent[phase] += now - at
        at = now

    for _ in media.audio_blocks(path):
        pass
    clock("sound")
    tracker, finder, frames = FaceTracker(settings), ShotFinder(settings.shot_threshold), 0
    for picture in media.pictures(path):
        clock("decode")
        cut = finder.cut_before(picture.thumbnail(THUMBNAIL))
        clock("shots")
        for _ in tracker.show(picture, cut):
            pass
        clock("faces and crops")
        frames += 1
    clock("decode")
    for _ in tracker.finish():
        pass
    clock("faces and crops")
    return {**spent, "whole": sum(spent.values()), "duration": frames / FPS}


def reference(path: Path) -> float:
    """Processor seconds of the reference's way with the same detector and crops."""
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        for _ in media.audio_blocks(path):
            pass
        files = []
        for number, frame in enumerate(media.read_frames(path)):
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
            found = faces.detect(picture, faces.whole(width, height))
            for region in faces.tiles(width, height, min(width, height)):
                found = found or faces.detect(picture, region)
            face = faces.mesh(picture, found[0][1]) if found else None
            places.append(None if face is None else face.mouth)
        for file, place in zip(files, places, strict=True):
            image = cv2.imread(file)
            if place is not None:
                x, y, side, roll = place
                faces.sample(image, faces.square(x, y, side, roll, 120), 120, faces.PAD_VALUE)
    return time.process_time() - start


def _picture(image: np.ndarray) -> Picture:
    return Picture(av.VideoFrame.from_ndarray(image, format="bgr24"))


def speed(paths: list[Path]) -> None:
    """Print the table of phases."""
    phases(paths[0])  # models are loaded once per process, and that is no part of a video
    rows = []
    for path in paths:
        info, spent = media.probe(path), phases(path)
        duration = spent.pop("duration")
        row = {name: duration / seconds for name, seconds in spent.items()}
        row["reference's way"] = duration / reference(path)
        row["ratio"] = row["whole"] / row["reference's way"]
        rows.append({"video": path.name, "size": f"{info.width}x{info.height}", "codec": info.video_codec, **row})
    print("times real time on one core")
    print(pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:.1f}"))


def workers(folder: Path) -> None:
    """Print the wall time of a folder with one and with two workers."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    table = pd.DataFrame({"video_id": names, "path": names, "speaker": "", "sha256": ""})
    seconds = {}
    for count in (1, 2):
        with tempfile.TemporaryDirectory() as scratch:
            start = time.perf_counter()
            out, cache = Path(scratch, "clips"), Path(scratch, "cache")
            clips.extract(table, folder, out, cache, ExtractSettings(), count, progress=False)
            seconds[count] = time.perf_counter() - start
    print(json.dumps({"videos": len(names), "seconds": seconds, "ratio": seconds[1] / seconds[2]}))


def memory(path: Path, minutes: float) -> None:
    """Print the peak memory of extracting a video that repeats another for so many minutes."""
    with tempfile.TemporaryDirectory() as scratch:
        long = Path(scratch, "long.mkv")
        _repeat(path, long, minutes * 60)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        table = pd.DataFrame({"video_id": ["long"], "path": [long.name], "speaker": "", "sha256": ""})
        start = time.perf_counter()
        manifest, _ = clips.extract(
            table, long.parent, long.parent / "clips", long.parent / "cache", ExtractSettings(), 0, progress=False
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps(
            {
                "minutes": round(float(manifest.frames.sum()) / FPS / 60, 2),
                "clips": len(manifest),
                "seconds": round(time.perf_counter() - start, 1),
                "peak_mib": peak // 1024,
                "before_mib": before // 1024,
            }
        )
    )


def _repeat(path: Path, long: Path, seconds: float) -> None:
    """Copy the packets of a video again and again with later timestamps; nothing is decoded."""
    with av.open(str(path)) as source, av.open(str(long), "w") as out:
        streams = {
            stream.index: out.add_stream_from_template(stream)
            for stream in itertools.islice((s for s in source.streams if s.type in ("video", "audio")), 2)
        }
        # Whole pictures, so that the pictures of the next round continue the clock exactly.
        period = (source.duration or 0) / av.time_base // 0.04 * 0.04
        for turn in range(max(1, round(seconds / period))):
            source.seek(0)
            for packet in source.demux([source.streams[index] for index in streams]):
                if packet.dts is None or packet.pts is None or packet.pts * packet.time_base >= period:
                    continue
                shift = round(turn * period / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = streams[packet.stream.index]
                out.mux(packet)


def main(arguments: Iterator[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind")
    kinds.add_parser("speed").add_argument("videos", nargs="+", type=Path)
    kinds.add_parser("workers").add_argument("folder", type=Path)
    lengths = kinds.add_parser("memory")
    lengths.add_argument("video", type=Path)
    lengths.add_argument("minutes", type=float)
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    cv2.setNumThreads(1)
    if chosen.kind is None:
        with tempfile.TemporaryDirectory() as folder:
            settings = synthetic.SyntheticSettings(clips=2, identities=2, seconds=10.0, noisy_share=0.0)
            videos, _ = synthetic.make(Path(folder), settings, seed=0, workers=0, progress=False)
            speed([Path(folder) / path for path in videos["path"]])
    elif chosen.kind == "speed":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        speed(chosen.videos)
    elif chosen.kind == "workers":
        workers(chosen.folder)
    else:
        memory(chosen.video, chosen.minutes)


if __name__ == "__main__":
    sys.exit(main())
