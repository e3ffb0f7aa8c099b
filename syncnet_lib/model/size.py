"""Parameters and cost of a network."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from syncnet_lib.media.features import MFCC_SIZE, WINDOW_MFCC
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.model.spec import SPECS, ModelName


@dataclass(frozen=True)
class Size:
    """What a model is and costs.

    Attributes:
        parameters: numbers that training learns.
        gflop: floating-point operations of a video window with its audio, forwards, in 10^9; a multiplication and an
            addition are two.
        inputs: bytes of a window: its pixels and its MFCC.
    """

    parameters: int
    gflop: float
    inputs: int


class _Counted(nn.Module):
    """In the place of a convolution or a linear layer: counts its work, and gives zeros as it would give values.

    Args:
        layer: the layer, which needs no values.

    Attributes:
        operations: of all calls.
    """

    def __init__(self, layer: nn.Conv2d | nn.Linear) -> None:
        super().__init__()
        self.layer, self.operations = layer, 0

    def forward(self, given: Tensor) -> Tensor:
        """Count a call."""
        layer = self.layer
        if isinstance(layer, nn.Conv2d):
            assert not isinstance(layer.padding, str)
            axes = zip(given.shape[2:], layer.kernel_size, layer.stride, layer.padding, strict=True)
            sides = [(side + 2 * pad - kernel) // stride + 1 for side, kernel, stride, pad in axes]
            out = given.new_zeros(len(given), layer.out_channels, *sides)
        else:
            out = given.new_zeros(*given.shape[:-1], layer.out_features)
        self.operations += 2 * out.numel() * layer.weight[0].numel()  # a weight for each input of an output
        return out


def size_of(name: ModelName) -> Size:
    """Count a model's parameters and the work of one window, without making its weights.

    torch's own counter, and any call on tensors without values, import its compiler, for seconds.

    Args:
        name: of the model.
    """
    spec = SPECS[name]
    with torch.device("meta"):
        model = SyncNet(name).eval()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    counters = []
    for parent in list(model.modules()):
        for child, layer in parent.named_children():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                counters.append(_Counted(layer))
                setattr(parent, child, counters[-1])
            elif not isinstance(layer, _Counted):
                layer.to_empty(device="cpu", recurse=False)
    model.to_empty(device="cpu", recurse=False)
    model(torch.zeros(1, *spec.window), torch.zeros(1, WINDOW_MFCC, MFCC_SIZE))
    inputs = int(np.prod(spec.window)) + WINDOW_MFCC * MFCC_SIZE * torch.float32.itemsize
    return Size(parameters, sum(counter.operations for counter in counters) / 1e9, inputs)
