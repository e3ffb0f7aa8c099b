"""Rounds of refinement: every training clip is judged by a network that was not trained on it, and training goes on
with what is kept, until the verdicts settle."""

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int64

from syncnet_lib import files, parallel
from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.model import checkpoint, scoring
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.model.spec import SPECS
from syncnet_lib.training import filtering, loaders, loop, refinement, threshold
from syncnet_lib.training.refinement import KEPT, SEARCH, VERDICTS, Evidence
from syncnet_lib.training.settings import FilterSettings, TrainSettings, Unit
from syncnet_lib.training.threshold import Embedded
from syncnet_lib.training.timing import PhaseTimer
from syncnet_lib.training.validation import embed_split, split_distances

SETTLED = 0.01
"""Share of the clips whose verdict may still change from one round to the next when the rounds have settled."""


@dataclass(frozen=True)
class Trainer:
    """How the networks that judge are trained.

    Attributes:
        val: the validation split.
        settings: as for `loop.fit`.
        seed: of the trainings and of the folds.
        device: where.
        scratch: for the states, which are removed.
        processes: most that train judges at the same time, a share of the cores each; 0 trains one after another in
            this process, which is what a GPU wants.
    """

    val: Split
    settings: TrainSettings
    seed: int
    device: torch.device
    scratch: Path
    processes: int = 0

    def fit(self, train: Split, name: str = "judge") -> SyncNet:
        """A network trained on a split.

        Args:
            train: the split.
            name: of the folder of the state; networks that are trained at the same time have one each.
        """
        state = self.scratch / name
        for _ in loop.fit(train, self.val, self.settings, self.seed, self.device, state, PhaseTimer(self.device)):
            pass
        model = checkpoint.load(state / loop.BEST, str(self.device))
        files.remove(state)
        return model


def fold_of(clips: int, folds: int, seed: int) -> Int64[np.ndarray, " clips"]:
    """In which fold each clip is; the folds are of one size, give or take a clip.

    Args:
        clips, folds: how many.
        seed: of the drawing.
    """
    return np.random.default_rng([seed, 11]).permutation(np.arange(clips) % folds)


def evidence_of(
    model: SyncNet, split: Split, chosen: Bool[np.ndarray, " clips"], val: Split, settings: FilterSettings
) -> Evidence:
    """What a network says of clips.

    Args:
        model: in evaluation mode.
        split: that is judged.
        chosen: which of its clips.
        val: the validation split, on which it is measured from which confidence a minimum is clear.
        settings: what is judged, and how the threshold is found.
    """
    part = replace(split, index=split.index[chosen].reset_index(drop=True))
    distances = split_distances(model, part, SEARCH, progress=False)
    limit = filtering.find_threshold(settings.method, settings.threshold, *pooled(distances, settings.unit))
    return Evidence(distances, limit, threshold.measure(model, val, refinement.CLEAR))


@dataclass(frozen=True)
class Opinion:
    """What a network that judges in cross-fitting hands on.

    Attributes:
        evidence: on the clips of its fold that other networks were trained on.
        outside: its embeddings of clips that no network was trained on.
        val: its embeddings of the validation split.
    """

    evidence: Evidence
    outside: list[Embedded]
    val: list[Embedded]


def committee(opinions: Sequence[Opinion], edges: Literal["mask", "zero"]) -> Evidence:
    """What networks say together of clips that none of them was trained on.

    Their embeddings side by side, divided by the root of their number, are an embedding too: its squared distances are
    the means of theirs, and chance, in which they differ, counts for less.

    Args:
        opinions: of networks that judge by the same clips in the same order.
        edges: as for `scoring.shift_distances`.
    """
    distances = {
        clip.video_id: scoring.shift_distances(clip.video, clip.audio, SEARCH, edges)
        for clip in _side_by_side([opinion.outside for opinion in opinions])
    }
    clear = threshold.from_embeddings(_side_by_side([opinion.val for opinion in opinions]), edges, refinement.CLEAR)
    return Evidence(distances, float(np.mean([opinion.evidence.threshold for opinion in opinions])), clear)


def _side_by_side(networks: Sequence[Sequence[Embedded]]) -> list[Embedded]:
    scale = len(networks) ** -0.5
    return [
        Embedded(
            same[0].video_id,
            np.concatenate([clip.video for clip in same], axis=1) * scale,
            np.concatenate([clip.audio for clip in same], axis=1) * scale,
        )
        for same in zip(*networks, strict=True)
    ]


def pooled(
    distances: Mapping[str, Float[np.ndarray, "_ shifts"]], unit: Unit
) -> tuple[Float[np.ndarray, " positives"], Float[np.ndarray, " negatives"]]:
    """Distances of positives and of shifted pairs, on the scale on which a threshold is found.

    Args:
        distances: of `validation.split_distances`.
        unit: means over clips, or single windows.
    """
    clips = [scoring.mean_distances(clip)[None] if unit == "clip" else clip for clip in distances.values()]
    positives, negatives = (np.concatenate(side) for side in zip(*map(scoring.genuine_and_false, clips), strict=True))
    return positives, negatives[~np.isnan(negatives)]


def cross_fitted(training: Split, judged: Split, trainer: Trainer, settings: FilterSettings) -> list[Evidence]:
    """What networks say of the clips that they were not trained on: of most a network a fold, and all of them together
    of those that no network was trained on because the round before rejected them.

    Args:
        training: what may be trained on.
        judged: the same clips as they are judged.
        trainer: of the networks.
        settings: number of folds, and how the threshold is found.

    Returns:
        Of each network, and of the committee where it has clips to judge.

    Raises:
        InputError: fewer clips than folds, a fold that leaves too few for a batch, or a process that trained is lost.
    """
    clips = len(judged.index)
    if clips < settings.folds:
        raise InputError("params.yaml: filter.folds", f"{settings.folds} folds of {clips} clips", "lower it")
    # As many steps as on all clips: epochs have fewer.
    longer = {
        name: math.ceil(getattr(trainer.settings, name) * settings.folds / (settings.folds - 1))
        for name in ("epochs", "validate_every")
    }
    judge = replace(trainer, settings=trainer.settings.model_copy(update=longer))
    # A core each: matrices as small as these gain less than the second core from a second thread.
    work = partial(_opinion, training=training, judged=judged, judge=judge, settings=settings)
    share = loop.TRAINING_SHARE + loaders.bytes_of(training, SPECS[judge.settings.model])
    workers = min(settings.folds, trainer.processes)
    found = {}
    outcomes = parallel.run(work, range(settings.folds), workers=workers, share=share, describe="networks that judge")
    with closing(outcomes):
        for number, outcome in outcomes:
            if isinstance(outcome, parallel.WorkerLost):
                cure = "have more memory free, or lower train.batch_size"
                raise InputError(f"filter, judge {number + 1} of {settings.folds}", str(outcome), cure)
            if isinstance(outcome, Exception):
                raise outcome
            found[number] = outcome
    opinions = [found[number] for number in range(settings.folds)]
    alone = [opinion.evidence for opinion in opinions if opinion.evidence.distances]
    return [*alone, committee(opinions, SPECS[judge.settings.model].edges)] if opinions[0].outside else alone


def _opinion(number: int, training: Split, judged: Split, judge: Trainer, settings: FilterSettings) -> Opinion:
    """Train a network on all folds but one, and hear what it says of that one and of what nothing was trained on."""
    fold = fold_of(len(judged.index), settings.folds, judge.seed)
    others = refinement.of_frames(judged, fold != number)
    model = judge.fit(replace(training, kept=training.kept & others), f"judge{number + 1}")
    evidence = evidence_of(model, judged, fold == number, judge.val, settings)
    unseen = np.array([not kept.any() for kept in np.split(training.kept, judged.starts[1:])])
    rest = replace(judged, index=judged.index[unseen].reset_index(drop=True))
    outside = [Embedded(*clip) for clip in embed_split(model, rest, progress=False)]
    apart = {clip.video_id for clip in outside}
    own = {name: clip for name, clip in evidence.distances.items() if name not in apart}
    val = threshold.embedded(model, judge.val) if outside else []
    return Opinion(replace(evidence, distances=own), outside, val)


@dataclass(frozen=True)
class Round:
    """What a round found.

    Attributes:
        clips: of `refinement.judge_clips`, with `moved`: by how many frames a clip's audio is delayed.
        windows: a row a positive: `clip_id`, `window` (first frame within the clip), `distance`, `kept`.
        evidence: of the networks that judged.
        changed: share of the clips whose verdict is another than a round before; 1 in the first.
    """

    clips: pd.DataFrame
    windows: pd.DataFrame
    evidence: list[Evidence]
    changed: float

    def apply(self, split: Split) -> Split:
        """The split to train on: what is kept of the one that was judged, with its off-sync clips moved."""
        return refinement.move(split.keep(self.windows), self.clips.set_index("clip_id").moved)

    def sides(self, unit: Unit) -> tuple[np.ndarray, np.ndarray]:
        """As `pooled`, of all networks that judged.

        Args:
            unit: as for `pooled`.
        """
        parts = [pooled(part.distances, unit) for part in self.evidence]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def false_accepts(self, unit: Unit) -> float:
        """Share of the shifted pairs that the thresholds let pass.

        Args:
            unit: as for `pooled`.
        """
        passed = [pooled(part.distances, unit)[1] <= part.threshold for part in self.evidence]
        return float(np.concatenate(passed).mean())

    @property
    def threshold(self) -> float:
        """The distance over which a clip without a clear minimum is rejected, a mean over the networks that judged."""
        return float(np.mean([part.threshold for part in self.evidence]))

    def maps(self, chosen: Iterable[str]) -> dict[str, np.ndarray]:
        """Distances over shifts of some clips.

        Args:
            chosen: their ids.
        """
        every = {name: clip for part in self.evidence for name, clip in part.distances.items()}
        return {name: every[name] for name in chosen}

    def surprising(self, count: int) -> pd.DataFrame:
        """The verdicts that are nearest to another one: rejected clips of the least distance over the threshold, and
        kept ones of the most.

        Args:
            count: how many of each.

        Returns:
            Their rows of `clips`.
        """
        kept = self.clips[self.clips.verdict == KEPT].nlargest(count, "distance")
        return pd.concat([self.clips[self.clips.verdict != KEPT].nsmallest(count, "distance"), kept])

    def figures(self) -> dict[str, float]:
        """Counts and shares for a record: of `filtering.summarise`, and of the verdicts on clips."""
        verdicts = {f"clips_{verdict}": int((self.clips.verdict == verdict).sum()) for verdict in VERDICTS}
        return {**filtering.summarise(self.windows), **verdicts, "changed": round(self.changed, 6)}


def run(split: Split, base: SyncNet | None, trainer: Trainer, settings: FilterSettings) -> Iterator[Round]:
    """Judge and refine, round after round, until the verdicts settle.

    Args:
        split: the training split with its noise; every round judges all of it, as it is.
        base: the network that judges the first round where there are no folds; None trains one.
        trainer: of the networks that judge.
        settings: `filter` of params.yaml.

    Yields:
        Each round; the last one counts.

    Raises:
        InputError: nothing is kept, or fewer clips than a batch needs.
    """
    training, before, changed = split, None, 1.0
    for number in range(1, settings.rounds + 1):
        if settings.folds:
            evidence = cross_fitted(training, split, trainer, settings)
        else:
            model = base if number == 1 and base is not None else trainer.fit(training)
            evidence = [evidence_of(model, split, np.ones(len(split.index), bool), trainer.val, settings)]
        clips, windows = _judged(split, evidence, number, trainer, settings)
        verdict = clips.set_index("clip_id").verdict
        changed = 1.0 if before is None else float((verdict != before[verdict.index]).mean())
        found = Round(clips.assign(moved=refinement.moves(clips, settings.repair)), windows, evidence, changed)
        yield found
        if changed <= SETTLED:
            return
        training, before = found.apply(split), verdict
    if settings.rounds > 1:
        warnings.warn(
            f"the verdicts have not settled in {settings.rounds} rounds: {changed:.1%} of {len(split.index)} clips "
            f"changed in the last one, more than {SETTLED:.0%}",
            stacklevel=2,
        )


def _judged(
    split: Split, evidence: list[Evidence], number: int, trainer: Trainer, settings: FilterSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The clips and the windows of a round."""
    if settings.unit == "window":
        return refinement.judge_windows(evidence, number)
    clips = refinement.judge_clips(evidence, number)
    least = max(1, trainer.settings.batch_size // trainer.settings.samples_per_clip)
    kept = refinement.refine(split, clips, settings.repair, least).kept
    place = split.index.set_index("clip_id").start
    windows = pd.concat(
        [
            pd.DataFrame({"clip_id": name, "window": np.arange(len(over_shifts)), "distance": over_shifts[:, SEARCH]})
            for part in evidence
            for name, over_shifts in part.distances.items()
        ],
        ignore_index=True,
    )
    return clips, windows.assign(kept=kept[windows.clip_id.map(place) + windows.window])
