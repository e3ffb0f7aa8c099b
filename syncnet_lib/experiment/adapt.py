"""A checkpoint for certain people: minutes of training on their own videos, from a checkpoint that knows others."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from syncnet_lib import files
from syncnet_lib.dataset import clips, extract, sources, splits
from syncnet_lib.dataset.settings import ExtractSettings
from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.media.clock import FPS
from syncnet_lib.model import checkpoint, header, scoring
from syncnet_lib.model.device import pick_device
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.model.spec import ModelName
from syncnet_lib.training import loop, threshold
from syncnet_lib.training.settings import TrainSettings
from syncnet_lib.training.timing import PhaseTimer
from syncnet_lib.training.validation import split_distances

LEAST_SPEECH = 30.0
"""Seconds of speech: ten pieces, of which eight are trained on, fill half of a batch."""
PIECE = 3 * FPS
"""Frames of a piece: a window is told from the others of its piece, as elsewhere from those of its clip."""
CHECKED_EVERY = 5
"""One piece of so many is kept to check the result."""
TOGETHER = 16
"""Pieces a step."""
STEPS = 200
"""Training steps: a minute or two on two cores; a network that starts from good weights needs no more."""
LEARNING_RATE = 5e-4
"""A quarter of that of a training from nothing, so that what was known of other people is not overwritten."""


@dataclass(frozen=True)
class Adapted:
    """What came of an adaptation.

    Attributes:
        speech_seconds: of the videos.
        pieces: of 3 s, trained on and checked.
        before, after: share of the stretches of 5 frames of the checked pieces that are placed within a frame.
    """

    speech_seconds: float
    pieces: int
    before: float
    after: float


def adapt(
    folder: Path, out: Path, start: Path, device: str = "auto", workers: int = 0, progress: bool = True
) -> Adapted:
    """Train a checkpoint on the videos of a folder, which are taken to be in sync.

    Args:
        folder: videos of the people, minutes in all.
        out: the new checkpoint, with a threshold of its own.
        start: the checkpoint that training starts from.
        device: auto, cpu or cuda.
        workers: processes that extract the faces.
        progress: show bars, and a line an epoch.

    Raises:
        InputError: no usable video, too little speech, or a result that is no better than `start`; nothing is written.
    """
    spec = header.read(start).spec
    with files.scratch(out.parent) as scratch:
        work = Path(scratch)
        pieces, speech_seconds = _pieces(folder, work, spec.crop, workers, progress)
        checked = np.arange(len(pieces.index)) % CHECKED_EVERY == CHECKED_EVERY - 1
        train, val = (replace(pieces, index=pieces.index[rows].reset_index(drop=True)) for rows in (~checked, checked))
        settings = _settings(spec.name, len(train.index))
        where = pick_device(device)
        for epoch in loop.fit(train, val, settings, 0, where, work / "state", PhaseTimer(where), init=start):
            if progress:
                print(epoch.line(settings.epochs), flush=True)
        model = loop.best(work / "state")
        before, after = (_placed(network, val) for network in (checkpoint.load(start), model))
        if after <= before:
            cause = f"{after:.0%} of the kept pieces' stretches are placed right, and {before:.0%} without it"
            raise InputError(folder, cause, f"use {start.stem} as it is, or give more video that is in sync")
        about = {"adapted_from": header.read(start).about, "settings": settings.model_dump()}
        checkpoint.save(model, out, threshold.measure(model, pieces), **about)
    return Adapted(speech_seconds, len(pieces.index), before, after)


def _pieces(folder: Path, work: Path, crop: str, workers: int, progress: bool) -> tuple[Split, float]:
    """Pieces of 3 s of every clip, and seconds of speech."""
    videos, _ = sources.scan(folder, workers, progress=progress)
    if videos.empty:
        raise InputError(folder, "no usable video", "give videos of the people, with sound")
    wanted = ExtractSettings(crops="face" if crop == "face" else "mouth")
    manifest, _ = extract.extract(videos, folder, work / "clips", work / "cache", wanted, workers, progress)
    speech_seconds = float((manifest.frames * manifest.speech_share).sum()) / FPS
    if speech_seconds < LEAST_SPEECH:
        raise InputError(
            folder, f"{speech_seconds:.0f} s of speech", f"give at least {LEAST_SPEECH:.0f} s; minutes are better"
        )
    parts = []
    for clip_id, count in zip(manifest.clip_id, manifest.frames, strict=True):
        if count >= PIECE:
            clip = clips.load(work / "clips" / clip_id)
            crops = np.load(work / "clips" / clip_id / "face.npy") if crop == "face" else np.array(clip.mouth)
            part = splits.cut(crops, clip.samples, PIECE)
            parts.append(replace(part, index=part.index.assign(clip_id=f"{clip_id}/" + part.index.clip_id)))
    if not parts:
        raise InputError(folder, f"no face is in view for {PIECE / FPS:.0f} s", "give longer takes")
    return splits.joined(parts), speech_seconds


def _settings(model: ModelName, pieces: int) -> TrainSettings:
    usual = TrainSettings()
    together = min(pieces, TOGETHER)
    epochs = math.ceil(STEPS / (pieces // together))
    return TrainSettings(
        model=model,
        epochs=epochs,
        batch_size=together * usual.samples_per_clip,
        validate_every=max(1, epochs // 8),
        lr=LEARNING_RATE,
        optimiser="adamw",
        geometry=0.5,
        tract=0.05,
        room=0.5,
        background=0.5,
    )  # fmt: skip


def _placed(model: SyncNet, val: Split) -> float:
    found = list(split_distances(model.eval(), val, progress=False).values())
    shares: dict[str, float] = scoring.summarise(found, [0] * len(found))["accuracy_by_frames"]
    return shares[str(scoring.CLIP_FRAMES[0])]
