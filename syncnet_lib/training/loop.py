"""One training loop: draws, augmentation, the timed step, validation, checkpoints that an interruption cannot harm."""

import hashlib
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
import torch

from syncnet_lib import files
from syncnet_lib.dataset.splits import Split
from syncnet_lib.model import checkpoint, scoring
from syncnet_lib.model.device import native_precision
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.model.prepare import prepare_mfcc
from syncnet_lib.model.spec import SPECS
from syncnet_lib.training import loaders
from syncnet_lib.training.augment import Dice
from syncnet_lib.training.distributed import Ranks
from syncnet_lib.training.sampling import Sampler
from syncnet_lib.training.settings import TrainSettings
from syncnet_lib.training.step import Objective
from syncnet_lib.training.timing import PhaseTimer
from syncnet_lib.training.validation import embed_split, split_distances

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
    in `state_dir / STATE`. Where this process has joined a group (`distributed.joined`), it does its part of
    each batch.

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
    about: dict[str, Any] = {"settings": settings.model_dump(), "seed": seed}
    identity = {**about, "world": ranks.world, "data": _digest(train), "code": _code()}
    for own_turn in (ranks.rank == 0, ranks.rank > 0):  # the first clears away another training's state, if any
        if own_turn:
            past = _resume(state_dir / STATE, identity, model, optimiser, timer, device)
        ranks.share(None)
    yield from past
    best = max((epoch.validation["auc"] for epoch in past if epoch.validation), default=-1.0)
    objective = Objective(model, settings, ranks)
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
                    checkpoint.save(model, state_dir / BEST, **about, epoch=number)
                state = {
                    "identity": identity,
                    "model": model.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "past": [vars(one) for one in past],
                    "timing": timer.rows(),
                }
                with files.atomic(state_dir / STATE) as temporary:
                    torch.save(state, temporary)
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
    return checkpoint.load(state_dir / BEST)


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
    path = folder / "model.safetensors"
    checkpoint.save(model, path, **about)
    files.write_bytes(folder / "history.csv", history.to_csv(index=False).encode())
    return path


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
