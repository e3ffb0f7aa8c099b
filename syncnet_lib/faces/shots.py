"""Shot boundaries in one pass: the content detector of scenedetect on thumbnails, picture by picture."""

from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum

import numpy as np
from jaxtyping import UInt8
from scenedetect import ContentDetector, FrameTimecode

from syncnet_lib.media.clock import FPS
from syncnet_lib.media.decode import Picture

THUMBNAIL = 128
"""Longer side in pixels of what the detector sees; a cut changes the whole picture, so this is plenty."""
DOUBT, SPIKE, MEMORY = 8.0, 4.0, 10
"""A change from 8 on that is 4 times the largest of the last 10 frames may be a cut between like pictures: two talkers
before the same wall give 11 to 29, the same talker moving gives up to 12 without such a spike (measured)."""


class Cut(Enum):
    """Whether a shot begins with a picture."""

    NO = 0
    MAYBE = 1
    """The picture changes suddenly, but not as a whole: who is in it must decide."""
    YES = 2


class ShotFinder:
    """Says for each picture of a video in turn whether a new shot begins with it.

    Args:
        threshold: mean change of hue, saturation and brightness (0-255) that makes a cut; scenedetect's default is 27.
    """

    def __init__(self, threshold: float) -> None:
        # A length of one frame switches off scenedetect's filter, which would report a cut long after the fact.
        self._detector = ContentDetector(threshold=threshold, min_scene_len=1)
        self._recent: deque[float] = deque(maxlen=MEMORY)
        self._number = 0

    def cut_before(self, thumbnail: UInt8[np.ndarray, "height width 3"]) -> Cut:
        """Whether a new shot begins with this picture.

        Args:
            thumbnail: BGR.
        """
        cuts = self._detector.process_frame(FrameTimecode(self._number, float(FPS)), thumbnail)
        score = float(self._detector._frame_score or 0.0)
        usual = max([1.0, *self._recent])
        self._recent.append(score)
        self._number += 1
        if cuts:
            return Cut.YES
        return Cut.MAYBE if score >= DOUBT and score >= SPIKE * usual else Cut.NO


def find_cuts(pictures: Iterable[Picture], threshold: float) -> Iterator[tuple[Picture, Cut]]:
    """Each picture of a video with whether a shot begins with it.

    Args:
        pictures: of the 25 fps grid.
        threshold: of `ShotFinder`.
    """
    finder = ShotFinder(threshold)
    for picture in pictures:
        yield picture, finder.cut_before(picture.thumbnail(THUMBNAIL))
