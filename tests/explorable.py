"""A working folder as the stages leave it, of a few clips whose lips and sound belong together, made in a moment."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from syncnet_lib.dataset.clips import ClipWriter
from syncnet_lib.media.clock import FPS, SAMPLES_PER_FRAME
from tests import packed

FRAMES = 60
VERDICTS = ("kept", "kept", "dubbed")


def make(folder: Path) -> Path:
    """Clips with a verdict each, the last of them dubbed; their videos are gone.

    Args:
        folder: a new one.
    """
    rng = np.random.default_rng(0)
    split = packed.split([FRAMES] * len(VERDICTS))
    (folder / "clips").mkdir(parents=True)
    no_face = np.zeros((0, 224, 224, 3), np.uint8)
    samples = folder / "samples.raw"
    rows, windows = [], []
    for number, start in enumerate(split.starts):
        name = f"clip{number:03d}"
        loud = np.repeat(np.hypot.outer([0.1], rng.random(FRAMES))[0], SAMPLES_PER_FRAME)
        samples.write_bytes((loud * rng.normal(0, 3000, len(loud))).astype(np.int16).tobytes())
        writer = ClipWriter(folder / "clips" / name, FRAMES)
        writer.add(split.frames[start : start + FRAMES], no_face, np.full(FRAMES, 0.1, np.float32))
        writer.close(samples, 0)
        (folder / "clips" / name / "clip.json").write_text(json.dumps({"start_frame": 0, "fps": FPS}))
        row = {"clip_id": name, "video_id": f"v{number}", "path": f"videos/v{number}.mp4"}
        rows.append({**row, "start_frame": 0, "frames": FRAMES})
        distance = rng.normal(1 + number, 0.2, FRAMES - 5)
        windows.append(pd.DataFrame({"clip_id": name, "window": np.arange(FRAMES - 5), "distance": distance}))
    samples.unlink()
    pd.DataFrame(rows).to_parquet(folder / "clips" / "clips.parquet")
    (folder / "raw").mkdir()
    pd.DataFrame(rows)[["video_id", "path"]].to_csv(folder / "raw" / "videos.csv", index=False)
    (folder / "filter").mkdir()
    table = pd.concat(windows, ignore_index=True)
    table.assign(kept=table.distance < 2.5).to_parquet(folder / "filter" / "windows.parquet")
    names = [row["clip_id"] for row in rows]
    judged = pd.DataFrame({"clip_id": names, "verdict": VERDICTS, "reason": "so it is", "moved": 0.0})
    judged.assign(distance=1.0, confidence=0.2).to_parquet(folder / "filter" / "clips.parquet")
    return folder
