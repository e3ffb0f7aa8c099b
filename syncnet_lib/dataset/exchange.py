"""The exchange layout [Agrawal] of a data set, written and read: `{train,val,test}/<clip>/` of ready-made clips.

A clip is `audio.wav` (16 kHz mono), `audio.npy` ((bins, 1, 13, 20) float32 MFCC, a bin a window of 5 frames, stride one
frame) and `frames/frame0.jpg`, `frame1.jpg` ... (25 a second).

    python -m syncnet_lib.dataset.exchange OUT                # data/clips, split as data/pairs
    dvc exp run -S corpus.source=layout ...         # the other way: the pipeline on such a folder (corpus.path)
"""

import argparse
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import tqdm

from syncnet_lib import files
from syncnet_lib.errors import InputError
from syncnet_lib.media.features import MFCC_PER_FRAME, MFCC_SIZE, PORTION, WINDOW_FRAMES, WINDOW_MFCC

if TYPE_CHECKING:  # whoever has one video must not wait for pandas
    import pandas as pd

SPLITS = ("train", "val", "test")
SOUND, FEATURES, FRAMES = "audio.wav", "audio.npy", "frames"
"""What a clip's folder holds."""
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
    with files.write_aside(out_dir) as aside:
        for split in SPLITS:
            (aside / split).mkdir(parents=True)
        for row in tqdm(list(index.itertuples()), desc="export", unit="clip", disable=not progress):
            source, folder = clips_dir / row.clip_id, aside / row.split / row.clip_id
            kind = "mouth" if (source / "mouth.npy").exists() else "face"
            images = np.load(source / f"{kind}.npy", mmap_mode="r")
            write_clip(folder, images, np.load(source / "mfcc.npy", mmap_mode="r"))
            shutil.copyfile(source / "audio.wav", folder / SOUND)


def write_clip(folder: Path, images: np.ndarray, mfcc: np.ndarray) -> None:
    """Write a clip's pictures and MFCC in the exchange layout.

    Args:
        folder: of the clip, a new one.
        images: (T, h, w) uint8 gray or (T, h, w, 3) uint8 RGB.
        mfcc: (4 T, 13) float32.
    """
    (folder / FRAMES).mkdir(parents=True)
    np.save(folder / FEATURES, bins(mfcc))
    for number, image in enumerate(images):
        pixels = image[..., ::-1] if image.ndim == 3 else image  # OpenCV takes BGR
        quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        (folder / FRAMES / f"frame{number}.jpg").write_bytes(cv2.imencode(".jpg", pixels, quality)[1].tobytes())


def bins(mfcc: np.ndarray) -> np.ndarray:
    """The sound of every window, as [Agrawal] stores it.

    Args:
        mfcc: (4 T, 13) float32 of `features.frame_mfcc`.

    Returns:
        (T - 5, 1, 13, 20) float32, a view: bin f is MFCC steps 4 f to 4 f + 20.
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


def frame_files(folder: Path) -> list[Path]:
    """The pictures of a clip in their order, which is that of the numbers in their names.

    Raises:
        InputError: there is none, or a number is missing.
    """
    numbered = {}
    for path in (folder / FRAMES).iterdir():
        if match := re.fullmatch(r"frame(\d+)\.(jpe?g|png)", path.name, re.IGNORECASE):
            numbered[int(match[1])] = path
    if not numbered:
        raise InputError(folder, f"no pictures {FRAMES}/frame0.jpg, frame1.jpg ...")
    if missing := set(range(min(numbered), max(numbered))) - set(numbered):
        raise InputError(folder, f"{FRAMES}/frame{min(missing)}.jpg is missing")
    return [numbered[number] for number in sorted(numbered)]


def frames(folder: Path) -> Iterator[np.ndarray]:
    """The pictures of a clip, (h, w) uint8 gray or (h, w, 3) uint8 RGB as they were stored.

    Raises:
        InputError: one is missing, cannot be decoded, or has another size than the first.
    """
    shape = None
    for path in frame_files(folder):
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_ANYCOLOR) if path.stat().st_size else None
        if image is None:
            raise InputError(folder, f"{FRAMES}/{path.name} cannot be decoded")
        shape = shape or image.shape
        if image.shape != shape:
            raise InputError(folder, f"{FRAMES}/{path.name} has another size than the first picture")
        yield image[..., ::-1] if image.ndim == 3 else image


def check_features(folder: Path, mfcc: np.ndarray) -> None:
    """Refuse a clip whose stored MFCC are not those of its sound; one without them passes.

    Args:
        folder: of the clip.
        mfcc: (4 T, 13) float32 of its `audio.wav`.

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Export the clips of a working folder.

    Returns:
        Exit code: 0, or 2 for what cannot be used, told in one line.
    """
    import pandas as pd

    parser = argparse.ArgumentParser(
        prog="python -m syncnet_lib.dataset.exchange",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--data", type=Path, default=Path("data"), help="working folder with clips and pairs")
    options = parser.parse_args(arguments)
    try:
        indices = [options.data / "pairs" / split / "index.parquet" for split in SPLITS]
        if missing := [path for path in indices if not path.is_file()]:
            raise InputError(missing[0], "missing", "run the pairs stage first: dvc repro pairs")
        index = pd.concat([pd.read_parquet(path, columns=["clip_id", "split"]) for path in indices])
        export(options.data / "clips", index, options.out)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
