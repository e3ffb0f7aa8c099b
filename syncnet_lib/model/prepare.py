"""Crops and MFCC as a network is fed them."""

import cv2
import numpy as np
from torch import Tensor

from syncnet_lib.errors import InputError
from syncnet_lib.media.features import MFCC_PER_FRAME
from syncnet_lib.model.spec import Spec


def prepare_frames(frames: np.ndarray, spec: Spec) -> np.ndarray:
    """Reduce crops to what a model is stored at.

    Args:
        frames: (F, 120, 120) or (F, 224, 224, 3) uint8 as extracted.
        spec: the model's.

    Returns:
        (F, stored, stored) or (F, stored, stored, 3) uint8; the input itself where nothing has to be done.

    Raises:
        InputError: the other kind of crop.
    """
    if frames.ndim != (4 if spec.colours > 1 else 3):
        other = "mouth" if spec.crop == "face" else "face"
        raise InputError(f"model {spec.name}", f"is fed with {other} crops", f"give it {spec.crop} crops")
    if frames.shape[1] == spec.stored:
        return frames
    side = (spec.stored, spec.stored)
    return np.stack([cv2.resize(frame, side, interpolation=cv2.INTER_AREA) for frame in frames])


def prepare_mfcc(mfcc: np.ndarray, spec: Spec, frames: np.ndarray) -> np.ndarray:
    """Take off each clip's mean where the model wants that.

    Args:
        mfcc: (..., 4 F, 13) float32 of clips one after another.
        spec: the model's.
        frames: (clips,) frames of each clip.

    Returns:
        (..., 4 F, 13) float32.
    """
    if not spec.cepstral_mean:
        return mfcc
    ends = np.cumsum(frames) * MFCC_PER_FRAME
    parts = np.split(mfcc, ends[:-1], axis=-2)
    return np.concatenate([part - part.mean(axis=-2, keepdims=True) for part in parts], axis=-2)


def centre(frames: Tensor, size: int) -> Tensor:
    """The middle square of frames.

    Args:
        frames: (..., h, w) or (..., h, w, 3).
        size: side of the square, in pixels.

    Returns:
        (..., size, size) or (..., size, size, 3) view.
    """
    rows = -3 if frames.shape[-1] == 3 else -2
    for axis in (rows, rows + 1):
        frames = frames.narrow(axis, (frames.shape[axis] - size) // 2, size)
    return frames
