"""Distributed training: several processes (ranks) train one model, each on its part of every batch.

They give what one process gives, but for rounding. A batch falls into equal pieces; augmentation, dropout and the
statistics of BatchNorm are those of a piece, whoever computes it, so that ranks share no more than losses and
gradients. Where there are more ranks than parts for BatchNorm (`norm_parts`), which takes GPUs, these statistics are
shared too.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from syncnet_lib.errors import InputError
from syncnet_lib.training.sampling import Draw


@dataclass(frozen=True)
class Ranks:
    """Which rank this process is, how many there are (the world size), and into how many parts BatchNorm divides a
    batch."""

    rank: int = 0
    world: int = 1
    parts: int = 1

    @classmethod
    def here(cls, parts: int = 1) -> "Ranks":
        """Those of the process group that this process has joined; rank 0 of 1 where it has joined none.

        Args:
            parts: `norm_parts`.
        """
        return cls(dist.get_rank(), dist.get_world_size(), parts) if dist.is_initialized() else cls(parts=parts)

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which alone writes files and validates."""
        return self.rank == 0

    @property
    def pieces(self) -> int:
        """Pieces of a batch that are computed one by one, by all ranks together."""
        return max(self.parts, self.world)

    @property
    def own(self) -> range:
        """The numbers of this rank's pieces."""
        each = self.pieces // self.world
        return range(self.rank * each, (self.rank + 1) * each)

    def barrier(self) -> None:
        """Wait until every rank has come here."""
        if self.world > 1:
            dist.barrier()

    def check(self, runs: int, windows: int, device: torch.device) -> None:
        """Refuse a batch that does not fall into equal pieces.

        Args:
            runs: of audio in a batch; what belongs to one run stays together.
            windows: in a batch.
            device: that trains.

        Raises:
            InputError: they do not divide by the number of pieces, a piece is a single window, or ranks would have to
                share statistics on a CPU.
        """
        shared = self.parts == 1 and device.type == "cuda"
        if self.parts % self.world and not shared:
            cause = f"{self.parts} is not divisible by {self.world} training processes"
            raise InputError("train.norm_parts", cause, f"choose a multiple of {self.world}, or lower train.processes")
        if runs % self.pieces:
            cause = f"{runs} clips or pairs a batch do not fall into {self.pieces} equal parts"
            raise InputError("train.batch_size", cause, "choose a multiple, or lower train.norm_parts")
        if windows // self.pieces < 2:
            cause = f"{windows} windows a batch leave one for each of {self.pieces} parts, which has no deviation"
            raise InputError("train.batch_size", cause, "raise it, or lower train.norm_parts")

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

    @torch.no_grad()
    def settle(self, model: nn.Module) -> None:
        """Give every rank's model the running means and variances of all of a batch's pieces: they are linear in those
        of the ranks, so that it is enough to average them before the model is used."""
        if self.world > 1:
            for buffer in model.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(self.mean(buffer))

    def broadcast(self, value: Any) -> Any:
        """The value of rank 0, on every rank."""
        box = [value]
        if self.world > 1:
            dist.broadcast_object_list(box)
        return box[0]

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model to call in a step. On GPUs its backward pass leaves gradients averaged over all ranks; on a CPU
        `average` does that: torch's wrapper imports its compiler, 1.6 s of every rank, to hide a wait of milliseconds.
        """
        device = next(model.parameters()).device
        if self.world == 1 or device.type == "cpu":
            return model
        if self.world > self.parts:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # the very weights, which the optimiser has already
        return DistributedDataParallel(model, [device], broadcast_buffers=False)

    @torch.no_grad()
    def average(self, model: nn.Module) -> None:
        """On a CPU, give every rank the mean of the gradients of all, once its backward passes are over."""
        if self.world == 1 or next(model.parameters()).device.type != "cpu":
            return
        gradients = [each.grad for each in model.parameters() if each.grad is not None]
        mean = self.mean(torch.cat([each.flatten() for each in gradients]))
        for each, part in zip(gradients, mean.split([each.numel() for each in gradients]), strict=True):
            each.copy_(part.view_as(each))


@contextmanager
def joined(device: str, meeting: str | None = None) -> Iterator[torch.device]:
    """Join the process group that the environment describes, in the variables of torchrun.

    Args:
        device: "cuda", a GPU a process, or "cpu".
        meeting: file at which ranks of one machine meet, which the first of them makes; None where torchrun has them
            meet.

    Yields:
        This process's device.
    """
    where = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if device == "cuda" else torch.device("cpu")
    if device == "cuda":
        torch.cuda.set_device(where)
    place = f"file://{meeting}" if meeting else "env://"
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    dist.init_process_group("nccl" if device == "cuda" else "gloo", place, rank=rank, world_size=world)
    try:
        yield where
    finally:
        dist.destroy_process_group()
