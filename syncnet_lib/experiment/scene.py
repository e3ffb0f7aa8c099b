"""What the explorer shows of a stretch of a clip: pictures, sound, features, and the distance at each shift."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from syncnet_lib.dataset import clips, video
from syncnet_lib.errors import InputError
from syncnet_lib.files import cached
from syncnet_lib.media.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from syncnet_lib.media.decode import Picture
from syncnet_lib.media.features import MFCC_PER_FRAME, WINDOW_FRAMES
from syncnet_lib.model import checkpoint, header, scoring
from syncnet_lib.model.embed import embed_clip

LENGTH = 30 * FPS
"""Frames that are shown at a time, 30 s: more fills a browser's memory, and a line of a screen holds no more."""
LOOKED_FOR = 120 * FPS
"""Frames into a video up to which its pictures are fetched, which are decoded from its beginning: seconds of work."""
PICTURE_HEIGHT = 270
"""Pixels of a picture of the video."""

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
        "mouths": [jpeg(mouth) for mouth in mouths],
        "pictures": pictures(source, start, len(mouths)),
        "sound": clip.samples[first * SAMPLES_PER_FRAME :][: len(mouths) * SAMPLES_PER_FRAME].tobytes(),
        "mfcc": mfcc.astype("<f4").tobytes(),
        "speech": clip.speech[first : first + length].astype(np.uint8).tobytes(),
        "distances": distances.astype("<f4").tobytes(),
    }


def pictures(source: Path, start: int, count: int) -> list[bytes]:
    """JPEGs of the frames of a video; none where it is gone, is itself no more than crops, or would take long.

    Args:
        source: the video.
        start, count: frames on the 25 Hz grid.
    """
    if start + count > LOOKED_FOR:
        return []
    codes: list[bytes] = []
    last = None
    try:
        for picture in itertools.islice(video.pictures(source), start, start + count):
            # What the grid shows twice comes as the same object twice.
            codes.append(codes[-1] if picture is last else jpeg(_small(picture)))
            last = picture
    except InputError:
        return []
    return codes


def _small(picture: Picture) -> UInt8[np.ndarray, "height width 3"]:
    pixels = picture.rgb
    height = min(PICTURE_HEIGHT, pixels.shape[0])
    size = max(1, round(height * pixels.shape[1] / pixels.shape[0])), height
    return cv2.cvtColor(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)


def jpeg(pixels: UInt8[np.ndarray, "height width *bgr"]) -> bytes:
    """A picture as JPEG.

    Args:
        pixels: gray, or blue, green and red.
    """
    return cv2.imencode(".jpg", pixels)[1].tobytes()
