"""Parameters and cost of a network."""

from dataclasses import dataclass

import numpy as np
import torch

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


def size_of(name: ModelName) -> Size:
    """Count a model's parameters and the work of one window, without making its weights.

    Args:
        name: of the model.
    """
    from torch.utils.flop_counter import FlopCounterMode  # imports a compiler, for which nobody else must wait

    spec = SPECS[name]
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = SyncNet(name).eval()
        model(torch.zeros(1, *spec.window), torch.zeros(1, WINDOW_MFCC, MFCC_SIZE))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    inputs = int(np.prod(spec.window)) + WINDOW_MFCC * MFCC_SIZE * torch.float32.itemsize
    return Size(parameters, counter.get_total_flops() / 1e9, inputs)
