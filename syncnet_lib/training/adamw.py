"""AdamW [Loshchilov19]: the optimiser of all that Muon is not for.

The update is torch's own, fused: one pass over each weight. `torch.optim` is not used, as its first optimiser imports
torch's compiler into a process that compiles nothing: 1.4 s of every training, 5 s where no bytecode is there yet.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

BETAS = 0.9, 0.999
"""Decay of the running means of gradients and of their squares [Loshchilov19]."""
EPSILON = 1e-8
_STATE = "step", "exp_avg", "exp_avg_sq"


class AdamW:
    """Updates parameters against their gradients.

    Args:
        parameters: those without a gradient stay as they are.
        lr: learning rate of the next steps.
        weight_decay: share of a weight lost a step, times the learning rate.

    Attributes:
        lr: the same, to be set before a step.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        self.lr = lr
        self._weight_decay = weight_decay
        self._parameters = list(parameters)
        self._state: list[dict[str, Tensor]] = [
            {
                "step": torch.zeros((), device=each.device),
                "exp_avg": torch.zeros_like(each),
                "exp_avg_sq": torch.zeros_like(each),
            }
            for each in self._parameters
        ]

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        pairs = [(p, state) for p, state in zip(self._parameters, self._state, strict=True) if p.grad is not None]
        if not pairs:
            return  # the operator refuses an empty list
        steps, means, squares = ([state[name] for _, state in pairs] for name in _STATE)
        for count in steps:
            count += 1
        torch._fused_adamw_(
            [parameter for parameter, _ in pairs],
            [parameter.grad for parameter, _ in pairs if parameter.grad is not None],
            means,
            squares,
            [],
            steps,
            lr=self.lr,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=self._weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """The running means, by the number of the parameter, for `load_state_dict`."""
        return {"state": dict(enumerate(self._state))}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from the running means of another one of the same parameters.

        Args:
            saved: of its `state_dict`.
        """
        for number, state in enumerate(self._state):
            for name in _STATE:
                state[name].copy_(saved["state"][number][name])
