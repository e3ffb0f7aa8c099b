"""Networks rewritten for inference: BatchNorm folded into convolutions, bf16, and for the released model 8 bits.

Windows of stride 1 are views of the frames, which lie in memory once.
"""

import copy
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from syncnet_lib.media.features import WINDOW_FRAMES
from syncnet_lib.model.device import native_precision
from syncnet_lib.model.networks import Steps, SyncNet
from syncnet_lib.model.spec import Spec

Precision = Literal["fp32", "bf16", "int8"]

BYTE = 255
HEADROOM = 1.1
"""Largest value that 8 bits can hold over the largest that a sample showed."""
FLOOR = 0.6
"""A channel that is quiet in the sample gets at least this share of the loudest one's range: very unequal ranges cost
the next layer's weights, which are rounded to bytes as well, more than they save."""
CLIPPED = 1e-3
"""Share of values at the end of their range above which the ranges are measured anew."""
LOOK = 4
"""Every so many rows and columns are looked at for that."""


def native(model: SyncNet, device: torch.device) -> Precision:
    """The fastest precision that a device computes in by itself.

    Args:
        model: only v2 is computed in 8 bits: it is heavy, and its input is bytes.
        device: where.
    """
    if device.type == "cpu" and model.spec.name == "v2" and torch.cpu.get_capabilities().get("avx512_vnni"):
        return "int8"  # without these instructions sums of products of bytes overflow
    return native_precision(device)


def windows(frames: Tensor, spec: Spec) -> Tensor:
    """All windows of consecutive frames as the first convolution takes them.

    Args:
        frames: (T, size, size) or (T, size, size, 3), 0..255.
        spec: the model's.

    Returns:
        (T - 4, 5 or 15, size, size) of the same type; a view of one copy of the frames.
    """
    planes = frames.permute(0, 3, 1, 2) if spec.colours > 1 else frames
    planes = planes.contiguous()
    count, depth = len(frames) + 1 - WINDOW_FRAMES, WINDOW_FRAMES * spec.colours
    height, width = planes.shape[-2:]
    area = height * width
    return planes.as_strided((count, depth, height, width), (spec.colours * area, area, width, 1))


def standardise(frames: Tensor, spec: Spec) -> Tensor:
    """All windows of consecutive frames, each on its own mean and deviation as in `SyncNet.planes`.

    The sums of a frame serve all five windows that it is in.

    Returns:
        (T - 4, 5, size, size) float32.
    """
    pixels = frames.to(torch.int64).flatten(1)
    sums = pixels.sum(1).unfold(0, WINDOW_FRAMES, 1).sum(1).double()
    squares = pixels.square().sum(1).unfold(0, WINDOW_FRAMES, 1).sum(1).double()
    count = WINDOW_FRAMES * pixels.shape[1]
    mean = sums / count
    scale = 1 / (((squares - sums * mean) / (count - 1)).clamp_min(0).sqrt() + 1)
    column = (slice(None), None, None, None)
    return torch.addcmul((-mean * scale).float()[column], windows(frames.float(), spec), scale.float()[column])


def fold(network: nn.Module) -> nn.Module:
    """A copy of a network in evaluation mode with every BatchNorm folded into the layer before it."""
    network = copy.deepcopy(network)
    for part in network.modules():
        if isinstance(part, Steps):
            part.linear, part.norm = _folded(part.linear, part.norm), nn.Identity()
        elif isinstance(part, nn.Sequential):
            for at in range(1, len(part)):
                if isinstance(part[at], nn.BatchNorm1d | nn.BatchNorm2d):
                    part[at - 1], part[at] = _folded(part[at - 1], part[at]), nn.Identity()
    return network


def _folded(layer: Any, norm: Any) -> Any:
    return fuse_linear_bn_eval(layer, norm) if isinstance(layer, nn.Linear) else fuse_conv_bn_eval(layer, norm)


@dataclass
class _Layer:
    """Convolution, ReLU and maximum over neighbours; the first two computed as one, in bytes where `ranges` are known.

    Attributes:
        convolution: BatchNorm folded in.
        pool: the maximum; None where there is none.
        packed: weights as bytes, in the processor's order.
        scale: (outputs,) what one step of a weight is worth.
        bias: (outputs,) in steps of the output.
    """

    convolution: nn.Conv2d
    pool: nn.MaxPool2d | None = None
    packed: Tensor | None = None
    scale: Tensor | None = None
    bias: Tensor | None = None

    def exact(self, values: Tensor) -> Tensor:
        """The convolution and ReLU in fp32."""
        return F.relu(self.convolution(values))

    def pack(self, steps_in: Tensor, steps_out: Tensor, mean: Tensor) -> None:
        """Turn the weights into bytes.

        Args:
            steps_in, steps_out: (channels,) what one step of a byte is worth.
            mean: (inputs,) of the input: the rounding of the weights must not move the mean of the output.
        """
        convolution = self.convolution
        weight = convolution.weight * (steps_in[:, None, None] / steps_out[:, None, None, None])
        self.scale = weight.abs().amax((1, 2, 3)).clamp_min(1e-12) / (BYTE // 2)
        rounded = (weight / self.scale[:, None, None, None]).round()
        lost = (weight - rounded * self.scale[:, None, None, None]).sum((2, 3)) @ (mean / steps_in)
        assert convolution.bias is not None
        self.bias = convolution.bias / steps_out + lost
        self.packed = torch.ops.onednn.qconv_prepack(
            rounded.to(torch.int8), self.scale, 1.0, 0, *self._geometry(), None
        )

    def bytes(self, values: Tensor, out: torch.dtype) -> Tensor:
        """The convolution and ReLU of bytes, as bytes or as floats."""
        assert self.scale is not None
        zero = torch.zeros(len(self.scale), dtype=torch.int32)
        return torch.ops.onednn.qconv2d_pointwise(
            values, 1.0, 0, self.packed, self.scale, zero, self.bias, *self._geometry(), 1.0, 0, out, "relu", [], ""
        )

    def pooled(self, values: Tensor) -> Tensor:
        """The maximum over neighbours: over columns of the maxima over rows, which no kernel of torch does in bytes."""
        if self.pool is None:
            return values
        size, stride, edge = (_pair(value) for value in (self.pool.kernel_size, self.pool.stride, self.pool.padding))
        values = F.pad(values.permute(0, 2, 3, 1), (0, 0, edge[1], edge[1], edge[0], edge[0]))  # after ReLU: 0 is least
        for axis in (0, 1):
            count = (values.shape[1 + axis] - size[axis]) // stride[axis] + 1
            shifted = [
                values[(slice(None),) * (1 + axis) + (slice(n, n + (count - 1) * stride[axis] + 1, stride[axis]),)]
                for n in range(size[axis])
            ]
            values = shifted[0]
            for other in shifted[1:]:
                values = torch.maximum(values, other)
        return values.permute(0, 3, 1, 2)

    def _geometry(self) -> tuple[list[int], list[int], list[int], int]:
        convolution = self.convolution
        return list(convolution.stride), [int(edge) for edge in convolution.padding], list(convolution.dilation), 1


def _pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else value


class Bytes:
    """One stream of the released model in 8 bits.

    Pixels are bytes by themselves. What comes out of a layer is never negative, so a byte holds it in steps of its own
    for every channel, measured on a sample in fp32; weights have a step a channel too. The last layer and the head
    give floats.

    Args:
        stream: its `layers` are convolutions, BatchNorm, ReLU and poolings; its `head` is linear.
    """

    def __init__(self, stream: nn.Module) -> None:
        self.layers: list[_Layer] = []
        for part in fold(stream.get_submodule("layers")).children():
            if isinstance(part, nn.Conv2d):
                self.layers.append(_Layer(part))
            elif isinstance(part, nn.MaxPool2d):
                self.layers[-1].pool = part
        self.head = fold(stream.get_submodule("head"))
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        self._peaks: list[Tensor] = []

    @property
    def measured(self) -> bool:
        """Whether the ranges are known."""
        return bool(self._peaks)

    def measure(self, sample: Tensor) -> None:
        """Widen the ranges to what a sample needs.

        Args:
            sample: (N, C, h, w), bytes or float32.
        """
        means, peaks = [], []
        values = sample.float()
        for layer in self.layers:
            means.append(values.mean((0, 2, 3)))
            values = layer.exact(values)
            peaks.append(values.amax((0, 2, 3)))
            values = layer.pooled(values)
        self._peaks = [torch.maximum(*pair) for pair in zip(self._peaks or peaks, peaks, strict=True)]
        steps = [HEADROOM / BYTE * peak.clamp_min(max(FLOOR * float(peak.max()), 1e-6)) for peak in self._peaks]
        steps[-1] = torch.ones(len(steps[-1]))  # the last layer gives floats
        self._first = steps[0]
        before = torch.ones(self.layers[0].convolution.in_channels)  # bytes already, or floats
        for layer, after, mean in zip(self.layers, steps, means, strict=True):
            layer.pack(before, after, mean)
            before = after

    def __call__(self, values: Tensor) -> Tensor:
        """Embed, with ranges measured before; they are widened where these values leave them.

        Args:
            values: (N, C, h, w), bytes or float32.

        Returns:
            (N, D) float32.
        """
        found, clipped = self._embed(values)
        if clipped > CLIPPED:
            self.measure(values)
            found, _ = self._embed(values)
        return found

    def _embed(self, values: Tensor) -> tuple[Tensor, float]:
        """(N, D) embeddings, and the largest share, over layers, of bytes at the end of their range."""
        clipped = 0.0
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            if values.dtype == torch.uint8:
                values = layer.bytes(values, torch.uint8 if number < last else torch.float32)
            else:
                steps = layer.exact(values) / self._first[:, None, None]
                values = steps.round_().clamp_max_(BYTE).to(torch.uint8)
            values = layer.pooled(values)
            if number < last:
                some = values[..., ::LOOK, ::LOOK]
                clipped = max(clipped, int(torch.count_nonzero(some == BYTE)) / some.numel())
        return self.head(values.flatten(1)), clipped
