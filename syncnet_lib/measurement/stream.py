"""A video as a stream of events: its audio, then the crops of each face as they are seen. No network is needed for it.

Nothing of torch is imported here, so that a process of its own can decode while another still loads its model; and a
decoder that crashes in native code takes that process with it, not the measurement.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float32, Int16, UInt8
from tqdm import tqdm

from syncnet_lib import verbosity
from syncnet_lib.dataset import exchange
from syncnet_lib.errors import InputError, shown
from syncnet_lib.faces.crops import FACE_SIZE
from syncnet_lib.faces.settings import TrackSettings
from syncnet_lib.faces.shots import Cut, find_cuts
from syncnet_lib.faces.track import Crops, FaceTracker
from syncnet_lib.measurement import part
from syncnet_lib.measurement.inputs import audio_of, check
from syncnet_lib.measurement.settings import WatchSettings
from syncnet_lib.measurement.voice import choose_track
from syncnet_lib.media import audio, decode
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.decode import Picture
from syncnet_lib.media.report import Note, Report
from syncnet_lib.media.timecode import Timecode, timecode_of
from syncnet_lib.stopwatch import Stopwatch

Crop = Literal["mouth", "face"]
Progress = bool | Callable[[float], None]
"""Whether a bar is shown on stderr, or who is told the share of the pictures that were looked at."""
FAR = 10 * FPS
"""Frames to each side, 10 s, that are searched where nothing is found near; the audio begins so much earlier."""


@dataclass(frozen=True)
class AudioBlock:
    """The next block of the audio.

    Attributes:
        samples: mono at 16 kHz.
    """

    samples: Int16[np.ndarray, " samples"]


@dataclass(frozen=True)
class AudioEnd:
    """The audio is over.

    Attributes:
        report: what of it is damaged or missing.
        failed: why it cannot be read, where it is one of several.
        more: whether that of another audio track follows.
    """

    report: Report
    failed: InputError | None = None
    more: bool = False


@dataclass(frozen=True)
class TrackCrops:
    """The next crops of a face track.

    Attributes:
        number: of the track.
        crops: gray mouths (120 x 120) or RGB faces (224 x 224 x 3).
        boxes: centre x, y and half the longer side of the face, pixels of the picture.
    """

    number: int
    crops: UInt8[np.ndarray, "frames height width *colours"]
    boxes: Float32[np.ndarray, "frames 3"]


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
        report: how much of it could be decoded, and what is damaged or missing.
        timecode: how the file's own pictures are counted.
        looked: first frame of each stretch that was looked at, and the one after its last; empty for all.
    """

    frames: int
    report: Report
    timecode: Timecode
    looked: tuple[tuple[int, int], ...] = ()


Event = AudioBlock | AudioEnd | TrackCrops | TrackEnd | VideoEnd


def watch(
    path: Path,
    settings: WatchSettings,
    crop: Crop,
    cropped: bool,
    lead: int,
    progress: Progress = False,
    each: bool = False,
) -> Iterator[Event]:
    """Decode a video: all of its audio first, then follow all faces.

    Args:
        path: any file that libav reads; with `cropped` also a folder of frames.
        settings: which part of it, which sound, and how faces are followed.
        crop: which crops are wanted.
        cropped: the pictures are a face crop already: one face, no cut.
        lead: frames before the first picture with which the audio begins.
        progress: how it is shown how far this is.
        each: give every audio track, one after the other.

    Yields:
        Its events, as `hear` and `see` give them.

    Raises:
        InputError: it cannot be read.
    """
    check(path, cropped)
    yield from _hear_each(path, lead, settings) if each else hear(path, lead, settings)
    yield from see(path, settings, crop, cropped, progress)


def hear(path: Path, lead: int, settings: WatchSettings | None = None) -> Iterator[Event]:
    """The audio of a video or of a folder of frames in blocks, and its end; arguments and errors as for `watch`."""
    settings = settings or WatchSettings()
    source = Path(settings.audio) if settings.audio else audio_of(path)
    track, notes = _track(source, settings.audio_track, alone=path.is_dir() and not settings.audio)
    if settings.audio:
        notes = [*notes, Note(0.0, f"the audio of {source.name} is measured, from the first picture on: as asked for")]
    if settings.channel:
        notes = [*notes, Note(0.0, f"channel {settings.channel} of the audio is measured: as asked for")]
    report = Report(notes=notes)
    for block in audio.audio_blocks(source, track, lead=lead, report=report, channel=settings.channel):
        yield AudioBlock(block)
    yield AudioEnd(report)


def _hear_each(path: Path, lead: int, settings: WatchSettings) -> Iterator[Event]:
    """The audio of each track; one that cannot be read is no reason not to hear the others."""
    count = len(decode.probe(Path(settings.audio) if settings.audio else audio_of(path)).audio)
    if not count:
        yield from hear(path, lead, settings)  # which says what there is to say
    for number in range(1, count + 1):
        more = number < count
        try:
            for event in hear(path, lead, settings.model_copy(update={"audio_track": number})):
                yield dataclasses.replace(event, more=more) if isinstance(event, AudioEnd) else event
        except InputError as error:
            yield AudioEnd(Report(), error, more)


def _track(source: Path, asked: int, alone: bool) -> tuple[int, list[Note]]:
    """The number of an audio track, from 0, and what to say about the choice."""
    if not asked:
        return (0, []) if alone else choose_track(source)
    tracks = decode.probe(source).audio
    count = len(tracks)
    if asked > count:
        raise InputError(source, f"no audio track {asked}", f"choose from 1 to {count}" if count else "")
    title = f" ({tracks[asked - 1].title})" if tracks[asked - 1].title else ""
    return asked - 1, [Note(0.0, f"audio track {asked} of {count}{title} is measured: as asked for")]


def see(
    path: Path, settings: WatchSettings, crop: Crop, cropped: bool = False, progress: Progress = False
) -> Iterator[Event]:
    """The crops of each track as they are ready, each track when it is over, and the end of the video.

    Arguments and errors as for `watch`.
    """
    spans = part.stretches(path, settings)
    report = Report()
    pictures, length = _pictures(path, bool(progress), report)
    if callable(progress):
        pictures = _told(pictures, length, progress)
    elif verbosity.shown(bool(progress)):
        # In a terminal only: a file of output has no use for a bar of seconds.
        pictures = tqdm(pictures, path.name, length, unit="frame", dynamic_ncols=True, leave=False, disable=None)
    count = 0
    watch = Stopwatch(("pictures", "faces"))

    def counted() -> Iterator[Picture]:
        nonlocal count
        for picture in watch.each("pictures", pictures):
            count += 1
            yield picture

    def followed(pictures: Iterable[Picture]) -> Iterator[TrackCrops | TrackEnd]:
        return _whole(pictures) if cropped and crop == "face" else _followed(pictures, settings, crop, cropped)

    yield from watch.each("faces", _stretches(counted(), spans, followed))
    verbosity.say(f"{shown(path)}: {count} pictures decoded: {verbosity.spent(watch.seconds)}")
    if not settings.whole:
        report.notes.append(Note(0.0, f"measured: {part.spoken(spans)}"))
    looked = tuple((first, min(stop or count, count)) for first, stop in spans if first < count)
    yield VideoEnd(count, report, timecode_of(path), looked)


def _stretches(
    pictures: Iterator[Picture],
    spans: list[tuple[int, int | None]],
    followed: Callable[[Iterable[Picture]], Iterator[TrackCrops | TrackEnd]],
) -> Iterator[Event]:
    """The faces of each stretch, numbered through, with their places in the video."""
    at = tracks = shots = 0
    for first, stop in spans:
        for _ in itertools.islice(pictures, first - at):
            pass
        begun = tracks, shots
        for event in followed(itertools.islice(pictures, None if stop is None else stop - first)):
            number = begun[0] + event.number
            tracks = max(tracks, number + 1)
            if isinstance(event, TrackCrops):
                yield dataclasses.replace(event, number=number)
            else:
                shot = begun[1] + event.shot
                shots = max(shots, shot + 1)
                begin, end = first + event.first, first + event.last
                yield dataclasses.replace(event, number=number, shot=shot, first=begin, last=end)
        at = stop or at


def _told(pictures: Iterable[Picture], length: int | None, tell: Callable[[float], None]) -> Iterator[Picture]:
    """The same pictures; with each goes the share of them that was looked at before."""
    for number, picture in enumerate(pictures):
        tell(min(number / length, 1.0) if length else 0.0)
        yield picture


def _pictures(path: Path, progress: bool, report: Report) -> tuple[Iterable[Picture], int | None]:
    """Pictures, and how many to expect."""
    if path.is_dir():
        return exchange.pictures(path), len(exchange.frame_files(path))
    expected = round(decode.probe(path).duration * FPS) if progress else 0
    return decode.pictures(path, blank=True, report=report), expected or None


def _followed(
    pictures: Iterable[Picture], settings: TrackSettings, crop: Crop, cropped: bool
) -> Iterator[TrackCrops | TrackEnd]:
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


def _whole(pictures: Iterable[Picture]) -> Iterator[TrackCrops | TrackEnd]:
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
