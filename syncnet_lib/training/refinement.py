"""Verdicts on whole training clips: in sync, off-sync and by how much, or dubbed; off-sync clips are repaired.

A dubbed clip has no offset at which its video and audio fit. An off-sync one has: its mean distance has a clear minimum
at another shift, and moving the audio by that offset makes its windows positives again.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from syncnet_lib.dataset.splits import Split
from syncnet_lib.errors import InputError
from syncnet_lib.media.features import MFCC_PER_FRAME
from syncnet_lib.model import scoring
from syncnet_lib.model.header import Chance, Threshold

VERDICTS = KEPT, OFF_SYNC, DUBBED = "kept", "off-sync", "dubbed"
"""The verdicts."""
SEARCH = scoring.VSHIFT + 5
"""Frames searched to each side: a minimum at the end of the search may lie beyond it, and clips may be off by the
VSHIFT frames that evaluations search."""
CLEAR = Chance(0.95, SEARCH)
"""Of a clear minimum: one dubbed clip in twenty is moved instead of rejected. A user acts on a single verdict, and is
told what one in a hundred would pass for; a training is spoilt by shares, and loses the off-sync clips that are thrown
out as dubbed: of the default corpus's 14, three at one in a hundred and none at one in twenty."""


@dataclass(frozen=True)
class Evidence:
    """What one network says of clips; in cross-fitting, of those that it was not trained on.

    Attributes:
        distances: of `validation.split_distances`, by clip.
        threshold: the largest mean distance that stays without a clear minimum.
        clear: from which confidence a minimum is clear (`CLEAR`); None where that was not measured, and none is.
    """

    distances: Mapping[str, Float[np.ndarray, "_ shifts"]]
    threshold: float
    clear: Threshold | None


def judge_clips(evidence: Sequence[Evidence], number: int = 1) -> pd.DataFrame:
    """Judge every clip by its mean distance and by where the least one is.

    A clip is off-sync where the minimum is clear (its confidence is one that few dubbed clips reach) and more than a
    frame away; dubbed where its distance is over the threshold and no minimum is clear; and kept otherwise.

    Args:
        evidence: of each network that judges, on its own clips.
        number: of the round of refinement.

    Returns:
        A row a clip: `clip_id`, `windows`, `distance` (mean as the clip is), `offset` (of the least mean distance, in
        frames), `fine` (the same between frames, in steps of 10 ms), `confidence`, `verdict` (KEPT, OFF_SYNC or
        DUBBED), `reason` (in words, with the numbers), `round`.

    Raises:
        InputError: no clip is kept.
    """
    judged = [
        {"clip_id": name, **_judge(clip, part.threshold, part.clear)}
        for part in evidence
        for name, clip in part.distances.items()
    ]
    table = pd.DataFrame(judged).assign(round=number)
    spread = f"distances {table.distance.min():.3f} to {table.distance.max():.3f} with {_thresholds(evidence)}"
    if not (table.verdict == KEPT).any():
        counts = table.verdict.value_counts()
        cause = f"no clip is kept: {counts.get(OFF_SYNC, 0)} off-sync, {counts.get(DUBBED, 0)} dubbed, {spread}"
        raise InputError("params.yaml: filter.threshold", cause, "raise the threshold")
    if (table.verdict == KEPT).all():
        warnings.warn(f"all {len(table)} clips are kept: {spread}", stacklevel=2)
    return table


def _judge(distances: np.ndarray, threshold: float, least: Threshold | None) -> dict[str, object]:
    means = scoring.mean_distances(distances)
    reach = len(means) // 2
    distance, offset, confidence = float(means[reach]), scoring.offset(means), scoring.confidence(means)
    needed = least.needed(len(distances)) if least else np.inf
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
        "fine": fine_offset(means),
        "confidence": confidence,
        "verdict": verdict,
        "reason": f"{reason} (confidence {confidence:.3f}, clear from {needed:.3f})",
    }


def judge_windows(evidence: Sequence[Evidence], number: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Judge every positive alone, by its distance [Agrawal: "Filtering"].

    Args:
        evidence: of each network that judges, on its own clips.
        number: of the round of refinement.

    Returns:
        A row a clip as `judge_clips` gives it, where KEPT says that a window is left and DUBBED that none is; and a row
        a window: `clip_id`, `window` (first frame within the clip), `distance`, `kept`.

    Raises:
        InputError: nothing is kept.
    """
    clips, windows = [], []
    for part in evidence:
        for name, over_shifts in part.distances.items():
            distance = over_shifts[:, over_shifts.shape[1] // 2]
            kept = distance <= part.threshold
            windows.append(
                pd.DataFrame({"clip_id": name, "window": np.arange(len(kept)), "distance": distance, "kept": kept})
            )
            row = {"clip_id": name, **_judge(over_shifts, part.threshold, part.clear)}
            reason = f"{kept.sum()} of {len(kept)} windows within {part.threshold:.3f}"
            clips.append({**row, "verdict": KEPT if kept.any() else DUBBED, "reason": reason})
    table, positives = pd.DataFrame(clips).assign(round=number), pd.concat(windows, ignore_index=True)
    if not positives.kept.any():
        cause = f"no positive is kept: distances {positives.distance.min():.3f} to {positives.distance.max():.3f}"
        raise InputError(
            "params.yaml: filter.threshold", f"{cause} with {_thresholds(evidence)}", "raise the threshold"
        )
    return table, positives


def _thresholds(evidence: Sequence[Evidence]) -> str:
    return "a threshold of " + ", ".join(f"{part.threshold:.3f}" for part in evidence)


def fine_offset(means: Float[np.ndarray, " shifts"]) -> float:
    """The shift of least distance between frames, where a parabola through the least mean and its neighbours has its
    lowest point.

    Args:
        means: mean distances over shifts; NaN where no window reaches.

    Returns:
        As an offset in frames, in steps of 10 ms; the frame itself where a neighbour is missing.
    """
    at, beyond = int(np.nanargmin(means)), 0.0
    left, least, right = np.pad(means, 1, constant_values=np.nan)[at : at + 3]
    bend = left - 2 * least + right
    if bend > 0:  # False where a neighbour is NaN
        beyond = float((left - right) / bend / 2)
    return round((len(means) // 2 - at - beyond) * MFCC_PER_FRAME) / MFCC_PER_FRAME


def moves(table: pd.DataFrame, repair: bool) -> Float[np.ndarray, " clips"]:
    """By how many frames the audio of each clip is to be delayed.

    Args:
        table: of `judge_clips`.
        repair: whether off-sync clips are moved at all.
    """
    return np.where((table.verdict == OFF_SYNC) & repair, table.fine, 0.0)


def refine(split: Split, table: pd.DataFrame, repair: bool, least: int = 1) -> Split:
    """The training split for the next round: without the dubbed clips, and without the off-sync ones or with their
    audio moved into sync.

    Args:
        split: that was judged.
        table: of `judge_clips`.
        repair: move the audio of off-sync clips instead of leaving them out.
        least: clips that training needs at least, those of one batch.

    Returns:
        The same clips; `kept` says which windows may serve as positives. Where clips were moved, as of `move`.

    Raises:
        InputError: fewer clips are left than training needs.
    """
    good = table.verdict.isin([KEPT, OFF_SYNC] if repair else [KEPT])
    if good.sum() < least:
        cause = f"{good.sum()} of {len(table)} clips are left, and a batch needs {least}"
        raise InputError("params.yaml: filter.threshold", cause, "raise the threshold or lower train.batch_size")
    stays = good.set_axis(table.clip_id)[split.index.clip_id].to_numpy()
    kept = split.kept & of_frames(split, stays)
    return move(replace(split, kept=kept), pd.Series(moves(table, repair), table.clip_id))


def of_frames(split: Split, values: np.ndarray) -> np.ndarray:
    """Values of clips as one a frame.

    Args:
        split: the packed split.
        values: one a clip, in the order of its index.

    Returns:
        The value of the clip that each of the split's frames is in.
    """
    spread = np.zeros(len(split.kept), values.dtype)
    for value, start, frames in zip(values, split.starts, split.index.frames, strict=True):
        spread[start : start + frames] = value
    return spread


def move(split: Split, moved: "pd.Series[float]") -> Split:
    """Delay the audio of clips.

    Args:
        split: whose clips.
        moved: by how many frames, in steps of 10 ms, by clip_id.

    Returns:
        The split with that audio and with `index.moved`, in memory only; windows whose audio would come from beyond the
        clip are no positives. The split itself where nothing is moved.
    """
    if not moved.any():
        return split
    kept, mfcc = split.kept.copy(), np.array(split.mfcc)
    delays = moved[split.index.clip_id].to_numpy()
    for delay, start, frames, windows in zip(delays, split.starts, split.index.frames, split.windows, strict=True):
        audio = slice(start * MFCC_PER_FRAME, (start + frames) * MFCC_PER_FRAME)
        mfcc[:, audio] = np.roll(mfcc[:, audio], round(delay * MFCC_PER_FRAME), axis=1)
        partner = np.arange(windows) - delay  # where the window's audio was before
        kept[start + np.flatnonzero((partner < 0) | (partner > windows - 1))] = False
    return replace(split, kept=kept, mfcc=mfcc, index=split.index.assign(moved=delays))


def refined(split: Split, folder: Path) -> Split:
    """The training split as the filter stage left it: what it kept, with the audio that it moved.

    Args:
        split: that was judged.
        folder: of the stage's `windows.parquet` and `clips.parquet`.
    """
    moved = pd.read_parquet(folder / "clips.parquet").set_index("clip_id").moved
    return move(split.keep(pd.read_parquet(folder / "windows.parquet")), moved)
