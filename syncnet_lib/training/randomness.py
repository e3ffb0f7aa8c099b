"""Random numbers that ranks share and devices agree on."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SharedRandom:
    """Random numbers that do not depend on the device, nor on how many ranks share a batch.

    Every rank draws the numbers of the whole batch and takes its own part.

    Attributes:
        generator: on the CPU, in the same state on every rank.
        rank, world: this process, and how many there are.
    """

    generator: torch.Generator
    rank: int = 0
    world: int = 1

    def uniform(self, *shape: int) -> Tensor:
        """Uniform in [0, 1); the first axis is this rank's part."""
        return self._own(torch.rand(self.world * shape[0], *shape[1:], generator=self.generator), shape[0])

    def normal(self, *shape: int) -> Tensor:
        """Standard normal; the first axis is this rank's part."""
        return self._own(torch.randn(self.world * shape[0], *shape[1:], generator=self.generator), shape[0])

    def _own(self, values: Tensor, rows: int) -> Tensor:
        return values[self.rank * rows : (self.rank + 1) * rows]
