"""BatchNorm folded into the layer before it, for inference."""

import copy
from typing import Any

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from syncnet_lib.model.networks import Steps


def fold(network: nn.Module) -> nn.Module:
    """A copy of a network with every BatchNorm folded into the convolution or linear layer before it.

    Args:
        network: in evaluation mode; its weights are not changed.
    """
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
