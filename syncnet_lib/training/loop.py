"""One training loop: draws, augmentation, the timed step, validation, checkpoints that an interruption cannot harm."""

import gc
import hashlib
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor, nn

from syncnet_lib import files
from syncnet_lib.dataset.splits import Draw, Sampler, Split
from syncnet_lib.errors import InputError
from syncnet_lib.model import scoring
from syncnet_lib.model.embed import embed_split, split_distances
from syncnet_lib.model.networks import SPECS, ModelName, SyncNet, centre, native_precision, prepare_mfcc
from syncnet_lib.settings import Settings
from syncnet_lib.training import loaders, loss
from syncnet_lib.training.augment import Dice, Strength, vary
from syncnet_lib.training.distributed import Ranks
from syncnet_lib.training.loaders import Batch
from syncnet_lib.training.timing import PhaseTimer

STATE = "state.pt"
"""Everything that the next epoch needs, written after every epoch."""
BEST = "best.safetensors"
"""The weights of the best validation so far."""
DECISIVE = tuple(
    f"{name}.py"
    for name in (
        *("dataset/splits", "model/networks", "training/augment", "training/distributed", "training/loaders"),
        *("training/loop", "training/loss"),
    )
)
"""Modules that decide what a training gives."""
WARM_UP = 0.03
"""Share of all steps over which the learning rate rises."""


class TrainSettings(Settings):
    """How a model is trained."""

    model: ModelName = "small"
    loss: Literal["matching", "contrastive"] = "matching"
    margin: float = Field(20.0, gt=0)
    epochs: int = Field(30, ge=1)
    batch_size: int = Field(384, ge=2)
    samples_per_clip: int = Field(24, ge=1)
    validate_every: int = Field(5, ge=1)
    lr: float = Field(2.0e-3, gt=0)
    weight_decay: float = Field(0.02, ge=0)
    schedule: Literal["cosine", "step"] = "cosine"
    grad_clip: float = Field(5.0, ge=0)
    early_stopping: int = Field(0, ge=0)
    augment: bool = True
    blur: float = Field(0.0, ge=0, le=0.7)
    noise: float = Field(0.0, ge=0)
    masks: float = Field(0.0, ge=0)
    loader: Literal["auto", "resident", "mapped", "folder", "folder_persistent"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False
    processes: int | Literal["auto"] = Field("auto")


@dataclass
class Epoch:
    """What an epoch gave.

    Attributes:
        number: from 1.
        loss: mean over its steps.
        lr: learning rate at its end.
        seconds: of its training steps, and of validation with it.
        validation: `scoring.summarise` of the validation split, empty where it was not due.
        best: this epoch's weights are the best so far.
    """

    number: int
    loss: float
    lr: float
    seconds: float
    validation: dict[str, Any] = field(default_factory=dict)
    best: bool = False

    def line(self, epochs: int) -> str:
        """One line for logs and executed notebooks."""
        text = f"epoch {self.number:3d}/{epochs}  loss {self.loss:.4f}  {self.seconds:5.1f} s"
        if self.validation:
            scores = self.scores()
            text += f"  val auc {scores['auc']:.3f}  K=5 {scores['k5']:.1%}  clips {scores['clip_accuracy']:.1%}"
        return text + ("  best" if self.best else "")

    def scores(self) -> dict[str, float]:
        """`auc`, `k5` (one window within a frame) and `clip_accuracy` on the validation split; nan where not due."""
        if not self.validation:
            return dict.fromkeys(("auc", "k5", "clip_accuracy"), math.nan)
        k5 = self.validation["accuracy_by_frames"]["5"]
        return {"auc": self.validation["auc"], "k5": k5, "clip_accuracy": self.validation["clip_accuracy"]}


def rate(step: int, steps: int, peak: float, schedule: str = "cosine") -> float:
    """Learning rate: a warm-up over the first steps, then down.

    Args:
        step, steps: this step, and how many there are.
        peak: the highest.
        schedule: "cosine", to zero; "step", a tenth after half of the steps and a hundredth after three quarters.
    """
    warm = max(1, math.ceil(WARM_UP * steps))
    if step < warm:
        return peak * (step + 1) / warm
    if schedule == "step":
        return peak * 0.1 ** ((step >= steps / 2) + (step >= steps * 3 / 4))
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def resolve(settings: TrainSettings, split: Split, device: torch.device) -> TrainSettings:
    """The settings with what `auto` means on this machine, which is what a run must record.

    Args:
        settings: as given.
        split: to be trained on.
        device: where.
    """
    known: dict[str, Any] = {}
    if settings.precision == "auto":
        known["precision"] = native_precision(device)
    if settings.loader == "auto":
        known["loader"] = loaders.choose(split, SPECS[settings.model], device)
    if settings.processes == "auto":
        known["processes"] = torch.cuda.device_count() if device.type == "cuda" else 1
    return settings.model_copy(update=known)


def fit(
    train: Split,
    val: Split,
    settings: TrainSettings,
    seed: int,
    device: torch.device,
    state_dir: Path,
    timer: PhaseTimer,
    workers: int = 0,
    progress: bool = False,
) -> Iterator[Epoch]:
    """Train a model; each epoch is reported as it ends and everything is on disk by then.

    An interrupted training goes on from its last finished epoch and ends with the same weights: an epoch's draws and
    augmentation depend on nothing but `seed` and its number. The best weights are `state_dir / BEST`, the last ones are
    in `state_dir / STATE`. Where this process has joined a group (`ranks.joined`), it does its part of each batch.

    Args:
        train, val: the packed splits.
        settings: how. `processes` is for `launch.fit`; here the group decides.
        seed: of the weights, the draws and the augmentation.
        device: where.
        state_dir: folder of the running training; another training's state in it is thrown away.
        timer: gets every step's phases.
        workers: processes of the folder loaders.
        progress: a bar over the windows of the validation.

    Yields:
        One record an epoch, past ones of a resumed training too.

    Raises:
        InputError: the split does not fill one batch; no memory for a batch, with the size that fits; no compiler.
        FloatingPointError: the loss is no longer a number; names step, clips and the last good state.
    """
    ranks = Ranks.here()
    settings = resolve(settings, train, device)
    kind: Literal["pairs", "candidates"] = "candidates" if settings.loss == "matching" else "pairs"
    sampler = Sampler(train, settings.batch_size, settings.samples_per_clip, kind, seed)
    ranks.check(sampler.clips_per_batch if kind == "candidates" else settings.batch_size)
    torch.manual_seed(seed)
    model = SyncNet(settings.model)
    model.log_scale.requires_grad_(settings.loss == "matching")
    model.calibrate(prepare_mfcc(np.asarray(train.mfcc[:1]), model.spec, train.index.frames.to_numpy())[0])
    model.to(device)
    optimiser = torch.optim.AdamW(model.parameters(), settings.lr, weight_decay=settings.weight_decay)
    about = {"settings": settings.model_dump(), "seed": seed}
    identity = {**about, "world": ranks.world, "data": _digest(train), "code": _code()}
    for own_turn in (ranks.rank == 0, ranks.rank > 0):  # the first clears away another training's state, if any
        if own_turn:
            past = _resume(state_dir / STATE, identity, model, optimiser, timer, device)
        ranks.share(None)
    yield from past
    best = max((epoch.validation["auc"] for epoch in past if epoch.validation), default=-1.0)
    objective = _Objective(model, settings, ranks)
    tree = _tree(train, settings, state_dir, ranks)
    loader = loaders.make(cast(Any, settings.loader), train, model.spec, device, state_dir, tree, workers)
    numbers = range(len(past) + 1, settings.epochs + 1)
    steps = sampler.steps
    with closing(loader.batches(lambda number: map(ranks.part, sampler.epoch(number)), numbers)) as batches:
        for number in itertools.takewhile(lambda _: not stopped_early(past, settings.early_stopping), numbers):
            begin = time.perf_counter()
            model.train()
            shared = int(np.random.default_rng([seed, number]).integers(2**62))
            torch.manual_seed(shared + ranks.rank)  # dropout
            dice = Dice(torch.Generator().manual_seed(shared), ranks.rank, ranks.world)
            losses = []
            for step in range(steps):
                timer.at(number, step)
                at = (number - 1) * steps + step
                optimiser.param_groups[0]["lr"] = rate(at, settings.epochs * steps, settings.lr, settings.schedule)
                with timer.phase("data"):
                    batch = next(batches)
                losses.append(objective.step(batch, optimiser, dice, timer))
            values = ranks.mean(torch.stack(losses)).cpu()
            if not values.isfinite().all():
                raise FloatingPointError(
                    _not_a_number(train, sampler, number, int(values.isfinite().int().argmin()), state_dir)
                )
            epoch = Epoch(number, float(values.mean()), optimiser.param_groups[0]["lr"], 0.0)
            if number % settings.validate_every == 0 or number == settings.epochs:
                epoch.validation = ranks.share(_validate(model, val, progress) if ranks.rank == 0 else {})
                epoch.best = epoch.validation["auc"] > best
                best = max(best, epoch.validation["auc"])
            epoch.seconds = time.perf_counter() - begin
            past.append(epoch)
            if ranks.rank == 0:
                if epoch.best:
                    model.save(state_dir / BEST, **about, epoch=number)
                state = {
                    "identity": identity,
                    "model": model.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "past": [vars(one) for one in past],
                    "timing": timer.rows(),
                }
                with files.write_aside(state_dir / STATE) as aside:
                    torch.save(state, aside)
            yield epoch


def stopped_early(past: list[Epoch], patience: int) -> bool:
    """Whether the last validations brought nothing new.

    Args:
        past: the epochs so far.
        patience: so many validations without a better AUC end a training; 0 never does.
    """
    validated = [epoch.best for epoch in past if epoch.validation]
    return patience > 0 and len(validated) > patience and not any(validated[-patience:])


def _validate(model: SyncNet, val: Split, progress: bool) -> dict[str, Any]:
    distances = list(split_distances(model.eval(), val, progress=progress).values())
    return scoring.summarise(distances, [0] * len(distances))


def _tree(train: Split, settings: TrainSettings, state_dir: Path, ranks: Ranks) -> Path | None:
    """The training split as single files, written once; None for a loader that needs none."""
    if not settings.loader.startswith("folder"):
        return None
    tree = state_dir / "tree"
    if ranks.rank == 0 and not tree.is_dir():
        loaders.write_tree(train, tree)
    ranks.share(None)  # the others wait until it is there
    return tree


class _Objective:
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
            if not _no_memory(error):
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
        spec, lips, sound = self._model.spec, batch.lips, batch.sound
        if self._settings.augment:
            lips, sound = vary(lips, sound, spec, self._strength, dice)
        else:
            lips = centre(lips, spec.size)
        with self._precision():
            return cast(tuple[Tensor, Tensor], self._network(lips, sound))

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
            small = Batch.of(draw, batch.lips[: len(draw.video)], batch.sound[: len(draw.audio)]).to(self._device)
            self._loss(*self._forward(small, dice), small).backward()
        except (RuntimeError, MemoryError):  # whatever it says, it is for lack of memory
            return False
        return True


def _no_memory(error: BaseException) -> bool:
    """Whether an allocation failed; on a CPU torch says so only in words."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or "can't allocate memory" in str(error)


def _not_a_number(split: Split, sampler: Sampler, epoch: int, step: int, state_dir: Path) -> str:
    """What to tell of a step whose loss is not finite."""
    draw = list(sampler.epoch(epoch))[step]
    clips = np.unique(np.searchsorted(split.index.start, draw.video, "right") - 1)
    names = ", ".join(split.index.clip_id.iloc[clips])
    return f"epoch {epoch} step {step}: the loss is not finite; clips {names}; last good state {state_dir / STATE}"


def _digest(split: Split) -> str:
    """Changes when a training on the split would: other clips, other positives."""
    digest = hashlib.sha256(np.packbits(split.kept).tobytes())
    digest.update(split.index.to_csv(index=False).encode())
    return digest.hexdigest()


def _code() -> str:
    """Changes with the decisive modules: the state of a training is of no use to another version."""
    folder = Path(__file__).parents[1]
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in DECISIVE)).hexdigest()


def _resume(
    path: Path,
    identity: dict[str, Any],
    model: SyncNet,
    optimiser: torch.optim.Optimizer,
    timer: PhaseTimer,
    device: torch.device,
) -> list[Epoch]:
    """Go on from a state of the very same training; returns the epochs that are done."""
    if not path.is_file():
        return []
    state = torch.load(path, map_location=device, weights_only=True)
    if state["identity"] != identity:
        files.remove(path.parent)
        return []
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    timer.restore(state["timing"])
    return [Epoch(**one) for one in state["past"]]


def follow(
    epochs: Iterable[Epoch], total: int, timer: PhaseTimer, report: Callable[[dict[str, float], int], None]
) -> pd.DataFrame:
    """Run a training to its end, a printed line an epoch.

    Args:
        epochs: of `fit`.
        total: how many there will be.
        timer: that of `fit`.
        report: called with each epoch's numbers and its own, e.g. a tracker's. Phases are in milliseconds a step.

    Returns:
        A row an epoch: `epoch`, `loss`, `lr`, `auc`, `k5`, `clip_accuracy` (the last three nan where not validated).
    """
    rows = []
    for epoch in epochs:
        print(epoch.line(total), flush=True)
        row = {"loss": epoch.loss, "lr": epoch.lr, **epoch.scores()}
        known = {name: value for name, value in row.items() if not math.isnan(value)}
        report({**known, "seconds": epoch.seconds, **timer.means(epoch.number)}, epoch.number)
        rows.append({"epoch": epoch.number, **row})
    return pd.DataFrame(rows)


def best(state_dir: Path) -> SyncNet:
    """The best model of a training, ready for inference."""
    return SyncNet.load(state_dir / BEST)


def validation_distances(model: SyncNet, val: Split) -> tuple[np.ndarray, np.ndarray]:
    """Distances of genuine windows, and of windows shifted by every searched shift but the nearest.

    Returns:
        (N,) and (M,) float32.
    """
    apart = [
        scoring.genuine_and_false(scoring.shift_distances(v, a)) for _, v, a in embed_split(model, val, progress=False)
    ]
    genuine, shifted = (np.concatenate(side) for side in zip(*apart, strict=True))
    return genuine, shifted[~np.isnan(shifted)]


def publish(model: SyncNet, history: pd.DataFrame, folder: Path, **about: Any) -> Path:
    """Write what a training hands on, `model.safetensors` and `history.csv`; returns the path of the model."""
    checkpoint = folder / "model.safetensors"
    model.save(checkpoint, **about)
    files.write_bytes(folder / "history.csv", history.to_csv(index=False).encode())
    return checkpoint


def summarise(history: pd.DataFrame, split: Split) -> dict[str, float]:
    """The headline figures of a training, none of which is a time.

    Returns:
        `epochs`, `loss`, the best `val_auc` and the figures of that epoch, `clips` and `positives` trained on.
    """
    top = history.loc[history.auc.idxmax()]
    return {
        "epochs": len(history),
        "loss": round(float(history.loss.iloc[-1]), 6),
        "val_auc": round(float(top.auc), 6),
        "val_k5": round(float(top.k5), 6),
        "val_clip_accuracy": round(float(top.clip_accuracy), 6),
        "clips": len(split.index),
        "positives": int(split.kept.sum()),
    }
