"""Verdicts on whole training clips: in sync, off-sync and by how much, or dubbed; off-sync clips are repaired.

A dubbed clip has no offset at which its video and audio fit. An off-sync one has: its mean distance has a clear minimum
at another shift, and moving the audio by that offset makes its windows positives again.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.media.features import MFCC_PER_FRAME
from syncnet_lib.model import scoring
from syncnet_lib.model.header import Threshold

KEPT, OFF_SYNC, DUBBED = "kept", "off-sync", "dubbed"
"""The verdicts."""


def shifted_distances(
    distances: Mapping[str, Float[np.ndarray, "_ shifts"]],
) -> Float[np.ndarray, " negatives"]:
    """Mean distances of clips against their own audio at every shift but the true one and its neighbours: negatives, on
    the scale on which whole clips are judged.

    Args:
        distances: of `validation.split_distances`.
    """
    parts = [scoring.genuine_and_false(scoring.mean_distances(clip)[None])[1] for clip in distances.values()]
    negatives = np.concatenate(parts)
    return negatives[~np.isnan(negatives)]


def judge_clips(
    distances: Mapping[str, Float[np.ndarray, "_ shifts"]], threshold: float, sure: Threshold, number: int = 1
) -> pd.DataFrame:
    """Judge every clip by its mean distance and by where the least one is.

    A clip is off-sync where the minimum is clear (its confidence is that of a sure verdict) and more than a frame away;
    dubbed where its distance is over the threshold and no minimum is clear; and kept otherwise.

    Args:
        distances: of `validation.split_distances` by the network that judges.
        threshold: the largest mean distance that stays without a clear minimum.
        sure: of that network (`header.read`).
        number: of the round of refinement.

    Returns:
        A row a clip: `clip_id`, `windows`, `distance` (mean as the clip is), `offset` (of the least mean distance, in
        frames), `confidence`, `verdict` (KEPT, OFF_SYNC or DUBBED), `reason` (in words, with the numbers), `round`.

    Raises:
        InputError: no clip is kept.
    """
    table = pd.DataFrame([{"clip_id": name, **_judge(clip, threshold, sure)} for name, clip in distances.items()])
    table["round"] = number
    if not (table.verdict == KEPT).any():
        counts = table.verdict.value_counts()
        cause = (
            f"no clip is kept: {counts.get(OFF_SYNC, 0)} off-sync, {counts.get(DUBBED, 0)} dubbed, distances "
            f"{table.distance.min():.3f} to {table.distance.max():.3f} with a threshold of {threshold:.3f}"
        )
        raise InputError("params.yaml: filter.threshold", cause, "raise the threshold")
    if (table.verdict == KEPT).all():
        warnings.warn(
            f"all {len(table)} clips are kept: distances {table.distance.min():.3f} to {table.distance.max():.3f} with "
            f"a threshold of {threshold:.3f}",
            stacklevel=2,
        )
    return table


def _judge(distances: np.ndarray, threshold: float, sure: Threshold) -> dict[str, object]:
    means = scoring.mean_distances(distances)
    reach = len(means) // 2
    distance, offset, confidence = float(means[reach]), scoring.offset(means), scoring.confidence(means)
    # The noise of a mean grows as windows get fewer, by the square root.
    needed = sure.confidence * max(1.0, ((sure.windows or 0) / len(distances)) ** 0.5)
    clear = confidence >= needed and abs(offset) < reach  # a minimum at the end of the search may lie beyond it
    if clear and abs(offset) > scoring.TOLERANCE:
        verdict, reason = OFF_SYNC, f"clear minimum at {offset:+d} frames"
    elif clear:
        verdict, reason = KEPT, f"clear minimum at {offset:+d} frames"
    elif distance > threshold:
        verdict, reason = DUBBED, f"distance over {threshold:.3f} and no clear minimum"
    else:
        verdict, reason = KEPT, f"distance within {threshold:.3f}"
    return {
        "windows": len(distances),
        "distance": distance,
        "offset": offset,
        "confidence": confidence,
        "verdict": verdict,
        "reason": f"{reason} (confidence {confidence:.3f}, clear from {needed:.3f})",
    }


def refine(split: Split, table: pd.DataFrame, repair: bool, least: int = 1) -> Split:
    """The training split for the next round: without the dubbed clips, and without the off-sync ones or with their
    audio moved into sync.

    Args:
        split: that was judged.
        table: of `judge_clips`.
        repair: move the audio of off-sync clips instead of leaving them out.
        least: clips that training needs at least, those of one batch.

    Returns:
        The same clips; `kept` says which windows may serve as positives, `index.moved` by how many frames a clip's
        audio was delayed. A repaired split is in memory only.

    Raises:
        InputError: fewer clips are left than training needs.
    """
    verdict = table.set_index("clip_id").verdict[split.index.clip_id].to_numpy()
    left = int(np.isin(verdict, [KEPT, OFF_SYNC] if repair else [KEPT]).sum())
    if left < least:
        cause = f"{left} of {len(verdict)} clips are left, and a batch needs {least}"
        raise InputError("params.yaml: filter.threshold", cause, "raise the threshold or lower train.batch_size")
    offset = table.set_index("clip_id").offset[split.index.clip_id].to_numpy()
    moved = np.where((verdict == OFF_SYNC) & repair, offset, 0)
    kept, mfcc = split.kept.copy(), np.array(split.mfcc) if moved.any() else split.mfcc
    for at, (start, frames) in enumerate(zip(split.starts, split.index.frames, strict=True)):
        if verdict[at] == DUBBED or (verdict[at] == OFF_SYNC and not repair):
            kept[start : start + frames] = False
        elif moved[at]:
            audio = slice(start * MFCC_PER_FRAME, (start + frames) * MFCC_PER_FRAME)
            mfcc[:, audio] = np.roll(mfcc[:, audio], moved[at] * MFCC_PER_FRAME, axis=1)
            partner = np.arange(split.windows[at]) - moved[at]  # where the window's audio was before
            outside = np.flatnonzero((partner < 0) | (partner >= split.windows[at]))
            kept[start + outside] = False
    if not moved.any():
        return replace(split, kept=kept)
    return replace(split, kept=kept, mfcc=mfcc, index=split.index.assign(moved=moved), folder=None)
