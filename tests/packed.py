"""A packed split whose lips and sound really belong together, made in memory for tests of learning."""

import numpy as np
import pandas as pd

from syncnet_lib.dataset.splits import Split
from syncnet_lib.media.features import MFCC_PER_FRAME, MFCC_SIZE, WINDOW_FRAMES


def split(lengths: list[int], seed: int = 0, side: int = 120) -> Split:
    """Clips of a bar that opens as the sound's cepstra say.

    Args:
        lengths: frames of each clip.
        seed: of everything.
        side: of the square frames, pixels.
    """
    rng = np.random.default_rng(seed)
    total = sum(lengths)
    walk = np.convolve(rng.normal(size=total + 4), np.ones(5) / 5, "valid")
    opening = (walk - walk.min()) / (walk.max() - walk.min())
    rows = np.arange(side)
    open_rows = np.abs(rows[None] - side / 2) < 3 + opening[:, None] * side / 4
    frames = np.where(open_rows[:, :, None], 30, 180).repeat(side, axis=2).astype(np.int16)
    frames = np.clip(frames + rng.normal(0, 5, frames.shape), 0, 255).astype(np.uint8)
    level = np.interp(np.arange(total * MFCC_PER_FRAME) / MFCC_PER_FRAME, np.arange(total), opening)
    mfcc = level[:, None] * np.linspace(4, -4, MFCC_SIZE) + rng.normal(0, 0.1, (len(level), MFCC_SIZE))
    index = pd.DataFrame({"clip_id": [f"clip{n:03d}" for n in range(len(lengths))], "frames": lengths})
    index["video_id"] = index.clip_id
    index["start"] = index.frames.cumsum().shift(fill_value=0)
    kept = np.zeros(total, bool)
    for start, count in zip(index.start, index.frames - WINDOW_FRAMES, strict=True):
        kept[start : start + count] = True
    return Split(frames, mfcc[None].astype(np.float32), index, kept)
