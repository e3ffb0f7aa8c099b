"""Clips as compact corpora for the studies: two files of megabytes, which another machine reads without decoders of its
own.

`NAME.mp4` holds the mouth crops of all clips one after another, 60x60 as the small network takes them, as AVC;
`NAME.npz` the MFCC in half precision and the index.
"""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from syncnet_lib import files
from syncnet_lib.dataset import clips
from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.features import MFCC_PER_FRAME, WINDOW_FRAMES
from syncnet_lib.model.prepare import prepare_frames
from syncnet_lib.model.spec import SPECS

QUALITY = 18
"""Constant rate factor of the crops: what x264 calls visually lossless or nearly so."""
COLUMNS = ("clip_id", "video_id", "speaker", "split", "frames")


def pack(clips_dir: Path, manifest: pd.DataFrame, out: Path) -> None:
    """Write a corpus.

    Args:
        clips_dir: the folder of clips.
        manifest: of those to take, with `split`.
        out: the corpus without suffix.
    """
    from syncnet_lib.media import encode

    loaded = [
        clips.load(clips_dir / clip_id) for clip_id in tqdm(manifest.clip_id, "packing", unit="clip", disable=None)
    ]
    crops = (frame for clip in loaded for frame in prepare_frames(np.array(clip.mouth), SPECS["small"]))
    pictures = (np.repeat(crop[:, :, None], 3, axis=2) for crop in crops)
    with files.atomic(out.with_suffix(".mp4")) as temporary:
        encode.write_video(temporary, pictures, np.empty(0, np.int16), fps=Fraction(FPS), crf=QUALITY)
    mfcc = np.concatenate([clip.mfcc for clip in loaded]).astype(np.float16)
    columns = {name: manifest[name].to_numpy(str if manifest[name].dtype == object else None) for name in COLUMNS}
    with files.atomic(out.with_suffix(".npz")) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, mfcc=mfcc, **columns)


def read(folder: Path, name: str) -> dict[str, Split]:
    """The splits of a corpus, in memory.

    Args:
        folder: of the corpora.
        name: of the corpus.

    Raises:
        InputError: the two files are not of one corpus.
    """
    with np.load(folder / f"{name}.npz") as content:
        mfcc = content["mfcc"].astype(np.float32)
        index = pd.DataFrame({column: content[column] for column in COLUMNS})
    video = cv2.VideoCapture(str(folder / f"{name}.mp4"))
    side = int(video.get(cv2.CAP_PROP_FRAME_HEIGHT))  # of the network's frames when the corpus was packed
    frames = np.empty((int(index.frames.sum()), side, side), np.uint8)
    count = 0
    while count < len(frames) and (read := video.read())[0]:
        frames[count] = read[1][:, :, 0]
        count += 1
    video.release()
    if count < len(frames):
        raise InputError(folder / f"{name}.mp4", f"{count} of {len(frames)} frames", "pack the corpus again")
    index["first"] = index.frames.cumsum().shift(fill_value=0)
    return {split: _part(frames, mfcc, rows) for split, rows in index.groupby("split")}


def _part(frames: np.ndarray, mfcc: np.ndarray, rows: pd.DataFrame) -> Split:
    at = np.concatenate(
        [np.arange(first, first + count) for first, count in zip(rows["first"], rows.frames, strict=True)]
    )
    steps = (at[:, None] * MFCC_PER_FRAME + np.arange(MFCC_PER_FRAME)).ravel()
    index = rows.drop(columns="first").reset_index(drop=True)
    index["start"] = index.frames.cumsum().shift(fill_value=0)
    kept = np.zeros(len(at), bool)
    for start, count in zip(index.start, index.frames - WINDOW_FRAMES, strict=True):
        kept[start : start + count] = True
    return Split(frames[at], mfcc[steps][None], index, kept)
