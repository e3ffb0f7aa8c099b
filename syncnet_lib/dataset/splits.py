"""Clips to training data: the split, packed arrays of whole clips, and what an epoch draws from them.

A split on disk is `frames.npy` (F, 120, 120) uint8, `mfcc.npy` (warps, 4 F, 13) float32 and `index.parquet`, a row a
clip. One number addresses a window: the row of its first frame; its MFCC begin at four times that row.
"""

import mmap
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32, Int16, Int64, UInt8
from tqdm import tqdm

from syncnet_lib import files, parallel
from syncnet_lib.dataset import clips, exchange
from syncnet_lib.dataset.pairs_settings import PairsSettings
from syncnet_lib.errors import InputError
from syncnet_lib.media import features
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.features import MFCC_PER_FRAME, MFCC_SIZE, WINDOW_FRAMES

SPLITS = exchange.SPLITS


def group_of(manifest: pd.DataFrame) -> pd.Series:
    """What must stay within one split: the talker where known, else the source video.

    With fewer than three talkers it is the video for all, since a split by talker would leave one empty.
    """
    video = "video:" + manifest.video_id
    talker = ("talker:" + manifest.speaker).where(manifest.speaker != "", video)
    return talker if talker.nunique() >= len(SPLITS) else video


def split_groups(manifest: pd.DataFrame, train_share: float, val_share: float, seed: int) -> pd.Series:
    """Assign every clip to a split so that no talker (or, where unknown, no source video) is in two of them.

    Args:
        manifest: a row a clip with `clip_id`, `video_id` and `speaker` ("" where unknown).
        train_share, val_share: shares of all clips; the test split takes the rest.
        seed: of the shuffle; the result does not depend on the order of the rows.

    Returns:
        "train", "val" or "test" by clip_id. 4,077 clips of as many sources give 3,261 / 407 / 409 [Agrawal].

    Raises:
        InputError: fewer than three groups, so that a split would be empty.
    """
    groups = group_of(manifest)
    sizes = groups.value_counts().sort_index()
    if len(sizes) < len(SPLITS):
        raise InputError("clips", f"{len(sizes)} source videos cannot fill three splits", "give at least three videos")
    total = len(manifest)
    room = np.array([int(train_share * total), int(val_share * total), 0])
    room[2] = total - room.sum()
    chosen: dict[str, str] = {}
    order = np.random.default_rng(seed).permutation(len(sizes))
    for place, at in enumerate(order):
        # The last groups go where nothing is yet, so that no split stays empty; the others where most room is left.
        empty = [n for n, name in enumerate(SPLITS) if name not in chosen.values()]
        split = empty[0] if len(order) - place <= len(empty) else int(np.argmax(room))
        room[split] -= sizes.iloc[at]
        chosen[sizes.index[at]] = SPLITS[split]
    return pd.Series(groups.map(chosen).to_numpy(), index=manifest.clip_id.to_numpy(), name="split")


def pack(
    clips_dir: Path, manifest: pd.DataFrame, out_dir: Path, settings: PairsSettings, seed: int, progress: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write the packed splits.

    Args:
        clips_dir: the folder of clips.
        manifest: its `clips.parquet`. A split that it knows, from an imported data set, is kept.
        out_dir: gets a folder a split.
        settings: shares of the splits, and variants of the audio, which only the training split has.
        seed: of the random split.
        progress: show a bar.

    Returns:
        The index of all splits (the manifest with `group`, `split` and `start`, the first row of the clip in its
        arrays) and the clips that are too short to give a false pair (`file`, `reason`).

    Raises:
        InputError: too few videos for three splits.
    """
    from syncnet_lib.dataset import warp  # seconds of torch, which who only reads clips does not wait for

    long_enough = manifest.frames > WINDOW_FRAMES + 1  # two windows: one for the true pair, one for the false
    short = manifest[~long_enough].reset_index(drop=True)
    skipped = pd.DataFrame(
        {"file": short.clip_id, "reason": [f"{n} frames give no false pair" for n in short.frames]}, dtype=str
    )
    usable = manifest[long_enough].sort_values("clip_id").reset_index(drop=True)
    if (usable.split != "").all():
        split = usable.set_index("clip_id").split
        if missing := set(SPLITS) - set(split):
            raise InputError(clips_dir, f"no clip for the {missing.pop()} split", "add clips to its folder")
    else:
        split = split_groups(usable, settings.train_share, settings.val_share, seed)
    index = usable.assign(group=group_of(usable), split=split[usable.clip_id].to_numpy())
    index["start"] = index.groupby("split").frames.transform(lambda frames: frames.cumsum().shift(fill_value=0))
    bar = tqdm(total=len(index), desc="packing", unit="clip", disable=not progress)
    for name in SPLITS:
        rows = index[index.split == name]
        with files.atomic(out_dir / name) as folder:
            folder.mkdir(parents=True)
            total = int(rows.frames.sum())
            first = clips.load(clips_dir / rows.clip_id.iloc[0])
            warps = settings.warps if name == "train" else settings.warps[:1]  # only training varies the audio
            frames = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.uint8, (total, *first.mouth.shape[1:]))
            mfcc = np.lib.format.open_memmap(
                folder / "mfcc.npy", "w+", np.float32, (len(warps), total * MFCC_PER_FRAME, MFCC_SIZE)
            )
            work = partial(_packed, clips_dir=clips_dir, frames=frames, mfcc=mfcc, warps=warps)
            with warp.one_thread(), ThreadPoolExecutor(parallel.cores()) as threads:
                for _ in threads.map(work, rows.itertuples()):
                    bar.update()
            frames.flush()
            mfcc.flush()
            rows.reset_index(drop=True).to_parquet(folder / "index.parquet")
    bar.close()
    return index, skipped


def _packed(row: Any, clips_dir: Path, frames: np.ndarray, mfcc: np.ndarray, warps: Sequence[int]) -> None:
    """Put a clip, a row of the index, in its place in the arrays."""
    from syncnet_lib.dataset.warp import warped_mfcc

    clip = clips.load(clips_dir / row.clip_id)
    frames[row.start : row.start + row.frames] = clip.mouth
    at = slice(row.start * MFCC_PER_FRAME, (row.start + row.frames) * MFCC_PER_FRAME)
    for variant, warp in enumerate(warps):
        mfcc[variant, at] = warped_mfcc(clip.samples, warp) if warp else clip.mfcc


def summarise(index: pd.DataFrame) -> pd.DataFrame:
    """Size of each split.

    Returns:
        A row a split: `clips`, `groups` (talkers, or videos where unknown), `windows`, `minutes`.
    """
    table = index.groupby("split").agg(
        clips=("clip_id", "size"), groups=("group", "nunique"), frames=("frames", "sum")
    ).reindex(list(SPLITS))  # fmt: skip
    table["windows"] = table.frames - WINDOW_FRAMES * table.clips
    table["minutes"] = (table.frames / FPS / 60).round(2)
    return table.drop(columns="frames")


@dataclass(frozen=True)
class _Mapped:
    """A file of numpy that is mapped into memory."""

    path: Path

    @classmethod
    def of(cls, value: Any) -> Any:
        """The file of an array that is one, all of it; any other value itself."""
        whole = isinstance(value, np.memmap) and isinstance(value.base, mmap.mmap)
        return cls(Path(str(value.filename))) if whole else value

    def open(self) -> np.ndarray:
        """The array. Nothing is written; but torch takes no array that forbids it."""
        return np.load(self.path, mmap_mode="c")


@dataclass
class Split:
    """A packed split.

    Attributes:
        frames: mouth crops of all clips, one after another.
        mfcc: 4 steps a frame; variant 0 is the audio as it is.
        index: a row a clip: `clip_id`, `start`, `frames`, ...
        kept: the windows that may serve as positives, by first frame.
    """

    frames: UInt8[np.ndarray, "frames height width *colours"]
    mfcc: Float32[np.ndarray, "warps steps 13"]
    index: pd.DataFrame
    kept: Bool[np.ndarray, "frames"]

    @classmethod
    def open(cls, folder: Path) -> "Split":
        """Map a split of `pack` into memory; every window counts as kept."""
        if not (folder / "index.parquet").is_file():
            raise InputError(folder, "no packed split here", "run the pairs stage first")
        frames = _Mapped(folder / "frames.npy").open()
        mfcc = _Mapped(folder / "mfcc.npy").open()
        index = pd.read_parquet(folder / "index.parquet")
        kept = np.zeros(len(frames), bool)
        for start, count in zip(index.start, index.frames - WINDOW_FRAMES, strict=True):
            kept[start : start + count] = True
        return cls(frames, mfcc, index, kept)

    @property
    def mapped(self) -> bool:
        """Whether the crops are a file, which another process can open."""
        return isinstance(_Mapped.of(self.frames), _Mapped)

    def write(self, folder: Path) -> None:
        """Write what `open` opens, but for `kept`; arrays that are files become links to them.

        Args:
            folder: a new one.
        """
        folder.mkdir(parents=True)
        for name in ("frames", "mfcc"):
            array, path = getattr(self, name), folder / f"{name}.npy"
            found = _Mapped.of(array)
            if isinstance(found, _Mapped):
                path.symlink_to(found.path.absolute())
            else:
                np.save(path, array)
        self.index.to_parquet(folder / "index.parquet")

    def __getstate__(self) -> dict[str, Any]:
        """For another process: arrays that are mapped files go by their names."""
        return {name: _Mapped.of(value) for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value.open() if isinstance(value, _Mapped) else value)

    @cached_property
    def windows(self) -> Int64[np.ndarray, "clips"]:
        """Windows of each clip."""
        return (self.index.frames - WINDOW_FRAMES).to_numpy()

    @cached_property
    def starts(self) -> Int64[np.ndarray, "clips"]:
        """First row of each clip."""
        return self.index.start.to_numpy()

    def clip(self, clip_id: str) -> UInt8[np.ndarray, "frames height width *colours"]:
        """Crops of one clip."""
        row = self.index[self.index.clip_id == clip_id].iloc[0]
        return self.frames[row.start : row.start + row.frames]

    def keep(self, verdict: pd.DataFrame) -> "Split":
        """The same split with only those positives that a filter kept.

        Args:
            verdict: a row a window: `clip_id`, `window` (first frame within the clip), `kept`.
        """
        start = verdict.clip_id.map(self.index.set_index("clip_id").start)
        kept = np.zeros_like(self.kept)
        kept[(start + verdict.window)[verdict.kept].to_numpy(int)] = True
        return replace(self, kept=kept & self.kept)


def joined(parts: Sequence[Split]) -> Split:
    """Several splits in memory as one, their clips one after another.

    Args:
        parts: with crops of one size and as many variants of the audio each.
    """
    ends = np.cumsum([len(part.frames) for part in parts])
    index = [
        part.index.assign(start=part.index.start + end - len(part.frames))
        for part, end in zip(parts, ends, strict=True)
    ]
    return Split(
        np.concatenate([part.frames for part in parts]),
        np.concatenate([part.mfcc for part in parts], axis=1),
        pd.concat(index, ignore_index=True),
        np.concatenate([part.kept for part in parts]),
    )


def cut(mouth: UInt8[np.ndarray, "frames height width"], samples: Int16[np.ndarray, "samples"], length: int) -> Split:
    """A split in memory out of one recording, in pieces of equal length; what is left over at its end is not used.

    Args:
        mouth: crops.
        samples: 16 kHz mono, 640 a frame.
        length: of a piece, in frames.
    """
    starts = np.arange(0, len(mouth) - length + 1, length)
    index = pd.DataFrame({"clip_id": [f"piece{n:03d}" for n in range(len(starts))], "start": starts, "frames": length})
    frames = np.arange(len(mouth))
    kept = (frames % length < length - WINDOW_FRAMES) & (frames < len(starts) * length)
    return Split(mouth, features.frame_mfcc(samples)[None], index, kept)
