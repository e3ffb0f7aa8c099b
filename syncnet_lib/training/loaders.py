"""Batches for the step, by one interface: from memory, from a mapped file ahead of the step, or from single files.

The draws decide what is in a batch, a loader only where it comes from: the same draws give the same batches.
"""

import itertools
import os
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from syncnet_lib import files
from syncnet_lib.dataset import exchange
from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.media.features import MFCC_PER_FRAME, MFCC_SIZE, WINDOW_FRAMES, WINDOW_MFCC
from syncnet_lib.model.prepare import prepare_frames
from syncnet_lib.model.spec import Spec
from syncnet_lib.prefetch import Ahead
from syncnet_lib.training.sampling import Draw

LoaderName = Literal["resident", "mapped", "folder", "folder_persistent"]
RESIDENT_SHARE = 0.5
"""Of the device's memory that a resident split may take; the other half is for the model and its activations."""
AHEAD = 1
"""Batches that are ready while the step computes: one hides the loader as long as it is faster than the step."""
PIECE = 1000
"""Frames that are reduced or moved at a time: memory stays flat however long the split is."""

Epochs = Iterable[Iterable[Draw]]
"""The draws of several epochs, an iterable an epoch."""


@dataclass(frozen=True)
class Batch:
    """A draw with what it looks at.

    Attributes:
        draw: the draw.
        video: (N, 5, stored, stored) uint8.
        audio: (A, 20 + 4 (run - 1), 13) float32 MFCC.
        mean: (A, 13) float32: the mean of each run's clip, where the model wants that taken off.
        label, target, mask: the draw's, as tensors.
    """

    draw: Draw
    video: Tensor
    audio: Tensor
    mean: Tensor | None = None
    label: Tensor | None = None
    target: Tensor | None = None
    mask: Tensor | None = None

    @classmethod
    def of(cls, draw: Draw, video: Tensor, audio: Tensor, mean: Tensor | None) -> "Batch":
        """A batch with the draw's own arrays beside the windows."""
        sides = (None if side is None else torch.from_numpy(side) for side in (draw.label, draw.target, draw.mask))
        return cls(draw, video, audio, mean, *sides)

    def runs(self, first: int, last: int) -> "Batch":
        """A part of the batch: these runs of audio with their video windows, as `Draw.runs`; all of them are the batch
        itself, pinned memory and all.

        Args:
            first, last: of the runs, the last one not included.
        """
        if (first, last) == (0, len(self.audio)):
            return self
        each = len(self.video) // len(self.audio)
        mean = None if self.mean is None else self.mean[first:last]
        return Batch.of(
            self.draw.runs(first, last), self.video[first * each : last * each], self.audio[first:last], mean
        )

    def to(self, device: torch.device) -> "Batch":
        """The same on a device; copies from pinned memory do not wait."""
        fields = ("video", "audio", "mean", "label", "target", "mask")
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in fields if self._has(name)}
        return replace(self, **moved)

    def _has(self, name: str) -> bool:
        return getattr(self, name) is not None


@runtime_checkable
class Loader(Protocol):
    """Where batches come from."""

    def batches(self, epochs: Epochs) -> Generator[Batch, None, None]:
        """The batches of several epochs, one after another.

        Args:
            epochs: the draws of all of them, so that the first batch of the next one can be made during this one.
        """
        ...


def bytes_of(split: Split, spec: Spec) -> int:
    """Memory that a resident split takes, in bytes.

    Args:
        split: the packed split.
        spec: of the model, which says at what scale frames are kept.
    """
    return int(len(split.frames) * np.prod(_stored(split, spec)) + split.mfcc.nbytes)


def choose(split: Split, spec: Spec, device: torch.device) -> LoaderName:
    """The loader that `auto` means: "resident" where the split fits into half of the device's memory, else "mapped".

    Args:
        split: to be trained on.
        spec: of the model.
        device: that trains.
    """
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
    else:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return "resident" if bytes_of(split, spec) <= RESIDENT_SHARE * memory else "mapped"


def make(
    name: LoaderName, split: Split, spec: Spec, device: torch.device, scratch: Path, tree: Path | None, workers: int
) -> Loader:
    """A loader by its name.

    Args:
        name: which.
        split: what to load from.
        spec: of the model, which says at what scale it wants the frames.
        device: where the batches are used.
        scratch: folder for the frames that "mapped" reduces once.
        tree: the split as single files, for "folder" and "folder_persistent".
        workers: processes of the folder loaders.

    Raises:
        InputError: a folder loader without its tree.
    """
    if name == "resident":
        return Resident.load(split, spec, device)
    if name == "mapped":
        return Mapped.open(split, spec, device, scratch)
    if tree is None:
        raise InputError("train.loader", f"{name} reads single files and there are none", "use auto")
    return Folder(tree, split, spec, workers, persistent=name == "folder_persistent", pin=device.type == "cuda")


@dataclass
class Sound:
    """The audio of a split, on the device that holds it.

    Attributes:
        mfcc: (warps, 4 F, 13) float32.
        starts: (clips,) int64 first rows of the clips, on the CPU.
        means: (warps, clips, 13) float32; None for a model that does not want them taken off.
    """

    mfcc: Tensor
    starts: np.ndarray
    means: Tensor | None

    @classmethod
    def load(cls, split: Split, spec: Spec, device: torch.device) -> "Sound":
        """Move a split's MFCC to a device."""
        mfcc = torch.from_numpy(np.array(split.mfcc)).to(device)
        means = None
        if spec.cepstral_mean:
            rows = zip(split.index.start, split.index.frames, strict=True)
            parts = [mfcc[:, MFCC_PER_FRAME * start :][:, : MFCC_PER_FRAME * count] for start, count in rows]
            means = torch.stack([part.mean(1) for part in parts], 1)
        return cls(mfcc, split.starts, means)

    def runs(self, draw: Draw) -> tuple[Tensor, Tensor | None]:
        """The runs of a draw, by one indexed read, and the means of their clips."""
        device, variant = self.mfcc.device, torch.from_numpy(draw.variant).to(self.mfcc.device)
        steps = torch.from_numpy(draw.audio * MFCC_PER_FRAME).to(device)[:, None]
        steps = steps + torch.arange(WINDOW_MFCC + (draw.run - 1) * MFCC_PER_FRAME, device=device)
        steps = steps.clamp_max(self.mfcc.shape[1] - 1)  # only where the draw's mask hides it
        audio = self.mfcc[variant[:, None], steps]
        if self.means is None:
            return audio, None
        clips = torch.from_numpy(np.searchsorted(self.starts, draw.audio, "right") - 1).to(device)
        return audio, self.means[variant, clips]


@dataclass
class Resident:
    """A split as a model wants it, on the device that trains: a batch is two indexed reads.

    Attributes:
        frames: (F, stored, stored) uint8.
        sound: their audio.
    """

    frames: Tensor
    sound: Sound

    @classmethod
    def load(cls, split: Split, spec: Spec, device: torch.device) -> "Resident":
        """Reduce a split to the model's scale and move it to the device."""
        frames = torch.empty((len(split.frames), *_stored(split, spec)), dtype=torch.uint8, device=device)
        for at in range(0, len(frames), PIECE):
            piece = prepare_frames(np.array(split.frames[at : at + PIECE]), spec)
            frames[at : at + PIECE] = torch.from_numpy(piece).to(device)
        return cls(frames, Sound.load(split, spec, device))

    def batches(self, epochs: Epochs) -> Generator[Batch, None, None]:
        """See `Loader`. On a GPU the draws alone are made ahead; on a CPU a batch is valid until the one after the next
        is asked for."""
        draws = itertools.chain.from_iterable(epochs)
        if self.frames.is_cuda:
            yield from _gathered(self.frames, self.sound, Ahead(draws, AHEAD))
        else:
            yield from Ahead(_gathered(self.frames, self.sound, draws), AHEAD)


@dataclass
class Mapped:
    """A split in a memory-mapped file: a thread copies the windows of the next batch while the step computes.

    Nothing is decoded: a batch is one indexed read of the mapping. The MFCC are 1 % of the frames' size and stay in
    memory.

    Attributes:
        frames: (F, stored, stored) uint8, mapped.
        sound: their audio.
        pin: the batches go to a GPU, from pinned memory.
    """

    frames: Tensor
    sound: Sound
    pin: bool

    @classmethod
    def open(cls, split: Split, spec: Spec, device: torch.device, scratch: Path) -> "Mapped":
        """Map a split's frames, or a copy of them in `scratch`, made once, where the model wants them reduced."""
        frames = split.frames if split.frames.shape[1] == spec.stored else _reduced(split, spec, scratch)
        sound = Sound.load(split, spec, torch.device("cpu"))
        return cls(torch.from_numpy(frames), sound, pin=device.type == "cuda")

    def batches(self, epochs: Epochs) -> Generator[Batch, None, None]:
        """See `Loader`. On a CPU a batch is valid until the one after the next is asked for."""
        draws = itertools.chain.from_iterable(epochs)
        yield from Ahead(_gathered(self.frames, self.sound, draws, self.pin), AHEAD)


def _gathered(frames: Tensor, sound: Sound, draws: Iterable[Draw], pin: bool = False) -> Iterator[Batch]:
    """The batch of each draw, by one indexed read of the frames and one of the MFCC, on the device that has them."""
    steps = torch.arange(WINDOW_FRAMES, device=frames.device)
    # Memory that was used before needs no page faults, so batches take turns. That of a GPU comes from torch's own
    # store, and so does pinned memory, which may only be written again when the copy out of it is done.
    turns = [frames.new_empty(0) for _ in range(AHEAD + 2)]
    for number, draw in enumerate(draws):
        rows = torch.from_numpy(draw.video).to(frames.device)[:, None] + steps
        if pin or frames.is_cuda:
            out = frames.new_empty(rows.numel(), *frames.shape[1:], pin_memory=pin)
        else:
            out = turns[number % len(turns)]
        video = torch.index_select(frames, 0, rows.flatten(), out=out).unflatten(0, rows.shape)
        audio, mean = sound.runs(draw)
        if pin:
            audio, mean = audio.pin_memory(), None if mean is None else mean.pin_memory()
        yield Batch.of(draw, video, audio, mean)


def _stored(split: Split, spec: Spec) -> tuple[int, ...]:
    """Shape of a frame at the model's scale."""
    return (spec.stored, spec.stored, *split.frames.shape[3:])


def _reduced(split: Split, spec: Spec, scratch: Path) -> np.ndarray:
    path = scratch / f"frames{spec.stored}.npy"
    if not path.is_file():
        with files.atomic(path) as temporary:
            out = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(split.frames), *_stored(split, spec)))
            for at in tqdm(range(0, len(out), PIECE), "reducing frames", leave=False, disable=None):
                out[at : at + PIECE] = prepare_frames(split.frames[at : at + PIECE], spec)
            out.flush()
    return np.load(path, mmap_mode="c")


def write_tree(split: Split, tree: Path) -> None:
    """Write a split as the single files that `Folder` reads, a clip's as in the exchange layout, but for `audio.wav`.

    The audio is that of variant 0; the frames lose by JPEG what `exchange.QUALITY` says.

    Args:
        split: the packed split.
        tree: a new folder.
    """
    with files.atomic(tree) as temporary:
        for row in tqdm(list(split.index.itertuples()), "writing files", leave=False, disable=None):
            folder = temporary / row.clip_id
            audio = slice(row.start * MFCC_PER_FRAME, (row.start + row.frames) * MFCC_PER_FRAME)
            exchange.write_clip(folder, split.clip(row.clip_id), split.mfcc[0, audio])


class Folder:
    """[Agrawal]'s way: single files, decoded by the worker processes of a `DataLoader`.

    Each worker assembles whole batches, so an epoch's first waits for all of its decodes in one process; and unless
    they are persistent, the workers themselves are started anew for every epoch.

    Args:
        tree: a folder a clip: `audio.npy` (bins, 1, 13, 20) and `frames/frame0.jpg`, ...
        split: whose index says which row is which clip's; its arrays are not read.
        spec: the model's.
        workers: processes; 0 decodes in this one.
        persistent: the workers outlive the epoch.
        pin: the batches go to a GPU.
    """

    def __init__(self, tree: Path, split: Split, spec: Spec, workers: int, persistent: bool, pin: bool) -> None:
        self._files = _Files(tree, split, spec)
        self._workers, self._persistent, self._pin = workers, persistent, pin

    def batches(self, epochs: Epochs) -> Generator[Batch, None, None]:
        """See `Loader`; nothing is made ahead of an epoch."""
        draws = _Draws()
        loader = self._loader(draws)
        for epoch in epochs:
            draws.now = list(epoch)
            if not self._persistent:
                loader = self._loader(draws)
            for draw, (video, audio, mean) in zip(draws.now, loader, strict=True):
                yield Batch.of(draw, video, audio, mean if self._files.spec.cepstral_mean else None)

    def _loader(self, draws: "_Draws") -> DataLoader:
        persistent = self._persistent and self._workers > 0
        return DataLoader(
            self._files,
            sampler=draws,
            batch_size=None,  # a draw is a batch already
            num_workers=self._workers,
            persistent_workers=persistent,
            pin_memory=self._pin,
        )


class _Draws(Sampler[Draw]):
    """The draws of the epoch that is read now."""

    def __init__(self) -> None:
        self.now: list[Draw] = []

    def __iter__(self) -> Iterator[Draw]:
        return iter(self.now)

    def __len__(self) -> int:
        return len(self.now)


class _Files(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Batches out of the tree of single files, each file opened for each window that needs it."""

    def __init__(self, tree: Path, split: Split, spec: Spec) -> None:
        self._folders = [tree / clip_id for clip_id in split.index.clip_id]
        self._starts = split.index.start.to_numpy()
        self.spec = spec
        missing = next((folder for folder in self._folders if not (folder / exchange.FEATURES).is_file()), None)
        if missing is not None:
            raise InputError(missing / exchange.FEATURES, "missing", "export the split again")

    def __getitem__(self, draw: Draw) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 5, stored, stored) uint8, (A, steps, 13) float32 and (A, 13) float32 of a draw."""
        video = np.stack([self._window(int(row)) for row in draw.video])
        runs, means = zip(*(self._run(int(row), draw.run) for row in draw.audio), strict=True)
        return tuple(torch.from_numpy(part) for part in (video, np.stack(runs), np.stack(means)))  # type: ignore[return-value]

    def _place(self, row: int) -> tuple[Path, int]:
        clip = int(np.searchsorted(self._starts, row, "right")) - 1
        return self._folders[clip], row - int(self._starts[clip])

    def _window(self, row: int) -> np.ndarray:
        folder, first = self._place(row)
        names = (str(folder / exchange.FRAMES / f"frame{first + n}.jpg") for n in range(WINDOW_FRAMES))
        return prepare_frames(np.stack([_decode(name, self.spec.colours) for name in names]), self.spec)

    def _run(self, row: int, windows: int) -> tuple[np.ndarray, np.ndarray]:
        folder, first = self._place(row)
        bins = np.load(folder / exchange.FEATURES)[:, 0]
        # Past the clip's end only where the draw's mask hides it.
        chosen = bins[np.minimum(np.arange(first, first + windows), len(bins) - 1)].transpose(0, 2, 1)
        steps = np.concatenate([chosen[:-1, :MFCC_PER_FRAME].reshape(-1, MFCC_SIZE), chosen[-1]])
        return steps.astype(np.float32), bins[:, :, :MFCC_PER_FRAME].mean(axis=(0, 2)).astype(np.float32)


def _decode(name: str, colours: int) -> np.ndarray:
    picture = cv2.imread(name, cv2.IMREAD_GRAYSCALE if colours == 1 else cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(name, "missing or no picture", "export the split again")
    return picture if colours == 1 else picture[..., ::-1]
