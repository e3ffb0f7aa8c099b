"""Crops and MFCC as a network is fed them; no torch is imported for it."""

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from syncnet_lib.errors import InputError
from syncnet_lib.media.features import MFCC_PER_FRAME
from syncnet_lib.model.spec import Spec


def prepare_frames(
    frames: UInt8[np.ndarray, "frames side side *rgb"], spec: Spec
) -> UInt8[np.ndarray, "frames stored stored *rgb"]:
    """Reduce crops to the size that a model's loader hands over.

    Args:
        frames: as extracted: 120x120 gray mouths, or 224x224 RGB faces.
        spec: of the model.

    Returns:
        Crops of `spec.stored` pixels; the input itself where nothing has to be done.

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


def prepare_mfcc(
    mfcc: Float[np.ndarray, "*variants steps 13"], spec: Spec, frames: Int[np.ndarray, " clips"]
) -> Float[np.ndarray, "*variants steps 13"]:
    """Subtract each clip's mean (cepstral mean normalisation) where the model wants that.

    Args:
        mfcc: of clips one after another, four steps a frame.
        spec: of the model.
        frames: number of frames of each clip.
    """
    if not spec.cepstral_mean:
        return mfcc
    ends = np.cumsum(frames) * MFCC_PER_FRAME
    parts = np.split(mfcc, ends[:-1], axis=-2)
    return np.concatenate([part - part.mean(axis=-2, keepdims=True) for part in parts], axis=-2)
