"""One video into clips: its sound is decoded, its faces are followed, each face track is written with its sound."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from syncnet_lib import parallel
from syncnet_lib.dataset import exchange
from syncnet_lib.dataset.clips import ClipWriter
from syncnet_lib.dataset.settings import ExtractSettings
from syncnet_lib.errors import InputError
from syncnet_lib.faces.crops import FACE_SIZE, MOUTH_SIZE, sharpness
from syncnet_lib.faces.shots import find_cuts
from syncnet_lib.faces.track import Crops, FaceTracker, Track
from syncnet_lib.media import audio, decode
from syncnet_lib.media.clock import FPS, SAMPLES_PER_FRAME
from syncnet_lib.media.decode import Picture
from syncnet_lib.media.features import WINDOW_FRAMES
from syncnet_lib.media.report import Report
from syncnet_lib.stopwatch import Stopwatch

PHASES = ("sound", "decode", "shots", "faces and crops", "writing")
"""What the work on a video consists of."""

LEAST_SECONDS = 60.0
"""Work on a video that its time limit always allows."""

Item = TypeVar("Item")


@dataclass
class Extracted:
    """What one video gave.

    Attributes:
        frames: length of the video.
        clips: for each clip the columns of the manifest (`clips.COLUMNS`) from `start_frame` on.
        tracks: for each face track, used or not, the columns of `clips.TRACK_COLUMNS` but for `path`.
        refused: why face tracks, or the video as a whole, gave no clip, and what of it is damaged or missing.
    """

    frames: int = 0
    clips: list[dict[str, Any]] = field(default_factory=list)
    tracks: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def extract_video(
    path: Path, audio_path: Path | None, folder: Path, settings: ExtractSettings, watch: Stopwatch
) -> Extracted:
    """Write the clips of one video, a folder each, named by the number of the face track.

    Args:
        path: a video, or a clip in the exchange layout.
        audio_path: the file with its sound, None where that is the video itself.
        folder: gets the clips.
        settings: of the extraction.
        watch: times the `PHASES`.

    Raises:
        InputError: it cannot be decoded, has no sound, is shorter than one window, or takes too long.
    """
    with parallel.ended_after(LEAST_SECONDS):  # to open a file may hang too
        seconds = max(LEAST_SECONDS, settings.time_limit * _duration(path))
    limit = _TimeLimit(path, seconds)
    samples = folder / "samples.raw"
    report = Report()
    with parallel.ended_after(seconds + LEAST_SECONDS):  # where it hangs in native code; else `limit` says it better
        with watch.phase("sound"):
            # A sound file of its own begins with the first picture; that of a video is placed by the video's clock.
            source, track = (audio_path, 0) if audio_path else (path, settings.audio_track)
            blocks = audio.audio_blocks(source, track, report=report)
            audible = _write_samples(path, limit.each(blocks), samples)
        if exchange.is_clip(path) and _holds_mouths(path):
            with watch.phase("writing"):
                extracted = _import_mouths(path, folder / "00", samples, audible)
        else:
            extracted = _follow_faces(path, folder, samples, audible, settings, limit, watch, report)
    extracted.refused += report.texts
    samples.unlink()
    return extracted


def pictures(path: Path, report: Report | None = None) -> Iterator[Picture]:
    """The pictures of a video, or of a clip in the exchange layout as if they came from one.

    Args:
        path: of it.
        report: gets what is damaged or missing in a video.

    Raises:
        InputError: they cannot be decoded.
    """
    return exchange.pictures(path) if exchange.is_clip(path) else decode.pictures(path, blank=True, report=report)


def _duration(path: Path) -> float:
    """Seconds."""
    return len(exchange.frame_files(path)) / FPS if exchange.is_clip(path) else decode.probe(path).duration


def _write_samples(path: Path, blocks: Iterable[np.ndarray], samples: Path) -> int:
    """Write the sound as raw int16; returns the frames for which there is sound, the last of them perhaps in part."""
    with samples.open("wb") as file:
        for block in blocks:
            file.write(block.tobytes())
    size = samples.stat().st_size
    if not size:
        raise InputError(path, "no sound: the sound track ends before the first picture")
    return math.ceil(size / (2 * SAMPLES_PER_FRAME))


def _follow_faces(
    path: Path,
    folder: Path,
    samples: Path,
    audible: int,
    settings: ExtractSettings,
    limit: "_TimeLimit",
    watch: Stopwatch,
    report: Report,
) -> Extracted:
    """Find, follow and write the faces of a video."""
    tracker = FaceTracker(settings, mouth=settings.crops != "face", face=settings.crops != "mouth")
    decoded = watch.each("decode", limit.each(pictures(path, report)))
    marked = watch.each("shots", find_cuts(decoded, settings.shot_threshold))
    writers: dict[int, ClipWriter] = {}
    extracted = Extracted()
    for item in watch.each("faces and crops", tracker.follow(marked)):
        with watch.phase("writing"):
            if isinstance(item, Crops):
                number = item.track.number
                if number not in writers:
                    writers[number] = ClipWriter(folder / f"{number:02d}", audible - item.track.first)
                writers[number].add(item.mouth, item.face, item.lip_aperture)
            else:
                _close_track(item, writers.pop(item.number, None), samples, extracted)
    extracted.frames = tracker.frames
    if extracted.frames < WINDOW_FRAMES:
        raise InputError(path, f"shorter than one window ({extracted.frames} of {WINDOW_FRAMES} frames)")
    if not extracted.clips and not extracted.refused:
        extracted.refused.append(f"no face found in any of {extracted.frames} frames")
    return extracted


def _close_track(track: Track, writer: ClipWriter | None, samples: Path, extracted: Extracted) -> None:
    """List a face track that is over, and finish its clip or say why it is none."""
    reason = track.refused
    if not reason and (writer is None or writer.frames < WINDOW_FRAMES):
        reason = "the sound ends before it"
    box = track.face.box
    corners = {name: round(getattr(box, name), 1) for name in ("left", "top", "right", "bottom")}
    span = {"shot": track.shot, "track": track.number, "first": track.first, "last": track.last}
    extracted.tracks.append({**span, **corners, "reason": reason})
    if reason or writer is None:
        extracted.refused.append(f"face track of frames {track.first} to {track.last}: {reason}")
        if writer is not None:
            writer.discard()
        return
    extracted.clips.append(
        {
            "start_frame": track.first,
            "frames": writer.frames,
            "shot": track.shot,
            "track": track.number,
            "face_size": track.face_size,
            "sharpness": track.sharpness / track.frames,
            "speech_share": writer.close(samples, track.first),
            "faceless_share": track.faceless / track.frames,
        }
    )


def _holds_mouths(path: Path) -> bool:
    """Whether the pictures of a clip in the exchange layout are mouth crops: no larger than ours, so without a face."""
    return max(next(exchange.frames(path)).shape[:2]) <= MOUTH_SIZE


def _import_mouths(path: Path, folder: Path, samples: Path, audible: int) -> Extracted:
    """Write a clip whose mouth crops are ready-made: they are only resized to ours."""
    writer = ClipWriter(folder, audible)
    edges = 0.0
    no_face = np.zeros((0, FACE_SIZE, FACE_SIZE, 3), np.uint8)
    unknown_aperture = np.full(1, np.nan, np.float32)
    for image in exchange.frames(path):
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
        if gray.shape != (MOUTH_SIZE, MOUTH_SIZE):
            gray = cv2.resize(gray, (MOUTH_SIZE, MOUTH_SIZE), interpolation=cv2.INTER_LINEAR)
        edges += sharpness(gray)
        writer.add(gray[None], no_face, unknown_aperture)
    if writer.frames < WINDOW_FRAMES:
        raise InputError(path, f"shorter than one window ({writer.frames} of {WINDOW_FRAMES} frames)")
    speech_share = writer.close(samples, 0)
    exchange.check_features(path, np.load(folder / "mfcc.npy", mmap_mode="r"))
    clip = {
        "start_frame": 0,
        "frames": writer.frames,
        "shot": 0,
        "track": 0,
        "face_size": None,
        "sharpness": edges / writer.frames,
        "speech_share": speech_share,
        "faceless_share": 0.0,
    }
    return Extracted(writer.frames, [clip])


class _TimeLimit:
    """How long the work on a video may take."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._path, self._seconds = path, seconds
        self._end = time.monotonic() + seconds

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """Pass items on, as long as there is time."""
        for item in items:
            if time.monotonic() > self._end:
                raise InputError(self._path, f"takes longer than its time limit of {self._seconds:.0f} s")
            yield item
