"""Frames as JPEG, for pages; no torch is imported for it."""

import itertools
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from syncnet_lib.dataset import video
from syncnet_lib.errors import InputError
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.decode import Picture

LOOKED_FOR = 120 * FPS
"""Frames into a video up to which its pictures are fetched, which are decoded from its beginning: seconds of work."""
PICTURE_HEIGHT = 270
"""Pixels of a picture of the video."""


def of_video(source: Path, start: int, count: int) -> list[bytes]:
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
