"""One training loop: draws, augmentation, the timed step, validation, checkpoints that an interruption cannot harm."""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from syncnet_lib import files, loss, scoring
from syncnet_lib.audio import MFCC_PER_FRAME, WINDOW_FRAMES, WINDOW_MFCC
from syncnet_lib.embed import embed_split, split_distances
from syncnet_lib.model import ModelName, SyncNet, centre, prepare_frames, prepare_mfcc
from syncnet_lib.pairs import Draw, Sampler, Split
from syncnet_lib.settings import Settings
from syncnet_lib.timing import PhaseTimer

STATE = "state.pt"
"""Everything that the next epoch needs, written after every epoch."""
BEST = "best.safetensors"
"""The weights of the best validation so far."""


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
    augment: bool = True


@dataclass
class Resident:
    """A split as a model wants it, on the device that trains: a batch is two indexed reads.

    Attributes:
        frames: (F, stored, stored) uint8.
        mfcc: (warps, 4 F, 13) float32.
    """

    frames: Tensor
    mfcc: Tensor

    @classmethod
    def load(cls, split: Split, model: SyncNet, device: torch.device) -> "Resident":
        """Reduce a split to the model's scale and move it to the device."""
        frames = prepare_frames(np.asarray(split.frames), model.spec)
        mfcc = prepare_mfcc(np.asarray(split.mfcc), model.spec, split.index.frames.to_numpy())
        return cls(torch.from_numpy(frames.copy()).to(device), torch.from_numpy(mfcc.copy()).to(device))

    def gather(self, draw: Draw) -> tuple[Tensor, Tensor]:
        """The windows of a draw.

        Returns:
            (N, 5, stored, stored) uint8 and (A, 20 + 4 (run - 1), 13) float32.
        """
        device = self.frames.device
        video = torch.from_numpy(draw.video).to(device)[:, None] + torch.arange(WINDOW_FRAMES, device=device)
        steps = torch.from_numpy(draw.audio * MFCC_PER_FRAME).to(device)[:, None]
        steps = steps + torch.arange(WINDOW_MFCC + (draw.run - 1) * MFCC_PER_FRAME, device=device)
        steps = steps.clamp_max(self.mfcc.shape[1] - 1)  # only where the draw's mask hides it
        return self.frames[video], self.mfcc[torch.from_numpy(draw.variant).to(device)[:, None], steps]


def augment(lips: Tensor, sound: Tensor, size: int, group: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Vary what does not bear on synchrony; the windows of a group (a clip's) vary together.

    Lips: crop at random, mirror, tone curve. Sound: gain and a smooth filter.

    Args:
        lips: (N, 5, h, w) uint8.
        sound: (A, steps, 13) float32 runs.
        size: side of the crop.
        group: consecutive windows of lips that share their variation.
        generator: on the CPU, so that a GPU sees the same variation.

    Returns:
        (N, 5, size, size) float32 and (A, steps, 13) float32.
    """
    device, (n, frames, h, w) = lips.device, lips.shape
    count = n // group

    def spread(low: float, high: float, rows: int = count) -> Tensor:
        values = torch.rand(rows, generator=generator) * (high - low) + low
        return values.to(device)

    top = torch.randint(h - size + 1, (count,), generator=generator).to(device)
    left = torch.randint(w - size + 1, (count,), generator=generator).to(device)
    flip = (torch.rand(count, generator=generator) < 0.5).to(device)
    across = torch.arange(size, device=device)
    columns = torch.where(flip[:, None], size - 1 - across, across) + left[:, None]
    at = torch.arange(n, device=device) // group
    rows = (across + top[:, None])[at]
    cut = lips[
        torch.arange(n, device=device)[:, None, None, None],
        torch.arange(frames, device=device)[:, None, None],
        rows[:, None, :, None],
        columns[at][:, None, None, :],
    ]
    # A curve through black and white that lifts or lowers the middle, as gamma does, without a power for each pixel.
    # Brightness and contrast need no variation: the model puts each window on its own scale.
    pixels = cut.float() / 255
    pixels = pixels + spread(-0.6, 0.6)[at][:, None, None, None] * pixels * (1 - pixels)

    change = torch.randn(len(sound), sound.shape[2], generator=generator).to(device)
    # Cepstra of a gain and of a smooth filter: an offset on each coefficient, smaller for the finer ones.
    sound = sound + (change * 6.0 / (1.0 + torch.arange(sound.shape[2], device=device)))[:, None]
    return pixels * 255, sound


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


def rate(step: int, steps: int, peak: float) -> float:
    """Learning rate: 3 % warm-up, then a cosine to zero."""
    warm = max(1, math.ceil(0.03 * steps))
    if step < warm:
        return peak * (step + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def fit(
    train: Split,
    val: Split,
    settings: TrainSettings,
    seed: int,
    device: torch.device,
    state_dir: Path,
    timer: PhaseTimer,
    progress: bool = False,
) -> Iterator[Epoch]:
    """Train a model; each epoch is reported as it ends and everything is on disk by then.

    An interrupted training goes on from its last finished epoch and ends with the same weights: an epoch's draws and
    augmentation depend on nothing but `seed` and its number. The best weights are `state_dir / BEST`.

    Args:
        train, val: the packed splits.
        settings: how.
        seed: of the weights, the draws and the augmentation.
        device: where.
        state_dir: folder of the running training; another training's state in it is thrown away.
        timer: gets every step's phases.
        progress: a bar over the windows of the validation.

    Yields:
        One record an epoch, past ones of a resumed training too.

    Raises:
        InputError: the split does not fill one batch.
        FloatingPointError: the loss is no longer a number; names step, clips and the last good state.
    """
    kind: Literal["pairs", "candidates"] = "candidates" if settings.loss == "matching" else "pairs"
    sampler = Sampler(train, settings.batch_size, settings.samples_per_clip, kind, seed)
    torch.manual_seed(seed)
    model = SyncNet(settings.model)
    data = Resident.load(train, model, device)
    model.calibrate(data.mfcc[0].cpu().numpy())
    model.to(device)
    optimiser = torch.optim.AdamW(model.parameters(), settings.lr, weight_decay=settings.weight_decay)
    about = {"settings": settings.model_dump(), "seed": seed}
    identity = {**about, "data": _digest(train), "code": _code()}
    past = _resume(state_dir / STATE, identity, model, optimiser, timer, device)
    yield from past
    best = max((epoch.validation["auc"] for epoch in past if epoch.validation), default=-1.0)
    for number in range(len(past) + 1, settings.epochs + 1):
        begin = time.perf_counter()
        model.train()
        torch.manual_seed(int(np.random.default_rng([seed, number]).integers(2**62)))  # dropout
        generator = torch.Generator().manual_seed(torch.initial_seed())
        losses = []
        draws = sampler.epoch(number)
        for step in range(sampler.steps):
            timer.at(number, step)
            optimiser.param_groups[0]["lr"] = rate(
                (number - 1) * sampler.steps + step, settings.epochs * sampler.steps, settings.lr
            )
            value = _step(model, data, next(draws), settings, optimiser, generator, timer)
            losses.append(value)
        values = torch.stack(losses).cpu()
        if not values.isfinite().all():
            raise FloatingPointError(
                _not_a_number(train, sampler, number, int(values.isfinite().int().argmin()), state_dir)
            )
        mean = float(values.mean())
        epoch = Epoch(number, mean, optimiser.param_groups[0]["lr"], 0.0)
        if number % settings.validate_every == 0 or number == settings.epochs:
            distances = list(split_distances(model.eval(), val, progress=progress).values())
            epoch.validation = scoring.summarise(distances, [0] * len(distances))
            epoch.best = epoch.validation["auc"] > best
            best = max(best, epoch.validation["auc"])
        epoch.seconds = time.perf_counter() - begin
        if epoch.best:
            model.save(state_dir / BEST, **about, epoch=number)
        past.append(epoch)
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


def _step(
    model: SyncNet,
    data: Resident,
    draw: Draw,
    settings: TrainSettings,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    timer: PhaseTimer,
) -> Tensor:
    """One step; returns the detached loss, still on the device."""
    with timer.phase("data"):
        lips, sound = data.gather(draw)
        if settings.augment:
            lips, sound = augment(lips, sound, model.spec.size, len(lips) // len(sound), generator)
        else:
            lips = centre(lips, model.spec.size)
    with timer.phase("transfer"):
        sides = {
            name: torch.from_numpy(value).to(lips.device, non_blocking=True)
            for name, value in (("label", draw.label), ("target", draw.target), ("mask", draw.mask))
            if value is not None
        }
    with timer.phase("forward"):
        v, a = model(lips, sound)
    with timer.phase("loss"):
        if settings.loss == "matching":
            value = loss.matching(v, a.flatten(0, 1), sides["target"], sides["mask"], model.log_scale)
        else:
            value = loss.contrastive(v, a[:, 0], sides["label"], settings.margin)
    with timer.phase("backward"):
        value.backward()
    with timer.phase("update"):
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)  # a rare large step costs the first epochs
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return value.detach()


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
    """Changes with the modules that decide what a training gives: its state is of no use to another version."""
    folder = Path(__file__).parent
    return hashlib.sha256(
        b"".join((folder / f"{name}.py").read_bytes() for name in ("loss", "model", "pairs", "train"))
    ).hexdigest()


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
    genuine, shifted = [], []
    for _, v, a in embed_split(model, val, progress=False):
        distances = scoring.shift_distances(v, a)
        middle = scoring.VSHIFT
        genuine.append(distances[:, middle])
        far = np.delete(distances, range(middle - scoring.TOLERANCE, middle + scoring.TOLERANCE + 1), axis=1)
        shifted.append(far[~np.isnan(far)])
    return np.concatenate(genuine), np.concatenate(shifted)


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
