"""From which confidence a verdict of a trained model is sure: what hardly any clip with swapped audio reaches.

Each clip of the validation split is measured with the audio of other clips, of which no offset is true. Their
confidence is what chance gives; the threshold is a quantile of it, 99 % where a verdict is for a user.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from syncnet_lib.dataset.splits import Split
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.features import WINDOW_FRAMES
from syncnet_lib.model import scoring
from syncnet_lib.model.header import Chance, Threshold
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.training.validation import embed_split

WINDOWS = 3 * FPS - WINDOW_FRAMES
"""Windows of the reference length, 3 s. Of longer clips the beginning is measured; the confidence of shorter ones is
scaled down by the square root, as the noise of a mean grows."""
LEAST, MOST = 100, 2000
"""Fewest and most swapped pairs: below 100 none of them is the one in a hundred; 2,000 place the quantile to a few per
cent, in seconds."""
SURE = Chance(0.99, scoring.VSHIFT)
"""Of a sure verdict: one in a hundred is falsely sure."""


@dataclass(frozen=True)
class Embedded:
    """An embedded clip.

    Attributes:
        video_id: the recording that it is from.
        video, audio: embeddings of windows of stride 1.
    """

    video_id: str
    video: Float[np.ndarray, "windows embedding"]
    audio: Float[np.ndarray, "windows embedding"]


def measure(model: SyncNet, val: Split, chance: Chance = SURE) -> Threshold | None:
    """Measure the threshold of a model on its own validation split.

    Args:
        model: in evaluation mode.
        val: clips that training did not see.
        chance: what the threshold is to keep out.

    Returns:
        The threshold and how it was measured; None where there are too few clips for the quantile.
    """
    return from_embeddings(embedded(model, val), model.spec.edges, chance)


def embedded(model: SyncNet, val: Split) -> list[Embedded]:
    """The clips of a validation split as `from_embeddings` takes them.

    Args:
        model: in evaluation mode.
        val: clips that training did not see.
    """
    video_ids = val.index.get("video_id", val.index.clip_id)
    return [
        Embedded(str(video_id), v, a)
        for video_id, (_, v, a) in zip(video_ids, embed_split(model, val, progress=False), strict=True)
    ]


def from_embeddings(clips: list[Embedded], edges: Literal["mask", "zero"], chance: Chance = SURE) -> Threshold | None:
    """The threshold out of the embeddings of a validation split; see `measure`.

    Args:
        clips: they.
        edges: as for `scoring.shift_distances`.
        chance: as for `measure`.
    """
    search = chance.search
    swapped = [_confidence(one.video, _unaligned(other.audio), edges, search) for one, other in swaps(clips)]
    if len(swapped) < LEAST:
        return None
    confidence = round(float(np.quantile(swapped, chance.quantile)), 6)
    genuine = np.array([_confidence(clip.video, clip.audio, edges, search) for clip in clips])
    return Threshold(
        confidence=confidence,
        source="the validation split",
        vshift=search,
        windows=WINDOWS,
        quantile=chance.quantile,
        swapped=len(swapped),
        genuine_above=round(float((genuine >= confidence).mean()), 6),
    )


def swaps(clips: list[Embedded]) -> Iterator[tuple[Embedded, Embedded]]:
    """Clips, each with another one that lends its audio: every clip with its next one, then with the one after that,
    and so on, up to MOST pairs. The two are of different recordings, and long enough that each shift which evaluations
    search has a window."""
    pairs = (
        (one, clips[(at + step) % len(clips)]) for step in range(1, len(clips)) for at, one in enumerate(clips)
    )  # fmt: skip
    usable = (
        (one, other)
        for one, other in pairs
        if one.video_id != other.video_id and min(len(one.video), len(other.audio)) > scoring.VSHIFT
    )
    return itertools.islice(usable, MOST)


def _unaligned(audio: np.ndarray) -> np.ndarray:
    """Audio with its halves exchanged: sentences of a corpus such as GRID share their timing, which would count as
    synchrony."""
    audio = audio[:WINDOWS]
    return np.roll(audio, len(audio) // 2, axis=0)


def _confidence(video: np.ndarray, audio: np.ndarray, edges: Literal["mask", "zero"], search: int) -> float:
    """Confidence on the scale of the reference length."""
    windows = min(len(video), len(audio), WINDOWS)
    distances = scoring.shift_distances(video[:windows], audio[:windows], search, edges)
    return scoring.confidence(scoring.mean_distances(distances)) * min(1.0, (windows / WINDOWS) ** 0.5)
