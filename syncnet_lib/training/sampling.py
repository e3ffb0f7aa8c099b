"""What a training step looks at: true and false pairs, or each window against the windows of its clip."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Int64

from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.features import MFCC_PER_FRAME, WINDOW_FRAMES, WINDOW_MFCC

MAX_SHIFT = 2 * FPS
"""The audio of a shifted pair is up to 2 s away, in frames [Agrawal: "randomly shifted +-2 seconds"]."""


@dataclass
class Draw:
    """What one training step looks at; rows are first frames in the packed arrays.

    Attributes:
        video: (N,) int64 rows of the video windows.
        audio: (A,) int64 first rows of runs of audio windows; A = N for labelled pairs.
        variant: (A,) int64: which variant of the audio each run takes.
        run: audio windows in a run: 1 for labelled pairs, a clip's candidates otherwise.
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
        """A part of the draw: these runs of audio with their video windows.

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
        samples_per_clip: windows a clip gives in an epoch [Agrawal: 5].
        kind: "pairs": genuine and shifted halves, [Agrawal]'s way; "candidates": each window of a clip against all
            windows of the clip's audio, the batch made of whole clips.
        seed: together with the epoch's number it decides everything.
        candidates: most audio windows a clip offers ("candidates" only); 3 s of windows.
    """

    split: Split
    batch_size: int
    samples_per_clip: int
    kind: Literal["pairs", "candidates"]
    seed: int
    candidates: int = 3 * FPS

    def __post_init__(self) -> None:
        if not self.steps:
            counts = f"{len(self.clips)} clips x {self.samples_per_clip} samples"
            raise InputError(
                "pairs", f"{counts} do not fill one batch of {self.batch_size}", "lower train.batch_size or add videos"
            )

    @cached_property
    def clips(self) -> Int64[np.ndarray, " clips"]:
        """The clips that still have a positive, by their place in the index."""
        ends = self.split.index.start + self.split.index.frames
        positives = np.concatenate([[0], np.cumsum(self.split.kept)])
        return np.flatnonzero(positives[ends] - positives[self.split.index.start])

    @cached_property
    def _kept(self) -> list[Int64[np.ndarray, " positives"]]:
        """Of each clip of the index, the windows that may serve as positives."""
        parts = zip(self.split.starts, self.split.windows, strict=True)
        return [np.flatnonzero(self.split.kept[start : start + count]) for start, count in parts]

    @property
    def steps(self) -> int:
        """Full batches an epoch; 3,261 clips x 5 samples in batches of 1,024 make 15 [Agrawal]."""
        if self.kind == "pairs":
            return len(self.clips) * self.samples_per_clip // self.batch_size
        return len(self.clips) // self.clips_per_batch

    @property
    def clips_per_batch(self) -> int:
        """Clips that share a batch of candidate sets."""
        return max(1, self.batch_size // self.samples_per_clip)

    def epoch(self, number: int) -> Iterator[Draw]:
        """The draws of one epoch, one a step.

        Args:
            number: of the epoch.
        """
        rng = np.random.default_rng([self.seed, number])
        order = rng.permutation(self.clips)
        return self._pairs(rng, order) if self.kind == "pairs" else self._candidates(rng, order)

    def _positives(self, rng: np.random.Generator, kept: np.ndarray) -> np.ndarray:
        """(samples_per_clip,) windows out of those kept."""
        return rng.choice(kept, self.samples_per_clip, replace=len(kept) < self.samples_per_clip)

    def _pairs(self, rng: np.random.Generator, order: np.ndarray) -> Iterator[Draw]:
        window = np.concatenate([self._positives(rng, self._kept[clip]) for clip in order])
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
            audio = np.where(label[at], window[at], other[at])
            variant = rng.integers(len(self.split.mfcc), size=len(at))
            yield Draw(start[at] + window[at], start[at] + audio, variant, label=label[at].astype(np.float32))

    def _candidates(self, rng: np.random.Generator, order: np.ndarray) -> Iterator[Draw]:
        starts, windows = self.split.starts, self.split.windows
        for step in range(self.steps):
            chosen = order[step * self.clips_per_batch : (step + 1) * self.clips_per_batch]
            count = np.minimum(windows[chosen], self.candidates)
            width = int(count.max())
            video, audio, target = [], [], []
            for clip, size in zip(chosen.tolist(), count.tolist(), strict=True):
                # A long clip offers a stretch around one of its positives.
                kept = self._kept[clip]
                at = int(kept[rng.integers(len(kept))]) - int(rng.integers(size))
                low = min(max(0, at), int(windows[clip]) - size)
                window = self._positives(rng, kept[(kept >= low) & (kept < low + size)])
                video.append(starts[clip] + window)
                target.append(window - low)
                audio.append(starts[clip] + low)  # past a shorter clip's end the mask hides what follows
            mask = np.arange(width) < count[:, None]
            variant = rng.integers(len(self.split.mfcc), size=len(chosen))
            yield Draw(
                np.concatenate(video), np.array(audio), variant, width, target=np.concatenate(target), mask=mask
            )  # fmt: skip


@dataclass
class Example:
    """A video window with both of its audio windows.

    Attributes:
        frames: (5, h, w) uint8.
        mfcc, other: (20, 13) float32: its own audio, and that of its shifted pair.
        shift: by how many frames the other audio is shifted.
    """

    frames: np.ndarray
    mfcc: np.ndarray
    other: np.ndarray
    shift: int


def example(split: Split, seed: int) -> Example:
    """A pair to look at: the first shifted one that an epoch draws.

    Args:
        split: to draw from.
        seed: of the draws.
    """
    draw = next(_one_batch(split, seed).epoch(1))
    assert draw.label is not None
    at = int(np.flatnonzero(draw.label == 0)[0])
    window, other = int(draw.video[at]), int(draw.audio[at])
    mfcc = [split.mfcc[0, row * MFCC_PER_FRAME : row * MFCC_PER_FRAME + WINDOW_MFCC] for row in (window, other)]
    return Example(split.frames[window : window + WINDOW_FRAMES], mfcc[0], mfcc[1], other - window)


def shifts(split: Split, seed: int) -> Int64[np.ndarray, " pairs"]:
    """The shifts, in frames, of the shifted pairs of one epoch of [Agrawal]'s sampling.

    Args:
        split: to draw from.
        seed: of the draws.
    """
    draw = next(_one_batch(split, seed).epoch(1))
    assert draw.label is not None
    return (draw.audio - draw.video)[draw.label == 0]


def _one_batch(split: Split, seed: int) -> Sampler:
    """[Agrawal]'s sampling with the whole epoch as one batch; many samples, so that a histogram has a shape."""
    samples = 40
    return Sampler(split, len(split.index) * samples, samples, "pairs", seed)
