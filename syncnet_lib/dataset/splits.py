"""Clips to training data: the split, packed arrays of whole clips, and what an epoch draws from them.

A split on disk is `frames.npy` (F, 120, 120) uint8, `mfcc.npy` (warps, 4 F, 13) float32 and `index.parquet`, a row a
clip. One number addresses a window: the row of its first frame; its sound begins at four times that row.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field
from tqdm import tqdm

from syncnet_lib import files
from syncnet_lib.dataset import exchange as layout
from syncnet_lib.dataset import extract as clips
from syncnet_lib.errors import InputError
from syncnet_lib.media import features as audio
from syncnet_lib.media.features import MFCC_PER_FRAME, MFCC_SIZE, WINDOW_FRAMES, WINDOW_MFCC
from syncnet_lib.settings import Settings

SPLITS = layout.SPLITS
MAX_SHIFT = 2 * audio.FPS
"""A false pair's sound is up to 2 s away, in frames (seed: "randomly shifted +-2 seconds")."""


class PairsSettings(Settings):
    """How clips become the three splits."""

    train_share: float = Field(0.8, gt=0, lt=1)
    val_share: float = Field(0.1, gt=0, lt=1)
    warps: list[int] = Field([0], min_length=1)


def group_of(manifest: pd.DataFrame) -> pd.Series:
    """What may not be torn apart by a split: the talker where known, else the source video.

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
        "train", "val" or "test" by clip_id. 4,077 clips of as many sources give 3,261 / 407 / 409 (seed).

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
        settings, seed: of the split and of the sound's variants.
        progress: show a bar.

    Returns:
        The index of all splits (the manifest with `group`, `split` and `start`, the first row of the clip in its
        arrays) and the clips that are too short to give a false pair (`file`, `reason`).

    Raises:
        InputError: too few videos for three splits.
    """
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
        with files.write_aside(out_dir / name) as folder:
            folder.mkdir(parents=True)
            total = int(rows.frames.sum())
            first = clips.load(clips_dir / rows.clip_id.iloc[0])
            frames = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.uint8, (total, *first.mouth.shape[1:]))
            mfcc = np.lib.format.open_memmap(
                folder / "mfcc.npy", "w+", np.float32, (len(settings.warps), total * MFCC_PER_FRAME, MFCC_SIZE)
            )
            for row in rows.itertuples():
                clip = clips.load(clips_dir / row.clip_id)
                frames[row.start : row.start + row.frames] = clip.mouth
                at = slice(row.start * MFCC_PER_FRAME, (row.start + row.frames) * MFCC_PER_FRAME)
                for variant, warp in enumerate(settings.warps):
                    mfcc[variant, at] = audio.frame_mfcc(clip.samples, warp) if warp else clip.mfcc
                bar.update()
            frames.flush()
            mfcc.flush()
            rows.reset_index(drop=True).to_parquet(folder / "index.parquet")
    bar.close()
    return index, skipped


def summarise(index: pd.DataFrame) -> pd.DataFrame:
    """Size of each split.

    Returns:
        A row a split: `clips`, `groups` (talkers, or videos where unknown), `windows`, `minutes`.
    """
    table = index.groupby("split").agg(
        clips=("clip_id", "size"), groups=("group", "nunique"), frames=("frames", "sum")
    ).reindex(list(SPLITS))  # fmt: skip
    table["windows"] = table.frames - WINDOW_FRAMES * table.clips
    table["minutes"] = (table.frames / audio.FPS / 60).round(2)
    return table.drop(columns="frames")


@dataclass
class Split:
    """A packed split.

    Attributes:
        frames: (F, h, w) uint8 mouth crops of all clips, one after another.
        mfcc: (warps, 4 F, 13) float32; variant 0 is the sound as it is.
        index: a row a clip: `clip_id`, `start`, `frames`, ...
        kept: (F,) bool: the windows that may serve as positives, by first frame.
        folder: where it was opened, so that another process can open it too.
    """

    frames: np.ndarray
    mfcc: np.ndarray
    index: pd.DataFrame
    kept: np.ndarray
    folder: Path | None = None

    @classmethod
    def open(cls, folder: Path) -> "Split":
        """Map a split of `pack` into memory; every window counts as kept."""
        if not (folder / "index.parquet").is_file():
            raise InputError(folder, "no packed split here", "run the pairs stage first")
        # Nothing is written; but torch takes no array that forbids it.
        frames = np.load(folder / "frames.npy", mmap_mode="c")
        mfcc = np.load(folder / "mfcc.npy", mmap_mode="c")
        index = pd.read_parquet(folder / "index.parquet")
        kept = np.zeros(len(frames), bool)
        for start, count in zip(index.start, index.frames - WINDOW_FRAMES, strict=True):
            kept[start : start + count] = True
        return cls(frames, mfcc, index, kept, folder)

    @cached_property
    def windows(self) -> np.ndarray:
        """(clips,) int64: windows of each clip."""
        return (self.index.frames - WINDOW_FRAMES).to_numpy()

    @cached_property
    def starts(self) -> np.ndarray:
        """(clips,) int64: first row of each clip."""
        return self.index.start.to_numpy()

    def clip(self, clip_id: str) -> np.ndarray:
        """(T, h, w) uint8 crops of one clip."""
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


def cut(mouth: np.ndarray, samples: np.ndarray, length: int) -> Split:
    """A split in memory out of one recording, in pieces of equal length; what is left over at its end is not used.

    Args:
        mouth: (T, h, w) uint8 crops.
        samples: (T * 640,) int16, 16 kHz mono.
        length: of a piece, in frames.
    """
    starts = np.arange(0, len(mouth) - length + 1, length)
    index = pd.DataFrame({"clip_id": [f"piece{n:03d}" for n in range(len(starts))], "start": starts, "frames": length})
    frames = np.arange(len(mouth))
    kept = (frames % length < length - WINDOW_FRAMES) & (frames < len(starts) * length)
    return Split(mouth, audio.frame_mfcc(samples)[None], index, kept)


@dataclass
class Draw:
    """What one training step looks at; rows are first frames in the packed arrays.

    Attributes:
        video: (N,) int64 rows of the video windows.
        audio: (A,) int64 first rows of runs of sound windows; A = N for labelled pairs.
        variant: (A,) int64: which variant of the sound each run takes.
        run: sound windows in a run: 1 for labelled pairs, a clip's candidates otherwise.
        label: (N,) float32, 1 genuine and 0 shifted; None for candidate sets.
        target: (N,) int64: which of its clip's candidates is the genuine one; None for labelled pairs.
        mask: (clips, candidates) bool: which candidates are real and not padding; None for labelled pairs.
    """

    video: np.ndarray
    audio: np.ndarray
    variant: np.ndarray
    run: int = 1
    label: np.ndarray | None = None
    target: np.ndarray | None = None
    mask: np.ndarray | None = None

    def runs(self, first: int, last: int) -> "Draw":
        """A part of the draw: these runs of sound with their windows.

        Args:
            first, last: of the runs, the last one not included.
        """
        each = len(self.video) // len(self.audio)
        a, v = slice(first, last), slice(first * each, last * each)
        return replace(
            self,
            video=self.video[v],
            audio=self.audio[a],
            variant=self.variant[a],
            label=None if self.label is None else self.label[v],
            target=None if self.target is None else self.target[v],
            mask=None if self.mask is None else self.mask[a],
        )


@dataclass(frozen=True)
class Sampler:
    """Draws epochs from a split, the same for the same seed and epoch.

    Attributes:
        split: what to draw from.
        batch_size: windows a step.
        samples_per_clip: windows a clip gives in an epoch (seed: 5).
        kind: "pairs": genuine and shifted halves, the seed's way; "candidates": each window of a clip against all
            windows of the clip's sound, the batch made of whole clips.
        seed: together with the epoch's number it decides everything.
        candidates: most sound windows a clip offers ("candidates" only); 3 s of windows.
    """

    split: Split
    batch_size: int
    samples_per_clip: int
    kind: Literal["pairs", "candidates"]
    seed: int
    candidates: int = 3 * audio.FPS

    def __post_init__(self) -> None:
        if not self.steps:
            counts = f"{len(self.clips)} clips x {self.samples_per_clip} samples"
            raise InputError(
                "pairs", f"{counts} do not fill one batch of {self.batch_size}", "lower train.batch_size or add videos"
            )

    @cached_property
    def clips(self) -> np.ndarray:
        """(C,) int64: the clips that still have a positive."""
        ends = self.split.index.start + self.split.index.frames
        positives = np.concatenate([[0], np.cumsum(self.split.kept)])
        return np.flatnonzero(positives[ends] - positives[self.split.index.start])

    @property
    def steps(self) -> int:
        """Full batches an epoch; 3,261 clips x 5 samples in batches of 1,024 make 15 (seed)."""
        if self.kind == "pairs":
            return len(self.clips) * self.samples_per_clip // self.batch_size
        return len(self.clips) // self.clips_per_batch

    @property
    def clips_per_batch(self) -> int:
        """Clips that share a batch of candidate sets."""
        return max(1, self.batch_size // self.samples_per_clip)

    def epoch(self, number: int) -> Iterator[Draw]:
        """The steps of one epoch."""
        rng = np.random.default_rng([self.seed, number])
        order = rng.permutation(self.clips)
        return self._pairs(rng, order) if self.kind == "pairs" else self._candidates(rng, order)

    def _positives(self, rng: np.random.Generator, clip: int, low: int = 0, high: int | None = None) -> np.ndarray:
        """(samples_per_clip,) windows of a clip out of those kept between low and high."""
        start = self.split.starts[clip]
        count = self.split.windows[clip]
        kept = low + np.flatnonzero(self.split.kept[start + low : start + (count if high is None else high)])
        return rng.choice(kept, self.samples_per_clip, replace=len(kept) < self.samples_per_clip)

    def _pairs(self, rng: np.random.Generator, order: np.ndarray) -> Iterator[Draw]:
        window = np.concatenate([self._positives(rng, clip) for clip in order])
        clip = np.repeat(order, self.samples_per_clip)
        label = np.arange(len(window)) % 2 == 0
        low = np.maximum(0, window - MAX_SHIFT)
        high = np.minimum(self.split.windows[clip] - 1, window + MAX_SHIFT)
        # Uniform over [low, high] without the window itself: draw from one fewer place and step over it.
        other = low + (rng.random(len(window)) * (high - low)).astype(np.int64)
        other += other >= window
        start = self.split.starts[clip]
        mixed = rng.permutation(len(window))
        for step in range(self.steps):
            at = mixed[step * self.batch_size : (step + 1) * self.batch_size]
            sound = np.where(label[at], window[at], other[at])
            variant = rng.integers(len(self.split.mfcc), size=len(at))
            yield Draw(start[at] + window[at], start[at] + sound, variant, label=label[at].astype(np.float32))

    def _candidates(self, rng: np.random.Generator, order: np.ndarray) -> Iterator[Draw]:
        starts, windows = self.split.starts, self.split.windows
        for step in range(self.steps):
            chosen = order[step * self.clips_per_batch : (step + 1) * self.clips_per_batch]
            count = np.minimum(windows[chosen], self.candidates)
            width = int(count.max())
            video, sound, target = [], [], []
            for clip, size in zip(chosen, count, strict=True):
                # A long clip offers a stretch around one of its positives.
                kept = np.flatnonzero(self.split.kept[starts[clip] : starts[clip] + windows[clip]])
                low = int(np.clip(rng.choice(kept) - rng.integers(size), 0, windows[clip] - size))
                window = self._positives(rng, clip, low, low + size)
                video.append(starts[clip] + window)
                target.append(window - low)
                sound.append(starts[clip] + low)  # past a shorter clip's end the mask hides what follows
            mask = np.arange(width) < count[:, None]
            variant = rng.integers(len(self.split.mfcc), size=len(chosen))
            yield Draw(
                np.concatenate(video), np.array(sound), variant, width, target=np.concatenate(target), mask=mask
            )  # fmt: skip


@dataclass
class Example:
    """A window with both of its sounds.

    Attributes:
        frames: (5, h, w) uint8.
        mfcc, other: (20, 13) float32: its own sound, and that of its false pair.
        shift: how many frames away the false sound is.
    """

    frames: np.ndarray
    mfcc: np.ndarray
    other: np.ndarray
    shift: int


def example(split: Split, seed: int) -> Example:
    """A pair to look at: the first shifted one that an epoch draws."""
    draw = next(_one_batch(split, seed).epoch(1))
    assert draw.label is not None
    at = int(np.flatnonzero(draw.label == 0)[0])
    window, other = int(draw.video[at]), int(draw.audio[at])
    sounds = [split.mfcc[0, row * MFCC_PER_FRAME : row * MFCC_PER_FRAME + WINDOW_MFCC] for row in (window, other)]
    return Example(split.frames[window : window + WINDOW_FRAMES], sounds[0], sounds[1], other - window)


def shifts(split: Split, seed: int) -> np.ndarray:
    """(N,) int64: the shifts, in frames, of the false pairs of one epoch of the seed's sampling."""
    draw = next(_one_batch(split, seed).epoch(1))
    assert draw.label is not None
    return (draw.audio - draw.video)[draw.label == 0]


def _one_batch(split: Split, seed: int) -> Sampler:
    """The seed's sampling with the whole epoch as one batch; many samples, so that a histogram has a shape."""
    samples = 40
    return Sampler(split, len(split.index) * samples, samples, "pairs", seed)
