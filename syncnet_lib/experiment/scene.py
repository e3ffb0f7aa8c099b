"""What the explorer shows of a stretch of a clip: pictures, sound, features, and the distance at each shift."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from syncnet_lib.dataset import clips
from syncnet_lib.errors import InputError
from syncnet_lib.experiment import stills
from syncnet_lib.files import cached
from syncnet_lib.media.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from syncnet_lib.media.features import MFCC_PER_FRAME, WINDOW_FRAMES
from syncnet_lib.model import checkpoint, header, scoring
from syncnet_lib.model.embed import embed_clip

LENGTH = 30 * FPS
"""Frames that are shown at a time, 30 s: more fills a browser's memory, and a line of a screen holds no more."""

load = cached(checkpoint.load)
"""A checkpoint that is loaded once."""


def parts(frames: int) -> Iterator[tuple[int, int]]:
    """The stretches, first frame and length, in which a clip is shown; the last may be longer than LENGTH by half.

    Args:
        frames: length of the clip.
    """
    count = max(1, round(frames / LENGTH))
    edges = [min(number * LENGTH, frames) for number in range(count)] + [frames]
    for first, end in itertools.pairwise(edges):
        yield first, end - first


def of_clip(folder: Path, source: Path, first: int, length: int, model: Path) -> dict[str, Any]:
    """A stretch of a clip, measured.

    Args:
        folder: of the clip.
        source: the video that it is from; where it is gone, the crops are shown alone.
        first, length: the stretch, frames of the clip.
        model: a checkpoint that looks at mouths.

    Returns:
        Numbers, and as bytes: `mouths` and `pictures` (a JPEG a frame; no pictures where there are none), `sound`
        (int16, 16 kHz), `mfcc` (float32, 4 rows of 13 a frame), `speech` (a byte a frame), `distances` (float32, a row
        of `shifts` a window; NaN where a shift leaves the stretch).

    Raises:
        InputError: no such clip, a stretch shorter than a search needs, or a checkpoint of another kind of crops.
    """
    network = load(model)
    if network.spec.crop != "mouth":
        raise InputError(model, f"looks at {network.spec.crop} crops; clips hold mouths", "give another checkpoint")
    clip = clips.load(folder)
    mouths = np.array(clip.mouth[first : first + length])
    if len(mouths) <= WINDOW_FRAMES:
        raise InputError(folder, f"{len(mouths)} frames are no stretch to search", "choose a longer clip")
    mfcc = np.ascontiguousarray(clip.mfcc[first * MFCC_PER_FRAME :][: len(mouths) * MFCC_PER_FRAME])
    distances = scoring.shift_distances(*embed_clip(network, mouths, mfcc))
    means = scoring.mean_distances(distances)
    threshold = header.read(model).threshold
    start = int(clip.meta["start_frame"]) + first
    return {
        "fps": FPS,
        "rate": SAMPLE_RATE,
        "frames": len(mouths),
        "window": WINDOW_FRAMES,
        "mfccPerFrame": MFCC_PER_FRAME,
        "coefficients": mfcc.shape[1],
        "smooth": scoring.FRAME_MEDIAN,
        "start": start / FPS,
        "level": float(np.nanmedian(means)),
        "offset": scoring.offset(means),
        "confidence": scoring.confidence(means),
        "sure": threshold.needed(len(distances)) if threshold else None,
        "shifts": distances.shape[1],
        "first": first,
        "mouths": [stills.jpeg(mouth) for mouth in mouths],
        "pictures": stills.of_video(source, start, len(mouths)),
        "sound": clip.samples[first * SAMPLES_PER_FRAME :][: len(mouths) * SAMPLES_PER_FRAME].tobytes(),
        "mfcc": mfcc.astype("<f4").tobytes(),
        "speech": clip.speech[first : first + length].astype(np.uint8).tobytes(),
        "distances": distances.astype("<f4").tobytes(),
    }
