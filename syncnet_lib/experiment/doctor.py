"""Before hours of training: what the clips of a corpus say about how it will go."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from tqdm import tqdm

from syncnet_lib.dataset import clips
from syncnet_lib.dataset.pairs_settings import PairsSettings
from syncnet_lib.dataset.splits import SPLITS
from syncnet_lib.errors import InputError
from syncnet_lib.experiment import talkers_report
from syncnet_lib.media.clock import FPS
from syncnet_lib.model import checkpoint, header, scoring
from syncnet_lib.model.embed import embed_clip
from syncnet_lib.model.header import Threshold
from syncnet_lib.training.refinement import DUBBED, KEPT, OFF_SYNC, SEARCH, Evidence, judge_clips
from syncnet_lib.training.settings import TrainSettings

LEAST = 3
"""Talkers in the test split, and sure clips of a source, below which no mean is told from chance."""
AGREE = 0.6
"""Share of a source's sure clips at one offset, within a frame, from which that offset is the source's own."""
NOISY = 0.2
"""Share of off-sync clips, and of time without a face, from which training suffers: the default corpus is as noisy."""

Level = Literal["good", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """One thing that the doctor says.

    Attributes:
        level: "good", "note": worth knowing; "bad": training will suffer.
        what: the thing.
        says: what was found, with its numbers.
        cure: what to do about it; "" where nothing.
    """

    level: Level
    what: str
    says: str
    cure: str = ""


def examine(
    data: Path, model: Path, train: TrainSettings, pairs: PairsSettings, limit: int, curve: Path
) -> list[Finding]:
    """Everything that can be said of a folder of clips.

    Args:
        data: the working folder, with `clips`.
        model: a checkpoint that measures offsets.
        train, pairs: how it will be trained.
        limit: most clips that are measured, spread over the sources; 0 measures none.
        curve: JSON of the study of the number of talkers; it need not exist.

    Raises:
        InputError: no clips, or none of what the model is fed.
    """
    path = data / "clips" / "clips.parquet"
    if not path.is_file():
        raise InputError(path, "no clips to examine", "run: dvc repro extract")
    manifest = pd.read_parquet(path)
    findings = [*of_talkers(manifest, pairs, curve), *of_speech(manifest, train, pairs)]
    if limit:
        findings += of_offsets(measure(data / "clips", manifest, model, limit), header.read(model).threshold)
    return findings


def of_talkers(manifest: pd.DataFrame, pairs: PairsSettings, curve: Path) -> Iterator[Finding]:
    """Whether there are enough talkers.

    Args:
        manifest: the clips.
        pairs: shares of the splits.
        curve: as for `examine`.
    """
    known = manifest.speaker[manifest.speaker != ""]
    talkers = known.nunique()
    if not talkers:
        says = f"unknown; the splits are made by source video ({manifest.video_id.nunique()})"
        yield Finding("note", "talkers", says, "name them, or one talker may be in training and test")
        return
    unknown = f", {len(manifest) - len(known)} clips of unknown talkers" if len(known) < len(manifest) else ""
    test = talkers * (1 - pairs.train_share - pairs.val_share)
    if talkers < len(SPLITS):
        says = f"{talkers}{unknown}: the splits are made by video, and what is measured holds for these talkers only"
        yield Finding("bad", "talkers", says, "add talkers")
    elif test < LEAST:
        says = f"{talkers}{unknown}: about {test:.1f} of them in the test split, too few to speak for others"
        yield Finding("bad", "talkers", says, f"at least {LEAST / test * talkers:.0f} talkers, or a larger test share")
    else:
        yield Finding("good", "talkers", f"{talkers}{unknown}, about {test:.0f} of them in the test split")
    if curve.is_file():
        studied = json.loads(curve.read_text())["rows"]
        at, accuracy = np.array(talkers_report.expected(studied)).T
        expected = float(np.interp(np.log(talkers * pairs.train_share), np.log(at), accuracy))
        says = (
            f"about {expected:.0%} at K = 5 on people whom training has not seen, by the study of drawn talkers, "
            f"whose trainings have {talkers_report.steps(studied)} steps; longer ones, and real talkers, reach more"
        )
        yield Finding("note", "expected accuracy", says)


def of_speech(manifest: pd.DataFrame, train: TrainSettings, pairs: PairsSettings) -> Iterator[Finding]:
    """Whether there is enough speech, and a face with it.

    Args:
        manifest: the clips.
        train, pairs: how they will be used.
    """
    seconds = manifest.frames / FPS
    speech = float((seconds * manifest.speech_share).sum())
    says = f"{speech / 60:.1f} minutes in {len(manifest)} clips of {seconds.sum() / 60:.1f} minutes"
    silent = float((manifest.speech_share == 0).mean())
    if silent == 1:
        yield Finding("bad", "speech", f"none in {len(manifest)} clips", "give videos with sound")
    elif silent > 0:
        yield Finding("note", "speech", f"{says}; {silent:.0%} of the clips have none", "leave them out")
    else:
        yield Finding("good", "speech", says)
    batch = max(1, train.batch_size // train.samples_per_clip)
    training = int(len(manifest) * pairs.train_share)
    if training < batch:
        cure = f"train.batch_size {max(2, training * train.samples_per_clip)}, or more clips"
        yield Finding("bad", "batch", f"{training} training clips, and a batch takes {batch}", cure)
    faceless = float(manifest.faceless_share.mean())
    level: Level = "bad" if faceless > NOISY else "good"
    yield Finding(level, "without a face", f"{faceless:.1%} of the time", "give close-ups" if level == "bad" else "")


def measure(folder: Path, manifest: pd.DataFrame, model: Path, limit: int) -> pd.DataFrame:
    """Distances of clips to their sound at every shift, and where each comes from.

    Args:
        folder: the clips.
        manifest: their manifest.
        model: a checkpoint.
        limit: most clips, spread evenly over the sources.

    Returns:
        A row a clip: `clip_id`, `source` (the folder of its video or, where all are in one, its talker or video) and
        `distances`.
    """
    network = checkpoint.load(model)
    source = manifest.path.map(lambda path: str(Path(path).parent))
    if source.nunique() == 1:
        source = manifest.speaker.where(manifest.speaker != "", manifest.video_id)
    turn = manifest.groupby(source).cumcount()  # the first of every source, then the second, ...
    chosen = manifest.assign(source=source, turn=turn).sort_values(["turn", "source"]).head(limit)
    rows = []
    for row in tqdm(chosen.itertuples(), "measuring", len(chosen), unit="clip", disable=None):
        clip = clips.load(folder / row.clip_id)
        if len(clip.mouth) <= SEARCH:
            continue  # too short for the search
        video, audio = embed_clip(network, np.array(clip.mouth), clip.mfcc)
        distances = scoring.shift_distances(video, audio, SEARCH)
        rows.append({"clip_id": row.clip_id, "source": row.source, "distances": distances})
    return pd.DataFrame(rows, columns=["clip_id", "source", "distances"])


def of_offsets(measured: pd.DataFrame, sure: Threshold | None) -> Iterator[Finding]:
    """Which sources have an offset of their own, and how many clips are off-sync.

    Args:
        measured: of `measure`.
        sure: of the network that measured.
    """
    if measured.empty or sure is None:
        why = "no clip is long enough" if measured.empty else "the checkpoint has no threshold of a sure verdict"
        yield Finding("note", "offsets", f"not measured: {why}")
        return
    # No threshold of distance: of another network's training talkers none is known.
    evidence = Evidence(dict(zip(measured.clip_id, measured.distances, strict=True)), -1.0, sure)
    try:
        table = judge_clips([evidence])
    except InputError:  # not one clip is surely in sync
        yield Finding("bad", "in sync", f"not one of {len(measured)} clips surely is", "see syncnet offset VIDEO")
        return
    table["source"] = measured.source.to_numpy()
    counts = table.verdict.value_counts().reindex([KEPT, OFF_SYNC, DUBBED], fill_value=0)
    says = (
        f"of {len(table)} clips {counts[KEPT] / len(table):.0%} are surely in sync, "
        f"{counts[OFF_SYNC] / len(table):.0%} surely off-sync, {counts[DUBBED] / len(table):.0%} doubtful"
    )
    if counts[OFF_SYNC] / len(table) > NOISY:
        yield Finding("bad", "in sync", says, "filter.repair: true moves them")
    elif counts[DUBBED] > len(table) / 2:  # strangers to the network that measures, or dubbed
        cure = "watch some of them; networks that the filter trains on these people tell more (filter.folds)"
        yield Finding("note", "in sync", says, cure)
    else:
        yield Finding("good", "in sync", says)
    for source, rows in table[table.verdict != DUBBED].groupby("source"):
        own = float(rows.fine.median())
        if len(rows) >= LEAST and abs(own) > scoring.TOLERANCE:
            agree = float(((rows.fine - own).abs() <= scoring.TOLERANCE).mean())
            if agree >= AGREE:
                says = f"{agree:.0%} of {len(rows)} sure clips are off by {own:+.1f} frames"
                yield Finding("bad", f"source {source}", says, "syncnet correct, or filter.repair: true")
