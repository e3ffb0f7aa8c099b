"""The study of the losses: the same network, data and budget under each, and what makes classification fail or work."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from syncnet_lib.dataset.splits import Split
from syncnet_lib.experiment import corpora
from syncnet_lib.experiment.points import Study
from syncnet_lib.model import scoring
from syncnet_lib.model.device import native_precision
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.model.prepare import prepare_mfcc
from syncnet_lib.model.scoring import VSHIFT
from syncnet_lib.training import loaders, loop, loss
from syncnet_lib.training.adamw import AdamW
from syncnet_lib.training.distributed import Ranks
from syncnet_lib.training.loaders import Batch
from syncnet_lib.training.sampling import Sampler
from syncnet_lib.training.settings import TrainSettings
from syncnet_lib.training.step import Step
from syncnet_lib.training.timing import PhaseTimer
from syncnet_lib.training.validation import embed_split

CORPUS = "synthetic"
SEEDS = (0, 1, 2)
VALIDATE_EVERY = 40
"""Steps between two validations: how finely it is told when a loss leaves chance."""
LEFT_CHANCE = 0.55
"""AUC on validation clips from which a training has left chance: with shuffled labels the AUC of 20 clips stays within
0.03 of 0.5."""
EASY = 10
"""Frames: the least shift of a false pair at the beginning of a training from easy to hard; from halfway on it is 1."""
DEFAULT = TrainSettings(batch_size=384)


@dataclass(frozen=True)
class Loss:
    """A loss and how it is trained.

    Attributes:
        form: "matching"; "contrastive"; "cosine": cross-entropy of (1 + cos) / 2 as a probability; "pairs": binary
            cross-entropy of a small network on both embeddings; "scaled": that of a scaled cosine; "balanced": the same
            on each window against all of its clip's, genuine and false pairs weighing the same; "bins": which offset a
            pair has, out of 31.
        normalise: embeddings have length 1.
        margin: of the contrastive loss.
        scale: of the cosine at the beginning.
        learned: whether the scale is learned.
        lr, batch_size: as in params.yaml; all losses see the same number of windows.
        easy_first: false pairs by large shifts first.
    """

    form: Literal["matching", "contrastive", "cosine", "pairs", "scaled", "balanced", "bins"]
    normalise: bool = True
    margin: float = 1.0
    scale: float = 1 / 0.07
    learned: bool = True
    lr: float = DEFAULT.lr
    batch_size: int = DEFAULT.batch_size
    easy_first: bool = False

    @property
    def kind(self) -> Literal["pairs", "candidates"]:
        """What a step draws."""
        return "candidates" if self.form in ("matching", "balanced", "bins") else "pairs"


LOSSES = {
    "binary cross-entropy": Loss("pairs"),
    "offset bins": Loss("bins"),
    "contrastive, raw": Loss("contrastive", normalise=False, margin=20.0),
    "contrastive, normalised": Loss("contrastive", margin=1.0),
    "cosine cross-entropy": Loss("cosine"),
    "balanced binary cross-entropy": Loss("balanced"),
    "multi-way matching": Loss("matching"),
    "contrastive, raw, margin 2": Loss("contrastive", normalise=False, margin=2.0),
    "contrastive, normalised, margin 0.5": Loss("contrastive", margin=0.5),
    "contrastive, normalised, margin 1.5": Loss("contrastive", margin=1.5),
    "binary, lr 0.0005": Loss("pairs", lr=5e-4),
    "binary, lr 0.008": Loss("pairs", lr=8e-3),
    "binary, batch 128": Loss("pairs", batch_size=128),
    "binary, batch 256": Loss("pairs", batch_size=256),
    "binary, batch 1024": Loss("pairs", batch_size=1024),
    "binary, easy to hard": Loss("pairs", easy_first=True),
    "binary of the cosine, temperature 1": Loss("scaled", scale=1.0, learned=False),
    "binary of the cosine, temperature 0.2": Loss("scaled", scale=5.0, learned=False),
    "binary of the cosine, learned temperature": Loss("scaled"),
}
"""The losses that are compared, then margins, then what could make classification fail or work."""
MAIN = tuple(LOSSES)[:7]


def points(steps: int) -> list[dict[str, Any]]:
    """The settings of all points.

    Args:
        steps: of each training, at the default batch size.
    """
    return [{"corpus": CORPUS, "loss": name, "seed": seed, "steps": steps} for name in LOSSES for seed in SEEDS]


class Head(nn.Module):
    """What a loss adds to the network: from two embeddings to the loss, and to a distance of the pair.

    Args:
        chosen: the loss.
        size: of an embedding.
    """

    def __init__(self, chosen: Loss, size: int) -> None:
        super().__init__()
        self._chosen = chosen
        outputs = 2 * VSHIFT + 1 if chosen.form == "bins" else 1
        self.layers = nn.Sequential(nn.Linear(2 * size, 256), nn.ReLU(), nn.Linear(256, outputs))
        self.log_scale = nn.Parameter(torch.tensor(chosen.scale).log(), requires_grad=chosen.learned)
        self.bias = nn.Parameter(torch.zeros(()))

    def loss(self, v: Tensor, a: Tensor, batch: Batch, progress: float) -> Tensor:
        """The loss of a batch.

        Args:
            v: (N, D) embeddings of video windows.
            a: (A, windows, D) those of the runs of audio.
            batch: which belong together.
            progress: 0 at the first step, 1 at the last.
        """
        form = self._chosen.form
        if batch.label is not None:
            return self._of_pairs(v, a[:, 0], batch, batch.label, progress)
        assert batch.target is not None
        assert batch.mask is not None
        if form == "matching":
            return loss.matching(v, a.flatten(0, 1), batch.target, batch.mask, self.log_scale)
        clips, candidates = batch.mask.shape
        own = batch.target.view(clips, -1)
        if form == "balanced":
            scores = torch.einsum("ckd,csd->cks", v.view(clips, -1, v.shape[-1]), a) * self.log_scale.exp() + self.bias
            genuine = F.one_hot(own, candidates).bool()
            false = batch.mask[:, None] & ~genuine
            return (F.softplus(-scores[genuine]).mean() + F.softplus(scores[false]).mean()) / 2
        # A shift of each window's audio, uniform over those within the clip and the search.
        last = batch.mask.sum(1, keepdim=True) - 1
        low, high = (own - VSHIFT).clamp_min(0), torch.minimum(own + VSHIFT, last)
        heard = low + (torch.rand(own.shape, device=v.device) * (high - low + 1)).long()
        audio = a.gather(1, heard[:, :, None].expand(-1, -1, a.shape[-1])).flatten(0, 1)
        return F.cross_entropy(self.layers(torch.cat([v, audio], 1)), (heard - own + VSHIFT).flatten())

    def _of_pairs(self, v: Tensor, a: Tensor, batch: Batch, label: Tensor, progress: float) -> Tensor:
        form = self._chosen.form
        if form == "contrastive":
            return loss.contrastive(v, a, label, self._chosen.margin)
        if form == "cosine":
            # In full precision and off the ends: the logarithm of 0 has no gradient.
            share = ((1 + (v * a).sum(1)) / 2).clamp(1e-6, 1 - 1e-6)
            return F.binary_cross_entropy(share, label)
        each = F.binary_cross_entropy_with_logits(self._logit(v, a), label, reduction="none")
        if not self._chosen.easy_first:
            return each.mean()
        least = EASY - (EASY - 1) * min(1.0, 2 * progress)
        shift = np.abs(batch.draw.audio - batch.draw.video)
        used = torch.from_numpy((shift == 0) | (shift >= least)).to(v.device)
        return each[used].mean()

    def _logit(self, v: Tensor, a: Tensor) -> Tensor:
        if self._chosen.form in ("scaled", "balanced"):
            return (v * a).sum(-1) * self.log_scale.exp() + self.bias
        return self.layers(torch.cat([v, a], -1))[..., 0]

    def distance(self, v: Tensor, a: Tensor) -> Tensor:
        """(N,) how little pairs look like genuine ones: distances, or, of a classifier, logits or logarithms of the
        probability of another offset than 0.

        Args:
            v, a: (N, D) embeddings.
        """
        if self._chosen.form == "bins":
            return -self.layers(torch.cat([v, a], 1)).log_softmax(1)[:, VSHIFT]
        if self._chosen.form in ("pairs", "scaled", "balanced"):
            return -self._logit(v, a)
        return loss.distance(v, a)


class HeadStep(Step):
    """The step of any training, with a head's loss in place of its own.

    Attributes:
        head: it.
        progress: 0 at the first step, 1 at the last.
    """

    head: Head
    progress = 0.0

    def _loss(self, v: Tensor, a: Tensor, batch: Batch) -> Tensor:
        return self.head.loss(v, a, batch, self.progress)


def point(folder: Path, device: str, *, corpus: str, loss: str, seed: int, steps: int) -> dict[str, Any]:
    """A training under one loss with one seed.

    Args:
        folder: of the corpora.
        device: where to train.
        corpus, loss, seed: what is trained on, a name of LOSSES, and the seed of weights, draws and augmentation.
        steps: at the default batch size.

    Returns:
        `curve` (step, loss, validation AUC and K = 5), `left_chance_at_step` (None: never), `k5` and `k15` (a share for
        each test clip), `by_frames` (their mean for each length).
    """
    splits, chosen = corpora.read(folder, corpus), LOSSES[loss]
    curve, model, head = [], None, None
    for step, value, model, head in train(splits["train"], chosen, seed, torch.device(device), steps):
        found = scoring.summarise(list(distances(model, head, splits["val"])), [0] * len(splits["val"].index))
        k5 = found["accuracy_by_frames"]["5"]
        curve.append([step, round(value, 5), round(found["auc"], 4), round(k5, 4)])
    assert model is not None
    assert head is not None
    test = list(distances(model, head, splits["test"]))
    return {
        "curve": curve,
        "left_chance_at_step": left_chance(curve),
        **{
            f"k{frames}": [round(float(scoring.right_at(clip, frames).mean()), 4) for clip in test]
            for frames in (5, 15)
        },
        "by_frames": scoring.summarise(test, [0] * len(test))["accuracy_by_frames"],
    }


def left_chance(curve: list[list[float]]) -> int | None:
    """The first validated step from which on the AUC stays that of a network that has left chance.

    Args:
        curve: of `point`.
    """
    at = None
    for step, _, auc, _ in curve:
        at = None if auc < LEFT_CHANCE else at or int(step)
    return at


def train(
    split: Split, chosen: Loss, seed: int, device: torch.device, steps: int
) -> Iterator[tuple[int, float, SyncNet, Head]]:
    """Train the small network.

    Args:
        split: of packed clips.
        chosen: the loss.
        seed: of weights, draws and augmentation.
        device: where.
        steps: at the default batch size.

    Yields:
        At every validation and at the end: the step, the mean loss since the last time, and the network and its head in
        evaluation mode.
    """
    torch.manual_seed(seed)
    model = SyncNet("small")
    model.spec = replace(model.spec, normalise=chosen.normalise)
    model.calibrate(prepare_mfcc(np.asarray(split.mfcc[:1]), model.spec, split.index.frames.to_numpy())[0])
    head = Head(chosen, model.spec.embedding)
    model.to(device)
    head.to(device)
    parameters = [*model.parameters(), *head.parameters()]
    optimiser = AdamW(parameters, chosen.lr, DEFAULT.weight_decay)
    sampler = Sampler(split, chosen.batch_size, DEFAULT.samples_per_clip, chosen.kind, seed)
    batches = loaders.Resident.load(split, model.spec, device).batches(map(sampler.epoch, itertools.count(1)))
    generator, timer = torch.Generator().manual_seed(seed), PhaseTimer(device)
    update = HeadStep(
        model,
        optimiser,
        Ranks.here(),
        margin=chosen.margin,
        augmentation=DEFAULT.augmentation,
        grad_clip=DEFAULT.grad_clip,
        bf16=native_precision(device) == "bf16",
        compiled=False,
    )
    update.head = head
    total = round(steps * DEFAULT.batch_size / chosen.batch_size)
    every = round(VALIDATE_EVERY * DEFAULT.batch_size / chosen.batch_size)
    values = []
    for step, batch in zip(range(total), batches, strict=False):
        model.train()
        timer.at(1, step)
        update.progress = step / total
        optimiser.lr = loop.learning_rate(step, total, chosen.lr)
        values.append(update(batch, generator, timer))
        if (step + 1) % every == 0 or step + 1 == total:
            yield step + 1, float(torch.stack(values).mean()), model.eval(), head
            values = []
    batches.close()


@torch.inference_mode()
def distances(model: SyncNet, head: Head, split: Split) -> Iterator[np.ndarray]:
    """Distances of each clip as `scoring.shift_distances` has them, by the loss's own measure.

    Args:
        model, head: of `train`.
        split: of packed clips.
    """
    device = model.mfcc_mean.device
    for _, video, audio in embed_split(model, split, progress=False):
        v, a = (torch.from_numpy(side).to(device) for side in (video, audio))
        found = np.full((len(v), 2 * VSHIFT + 1), np.nan, np.float32)
        for column, shift in enumerate(range(-VSHIFT, VSHIFT + 1)):
            first, last = max(0, -shift), min(len(v), len(a) - shift)
            if first < last:
                pairs = head.distance(v[first:last], a[first + shift : last + shift])
                found[first:last, column] = pairs.float().cpu().numpy()
        yield found


def study(corpora_folder: Path, points_folder: Path) -> Study:
    """The study as `points` has it.

    Args:
        corpora_folder, points_folder: where its data and its figures are.
    """
    return Study("loss", point, "experiment.loss_study", corpora_folder, points_folder)


POINTS = points(steps=400)
"""All of them, as the study runs them."""
