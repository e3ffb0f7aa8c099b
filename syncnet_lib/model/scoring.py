"""Distances over shifts to offset, confidence and accuracy.

Sign: an offset above 0 says that the audio is ahead of the video; the cure is to delay the audio by that many frames.
"""

from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Shaped

VSHIFT = 15
"""Frames searched to each side [syncnet_python]; the published accuracies use it too."""
TOLERANCE = 1
"""An offset within one frame counts as right [Chung16: section 4]."""
CLIP_FRAMES = (5, 7, 9, 11, 13, 15)
"""Clip lengths of the published accuracy tables, in frames (e.g. [Chung19], on LRS2)."""
FRAME_MEDIAN = 9
"""Windows under the running median of the confidence of single windows [syncnet_python]."""


def shift_distances(
    video: Float[np.ndarray, "windows embedding"],
    audio: Float[np.ndarray, "windows embedding"],
    vshift: int = VSHIFT,
    edges: Literal["mask", "zero"] = "mask",
) -> Float32[np.ndarray, "windows {2*vshift+1}"]:
    """Distance of every video window to the audio at every shift.

    Args:
        video, audio: embeddings of windows of stride 1.
        vshift: frames searched to each side.
        edges: shifts that leave the clip are NaN ("mask"), or compared with zeros as in [syncnet_python] ("zero").

    Returns:
        Column i compares window n with the audio of window n + i - vshift [Agrawal: audio padded by vshift, then
        windows of N].
    """
    fill = np.nan if edges == "mask" else 0.0
    padded = np.pad(audio.astype(np.float32), ((vshift, vshift), (0, 0)), constant_values=fill)
    return padded_distances(video, padded)


def padded_distances(
    video: Float[np.ndarray, "windows embedding"], audio: Float[np.ndarray, "padded embedding"]
) -> Float32[np.ndarray, "windows shifts"]:
    """Distance of every video window to the audio around it.

    Args:
        video: embeddings of windows of stride 1.
        audio: embeddings, 2 vshift more than of video; row n + vshift is the audio of window n.

    Returns:
        As `shift_distances`.
    """
    windows = np.lib.stride_tricks.sliding_window_view(audio, len(video), axis=0)
    columns = [np.linalg.norm(video - window.T, axis=1) for window in windows]
    return np.stack(columns, axis=1).astype(np.float32)


def mean_distances(distances: Float[np.ndarray, "windows shifts"]) -> Float32[np.ndarray, " shifts"]:
    """Mean over a clip's windows at every shift, as `even_means` has it.

    Args:
        distances: NaN where masked.

    Returns:
        The means; NaN for a shift that no window reaches. Plain means where nothing is masked.
    """
    valid = ~np.isnan(distances)
    return even_means(np.where(valid, distances, 0).sum(axis=0), valid.sum(axis=0)).astype(np.float32)


def even_means(
    total: Float[np.ndarray, "*sets shifts"], count: Shaped[np.ndarray, "*sets shifts"]
) -> Float[np.ndarray, "*sets shifts"]:
    """Means over windows at every shift, all of even noise: those of fewer windows are shrunk towards the mean of all.

    Shifts that leave the clip are means of fewer windows, whose noise is larger, by the inverse square root of their
    number: the least of plain means is too often one of those. With the distance from the common mean m scaled by
    sqrt(n / most n), chance reaches equally low at every shift. Of 0.8 s of television moved by up to ±10 frames, 53 %
    are placed within a frame in place of 37 % (`benchmarks.strangers`).

    Args:
        total: sums of distances.
        count: of the windows (or their weights) that each is a sum of.

    Returns:
        The means; NaN where no window reaches.
    """
    reached, size = count > 0, count.sum(axis=-1, keepdims=True)
    means = np.divide(total, count, out=np.full(total.shape, np.nan, total.dtype), where=reached)
    share = np.divide(count, count.max(axis=-1, keepdims=True), out=np.zeros(count.shape), where=reached)
    everything = np.divide(total.sum(axis=-1, keepdims=True), size, out=np.zeros(size.shape), where=size > 0)
    return means + (everything - means) * (1 - np.sqrt(share))


def offset(means: Float[np.ndarray, " shifts"]) -> int:
    """The shift of least distance as an offset: vshift - argmin [Agrawal].

    Args:
        means: mean distances over the 2 vshift + 1 shifts.

    Returns:
        Frames; above 0: audio ahead.
    """
    return len(means) // 2 - int(np.nanargmin(means))


def confidence(means: Float[np.ndarray, " shifts"]) -> float:
    """median(mean distances) - min(mean distances) [Agrawal], both over the 2 VSHIFT + 1 shifts around the least.

    Where more shifts are searched the others are left out, because a wider search is no surer: shifts that reach into
    silence raise the median of all.

    Args:
        means: mean distances; NaN where no window reaches.
    """
    least = int(np.nanargmin(means))
    first = min(max(least - VSHIFT, 0), max(len(means) - (2 * VSHIFT + 1), 0))
    return float(np.nanmedian(means[first : first + 2 * VSHIFT + 1]) - means[least])


def frame_confidence(
    distances: Float[np.ndarray, "windows shifts"], edges: Literal["mask", "zero"] = "mask"
) -> Float32[np.ndarray, " windows"]:
    """Confidence of every window: the clip's median of mean distances less the window's distance at the clip's best
    shift, then a running median over 9 windows [syncnet_python: SyncNetInstance.py, evaluate].

    Args:
        distances: NaN where masked.
        edges: at the clip's ends the running median takes fewer windows ("mask"), or zeros for those that are not
            there, as in [syncnet_python] ("zero").

    Returns:
        The confidences; NaN where the best shift leaves the clip.
    """
    means = mean_distances(distances)
    raw = np.nanmedian(means) - distances[:, int(np.nanargmin(means))]
    padded = np.pad(raw, FRAME_MEDIAN // 2, constant_values=np.nan if edges == "mask" else 0.0)
    reached = ~np.isnan(raw)
    smooth = np.full(len(raw), np.nan, np.float32)
    smooth[reached] = np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, FRAME_MEDIAN)[reached], axis=1)
    return smooth


def right_at(
    distances: Float[np.ndarray, "windows shifts"], frames: int, truth: int = 0
) -> Bool[np.ndarray, " stretches"]:
    """Whether each stretch of a clip gives the right offset within one frame.

    Args:
        distances: NaN where masked.
        frames: length of a stretch; K frames average K - 4 windows.
        truth: the clip's true offset, in frames.

    Returns:
        One value a stretch of stride 1 that at least one shift reaches; empty for a clip that is too short.
    """
    windows = frames - CLIP_FRAMES[0] + 1
    if len(distances) < windows:
        return np.empty(0, bool)
    means = np.lib.stride_tricks.sliding_window_view(distances, windows, axis=0).mean(axis=2)
    reached = ~np.isnan(means).all(axis=1)
    found = distances.shape[1] // 2 - np.nanargmin(means[reached], axis=1)
    return np.abs(found - truth) <= TOLERANCE


def roc_auc(genuine: Float[np.ndarray, " genuine"], false: Float[np.ndarray, " false"]) -> float:
    """Area under the ROC curve: the probability that a genuine distance is below a false one (ties count half).

    Args:
        genuine, false: distances; NaN is left out.
    """
    genuine, false = genuine[~np.isnan(genuine)], false[~np.isnan(false)]
    ordered = np.sort(false)
    above = len(ordered) - np.searchsorted(ordered, genuine, "right")
    ties = len(ordered) - np.searchsorted(ordered, genuine, "left") - above
    return float((above + ties / 2).mean() / len(ordered))


def genuine_and_false(
    distances: Float[np.ndarray, "windows shifts"], truth: int = 0
) -> tuple[Float[np.ndarray, " windows"], Float[np.ndarray, " false"]]:
    """Distances of a clip at its true shift, and at all others but the neighbours of that.

    The neighbours share most of their audio with the true shift: they are neither genuine nor false.

    Args:
        distances: NaN where masked.
        truth: the clip's true offset, in frames.

    Returns:
        Distances, NaN where masked.
    """
    at = distances.shape[1] // 2 - truth
    near = [n for n in range(at - TOLERANCE, at + TOLERANCE + 1) if 0 <= n < distances.shape[1]]
    return distances[:, at], np.delete(distances, near, axis=1).ravel()


def summarise(distances: list[Float[np.ndarray, "_ shifts"]], truths: list[int]) -> dict[str, Any]:
    """The accuracy figures of a set of clips.

    Args:
        distances: of each clip, a row a window; NaN where masked.
        truths: each clip's true offset, in frames.

    Returns:
        `clip_accuracy` (whole clip within a frame), `exact_accuracy` (the very frame), `accuracy_by_frames` (averaged
        per clip), `auc` (windows at the true shift against all others), `clips`, `windows`; shares from 0 to 1.
    """
    found = np.array([offset(mean_distances(clip)) for clip in distances])
    error = np.abs(found - np.array(truths))
    by_frames = {}
    for frames in CLIP_FRAMES:
        right = [right_at(clip, frames, truth) for clip, truth in zip(distances, truths, strict=True)]
        by_frames[str(frames)] = float(np.mean([clip.mean() for clip in right if len(clip)]))
    apart = [genuine_and_false(clip, truth) for clip, truth in zip(distances, truths, strict=True)]
    genuine, false = (np.concatenate(side) for side in zip(*apart, strict=True))
    return {
        "clip_accuracy": float((error <= TOLERANCE).mean()),
        "exact_accuracy": float((error == 0).mean()),
        "accuracy_by_frames": by_frames,
        "auc": roc_auc(genuine, false),
        "clips": len(distances),
        "windows": int(sum(len(clip) for clip in distances)),
    }
