"""Muon [Jordan24]: the optimiser of a training of `small` from random weights.

The momentum of a weight matrix is mostly of a few directions, and a step along it moves little else. Muon steps along
the nearest matrix whose singular values are all about 1, so that rare directions are learned as fast as the common
ones: AdamW needs twice as many steps for the same accuracy (docs/results.md). `torch.optim.Muon` takes matrices alone,
no convolutions, and its import takes torch's compiler along (`adamw`).
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from syncnet_lib.training.adamw import AdamW

MOMENTUM = 0.95
"""Decay of the running mean of gradients, with Nesterov's step ahead [Jordan24]."""
QUINTIC = 3.4445, -4.7750, 2.0315
"""Of the polynomial a s + b s^3 + c s^5 that brings singular values between 0 and 1 near 1 when it is repeated; its
slope at 0 is steep, for the price that it ends between 0.68 and 1.20 instead of at 1 [Jordan24]."""
REPEATS = 3
"""How often. [Jordan24] takes 5; 3, which raise even the least values 41 times, take a third less arithmetic and give
networks as good (docs/results.md)."""


def orthogonalised(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """The matrix with each of its singular values brought near 1, and the same singular vectors.

    [Jordan24] repeats the polynomial on the matrix. Each repeat multiplies it from the left by a polynomial of its
    square, and those of all repeats are found on the square alone, which is smaller than the matrix: the same result
    for half to nine tenths of the arithmetic, by the shapes of `small`.

    Args:
        matrix: any, of float32 or float64.
    """
    if len(matrix) > matrix.shape[1]:
        return orthogonalised(matrix.T).T
    a, b, c = QUINTIC
    matrix = matrix / matrix.norm().clamp_min(1e-30)  # a matrix of zeros stays one
    square = matrix @ matrix.T
    product = None
    for repeat in range(REPEATS):
        factor = torch.addmm(square, square, square, beta=b, alpha=c)
        factor.diagonal().add_(a)
        product = factor if product is None else factor @ product
        if repeat < REPEATS - 1:
            square = factor @ square @ factor
    assert product is not None
    return product @ matrix


class Muon(AdamW):
    """Updates matrices, convolutions among them, by Muon, and what has one dimension or none as AdamW does.

    Args:
        parameters, lr, weight_decay: as for AdamW.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        parameters = list(parameters)
        super().__init__((each for each in parameters if each.dim() < 2), lr, weight_decay)
        self._matrices = [each for each in parameters if each.dim() > 1]
        self._means = [torch.zeros_like(each) for each in self._matrices]

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        super().step()
        for parameter, mean in zip(self._matrices, self._means, strict=True):
            if parameter.grad is None:
                continue
            mean.lerp_(parameter.grad, 1 - MOMENTUM)
            update = orthogonalised(parameter.grad.lerp(mean, MOMENTUM).flatten(1))
            parameter.mul_(1 - self.lr * self._weight_decay)
            # Of a matrix whose singular values are 1 the root mean square is one over the root of its longer side: a
            # weight moves by the learning rate in the mean. [Liu25] takes a fifth of it, about what AdamW's updates
            # have, for long trainings of large networks; the few hundred steps of the default learn more from these.
            parameter.add_(update.view_as(parameter), alpha=-self.lr * math.sqrt(max(update.shape)))

    def zero_grad(self) -> None:
        """Drop all gradients."""
        super().zero_grad()
        for parameter in self._matrices:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """AdamW's, and the running means of matrices by their number, for `load_state_dict`."""
        return {**super().state_dict(), "means": dict(enumerate(self._means))}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from the running means of another one of the same parameters.

        Args:
            saved: of its `state_dict`.
        """
        super().load_state_dict(saved)
        for number, mean in enumerate(self._means):
            mean.copy_(saved["means"][number])
