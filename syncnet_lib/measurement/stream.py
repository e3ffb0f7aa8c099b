"""The pictures of a video to the faces in it, piece by piece: what a measurement sees, without any network.

Nothing of torch is imported here, so that a process of its own can watch while another still loads its model.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from tqdm import tqdm

from syncnet_lib.dataset import exchange
from syncnet_lib.errors import InputError
from syncnet_lib.faces.crops import FACE_SIZE
from syncnet_lib.faces.shots import Cut, find_cuts
from syncnet_lib.faces.track import Crops, FaceTracker, TrackSettings
from syncnet_lib.media import decode
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.decode import Picture

Crop = Literal["mouth", "face"]


@dataclass(frozen=True)
class TrackCrops:
    """The next crops of a track.

    Attributes:
        number: of the track.
        crops: (n, 120, 120) uint8 gray mouths or (n, 224, 224, 3) uint8 RGB faces.
        boxes: (n, 3) float32 centre x, y and half the longer side of the face, pixels of the picture.
    """

    number: int
    crops: np.ndarray
    boxes: np.ndarray


@dataclass(frozen=True)
class TrackEnd:
    """A track that is over, by its frames, and why it is not used ("" where it is)."""

    number: int
    shot: int
    first: int
    last: int
    refused: str = ""


@dataclass(frozen=True)
class VideoEnd:
    """The video is over.

    Attributes:
        frames: its length.
    """

    frames: int


Event = TrackCrops | TrackEnd | VideoEnd


def watch(path: Path, settings: TrackSettings, crop: Crop, cropped: bool, progress: bool = False) -> Iterator[Event]:
    """Follow all faces of a video.

    Args:
        path: any file that libav reads; with `cropped` also a folder of frames.
        settings: how faces are followed.
        crop: which crops are wanted.
        cropped: the pictures are a face crop already: one face, no cut.
        progress: show a bar on stderr.

    Yields:
        The crops of each track as they are ready, each track when it is over, and the end of the video.

    Raises:
        InputError: it cannot be read.
    """
    pictures, length = _pictures(path, cropped, progress)
    if progress:
        # In a terminal only: a file of output has no use for a bar of seconds.
        pictures = tqdm(pictures, path.name, length, unit="frame", dynamic_ncols=True, leave=False, disable=None)
    count = 0

    def counted() -> Iterator[Picture]:
        nonlocal count
        for picture in pictures:
            count += 1
            yield picture

    yield from _whole(counted()) if cropped and crop == "face" else _followed(counted(), settings, crop, cropped)
    yield VideoEnd(count)


def sound_of(path: Path) -> Path:
    """The file that has the sound of a video, or of a folder of frames, that `check` has let pass.

    Raises:
        InputError: there is none.
    """
    if not path.is_dir():
        return path
    for place in (path / exchange.SOUND, path.parent / exchange.SOUND):
        if place.is_file():
            return place
    raise InputError(path, "frames without sound", f"put {exchange.SOUND} into the folder or beside it")


def check(path: Path, cropped: bool) -> None:
    """Refuse what cannot be watched at all.

    Raises:
        InputError: there is nothing, or a folder that is not one of frames, or may not be.
    """
    if not path.exists():
        raise InputError(path, "does not exist")
    if path.is_dir() and not (cropped and exchange.has_frames(path)):
        raise InputError(path, "is a folder without videos", "give a video, or a folder of frames with --cropped")


def _pictures(path: Path, cropped: bool, progress: bool) -> tuple[Iterable[Picture], int | None]:
    """Pictures, and how many to expect."""
    check(path, cropped)
    if path.is_dir():
        return exchange.pictures(path), len(exchange.frame_files(path))
    expected = round(decode.probe(path).duration * FPS) if progress else 0
    return decode.pictures(path), expected or None


def _followed(pictures: Iterable[Picture], settings: TrackSettings, crop: Crop, cropped: bool) -> Iterator[Event]:
    """Faces by the tracker; a crop has no cuts, and its face is as large as the crop happens to be."""
    if cropped:
        settings = settings.model_copy(update={"min_face_size": 1})
        marked: Iterable[tuple[Picture, Cut]] = ((picture, Cut.NO) for picture in pictures)
    else:
        marked = find_cuts(pictures, settings.shot_threshold)
    for item in FaceTracker(settings, mouth=crop == "mouth", face=crop == "face").follow(marked):
        if isinstance(item, Crops):
            yield TrackCrops(item.track.number, item.mouth if crop == "mouth" else item.face, item.boxes)
        else:
            yield TrackEnd(item.number, item.shot, item.first, item.last, item.refused)


def _whole(pictures: Iterable[Picture]) -> Iterator[Event]:
    """Each picture as the face crop that it is."""
    count = 0
    for picture in pictures:
        count += 1
        pixels = picture.rgb
        if pixels.shape[:2] != (FACE_SIZE, FACE_SIZE):
            pixels = cv2.resize(pixels, (FACE_SIZE, FACE_SIZE), interpolation=cv2.INTER_AREA)
        width, height = picture.size
        yield TrackCrops(0, pixels[None], np.array([[width / 2, height / 2, max(width, height) / 2]], np.float32))
    yield TrackEnd(0, 0, 0, count - 1)
