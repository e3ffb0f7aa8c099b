"""The training loop: draws, augmentation, the timed step, validation, and a state that survives any interruption."""

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
import torch

from syncnet_lib import files, imports, parallel
from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.model import checkpoint, header, scoring
from syncnet_lib.model.device import native_precision
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.model.prepare import prepare_mfcc
from syncnet_lib.model.spec import SPECS
from syncnet_lib.training import loaders, state, threshold
from syncnet_lib.training.adamw import AdamW
from syncnet_lib.training.distributed import Ranks
from syncnet_lib.training.muon import Muon
from syncnet_lib.training.sampling import Sampler
from syncnet_lib.training.settings import TrainSettings
from syncnet_lib.training.state import STATE, Epoch
from syncnet_lib.training.step import Step
from syncnet_lib.training.timing import PhaseTimer
from syncnet_lib.training.validation import split_distances

BEST = "best.safetensors"
"""In the state's folder: the weights of the best validation so far."""
TRAINING_SHARE = 2**30
"""Bytes of a process that trains `small` in the default batch, without its clips (`memory_mib` of
`python -m benchmarks.train`)."""
LEAST_PART = 64
"""Windows of a part, by `auto`, at least; the default has 96, of four clips. Over fewer, statistics are noise."""
LEAST_WINDOWS = 30_000
"""Windows of a training on a CPU from which on more processes pay: they start in some 5 s, and save a fifth of the time
that one takes, which trains on some 900 windows a second (`processes` of `python -m benchmarks.train`)."""
WARM_UP = 0.03
"""Share of all steps over which the learning rate rises."""


def learning_rate(step: int, steps: int, peak: float, schedule: str = "cosine") -> float:
    """Learning rate of a step: a linear warm-up, then down.

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
    if settings.optimiser == "auto":
        known["optimiser"] = "muon" if settings.model == "small" and not settings.init else "adamw"
    parts = settings.norm_parts
    if parts == "auto":
        falls = settings.runs % 2 == 0 and settings.batch_size >= 2 * LEAST_PART
        known["norm_parts"] = parts = 2 if falls and device.type == "cpu" and settings.model == "small" else 1
    if settings.processes == "auto":
        known["processes"] = torch.cuda.device_count() if device.type == "cuda" else _processes(settings, parts, split)
    return settings.model_copy(update=known)


def _processes(settings: TrainSettings, parts: int, split: Split) -> int:
    """Processes on a CPU: one a part, as far as there are cores and memory for them."""
    brief = settings.epochs * len(split.index) * settings.samples_per_clip < LEAST_WINDOWS
    if brief or settings.model != "small" or not split.mapped or os.name == "nt":
        # Larger networks fill all cores by themselves; a split in this process's memory would have to be copied; torch
        # for Windows has no torchrun that works without more.
        return 1
    share = TRAINING_SHARE + loaders.bytes_of(split, SPECS[settings.model])
    most, _ = parallel.carried(min(parts, parallel.cores()), share, parallel.free_memory())
    return max(count for count in range(1, most + 1) if parts % count == 0)


def fit(
    train: Split,
    val: Split,
    settings: TrainSettings,
    seed: int,
    device: torch.device,
    state_dir: Path,
    timer: PhaseTimer,
    workers: int = 0,
    init: Path | None = None,
) -> Iterator[Epoch]:
    """Train a model; each epoch is reported when it is over and its state is on disk.

    An interrupted training goes on from its last finished epoch and ends with the same weights: the draws and the
    augmentation of an epoch depend on nothing but `seed` and its number. The best weights are `state_dir / BEST`, the
    last ones are in `state_dir / STATE`. Where this process has joined a process group (`distributed.joined`), it does
    its part of each batch.

    Args:
        train, val: the packed splits.
        settings: how. `processes` is for `launch.fit`; here the process group decides.
        seed: of the weights, the draws and the augmentation.
        device: where.
        state_dir: folder of the running training; the state of another training in it is removed.
        timer: gets every step's phases.
        workers: processes of the folder loaders.
        init: the checkpoint that `settings.init` names; None for random weights.

    Yields:
        One record an epoch; a resumed training gives those of its finished epochs again first.

    Raises:
        InputError: the split does not fill one batch; no memory for a batch, with the size that fits; no compiler;
            `init` is of another network.
        FloatingPointError: the loss is NaN or infinite; names step, clips and the last good state.
    """
    settings = resolve(settings, train, device)
    ranks = Ranks.here(int(settings.norm_parts))
    sampler = _sampler(train, settings, seed)
    ranks.check(settings.runs, settings.batch_size, device)
    model = _new_model(train, settings, seed, init).to(device)
    make = Muon if settings.optimiser == "muon" else AdamW
    optimiser = make(model.parameters(), settings.lr, settings.weight_decay)
    about: dict[str, Any] = {"settings": settings.model_dump(), "seed": seed}
    if init:
        about["init_sha256"] = files.sha256(init)
    key = {
        # Pieces decide, not who computes them: a training may go on in another number of processes.
        **about,
        "settings": settings.model_dump(exclude={"processes"}),
        "pieces": ranks.pieces,
        "data": _digest(train),
        "code": imports.digest(["training.loop"]),
    }
    if ranks.first:
        state.discard_unless(key, state_dir)
    ranks.barrier()
    history = state.resume(state_dir, model, optimiser, timer, device)
    yield from history
    best_auc = max((epoch.validation["auc"] for epoch in history if epoch.validation), default=-1.0)
    step = Step(
        model,
        optimiser,
        ranks,
        margin=settings.margin,
        augmentation=settings.augmentation,
        grad_clip=settings.grad_clip,
        bf16=settings.precision == "bf16",
        compiled=settings.compile,
    )
    tree = _tree(train, settings, state_dir, ranks)
    loader = loaders.make(cast(Any, settings.loader), train, model.spec, device, state_dir, tree, workers)
    steps, numbers = sampler.steps, range(len(history) + 1, settings.epochs + 1)
    draws = (map(ranks.part, sampler.epoch(number)) for number in numbers)
    with closing(loader.batches(draws)) as batches:
        for number in numbers:
            if stopped_early(history, settings.early_stopping):
                break
            begin = time.perf_counter()
            model.train()
            epoch_seed = int(np.random.default_rng([seed, number]).integers(2**62))
            step.reseed(epoch_seed)
            generator = torch.Generator().manual_seed(epoch_seed)
            losses = []
            for at in range(steps):
                timer.at(number, at)
                lr = learning_rate((number - 1) * steps + at, settings.epochs * steps, settings.lr, settings.schedule)
                optimiser.lr = lr
                with timer.phase("data"):
                    batch = next(batches)
                losses.append(step(batch, generator, timer))
            values = ranks.mean(torch.stack(losses)).cpu()
            if not values.isfinite().all():
                bad = int(values.isfinite().int().argmin())
                raise FloatingPointError(_not_finite(train, sampler, number, bad, state_dir))
            epoch = Epoch(number, float(values.mean()), lr, 0.0)
            ranks.settle(model)
            if number % settings.validate_every == 0 or number == settings.epochs:
                epoch.validation = ranks.broadcast(_validate(model, val) if ranks.first else {})
                epoch.best = epoch.validation["auc"] > best_auc
                best_auc = max(best_auc, epoch.validation["auc"])
            epoch.seconds = time.perf_counter() - begin
            history.append(epoch)
            if ranks.first and epoch.best:
                checkpoint.save(model, state_dir / BEST, **about, epoch=number)
            if ranks.first:
                state.save(state_dir, key, model, optimiser, timer, history)
            yield epoch


def stopped_early(history: list[Epoch], patience: int) -> bool:
    """Whether the last validations brought nothing better.

    Args:
        history: the epochs so far.
        patience: so many validations without a better AUC end a training; 0 never does.
    """
    validated = [epoch.best for epoch in history if epoch.validation]
    return patience > 0 and len(validated) > patience and not any(validated[-patience:])


def _sampler(train: Split, settings: TrainSettings, seed: int) -> Sampler:
    kind: Literal["pairs", "candidates"] = "candidates" if settings.loss == "matching" else "pairs"
    return Sampler(train, settings.batch_size, settings.samples_per_clip, kind, seed)


def _new_model(train: Split, settings: TrainSettings, seed: int, init: Path | None) -> SyncNet:
    torch.manual_seed(seed)
    if init:
        spec = header.read(init).spec  # `paper` is half a gigabyte to load
        if spec.name != settings.model:
            cause = f"its network is {spec.name}, and train.model is {settings.model}"
            raise InputError(f"train.init: {settings.init}", cause, f"set train.model: {spec.name}")
        model = checkpoint.load(init)
        model.log_scale.requires_grad_(settings.loss == "matching")
        return model  # with the mean and deviation of the audio that its weights are used to
    model = SyncNet(settings.model)
    model.log_scale.requires_grad_(settings.loss == "matching")
    model.calibrate(prepare_mfcc(np.asarray(train.mfcc[:1]), model.spec, train.index.frames.to_numpy())[0])
    return model


def _validate(model: SyncNet, val: Split) -> dict[str, Any]:
    distances = list(split_distances(model.eval(), val, progress=False).values())
    return scoring.summarise(distances, [0] * len(distances))


def _tree(train: Split, settings: TrainSettings, state_dir: Path, ranks: Ranks) -> Path | None:
    """The training split as single files, written once by rank 0; None for a loader that needs none."""
    if not settings.loader.startswith("folder"):
        return None
    tree = state_dir / "tree"
    if ranks.first and not tree.is_dir():
        loaders.write_tree(train, tree)
    ranks.barrier()
    return tree


def _not_finite(split: Split, sampler: Sampler, epoch: int, step: int, state_dir: Path) -> str:
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


def follow(
    epochs: Iterable[Epoch], total: int, timer: PhaseTimer, report: Callable[[dict[str, float], int], None]
) -> pd.DataFrame:
    """Run a training to its end, a printed line an epoch.

    Args:
        epochs: of `fit`.
        total: how many there will be.
        timer: that of `fit`.
        report: called with each epoch's figures and its number, e.g. that of an experiment tracker. Phases are in
            milliseconds a step.

    Returns:
        A row an epoch: `epoch`, `loss`, `lr`, `auc`, `k5`, `clip_accuracy` (the last three NaN where not validated).
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


def publish(model: SyncNet, val: Split, history: pd.DataFrame, folder: Path, **about: Any) -> Path:
    """Write what a training hands on: `model.safetensors`, whose header carries its own threshold, and `history.csv`.

    Args:
        model: the best one.
        val: the validation split, on which the threshold of a sure verdict is measured.
        history: of `follow`.
        folder: where.
        about: for the header: how the model was trained.

    Returns:
        The path of the model.
    """
    path = folder / "model.safetensors"
    checkpoint.save(model, path, threshold.measure(model, val), **about)
    files.write_bytes(folder / "history.csv", history.to_csv(index=False).encode())
    return path


def summarise(history: pd.DataFrame, split: Split) -> dict[str, float]:
    """The headline figures of a training, none of which is a time.

    Args:
        history: of `follow`.
        split: that it was trained on.

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
