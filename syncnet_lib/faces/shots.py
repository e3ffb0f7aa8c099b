"""Shot boundaries in one pass: the content detector of scenedetect on thumbnails, picture by picture.

A sudden change is a cut when the picture does not come back. Where it does, within half a second, it was a flash, a
strobe light or a dropped picture. Where only its brightness changes and stays, as when a light is switched on, the
people in the picture must decide.
"""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
from jaxtyping import UInt8
from scenedetect import ContentDetector, FrameTimecode

from syncnet_lib.media.clock import FPS
from syncnet_lib.media.decode import Picture

THUMBNAIL = 128
"""Longer side in pixels of what the detector sees; a cut changes the whole picture, so this is plenty."""
FLASH_FRAMES = 12
"""Frames within which the picture before a sudden change must come back for it to be no cut: half a second, less than
any shot that shows somebody saying something."""
COME_BACK = 0.5
"""The picture has come back when it differs from the one before the change by less than this share of the change."""
SAME_PICTURE = 0.9
"""Correlation of the brightness of two thumbnails from which they show the same at another brightness."""
DOUBT, SPIKE, MEMORY = 8.0, 4.0, 10
"""A change from 8 on that is 4 times the largest of the last 10 frames may be a cut between like pictures: two talkers
before the same wall give 11 to 29, the same talker moving gives up to 12 without such a spike (measured)."""


class Cut(Enum):
    """Whether a shot begins with a picture."""

    NO = 0
    MAYBE = 1
    """The picture changes suddenly, but not as a whole, or only in brightness: who is in it must decide."""
    YES = 2
    FLASH = 3
    """The picture is another one for a moment only: no shot begins, and nobody should be sought in it."""


class ShotFinder:
    """Says for each picture of a video in turn whether it changes suddenly, by what came before it.

    Args:
        threshold: mean change of hue, saturation and brightness (0-255) that makes a cut; scenedetect's default is 27.

    Attributes:
        change: of the last picture against the one before, mean over hue, saturation and brightness.
    """

    def __init__(self, threshold: float) -> None:
        # A length of one frame switches off scenedetect's filter, which would report a cut long after the fact.
        self._detector = ContentDetector(threshold=threshold, min_scene_len=1)
        self._recent: deque[float] = deque(maxlen=MEMORY)
        self._number = 0
        self.change = 0.0

    def cut_before(self, thumbnail: UInt8[np.ndarray, "height width 3"]) -> Cut:
        """Whether the picture changes suddenly.

        Args:
            thumbnail: BGR.
        """
        cuts = self._detector.process_frame(FrameTimecode(self._number, float(FPS)), thumbnail)
        self.change = float(self._detector._frame_score or 0.0)
        usual = max([1.0, *self._recent])
        self._recent.append(self.change)
        self._number += 1
        if cuts:
            return Cut.YES
        return Cut.MAYBE if self.change >= DOUBT and self.change >= SPIKE * usual else Cut.NO


@dataclass
class _Held:
    """A picture that waits until it is known whether a shot begins with it.

    Attributes:
        previous: thumbnail of the picture before it.
        change: from that one to this one, as in `ShotFinder`.
        compared: how many pictures after it have been compared with the one before it.
    """

    picture: Picture
    thumbnail: np.ndarray
    previous: np.ndarray
    cut: Cut
    change: float
    compared: int = 0


def find_cuts(pictures: Iterable[Picture], threshold: float) -> Iterator[tuple[Picture, Cut]]:
    """Each picture of a video with whether a shot begins with it.

    While a change may still turn out to be a flash, pictures are held back, `FLASH_FRAMES` at most. Where the size or
    the rotation of the pictures changes, a shot begins in any case.

    Args:
        pictures: of the 25 fps grid.
        threshold: of `ShotFinder`.
    """
    finder = ShotFinder(threshold)
    held: deque[_Held] = deque()
    geometry = previous = None
    for picture in pictures:
        thumbnail = picture.thumbnail(THUMBNAIL)
        if previous is None or picture.geometry != geometry:
            yield from _decided(held, 0)
            finder = ShotFinder(threshold)
            finder.cut_before(thumbnail)
            yield picture, Cut.NO if previous is None else Cut.YES
        else:
            cut = finder.cut_before(thumbnail)
            held.append(_Held(picture, thumbnail, previous, cut, finder.change))
            yield from _decided(held, FLASH_FRAMES)
        geometry, previous = picture.geometry, thumbnail
    yield from _decided(held, 0)


def _decided(held: deque[_Held], waiting: int) -> Iterator[tuple[Picture, Cut]]:
    """Take out the pictures for which it is known whether a shot begins with them; at most so many go on waiting."""
    while held:
        first = held[0]
        if first.cut is not Cut.NO:
            if length := _flash_length(held):
                for _ in range(length):
                    yield held.popleft().picture, Cut.FLASH
                held[0].cut = Cut.NO
                continue
            if len(held) <= waiting:
                return
            if _same_but_for_brightness(first.previous, first.thumbnail):
                first.cut = Cut.MAYBE
        held.popleft()
        yield first.picture, first.cut


def _flash_length(held: deque[_Held]) -> int:
    """After how many of the held pictures the one before them comes back; 0 where it has not."""
    first = held[0]
    for later in itertools.islice(held, first.compared + 1, FLASH_FRAMES + 1):
        first.compared += 1
        if _difference(first.previous, later.thumbnail) < COME_BACK * first.change:
            return first.compared
    return 0


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference of hue, saturation and brightness, as the detector computes it."""
    return float(cv2.absdiff(*(cv2.cvtColor(each, cv2.COLOR_BGR2HSV) for each in (one, other))).mean())


def _same_but_for_brightness(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two thumbnails show the same, the one brighter than the other or with more contrast."""
    a, b = (each.mean(axis=2).ravel() for each in (one, other))
    a, b = a - a.mean(), b - b.mean()
    return bool(a @ b >= SAME_PICTURE * np.sqrt((a @ a) * (b @ b)) > 0)
