"""What is known of the clips beside what training sees: which are spoilt, and how the filter's verdicts compare."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from syncnet_lib.dataset.noise import IN_SYNC
from syncnet_lib.experiment.statistics import ROUNDS, bootstrap
from syncnet_lib.model import scoring
from syncnet_lib.training.refinement import KEPT, OFF_SYNC


def of(data: Path) -> pd.DataFrame:
    """`video_id`, `kind` and `offset` (frames; NaN where dubbed) of the synthetic corpus; no rows for real videos.

    Args:
        data: the working folder.
    """
    path = data / "raw" / "truth.csv"
    if not path.is_file():
        return pd.DataFrame({"video_id": [], "kind": [], "offset": []})
    table = pd.read_csv(path)[["video_id", "kind", "offset_frames"]].rename(columns={"offset_frames": "offset"})
    table["offset"] = table.offset.astype(float).where(table.kind != "dubbed")
    return table


def beside(clips: pd.DataFrame, index: pd.DataFrame, data: Path) -> pd.DataFrame | None:
    """Verdicts with the truth beside them.

    Args:
        clips: of `refinement.judge_clips`.
        index: of the split that was judged.
        data: the working folder.

    Returns:
        `clips` with `kind` and `true_offset`; None where nothing is known.
    """
    known = of(data)
    if known.empty:
        return None
    videos = index.set_index("clip_id").video_id[clips.clip_id].to_numpy()
    rows = known.set_index("video_id").loc[videos]
    return clips.assign(kind=rows.kind.to_numpy(), true_offset=rows.offset.to_numpy())


def agreement(table: pd.DataFrame) -> dict[str, Any]:
    """How far verdicts and truth agree, with intervals of 95 % over clips.

    Args:
        table: of `beside`.

    Returns:
        `precision` and `recall` of what is kept (`mean`, `low`, `high`; without intervals where nothing is kept or
        genuine), and `repaired_within_1`: share of the truly off-sync clips that are told so to within a frame.
    """
    kept, genuine = table.verdict == KEPT, table.kind.isin(IN_SYNC)
    shifted = table[~genuine & table.true_offset.notna()]
    right = (shifted.verdict == OFF_SYNC) & ((shifted.fine - shifted.true_offset).abs() <= scoring.TOLERANCE)
    found: dict[str, Any] = {}
    for name, values in (("precision", genuine[kept]), ("recall", kept[genuine])):
        found[name] = {key: round(value, 4) for key, value in bootstrap(values.to_numpy(float)).items()}
    if len(shifted):
        found["repaired_within_1"] = round(float(right.mean()), 4)
    return found


def purity(clips: pd.DataFrame, false_accepts: float, seed: int = 0) -> dict[str, float]:
    """Share of the kept clips that are genuine, estimated without any truth.

    Noise is kept at the rate at which shifted pairs pass. If every rejected clip is noise, their share r of all clips
    tells the share of noise, r / (1 - rate), and the part of it that was kept, so that the estimate errs on the low
    side where genuine clips were rejected too.

    Args:
        clips: of `refinement.judge_clips`.
        false_accepts: share of the shifted pairs that pass.
        seed: of the bootstrap over clips.

    Returns:
        `mean`, and `low` and `high` of 95 %.
    """
    kept = (clips.verdict == KEPT).to_numpy(float)
    drawn = np.random.default_rng(seed).integers(len(kept), size=(ROUNDS, len(kept)))
    shares = np.concatenate([[kept.mean()], kept[drawn].mean(axis=1)])
    noise = np.clip((1 - shares) / (1 - false_accepts), 0, 1)
    pure = np.clip(1 - noise * false_accepts / np.maximum(shares, 1 / len(kept)), 0, 1)
    low, high = np.quantile(pure[1:], [0.025, 0.975])
    return {"mean": round(float(pure[0]), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def group(table: pd.DataFrame) -> "pd.Series[str]":
    """In which histogram a clip belongs: "genuine" or "noisy".

    Args:
        table: of `beside`.
    """
    return pd.Series(np.where(table.kind.isin(IN_SYNC), "genuine", "noisy"), table.index)


def sentence(metrics: dict[str, Any]) -> str:
    """What a filter's figures say about what it kept.

    Args:
        metrics: with those of `agreement`, or with `purity`.
    """
    if "purity" in metrics:
        shown = "{mean:.1%} (95 %: {low:.1%} to {high:.1%})".format(**metrics["purity"])
        return f"No truth is known; of what is kept {shown} is genuine by estimate."
    precision, recall = (
        "{mean:.1%} (95 %: {low:.1%} to {high:.1%})".format(**metrics[name]) for name in ("precision", "recall")
    )
    return f"Of the clips that are kept {precision} are genuine, and of the genuine ones {recall} are kept."
