"""One training step: forward, loss, backward, update, each timed."""

import gc
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn

from syncnet_lib.errors import InputError
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.model.prepare import centre
from syncnet_lib.training import loss
from syncnet_lib.training.augment import Dice, Strength, vary
from syncnet_lib.training.distributed import Ranks
from syncnet_lib.training.loaders import Batch
from syncnet_lib.training.sampling import Draw
from syncnet_lib.training.settings import TrainSettings
from syncnet_lib.training.timing import PhaseTimer


class Objective:
    """What a step computes: the loss of a batch and a step against its gradient."""

    def __init__(self, model: SyncNet, settings: TrainSettings, ranks: Ranks) -> None:
        self._model, self._settings = model, settings
        self._strength = Strength(settings.blur, settings.noise, settings.masks)
        self._network: nn.Module = ranks.wrap(model)
        device = model.mfcc_mean.device
        if settings.compile:
            # On a GPU this mode replays CUDA graphs: a step of many small kernels no longer waits for the host.
            mode = "reduce-overhead" if device.type == "cuda" else "default"
            self._network = cast(nn.Module, torch.compile(self._network, mode=mode))
        self._device = device

    def _precision(self) -> AbstractContextManager[Any]:
        if self._settings.precision == "bf16":
            return torch.autocast(self._device.type, torch.bfloat16)
        return nullcontext()

    def step(self, batch: Batch, optimiser: torch.optim.Optimizer, dice: Dice, timer: PhaseTimer) -> Tensor:
        """One step; returns the detached loss, still on the device."""
        try:
            return self._step(batch, optimiser, dice, timer)
        except torch._dynamo.exc.BackendCompilerFailed as error:
            raise InputError("train.compile", str(error).splitlines()[0], "set it to false") from None
        except (RuntimeError, MemoryError) as error:
            if not no_memory(error):
                raise
        # Outside the handler: the exception holds what the failed step had computed.
        asked, runs = len(batch.draw.video), len(batch.draw.audio)
        fits = self._fits(batch, dice, runs) * asked // runs
        cure = f"a batch of {fits} fits" if fits else "not even a small one fits: take a smaller model"
        raise InputError(f"train.batch_size on {self._device}", f"no memory for {asked} windows a process", cure)

    def _step(self, batch: Batch, optimiser: torch.optim.Optimizer, dice: Dice, timer: PhaseTimer) -> Tensor:
        with timer.phase("transfer"):
            batch = batch.to(self._device)
        with timer.phase("forward"):
            v, a = self._forward(batch, dice)
        with timer.phase("loss"):
            value = self._loss(v, a, batch)
        with timer.phase("backward"):
            value.backward()
        with timer.phase("update"):
            if self._settings.grad_clip:
                # A rare large step costs the first epochs.
                nn.utils.clip_grad_norm_(self._model.parameters(), self._settings.grad_clip)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return value.detach()

    def _forward(self, batch: Batch, dice: Dice) -> tuple[Tensor, Tensor]:
        spec, video, audio = self._model.spec, batch.video, batch.audio
        if self._settings.augment:
            video, audio = vary(video, audio, spec, self._strength, dice)
        else:
            video = centre(video, spec.size)
        with self._precision():
            return cast(tuple[Tensor, Tensor], self._network(video, audio))

    def _loss(self, v: Tensor, a: Tensor, batch: Batch) -> Tensor:
        if batch.label is not None:
            return loss.contrastive(v, a[:, 0], batch.label, self._settings.margin)
        assert batch.target is not None
        assert batch.mask is not None
        return loss.matching(v, a.flatten(0, 1), batch.target, batch.mask, self._model.log_scale)

    def _fits(self, batch: Batch, dice: Dice, runs: int) -> int:
        """Most runs of sound, with their windows, whose step fits into memory; found by halving."""
        self._network = self._model  # a trial of this process alone
        fits, fails = 0, runs
        least = 1 if len(batch.draw.video) > runs else 2  # BatchNorm needs two windows
        while fails - fits > max(1, runs // 16) and fails > least:
            trial = max(least, (fits + fails) // 2)
            self._model.zero_grad(set_to_none=True)
            gc.collect()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            if self._tries(batch.draw.runs(0, trial), batch, dice):
                fits = trial
            else:
                fails = trial
        return fits

    def _tries(self, draw: Draw, batch: Batch, dice: Dice) -> bool:
        try:
            small = Batch.of(draw, batch.video[: len(draw.video)], batch.audio[: len(draw.audio)]).to(self._device)
            self._loss(*self._forward(small, dice), small).backward()
        except (RuntimeError, MemoryError):  # whatever it says, it is for lack of memory
            return False
        return True


def no_memory(error: BaseException) -> bool:
    """Whether an allocation failed; on a CPU torch says so only in words."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or "can't allocate memory" in str(error)
