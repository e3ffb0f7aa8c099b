"""The baseline without learning: mouth aperture against loudness."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from syncnet_lib.dataset import clips
from syncnet_lib.media import features
from syncnet_lib.model import scoring


def aperture_verdicts(folder: Path, truths: Mapping[str, int], vshift: int) -> pd.DataFrame:
    """The shift at which the mouth aperture follows the loudness best.

    Args:
        folder: the folder of clips.
        truths: the true offset by clip_id.
        vshift: frames searched to each side.

    Returns:
        A row a clip whose mouth aperture is known: `clip_id`, `truth`, `offset`, `right`.
    """
    rows = []
    for clip_id, truth in truths.items():
        clip = clips.load(folder / clip_id)
        if np.isnan(clip.lip_aperture).any():
            continue  # imported mouth crops: no face mesh has measured them
        found = _best_lag(clip.lip_aperture, features.loudness(clip.samples), vshift)
        rows.append((clip_id, truth, found, abs(found - truth) <= scoring.TOLERANCE))
    return pd.DataFrame(rows, columns=["clip_id", "truth", "offset", "right"])


def _best_lag(aperture: Float[np.ndarray, "frames"], level: Float[np.ndarray, "frames"], vshift: int) -> int:
    """The offset at which the correlation of two tracks is highest over the frames they then share."""
    scores = {}
    for lag in range(-vshift, vshift + 1):  # lag > 0: the audio is ahead of the video
        seen = aperture[max(0, lag) : len(aperture) + min(0, lag)]
        heard = level[max(0, -lag) : len(level) - max(0, lag)]
        if len(seen) > 2 and seen.std() > 0 and heard.std() > 0:
            scores[lag] = float(np.corrcoef(seen, heard)[0, 1])
    return max(scores, key=lambda lag: scores[lag]) if scores else 0
