"""Distributed training: several processes (ranks) train one model, each on its part of every batch.

They give what one process with the whole batch gives, but for rounding and dropout: the draws and their augmentation
are those of the whole batch, losses and gradients are averaged, and BatchNorm takes its statistics over all parts.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from syncnet_lib.errors import InputError
from syncnet_lib.training.sampling import Draw


@dataclass(frozen=True)
class Ranks:
    """Which rank this process is, and how many there are (the world size)."""

    rank: int = 0
    world: int = 1

    @classmethod
    def here(cls) -> "Ranks":
        """Those of the process group that this process has joined; rank 0 of 1 where it has joined none."""
        return cls(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else cls()

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which alone writes files and validates."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until every rank has come here."""
        if self.world > 1:
            dist.barrier()

    def check(self, runs: int) -> None:
        """Refuse a batch that does not fall into equal parts.

        Args:
            runs: of audio in a batch; what belongs to one run stays together.

        Raises:
            InputError: they do not divide by the number of ranks.
        """
        if runs % self.world:
            cause = f"{runs} clips or pairs a batch do not fall into {self.world} equal parts"
            raise InputError("train.batch_size", cause, "choose a multiple")

    def part(self, draw: Draw) -> Draw:
        """This rank's part of a draw: consecutive runs, so that the parts of all ranks in order are the draw."""
        size = len(draw.audio) // self.world
        return draw.runs(self.rank * size, (self.rank + 1) * size) if self.world > 1 else draw

    def mean(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The mean over all ranks."""
        if self.world > 1:
            dist.all_reduce(values)
            values = values / self.world
        return values

    def broadcast(self, value: Any) -> Any:
        """The value of rank 0, on every rank."""
        box = [value]
        if self.world > 1:
            dist.broadcast_object_list(box)
        return box[0]

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model to call in a step: its backward pass leaves gradients averaged over all ranks."""
        if self.world == 1:
            return model
        device = next(model.parameters()).device
        share_norms(model)
        # Running means are the same everywhere, since the statistics are.
        return DistributedDataParallel(model, [device] if device.type == "cuda" else None, broadcast_buffers=False)


@contextmanager
def joined(device: str) -> Iterator[torch.device]:
    """Join the process group that torchrun describes in the environment.

    Args:
        device: "cuda", a GPU a process, or "cpu".

    Yields:
        This process's device.
    """
    where = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if device == "cuda" else torch.device("cpu")
    if device == "cuda":
        torch.cuda.set_device(where)
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield where
    finally:
        dist.destroy_process_group()


class _Sum(torch.autograd.Function):
    """Sum over all processes, in both directions."""

    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class _SharedNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm over the parts of all processes. torch's own `SyncBatchNorm` does the same, but only on GPUs."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        over = [axis for axis in range(input.dim()) if axis != 1]
        world = dist.get_world_size()
        values = input.float()
        sums = torch.stack([values.mean(over), values.square().mean(over)])
        mean, square = cast(Tensor, _Sum.apply(sums)) / world
        variance = square - mean.square()
        with torch.no_grad():
            count = world * input.numel() // input.shape[1]
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        shape = [1, -1] + [1] * (input.dim() - 2)
        return (values * scale.view(shape) + shift.view(shape)).to(input.dtype)


def share_norms(model: nn.Module) -> None:
    """Let every BatchNorm of a model take its statistics over all processes; names and weights stay what they are."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if not isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                continue
            kind = nn.SyncBatchNorm if child.weight.is_cuda else _SharedNorm
            shared = kind(child.num_features, child.eps, child.momentum, device=child.weight.device)
            # The very tensors, not copies: the optimiser has them already.
            shared.weight, shared.bias = child.weight, child.bias
            for buffer, tensor in child.named_buffers():
                setattr(shared, buffer, tensor)
            setattr(parent, name, shared.train(child.training))
