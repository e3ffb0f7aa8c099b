"""Windows of consecutive frames, as the first convolution takes them."""

import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from syncnet_lib.media.features import WINDOW_FRAMES
from syncnet_lib.model.spec import Spec


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
