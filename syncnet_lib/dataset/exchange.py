"""The exchange layout [Agrawal] of a data set, written and read: `{train,val,test}/<clip>/` of ready-made clips.

A clip is `audio.wav` (16 kHz mono), `audio.npy` ((bins, 1, 13, 20) float32 MFCC, a bin a window of 5 frames, stride one
frame) and `frames/frame0.jpg`, `frame1.jpg` ... (25 a second).

`syncnet export OUT` writes the clips of the pipeline so; `corpus.source: layout` runs the pipeline on such a folder.
"""

import itertools
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from tqdm import tqdm

from syncnet_lib import files
from syncnet_lib.errors import InputError
from syncnet_lib.media.decode import Picture
from syncnet_lib.media.features import MFCC_PER_FRAME, MFCC_SIZE, PORTION, WINDOW_FRAMES, WINDOW_MFCC

if TYPE_CHECKING:  # whoever has one video must not wait for pandas
    import pandas as pd

SPLITS = ("train", "val", "test")
SOUND, FEATURES, FRAMES = "audio.wav", "audio.npy", "frames"
"""What a clip's folder holds."""
IMAGES = {".jpg", ".jpeg", ".png", ".bmp"}
"""File name endings of pictures, in lower case."""
QUALITY = 95
"""Of the JPEG files, 0-100: at 95 a mouth crop differs by less than one gray level in the mean."""
SAME = 0.01
"""Largest difference of two MFCC that are the same but for rounding: coefficients are of the order of 10."""


def export(clips_dir: Path, index: "pd.DataFrame", out_dir: Path, progress: bool = True) -> None:
    """Write clips in the exchange layout.

    Args:
        clips_dir: the folder of clips; their mouth crops are taken, or the face crops where there are only these.
        index: `clip_id` and `split` ("train", "val" or "test") of each clip.
        out_dir: gets the three folders; whole or not at all.
        progress: show a bar.

    Raises:
        InputError: `out_dir` has something in it.
    """
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise InputError(out_dir, "is not empty", "give a new folder")
    with files.atomic(out_dir) as temporary:
        for split in SPLITS:
            (temporary / split).mkdir(parents=True)
        for row in tqdm(list(index.itertuples()), desc="export", unit="clip", disable=not progress):
            source, folder = clips_dir / row.clip_id, temporary / row.split / row.clip_id
            kind = "mouth" if (source / "mouth.npy").exists() else "face"
            images = np.load(source / f"{kind}.npy", mmap_mode="r")
            write_clip(folder, images, np.load(source / "mfcc.npy", mmap_mode="r"))
            shutil.copyfile(source / "audio.wav", folder / SOUND)


def read_index(pairs_dir: Path) -> "pd.DataFrame":
    """`clip_id` and `split` of every clip that the pairs stage has packed, as `export` takes them.

    Args:
        pairs_dir: the folder of packed splits.

    Raises:
        InputError: a split is missing.
    """
    import pandas as pd

    indices = [pairs_dir / split / "index.parquet" for split in SPLITS]
    for path in indices:
        if not path.is_file():
            raise InputError(path, "missing", "run the pairs stage first: dvc repro pairs")
    return pd.concat([pd.read_parquet(path, columns=["clip_id", "split"]) for path in indices])


def write_clip(
    folder: Path,
    images: UInt8[np.ndarray, "frames height width"] | UInt8[np.ndarray, "frames height width 3"],
    mfcc: Float32[np.ndarray, "steps 13"],
) -> None:
    """Write a clip's pictures and MFCC in the exchange layout.

    Args:
        folder: of the clip, a new one.
        images: gray or RGB.
        mfcc: 4 steps a frame.
    """
    (folder / FRAMES).mkdir(parents=True)
    np.save(folder / FEATURES, bins(mfcc))
    for number, image in enumerate(images):
        pixels = image[..., ::-1] if image.ndim == 3 else image  # OpenCV takes BGR
        quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        (folder / FRAMES / f"frame{number}.jpg").write_bytes(cv2.imencode(".jpg", pixels, quality)[1].tobytes())


def bins(mfcc: Float32[np.ndarray, "steps 13"]) -> Float32[np.ndarray, "windows 1 13 20"]:
    """The MFCC of every window, as [Agrawal] stores them.

    Args:
        mfcc: of `features.frame_mfcc`, 4 steps a frame.

    Returns:
        A view: bin f is MFCC steps 4 f to 4 f + 20; there are as many bins as frames, less 5.
    """
    count = len(mfcc) // MFCC_PER_FRAME - WINDOW_FRAMES
    windows = np.lib.stride_tricks.sliding_window_view(mfcc, WINDOW_MFCC, axis=0)[::MFCC_PER_FRAME][:count]
    return windows[:, None]


def find(tree: Path) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """The clips of a folder in the exchange layout.

    Returns:
        `path` (relative to `tree`) and `split` of each clip, and `file` and `reason` of what is none; sorted.

    Raises:
        InputError: one of the three folders is missing or empty.
    """
    import pandas as pd

    found, skipped = [], []
    for split in SPLITS:
        folder = tree / split
        inside = sorted(path for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []
        if not inside:
            raise InputError(folder, "no clips", "give a folder with train, val and test, a folder a clip in each")
        for path in inside:
            name = path.relative_to(tree).as_posix()
            if (path / SOUND).is_file() and (path / FRAMES).is_dir():
                found.append((name, split))
            else:
                skipped.append((name, f"no clip: it has no {SOUND} or no {FRAMES}"))
    return pd.DataFrame(found, columns=["path", "split"]), pd.DataFrame(sorted(skipped), columns=["file", "reason"])


def is_clip(path: Path) -> bool:
    """Whether a path is a clip in the exchange layout, and not a video."""
    return (path / FRAMES).is_dir()


def has_frames(folder: Path) -> bool:
    """Whether a folder holds numbered pictures, as `frame_files` gives them."""
    return bool(_numbered(folder))


def frame_files(folder: Path) -> list[Path]:
    """The pictures in `frames` of a folder or, without that, in the folder itself, in the order of their numbers.

    The number is the last one in a name (frame12.jpg, take2_00012.png); files without one are not among them.

    Raises:
        InputError: there is none, or a number is missing or there twice.
    """
    numbered = _numbered(folder)
    if not numbered:
        raise InputError(folder, f"no pictures {FRAMES}/frame0.jpg, frame1.jpg ...", "give pictures numbered in order")
    for (before, _), (number, path) in itertools.pairwise(numbered):
        if number == before:
            raise InputError(folder, f"two pictures have the number {number}", "keep one of them")
        if number != before + 1:
            missing = path.with_name(f"frame{before + 1}.jpg").relative_to(folder)
            raise InputError(folder, f"{missing} is missing", "number the pictures without a gap")
    return [path for _, path in numbered]


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    place = folder / FRAMES if is_clip(folder) else folder
    images = [path for path in place.iterdir() if path.suffix.lower() in IMAGES and path.name[0] != "."]
    return sorted((int(digits[-1]), path) for path in images if (digits := re.findall(r"\d+", path.stem)))


def frames(folder: Path) -> Iterator[UInt8[np.ndarray, "height width"] | UInt8[np.ndarray, "height width 3"]]:
    """The pictures of a clip in the order of their numbers, gray or RGB as they were stored.

    Raises:
        InputError: one is missing, cannot be decoded, or has another size than the first.
    """
    size = None
    for path in frame_files(folder):
        image = _read(path, folder)
        size = size or image.shape
        if image.shape != size:
            cause = f"{path.relative_to(folder)} has another size than the first picture"
            raise InputError(folder, cause, "give pictures of one size")
        yield image


def pictures(folder: Path) -> Iterator[Picture]:
    """The pictures of a folder as those of a video of 25 frames a second; they may differ in size.

    Raises:
        InputError: one is missing or cannot be decoded.
    """
    for path in frame_files(folder):
        image = _read(path, folder)
        rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
        yield Picture(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24"))


def _read(path: Path, folder: Path) -> np.ndarray:
    """A picture of a folder, gray or RGB."""
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_ANYCOLOR) if path.stat().st_size else None
    if image is None:
        raise InputError(folder, f"{path.relative_to(folder)} cannot be decoded", "give pictures as JPEG or PNG")
    return image[..., ::-1] if image.ndim == 3 else image


def check_features(folder: Path, mfcc: Float32[np.ndarray, "steps 13"]) -> None:
    """Refuse a clip whose stored MFCC are not those of its sound; one without them passes.

    Args:
        folder: of the clip.
        mfcc: of its `audio.wav`, 4 steps a frame.

    Raises:
        InputError: `audio.npy` has another shape or other values.
    """
    path = folder / FEATURES
    if not path.exists():
        return
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(folder, f"{FEATURES} cannot be read: {error}", f"delete {FEATURES}") from None
    if stored.shape[1:] != (1, MFCC_SIZE, WINDOW_MFCC):
        cause = f"{FEATURES} is {stored.shape}, not (bins, 1, {MFCC_SIZE}, {WINDOW_MFCC})"
        raise InputError(folder, cause, f"delete {FEATURES}: it is computed from {SOUND}")
    expected = bins(mfcc)  # what is stored beyond these was made of sound without pictures
    for start in range(0, min(len(stored), len(expected)), PORTION):
        part = stored[start : min(start + PORTION, len(expected))]
        difference = float(np.abs(part - expected[start : start + len(part)]).max())
        if not difference <= SAME:
            cause = f"{FEATURES} is not the MFCC of {SOUND} (they differ by up to {difference:.3g})"
            raise InputError(folder, cause, f"delete {FEATURES}: it is computed from {SOUND}")


def digest(folder: Path) -> str:
    """SHA-256, in hexadecimal, over all that a clip is made of."""
    features = [folder / FEATURES] if (folder / FEATURES).exists() else []
    return files.sha256(folder / SOUND, *features, *frame_files(folder))
