"""What a confidence means: how often stretches of 1, 3 and 10 s of speech with so much of it are placed right."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from syncnet_lib.media.clock import FPS
from syncnet_lib.model import scoring

SECONDS = (1, 3, 10)
"""Seconds of speech in a stretch."""
WANTED = 0.95
"""Share that shall be right."""
_HOPS = 5
"""Stretches overlap by all but one part in so many."""


def stretches(verdicts: pd.DataFrame, talkers: Mapping[str, str]) -> pd.DataFrame:
    """Stretches of speech, each of one talker: the windows of speech of all clips, one after the other, cut to length.

    Args:
        verdicts: of `evaluate.verdicts`, with `speech`; clips without it count as speech throughout.
        talkers: by clip_id.

    Returns:
        A row a stretch: `seconds` (of `SECONDS`), `confidence`, `right` (within a frame).
    """
    rows = []
    for _, clips in verdicts.groupby(verdicts.clip_id.map(talkers)):
        distances = np.concatenate([_spoken(row.distances, row.truth, row.speech) for row in clips.itertuples()])
        for seconds in SECONDS:
            windows = seconds * FPS
            for start in range(0, len(distances) - windows + 1, windows // _HOPS):
                means = scoring.mean_distances(distances[start : start + windows])
                if not np.isnan(means).all():
                    right = abs(scoring.offset(means)) <= scoring.TOLERANCE
                    rows.append((seconds, scoring.confidence(means), right))
    return pd.DataFrame(rows, columns=["seconds", "confidence", "right"]).astype({"right": bool})


def _spoken(distances: np.ndarray, truth: int, speech: np.ndarray | None) -> np.ndarray:
    """The distances of the windows with speech, moved so that the true shift is in the middle."""
    aligned = np.full_like(distances, np.nan)
    shifts = distances.shape[1]
    at = np.arange(shifts) - truth  # column by which each one of the aligned is filled
    inside = (at >= 0) & (at < shifts)
    aligned[:, inside] = distances[:, at[inside]]
    if speech is None:
        return aligned
    span = scoring.CLIP_FRAMES[0]
    return aligned[np.lib.stride_tricks.sliding_window_view(speech, span)[: len(distances)].mean(axis=1) >= 0.5]


def summary(own: pd.DataFrame, swapped: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """What confidence means that 95 % are right, by seconds of speech.

    Args:
        own: of `stretches`, clips with their own sound.
        swapped: the same with another's, of which none is right.

    Returns:
        By seconds: `stretches`, `right` (share), `confidence` from which 95 % of the stretches with their own sound are
        right, `above` (share of them that reach it), and `mixed`: the confidence where every other stretch has
        another's sound. None where there are no stretches, or where no confidence suffices.
    """
    found: dict[str, dict[str, Any]] = {}
    for seconds in SECONDS:
        genuine, false = (table[table.seconds == seconds] for table in (own, swapped))
        row: dict[str, Any] = dict.fromkeys(("right", "confidence", "above", "mixed"))
        if len(genuine):
            level = needed(genuine.confidence.to_numpy(), genuine.right.to_numpy(float), np.ones(len(genuine)))
            row |= {"right": round(float(genuine.right.mean()), 4), "confidence": level}
            row["above"] = None if level is None else round(float((genuine.confidence >= level).mean()), 4)
        if len(genuine) and len(false):
            row["mixed"] = needed(
                np.concatenate([genuine.confidence, false.confidence]),
                np.concatenate([genuine.right, np.zeros(len(false))]),
                np.repeat([1 / len(genuine), 1 / len(false)], [len(genuine), len(false)]),
            )
        found[str(seconds)] = {"stretches": len(genuine), **row}
    return found


def needed(confidence: np.ndarray, right: np.ndarray, weight: np.ndarray) -> float | None:
    """The least confidence at and above which `WANTED` of the stretches are right.

    Args:
        confidence, right, weight: of each stretch; right is 0 or 1.

    Returns:
        The confidence; None if there is none.
    """
    order = np.argsort(-confidence, kind="stable")
    share = np.cumsum((weight * right)[order]) / np.cumsum(weight[order])
    last = np.append(np.diff(confidence[order]) != 0, True)  # equal ones are above it, or none of them is
    enough = np.flatnonzero((share >= WANTED) & last)
    return float(confidence[order][enough[-1]]) if len(enough) else None
