"""Embeddings and distances of the clips of a packed split."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from syncnet_lib.dataset.splits import Split
from syncnet_lib.media.features import MFCC_PER_FRAME
from syncnet_lib.model import scoring
from syncnet_lib.model.embed import embed_clip
from syncnet_lib.model.networks import SyncNet


def embed_split(
    model: SyncNet, split: Split, progress: bool = True
) -> Iterator[tuple[str, Float[np.ndarray, "windows embedding"], Float[np.ndarray, "windows embedding"]]]:
    """Embed the clips of a packed split one after another, in fp32.

    Args:
        model: in evaluation mode.
        split: the packed split.
        progress: show a bar.

    Yields:
        clip_id, and the embeddings of video and audio, a row a window.
    """
    rows = zip(split.index.clip_id, split.index.start, split.index.frames, strict=True)
    for clip_id, start, count in tqdm(rows, "embedding", len(split.index), unit="clip", disable=not progress):
        audio = split.mfcc[0, start * MFCC_PER_FRAME : (start + count) * MFCC_PER_FRAME]
        yield clip_id, *embed_clip(model, split.frames[start : start + count], audio)


def split_distances(
    model: SyncNet, split: Split, vshift: int = scoring.VSHIFT, progress: bool = True
) -> dict[str, Float[np.ndarray, "windows shifts"]]:
    """Distances over shifts of every clip of a split.

    Args:
        model: in evaluation mode.
        split: the packed split.
        vshift: frames searched to each side.
        progress: show a bar.

    Returns:
        clip_id to distances, a column a shift from -vshift to vshift; NaN where a shift leaves the clip.
    """
    return {name: scoring.shift_distances(v, a, vshift) for name, v, a in embed_split(model, split, progress)}
