"""Crops and MFCC as a network is fed them."""

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

from syncnet_lib.errors import InputError
from syncnet_lib.media.features import MFCC_PER_FRAME, WINDOW_FRAMES
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


def centre(frames: Shaped[Tensor, "*shape"], size: int) -> Shaped[Tensor, "*cut"]:
    """The middle square of frames, as a view.

    Args:
        frames: (..., height, width) gray, or (..., height, width, 3) RGB.
        size: side of the square, in pixels.
    """
    rows = -3 if frames.shape[-1] == 3 else -2
    for axis in (rows, rows + 1):
        frames = frames.narrow(axis, (frames.shape[axis] - size) // 2, size)
    return frames


def stacked_windows(
    frames: Shaped[Tensor, "frames size size *rgb"], spec: Spec
) -> Shaped[Tensor, "windows planes size size"]:
    """All windows of consecutive frames as the first convolution takes them.

    Args:
        frames: pixels, 0..255.
        spec: of the model.

    Returns:
        Windows of stride 1: 5 gray or 15 colour planes. A view of one copy of the frames, which lie in memory once.
    """
    planes = frames.permute(0, 3, 1, 2) if spec.colours > 1 else frames
    planes = planes.contiguous()
    count, depth = len(frames) + 1 - WINDOW_FRAMES, WINDOW_FRAMES * spec.colours
    height, width = planes.shape[-2:]
    area = height * width
    return planes.as_strided((count, depth, height, width), (spec.colours * area, area, width, 1))


def standardised_windows(frames: UInt8[Tensor, "frames size size"], spec: Spec) -> Float[Tensor, "windows 5 size size"]:
    """All windows of consecutive frames, each standardised (mean 0, deviation 1) as in `SyncNet.planes`.

    The sums over a frame serve all five windows that it is in.

    Args:
        frames: gray pixels.
        spec: of the model.
    """
    pixels = frames.to(torch.int64).flatten(1)
    sums = pixels.sum(1).unfold(0, WINDOW_FRAMES, 1).sum(1).double()
    squares = pixels.square().sum(1).unfold(0, WINDOW_FRAMES, 1).sum(1).double()
    count = WINDOW_FRAMES * pixels.shape[1]
    mean = sums / count
    scale = 1 / (((squares - sums * mean) / (count - 1)).clamp_min(0).sqrt() + 1)
    column = (slice(None), None, None, None)
    return torch.addcmul((-mean * scale).float()[column], stacked_windows(frames.float(), spec), scale.float()[column])
