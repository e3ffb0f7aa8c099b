"""The clips on which a model fails, and what they look like."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from syncnet_lib.dataset import clips, sources, video
from syncnet_lib.experiment import evaluate


def worst(results: evaluate.Results, model: str, count: int = 10) -> pd.DataFrame:
    """The clips on which a model fails: those that it places wrong, the surest first, then the right ones least sure.

    Args:
        results: of `evaluate.compare`.
        model: its name.
        count: at most so many.

    Returns:
        Rows of `evaluate.verdicts`.
    """
    table = results.verdicts[model]
    order = np.where(table.right, table.confidence, -1 - table.confidence)
    return table.iloc[np.argsort(order, kind="stable")[:count]]


def faces(data: Path, root: Path, clip_ids: Iterable[str]) -> list[UInt8[np.ndarray, "height width 3"]]:
    """What the middle of a clip looks like: the picture of its video.

    Args:
        data: the working folder.
        root: the project.
        clip_ids: of the clips.
    """
    videos, base = sources.load(data / "raw", root)
    paths = videos.set_index("video_id").path
    found = []
    for clip_id in clip_ids:
        about = clips.load(data / "clips" / clip_id).meta
        middle = about["start_frame"] + about["frames"] // 2
        pictures = video.pictures(base / paths[about["video_id"]])
        found.append(next(itertools.islice(pictures, middle, None)).rgb)
    return found
