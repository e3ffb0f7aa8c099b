"""One video to distances: its face tracks, and how far the video of each is from the audio at every shift.

The pictures are seen once. The video embeddings of a track go to a temporary file; when the track is over, its audio
is embedded a minute at a time and only distances are kept, so that two hours need hardly more memory than two minutes:
about 0.4 kB a frame and track.

**The audio of a track** is that of the file, so that a shift may look beyond the ends of the track; with edges "mask" a
window is left out at shifts at which the file has no audio. With "zero" everything outside the track is zeros, as
[syncnet_python] does it, which cuts each track out first.
"""

import dataclasses
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from jaxtyping import Bool, Float32, Int16
from pydantic import Field

from syncnet_lib.errors import InputError
from syncnet_lib.faces.settings import TrackSettings
from syncnet_lib.measurement import fine, stream
from syncnet_lib.measurement.inputs import check
from syncnet_lib.measurement.soundtrack import DIGITAL_SILENCE, Soundtrack, listen
from syncnet_lib.measurement.stream import Event, TrackCrops, TrackEnd
from syncnet_lib.media import features
from syncnet_lib.media.clock import FPS, SAMPLES_PER_FRAME
from syncnet_lib.media.features import MFCC_PER_FRAME, MFCC_SIZE, WINDOW_FRAMES, WINDOW_MFCC
from syncnet_lib.media.report import Report
from syncnet_lib.media.timecode import Timecode
from syncnet_lib.model import scoring
from syncnet_lib.model.embed import Asked, Embedder
from syncnet_lib.model.networks import SyncNet

Edges = Literal["mask", "zero"]


class InferSettings(TrackSettings):
    """How a video is measured."""

    vshift: int = Field(scoring.VSHIFT, ge=1)
    """Frames searched to each side."""
    edges: Edges = "mask"
    """Shifts without audio are left out, or compared with zeros as [syncnet_python] does."""
    cropped: bool = False
    """The pictures are a face crop already: one face, no cut."""
    precision: Asked = "auto"
    """Of the network: the fastest that the device computes in natively, or fp32."""


@dataclass
class Measured:
    """One face track, measured.

    Attributes:
        number, shot, first, frames: which, and where in the video, in frames.
        distances: of each window at the shifts -vshift to vshift; NaN where masked.
        rows: distances at steps of 10 ms, summed over blocks of windows.
        speech: windows in which the audio carries speech.
        boxes: centre x, y and half the longer side of the face, pixels.
    """

    number: int
    shot: int
    first: int
    frames: int
    distances: Float32[np.ndarray, "windows shifts"]
    rows: fine.Rows
    speech: Bool[np.ndarray, " windows"]
    boxes: Float32[np.ndarray, "frames 3"]

    @property
    def windows(self) -> int:
        """How many windows were measured."""
        return len(self.distances)


@dataclass
class Analysis:
    """A whole video, measured but not judged.

    Attributes:
        tracks: those that could be measured, in the order of their number.
        frames: length of the video in pictures.
        samples: length of the audio.
        excerpt: samples of where the audio is loud.
        timecode: how the file's own pictures are counted.
        notes: what could not be used, and why.
        report: how much of the file could be decoded, and what is damaged or missing.
    """

    tracks: list[Measured]
    frames: int
    samples: int
    excerpt: Int16[np.ndarray, " samples"]
    timecode: Timecode = field(default_factory=lambda: Timecode(Fraction(FPS)))
    notes: list[str] = field(default_factory=list)
    report: Report = field(default_factory=Report)


def settings_for(
    model: SyncNet, vshift: int, edges: Edges | None, cropped: bool, precision: Asked = "auto"
) -> InferSettings:
    """Settings with the edges that a model's published scores have where none are asked for.

    Raises:
        InputError: a value out of range.
    """
    values = {"vshift": vshift, "edges": edges or model.spec.edges, "cropped": cropped, "precision": precision}
    return InferSettings.parse(values, "settings")


def analyse(
    path: Path,
    model: SyncNet,
    settings: InferSettings,
    device: str = "cpu",
    progress: bool = False,
    events: Iterable[Event] | None = None,
) -> Analysis:
    """Measure every face track of a video.

    Args:
        path: any file that libav reads; with `settings.cropped` also a folder of frames with its audio.
        model: in evaluation mode.
        settings: how.
        device: of the model.
        progress: show a bar on stderr.
        events: of `stream.watch`, where another process decodes; with the crops that the model is fed.

    Raises:
        InputError: no face, no sound, silence, too short, or not readable.
    """
    check(path, settings.cropped)
    if events is None:
        events = stream.watch(path, settings, model.spec.crop, settings.cropped, settings.vshift, progress)
    with tempfile.TemporaryDirectory(prefix="syncnet-") as scratch:
        events = iter(events)
        soundtrack = listen(path, events, Path(scratch) / "audio.raw", settings.vshift)
        faces = _Faces(model, device, settings, soundtrack, Path(scratch))
        end = stream.VideoEnd(0, Report(), Timecode.starting(Fraction(FPS)))
        for event in events:
            if isinstance(event, TrackCrops):
                faces.add(event)
            elif isinstance(event, TrackEnd):
                faces.end(event)
            elif isinstance(event, stream.VideoEnd):
                end = event
    if end.frames < WINDOW_FRAMES + 1:
        raise InputError(path, f"shorter than one window ({end.frames} frames of 1/{FPS} s)", "give a longer video")
    if not faces.measured:
        why = faces.notes[0] if faces.notes else f"no face found in any of {end.frames} frames"
        raise InputError(path, why, "give a video that shows a talking face")
    tracks = sorted(faces.measured, key=lambda track: track.number)
    soundtrack.report.add(end.report)
    return Analysis(
        tracks, end.frames, soundtrack.samples, soundtrack.excerpt, end.timecode, faces.notes, soundtrack.report
    )


@dataclass
class _Open:
    """A track that is being followed: its embeddings so far lie in `spool`."""

    embedder: Embedder
    spool: BinaryIO
    windows: int = 0
    boxes: list[np.ndarray] = field(default_factory=list)


class _Faces:
    """The face tracks of a video: embedded while they are seen, measured when they are over.

    Attributes:
        measured: tracks that are over and could be measured.
        notes: of tracks that could not, and why.
    """

    def __init__(
        self, model: SyncNet, device: str, settings: InferSettings, soundtrack: Soundtrack, folder: Path
    ) -> None:
        self.measured: list[Measured] = []
        self.notes: list[str] = []
        self._model, self._device, self._settings = model, device, settings
        self._soundtrack, self._folder = soundtrack, folder
        # The mean of a track is taken off here, over the whole of it, before it is embedded a minute at a time.
        self._audio = Embedder(model, device, settings.precision)
        self._audio.spec = dataclasses.replace(model.spec, cepstral_mean=False)
        self._open: dict[int, _Open] = {}
        self._idle: list[Embedder] = []

    def add(self, piece: TrackCrops) -> None:
        """Embed the next crops of a track."""
        if piece.number not in self._open:
            embedder = self._idle.pop() if self._idle else Embedder(self._model, self._device, self._settings.precision)
            embedder.reset()
            self._open[piece.number] = _Open(embedder, (self._folder / f"{piece.number}.video").open("w+b"))
        track = self._open[piece.number]
        embedded = track.embedder.video(piece.crops)
        track.spool.write(embedded.tobytes())
        track.windows += len(embedded)
        track.boxes.append(piece.boxes)

    def end(self, track: TrackEnd) -> None:
        """Measure a track that is over."""
        opened = self._open.pop(track.number, None)
        span = f"face from {track.first / FPS:.1f} to {(track.last + 1) / FPS:.1f} s"
        if track.refused:
            self.notes.append(f"{span} not used: {track.refused}")
        if opened is None:
            return
        self._idle.append(opened.embedder)
        with opened.spool:
            if track.refused:
                return
            measured = self._measured(track, opened)
        if measured is None:
            self.notes.append(f"{span} not used: the sound ends before it")
        elif np.isnan(measured.distances).all():
            self.notes.append(f"{span} not used: there is no sound around it")
        else:
            self.measured.append(measured)

    def _measured(self, track: TrackEnd, opened: _Open) -> Measured | None:
        """The distances of a track; None where the audio ends before it."""
        soundtrack = self._soundtrack
        start = soundtrack.lead + track.first
        length = track.last + 1 - track.first
        # Masked, a window without audio of its own still has that of other shifts; zero-padded, it is left out.
        heard = len(soundtrack.levels) - start if self._settings.edges == "zero" else length
        windows = features.window_count(length, max(0, heard) * SAMPLES_PER_FRAME)
        if windows < 1:
            return None
        frames = windows + WINDOW_FRAMES
        opened.spool.flush()
        video = np.memmap(opened.spool, np.float32, "r", shape=(opened.windows, self._audio.spec.embedding))
        speech = np.zeros(frames, bool)
        levels = soundtrack.levels[start : start + frames]
        if len(levels):
            speech[: len(levels)] = features.speech(levels)
        return Measured(
            track.number,
            track.shot,
            track.first,
            frames,
            *self._distances(video[:windows], start, track.first),
            speech[WINDOW_FRAMES // 2 :][:windows],
            np.concatenate(opened.boxes)[:frames],
        )

    def _distances(self, video: np.ndarray, first: int, frame: int) -> tuple[np.ndarray, fine.Rows]:
        """(N, S) float32 distances of (N, D) video embeddings, whose first window begins with frame `first` of the
        soundtrack and `frame` of the video, and those at steps of 10 ms."""
        soundtrack, vshift = self._soundtrack, self._settings.vshift
        zero = self._settings.edges == "zero"
        windows = len(video)
        mean = self._cepstral_mean(first - vshift, first + windows + WINDOW_FRAMES + vshift)
        low, high = (first, first + windows) if zero else (soundtrack.first, soundtrack.stop)
        found = np.empty((windows, 2 * vshift + 1), np.float32)
        rows = fine.Rows.empty(frame, windows, 2 * vshift + 1)
        for start in range(0, windows, features.PORTION):
            stop = min(start + features.PORTION, windows)
            steps = np.empty((stop - start, 2 * vshift + 1, fine.PHASES), np.float32)
            for phase in range(fine.PHASES):
                around = np.full((stop - start + 2 * vshift, video.shape[1]), 0.0 if zero else np.nan, np.float32)
                begin = first + start - vshift
                last = (len(soundtrack.mfcc) - phase - WINDOW_MFCC) // MFCC_PER_FRAME + 1
                inside = max(begin, low), min(begin + len(around), high, last)
                if inside[0] < inside[1]:
                    spans = (inside[0] * MFCC_PER_FRAME, (inside[1] - 1) * MFCC_PER_FRAME + WINDOW_MFCC)
                    heard = soundtrack.mfcc[spans[0] + phase : spans[1] + phase]
                    around[inside[0] - begin : inside[1] - begin] = self._audio.audio(heard - mean)
                steps[:, :, phase] = scoring.padded_distances(np.asarray(video[start:stop]), around)
            found[start:stop] = steps[:, :, 0]
            rows.add(frame + start, steps.reshape(stop - start, -1))
        return found, rows

    def _cepstral_mean(self, begin: int, end: int) -> np.ndarray:
        """(13,) float32 mean MFCC of all audio that a search looks at, so that it stays the same when audio is moved;
        zeros where the model does not want it taken off."""
        if not self._model.spec.cepstral_mean:
            return np.zeros(MFCC_SIZE, np.float32)
        steps = self._soundtrack.mfcc[begin * MFCC_PER_FRAME : end * MFCC_PER_FRAME]
        # Digital silence has cepstra far from all others; it is no part of how this microphone sounds.
        heard = steps[:, 0] > DIGITAL_SILENCE
        return steps[heard].mean(axis=0) if heard.any() else np.zeros(MFCC_SIZE, np.float32)
