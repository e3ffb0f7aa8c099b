"""One training step: forward, loss, backward, update, each timed."""

import gc
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from syncnet_lib.errors import InputError
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.model.windows import centre
from syncnet_lib.training import loss
from syncnet_lib.training.adamw import AdamW
from syncnet_lib.training.augment import augment
from syncnet_lib.training.distributed import Ranks
from syncnet_lib.training.loaders import Batch
from syncnet_lib.training.randomness import SharedRandom
from syncnet_lib.training.settings import Strength
from syncnet_lib.training.timing import PhaseTimer


class Step:
    """A training step: the loss of a batch, and an update against its gradient.

    Args:
        model: what is trained.
        optimiser: of its parameters.
        ranks: the processes that share a batch, and its parts for BatchNorm.
        margin: of the contrastive loss.
        augmentation: how strongly windows are augmented; None for not at all.
        grad_clip: largest norm of the whole gradient; 0 does not clip.
        bf16: whether the forward pass computes in bf16 (autocast).
        compiled: whether the network is compiled.
    """

    def __init__(
        self,
        model: SyncNet,
        optimiser: AdamW,
        ranks: Ranks,
        *,
        margin: float,
        augmentation: Strength | None,
        grad_clip: float,
        bf16: bool,
        compiled: bool,
    ) -> None:
        self._model, self._optimiser = model, optimiser
        self._margin, self._augmentation, self._grad_clip, self._bf16 = margin, augmentation, grad_clip, bf16
        self._ranks = ranks
        self._network: nn.Module = ranks.wrap(model)
        self._shared = self._network
        norms = (each for each in model.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm))
        self._momenta = {norm: cast(float, norm.momentum) for norm in norms}
        self._compiled = compiled
        self._device = model.mfcc_mean.device
        if compiled:
            # On a GPU this mode replays CUDA graphs: a step of many small kernels no longer waits for the host.
            mode = "reduce-overhead" if self._device.type == "cuda" else "default"
            self._network = cast(nn.Module, torch.compile(self._network, mode=mode))

    def __call__(self, batch: Batch, generator: torch.Generator, timer: PhaseTimer) -> Float[Tensor, ""]:
        """Make one step.

        Args:
            batch: of the loader, this rank's part.
            generator: for the augmentation, on the CPU, in the same state on every rank.
            timer: gets the phases.

        Returns:
            The loss, detached and still on the device.

        Raises:
            InputError: no memory for the batch, with the size that fits; no compiler.
        """
        try:
            return self._step(batch, generator, timer)
        except (RuntimeError, MemoryError) as error:
            # Where nothing is compiled, naming this class would import the compiler, for which there may be no memory.
            if self._compiled and isinstance(error, torch._dynamo.exc.BackendCompilerFailed):
                raise InputError("train.compile", str(error).splitlines()[0], "set it to false") from None
            if not _out_of_memory(error):
                raise
        # Outside the handler: the exception holds what the failed step had computed.
        asked, runs, pieces = len(batch.draw.video), len(batch.draw.audio), len(self._ranks.own)
        fits = self._fitting_runs(batch, generator, runs // pieces) * pieces * asked // runs
        cure = f"a batch of {fits} fits" if fits else "not even a small one fits: take a smaller model"
        raise InputError(f"train.batch_size on {self._device}", f"no memory for {asked} windows a process", cure)

    def _step(self, batch: Batch, generator: torch.Generator, timer: PhaseTimer) -> Tensor:
        own, values = self._ranks.own, []
        runs = len(batch.draw.audio) // len(own)
        state = generator.get_state()
        for at, number in enumerate(own):
            with timer.phase("transfer"):
                piece = batch.runs(at * runs, (at + 1) * runs).to(self._device)
            generator.set_state(state)  # each piece takes its part of the whole batch's random numbers
            for norm, momentum in self._momenta.items():
                # One after another, the pieces come to weigh in the running statistics what their mean would.
                norm.momentum = momentum / (len(own) - momentum * (len(own) - 1 - at))
            with self._averaged(at == len(own) - 1):
                with timer.phase("forward"), self._own_dropout(at):
                    v, a = self._forward(piece, SharedRandom(generator, number, self._ranks.pieces))
                with timer.phase("loss"):
                    value = self._loss(v, a, piece) / len(own)
                with timer.phase("backward"):
                    value.backward()
            values.append(value.detach())
        with timer.phase("update"):
            self._ranks.average(self._model)
            if self._grad_clip:
                # A rare large step costs the first epochs.
                nn.utils.clip_grad_norm_(self._model.parameters(), self._grad_clip)
            self._optimiser.step()
            self._optimiser.zero_grad()
        return torch.stack(values).sum()

    def reseed(self, seed: int) -> None:
        """Begin dropout's random numbers, those of each piece by itself.

        Args:
            seed: the same on every rank.
        """
        own = self._ranks.own
        torch.manual_seed(seed + own[0])
        self._dropout = [torch.Generator().manual_seed(seed + number).get_state() for number in own]

    @contextmanager
    def _own_dropout(self, at: int) -> Iterator[None]:
        """Where this process has several pieces, go on with the random numbers of one of them."""
        if len(self._ranks.own) == 1:
            yield
            return
        torch.set_rng_state(self._dropout[at])
        yield
        self._dropout[at] = torch.get_rng_state()

    def _averaged(self, last: bool) -> AbstractContextManager[Any]:
        """On GPUs the last backward pass alone averages gradients over ranks."""
        if last or not isinstance(self._shared, DistributedDataParallel):
            return nullcontext()
        return self._shared.no_sync()

    def _forward(self, batch: Batch, random: SharedRandom) -> tuple[Tensor, Tensor]:
        spec, video, audio = self._model.spec, batch.video, batch.audio
        if self._augmentation:
            video, audio = augment(video, audio, spec, self._augmentation, random)
        else:
            video = centre(video, spec.size)
        if batch.mean is not None:
            # The mean of the clip as it now sounds: its own, moved by as much as its run was.
            audio = audio - (batch.mean + (audio - batch.audio).mean(1))[:, None]
        with self._autocast():
            return cast(tuple[Tensor, Tensor], self._network(video, audio))

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self._device.type, torch.bfloat16) if self._bf16 else nullcontext()

    def _loss(self, v: Tensor, a: Tensor, batch: Batch) -> Tensor:
        if batch.label is not None:
            return loss.contrastive(v, a[:, 0], batch.label, self._margin)
        assert batch.target is not None
        assert batch.mask is not None
        return loss.matching(v, a.flatten(0, 1), batch.target, batch.mask, self._model.log_scale)

    def _fitting_runs(self, batch: Batch, generator: torch.Generator, runs: int) -> int:
        """Most runs of audio, with their windows, in a piece whose step fits into memory; found by halving."""
        self._network = self._model  # a trial of this process alone
        fits, fails = 0, runs
        least = 1 if len(batch.draw.video) > len(batch.draw.audio) else 2  # BatchNorm needs two windows
        while fails - fits > max(1, runs // 16) and fails > least:
            trial = max(least, (fits + fails) // 2)
            self._model.zero_grad(set_to_none=True)
            gc.collect()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            if self._fits(batch.runs(0, trial), generator):
                fits = trial
            else:
                fails = trial
        return fits

    def _fits(self, batch: Batch, generator: torch.Generator) -> bool:
        if self._tried(batch, generator):
            return True
        # oneDNN that has lacked memory once may refuse what would fit. Without it no convolution takes less memory.
        with torch.backends.mkldnn.flags(enabled=False):
            return self._device.type == "cpu" and self._tried(batch, generator)

    def _tried(self, batch: Batch, generator: torch.Generator) -> bool:
        try:
            small = batch.to(self._device)
            self._loss(*self._forward(small, SharedRandom(generator)), small).backward()
        except (RuntimeError, MemoryError):  # whatever it says, it is for lack of memory
            return False
        return True


def _out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed; on a CPU torch and oneDNN say so only in words."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or any(words in str(error) for words in ("can't allocate memory", "could not create a primitive"))
