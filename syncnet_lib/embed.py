"""Sliding windows of a clip through a model, in batches."""

from collections.abc import Iterator

import numpy as np
import torch
from tqdm import tqdm

from syncnet_lib import scoring
from syncnet_lib.audio import MFCC_PER_FRAME, WINDOW_FRAMES, WINDOW_MFCC
from syncnet_lib.model import SyncNet, centre, prepare_frames, prepare_mfcc
from syncnet_lib.pairs import Split

BATCH = 256
"""Windows at a time; a CPU gains nothing beyond, and memory stays small."""


@torch.inference_mode()
def embed_clip(model: SyncNet, frames: np.ndarray, mfcc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Embed every window of stride 1 of one clip (seed: stage 4).

    Args:
        model: in evaluation mode.
        frames: (T, 120, 120) uint8 mouth crops.
        mfcc: (4 T, 13) float32.

    Returns:
        Lips and sound, each (T - 5, D) float32.
    """
    device = model.mfcc_mean.device
    count = len(frames) - WINDOW_FRAMES
    pixels = torch.from_numpy(prepare_frames(np.asarray(frames), model.spec))
    lips = centre(pixels, model.spec.size).unfold(0, WINDOW_FRAMES, 1).permute(0, 3, 1, 2)[:count]
    steps = prepare_mfcc(np.array(mfcc), model.spec, np.array([len(mfcc) // MFCC_PER_FRAME]))
    v = [model.embed_lips(part.to(device)).cpu() for part in lips.split(BATCH)]
    runs = (
        steps[at * MFCC_PER_FRAME : (at + BATCH - 1) * MFCC_PER_FRAME + WINDOW_MFCC] for at in range(0, count, BATCH)
    )
    a = [model.embed_sound(torch.from_numpy(run)[None].to(device))[0].cpu() for run in runs]
    return torch.cat(v).numpy(), torch.cat(a)[:count].numpy()


def embed_split(model: SyncNet, split: Split, progress: bool = True) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Embed the clips of a packed split one after another.

    Yields:
        clip_id, lips (N, D), sound (N, D).
    """
    rows = zip(split.index.clip_id, split.index.start, split.index.frames, strict=True)
    for clip_id, start, count in tqdm(rows, "embedding", len(split.index), unit="clip", disable=not progress):
        sound = split.mfcc[0, start * MFCC_PER_FRAME : (start + count) * MFCC_PER_FRAME]
        yield clip_id, *embed_clip(model, split.frames[start : start + count], sound)


def split_distances(
    model: SyncNet, split: Split, vshift: int = scoring.VSHIFT, progress: bool = True
) -> dict[str, np.ndarray]:
    """Distances over shifts of every clip of a split.

    Returns:
        clip_id to (N, 2 vshift + 1) float32, nan where a shift leaves the clip.
    """
    return {name: scoring.shift_distances(v, a, vshift) for name, v, a in embed_split(model, split, progress)}
