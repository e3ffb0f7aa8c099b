"""The released model in 8 bits (static quantisation), by the kernels of oneDNN: on a CPU the fastest way there is.

Pixels are bytes as they come. What leaves a layer is never negative (ReLU), so a byte holds it in steps of its own for
every channel. The size of the steps is measured on a sample in fp32, and anew where later values leave the range.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from syncnet_lib.model.device import largest_weight
from syncnet_lib.model.fold import fold

BYTE = 255
"""Largest value of a byte."""
HEADROOM = 1.1
"""Largest value that 8 bits can hold over the largest that a sample showed."""
FLOOR = 0.6
"""A channel that is quiet in the sample gets at least this share of the loudest one's range: very unequal ranges cost
the next layer's weights, which are rounded to bytes as well, more than they save."""
CLIPPED = 1e-3
"""Share of values at the end of their range above which the ranges are measured anew."""
LOOK = 4
"""Every so many rows and columns are looked at for that."""

Planes = UInt8[Tensor, "windows channels height width"] | Float[Tensor, "windows channels height width"]
"""Input of a stream: pixels, or MFCC."""


@dataclass
class Int8Layer:
    """Convolution, ReLU and maximum pooling; the first two are one operation.

    Attributes:
        convolution: in fp32, BatchNorm folded in.
        pool: the pooling; None where there is none.
        packed: weights as bytes, in the order that the kernel wants.
        scale: (outputs,) what one step of a weight is worth.
        bias: (outputs,) in steps of the output.
    """

    convolution: nn.Conv2d
    pool: nn.MaxPool2d | None = None
    packed: Tensor | None = None
    scale: Tensor | None = None
    bias: Tensor | None = None

    def exact(self, values: Tensor) -> Tensor:
        """Convolution and ReLU in fp32."""
        return F.relu(self.convolution(values))

    def quantise(self, steps_in: Tensor, steps_out: Tensor, mean: Tensor) -> None:
        """Round the weights to bytes.

        Args:
            steps_in, steps_out: (channels,) what one step of a byte is worth.
            mean: (inputs,) of the input: the rounding of the weights must not move the mean of the output.
        """
        convolution = self.convolution
        weight = convolution.weight * (steps_in[:, None, None] / steps_out[:, None, None, None])
        self.scale = weight.abs().amax((1, 2, 3)).clamp_min(1e-12) / largest_weight()
        rounded = (weight / self.scale[:, None, None, None]).round()
        lost = (weight - rounded * self.scale[:, None, None, None]).sum((2, 3)) @ (mean / steps_in)
        assert convolution.bias is not None
        self.bias = convolution.bias / steps_out + lost
        self.packed = torch.ops.onednn.qconv_prepack(
            rounded.to(torch.int8), self.scale, 1.0, 0, *self._geometry(), None
        )

    def quantised(self, values: Tensor, out: torch.dtype) -> Tensor:
        """Convolution and ReLU in 8 bits, of bytes; the result as bytes or as floats."""
        assert self.scale is not None
        zero = torch.zeros(len(self.scale), dtype=torch.int32)
        return torch.ops.onednn.qconv2d_pointwise(
            values, 1.0, 0, self.packed, self.scale, zero, self.bias, *self._geometry(), 1.0, 0, out, "relu", [], ""
        )

    def pooled(self, values: Tensor) -> Tensor:
        """Maximum pooling, first over rows and then over columns: no kernel of torch does it in bytes."""
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


class Int8Stream:
    """One stream of the released model in 8 bits; its last layer and its head give floats.

    Args:
        stream: its `layers` are convolutions, BatchNorm, ReLU and poolings; its `head` is linear.

    Attributes:
        layers: the convolutions, each with the pooling that follows.
        head: in fp32, BatchNorm folded in.
    """

    def __init__(self, stream: nn.Module) -> None:
        self.layers: list[Int8Layer] = []
        for part in fold(stream.get_submodule("layers")).children():
            if isinstance(part, nn.Conv2d):
                self.layers.append(Int8Layer(part))
            elif isinstance(part, nn.MaxPool2d):
                self.layers[-1].pool = part
        self.head = fold(stream.get_submodule("head"))
        self.reset()

    def reset(self) -> None:
        """Forget the ranges: another track begins."""
        self._peaks: list[Tensor] = []  # of each layer the largest value of every channel

    @property
    def measured(self) -> bool:
        """Whether the ranges are known from a sample."""
        return bool(self._peaks)

    def measure(self, sample: Planes) -> None:
        """Widen the ranges to what a sample needs, and round the weights accordingly.

        Args:
            sample: some windows.
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
        before = torch.ones(self.layers[0].convolution.in_channels)  # pixels as they are, or floats
        for layer, after, mean in zip(self.layers, steps, means, strict=True):
            layer.quantise(before, after, mean)
            before = after

    def __call__(self, values: Planes) -> Float[Tensor, "windows embedding"]:
        """Embed windows with the ranges measured before; these are widened where the values leave them.

        Args:
            values: the windows.
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
                values = layer.quantised(values, torch.uint8 if number < last else torch.float32)
            else:
                steps = layer.exact(values) / self._first[:, None, None]
                values = steps.round_().clamp_max_(BYTE).to(torch.uint8)
            values = layer.pooled(values)
            if number < last:
                some = values[..., ::LOOK, ::LOOK]
                clipped = max(clipped, int(torch.count_nonzero(some == BYTE)) / some.numel())
        return self.head(values.flatten(1)), clipped
