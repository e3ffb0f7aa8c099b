"""Embeddings and distances of the clips of a packed split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from syncnet_lib.dataset.splits import Split
from syncnet_lib.media.features import MFCC_PER_FRAME
from syncnet_lib.model import scoring
from syncnet_lib.model.embed import embed_clip
from syncnet_lib.model.networks import SyncNet


def embed_split(model: SyncNet, split: Split, progress: bool = True) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Embed the clips of a packed split one after another.

    Yields:
        clip_id, lips (N, D), sound (N, D).
    """
    rows = zip(split.index.clip_id, split.index.start, split.index.frames, strict=True)
    for clip_id, start, count in tqdm(rows, "embedding", len(split.index), unit="clip", disable=not progress):
        audio = split.mfcc[0, start * MFCC_PER_FRAME : (start + count) * MFCC_PER_FRAME]
        yield clip_id, *embed_clip(model, split.frames[start : start + count], audio)


def split_distances(
    model: SyncNet, split: Split, vshift: int = scoring.VSHIFT, progress: bool = True
) -> dict[str, np.ndarray]:
    """Distances over shifts of every clip of a split.

    Returns:
        clip_id to (N, 2 vshift + 1) float32, nan where a shift leaves the clip.
    """
    return {name: scoring.shift_distances(v, a, vshift) for name, v, a in embed_split(model, split, progress)}
