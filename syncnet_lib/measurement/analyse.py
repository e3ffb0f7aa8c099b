"""One video to distances: its face tracks, and how far the video of each is from the audio at every shift.

The pictures are seen once. The video embeddings of a track go to a temporary file; when the track is over, its audio
is embedded a minute at a time and only distances are kept, so that two hours need hardly more memory than two minutes:
about 0.4 kB a frame and track.

**The audio of a track** is that of the file, so that a shift may look beyond the ends of the track; with edges "mask" a
window is left out at shifts at which the file has no audio. With "zero" everything outside the track is zeros, as
[syncnet_python] does it, which cuts each track out first.
"""

import copy
import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np
from jaxtyping import Bool, Float32
from pydantic import Field

from syncnet_lib import files, verbosity
from syncnet_lib.errors import InputError, shown
from syncnet_lib.measurement import fine, stream
from syncnet_lib.measurement.inputs import check
from syncnet_lib.measurement.line import Line
from syncnet_lib.measurement.settings import WatchSettings
from syncnet_lib.measurement.soundtrack import DIGITAL_SILENCE, Soundtrack, listen
from syncnet_lib.measurement.stream import Event, Progress, TrackCrops, TrackEnd
from syncnet_lib.media import features
from syncnet_lib.media.clock import FPS, SAMPLES_PER_FRAME
from syncnet_lib.media.features import MFCC_PER_FRAME, MFCC_SIZE, WINDOW_FRAMES, WINDOW_MFCC
from syncnet_lib.media.report import Report
from syncnet_lib.media.timecode import Timecode
from syncnet_lib.model import scoring
from syncnet_lib.model.light import Small, SmallEmbedder
from syncnet_lib.model.spec import Asked
from syncnet_lib.stopwatch import Stopwatch

if TYPE_CHECKING:  # whose torch takes longer to import than a short video to measure
    from syncnet_lib.model.embed import Embedder
    from syncnet_lib.model.networks import SyncNet

Edges = Literal["mask", "zero"]
PHASES = WAITING, SOUND, LIPS, DISTANCES = "waiting for frames", "MFCC", "video embeddings", "audio and distances"
"""What the time of a measurement goes into, as --verbose tells it."""


class InferSettings(WatchSettings):
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
        speech: frames of the audio, from the first picture on, that are of speech by silero-vad.
        timecode: how the file's own pictures are counted.
        centre: offset in frames around which was searched.
        looked: of `VideoEnd`.
        refused: first frame of each face that could not be used, the one after its last, and why.
        notes: what could not be used, and why.
        report: how much of the file could be decoded, and what is damaged or missing.
    """

    tracks: list[Measured]
    frames: int
    samples: int
    speech: Bool[np.ndarray, " frames"]
    timecode: Timecode = field(default_factory=lambda: Timecode(Fraction(FPS)))
    centre: int = 0
    looked: tuple[tuple[int, int], ...] = ()
    refused: list[tuple[int, int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    report: Report = field(default_factory=Report)


def settings_for(
    model: "SyncNet | Small",
    vshift: int,
    edges: Edges | None,
    cropped: bool,
    precision: Asked = "auto",
    watching: WatchSettings | None = None,
) -> InferSettings:
    """Settings with the edges that a model's published scores have where none are asked for.

    Raises:
        InputError: a value out of range.
    """
    values = {"vshift": vshift, "edges": edges or model.spec.edges, "cropped": cropped, "precision": precision}
    return InferSettings.parse((watching or WatchSettings()).model_dump() | values, "settings")


@contextmanager
def watched(
    path: Path,
    model: "SyncNet | Small",
    settings: InferSettings,
    progress: Progress = False,
    events: Iterable[Event] | None = None,
    each: bool = False,
) -> "Iterator[Watched]":
    """Watch a video; what was seen of it stays on the disk in here, so that it can be measured again around another
    offset, or with another sound.

    Args:
        path: any file that libav reads; with `settings.cropped` also a folder of frames with its audio.
        model: in evaluation mode.
        settings: how.
        progress: as for `stream.watch`.
        events: of `stream.watch`, where another process decodes; with the crops that the model is fed.
        each: hear every audio track; the first that can be measured is.

    Raises:
        InputError: no face, no sound, silence, too short, or not readable; some of it by `Watched.analysis`.
    """
    check(path, settings.cropped)
    lead = settings.vshift + stream.FAR
    if events is None:
        events = stream.watch(path, settings, model.spec.crop, settings.cropped, lead, progress, each)
    with files.scratch() as scratch:
        watch = Stopwatch(PHASES)
        events = watch.each(WAITING, events)
        with watch.phase(SOUND):
            sounds = listen(path, events, Path(scratch), lead)
        video = Watched(path, model, settings, sounds, Path(scratch))
        for event in events:
            if isinstance(event, TrackCrops):
                with watch.phase(LIPS):
                    video.add(event)
            elif isinstance(event, TrackEnd):
                with watch.phase(DISTANCES):
                    video.end(event)
            elif isinstance(event, stream.VideoEnd):
                video.frames, video.timecode, video.looked = event.frames, event.timecode, event.looked
                for sound in sounds:
                    if isinstance(sound, Soundtrack):
                        sound.report.add(event.report)
        verbosity.say(f"{shown(path)}: {video.frames} frames measured: {verbosity.spent(watch.seconds)}")
        yield video


def _embedder(model: "SyncNet | Small", precision: Asked) -> "Embedder | SmallEmbedder":
    if isinstance(model, Small):
        return SmallEmbedder(model, precision)
    from syncnet_lib.model.embed import Embedder

    return Embedder(model, model.mfcc_mean.device, precision)


@dataclass
class _Open:
    """A track that is being followed, or was: its embeddings lie in `spool`."""

    embedder: "Embedder | SmallEmbedder"
    spool: BinaryIO
    windows: int = 0
    boxes: list[np.ndarray] = field(default_factory=list)


class Watched:
    """The face tracks of a video: embedded while they are seen, measured when they are over.

    Attributes:
        frames, timecode, looked: of `VideoEnd`, known when the video is over.
        sounds: of `listen`.
    """

    def __init__(
        self,
        path: Path,
        model: "SyncNet | Small",
        settings: InferSettings,
        sounds: list[Soundtrack | InputError],
        folder: Path,
    ) -> None:
        self.frames = 0
        self.timecode = Timecode.starting(Fraction(FPS))
        self.looked: tuple[tuple[int, int], ...] = ()
        self.sounds = sounds
        self._path = path
        self._measured: list[Measured] = []
        self._notes: list[str] = []
        self._refused: list[tuple[int, int, str]] = []
        self._ended: list[tuple[TrackEnd, _Open | None]] = []
        self._over: dict[int, tuple[TrackEnd, _Open]] = {}
        self._model, self._settings = model, settings
        self._soundtrack, self._folder = next(each for each in sounds if isinstance(each, Soundtrack)), folder
        # The mean of a track is taken off here, over the whole of it, before it is embedded a minute at a time.
        self._audio = _embedder(model, settings.precision)
        self._audio.spec = dataclasses.replace(model.spec, cepstral_mean=False)
        self._open: dict[int, _Open] = {}
        self._idle: list[Embedder | SmallEmbedder] = []

    def add(self, piece: TrackCrops) -> None:
        """Embed the next crops of a track."""
        if piece.number not in self._open:
            embedder = self._idle.pop() if self._idle else _embedder(self._model, self._settings.precision)
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
        if opened is not None:
            self._idle.append(opened.embedder)
            opened.spool.close()
        self._ended.append((track, opened))
        self._take(track, opened)

    def beside(self, soundtrack: Soundtrack) -> "Watched":
        """The same faces measured with another sound, when the video is over."""
        if soundtrack is self._soundtrack:
            return self
        other = copy.copy(self)
        other._soundtrack = soundtrack
        other._measured, other._notes, other._refused, other._over = [], [], [], {}
        for track, opened in self._ended:
            other._take(track, opened)
        return other

    def _take(self, track: TrackEnd, opened: _Open | None) -> None:
        span = f"face from {track.first / FPS:.1f} to {(track.last + 1) / FPS:.1f} s"
        if track.refused:
            self._notes.append(f"{span} not used: {track.refused}")
            self._refuse(track, self._why(track))
        if opened is None or track.refused:
            return
        measured = self._measure(track, opened, 0)
        if measured is None:
            self._notes.append(f"{span} not used: the sound ends before it")
            self._refuse(track, "the sound ends before a face is seen")
        elif np.isnan(measured.distances).all():
            self._notes.append(f"{span} not used: there is no sound around it")
        else:
            self._measured.append(measured)
            self._over[track.number] = track, opened

    def _refuse(self, track: TrackEnd, why: str) -> None:
        self._refused.append((track.first, track.last + 1, why))

    def _why(self, track: TrackEnd) -> str:
        """Why a face is not used, in the same words for all that are alike."""
        if track.last + 1 - track.first < self._settings.min_track:
            return f"a face is seen for less than {self._settings.min_track} frames"
        return f"the face is smaller than {self._settings.min_face_size} pixels"

    def analysis(self, centre: int = 0) -> Analysis:
        """All that was measured.

        Args:
            centre: offset in frames around which is searched; another than 0 measures again.

        Raises:
            InputError: there is nothing that could be measured.
        """
        if self.frames < WINDOW_FRAMES + 1:
            cause = f"shorter than one window ({self.frames} frames of 1/{FPS} s)"
            raise InputError(self._path, cause, "give a longer video")
        if not self._measured:
            why = self._notes[0] if self._notes else f"no face found in any of {self.frames} frames"
            raise InputError(self._path, why, "give a video that shows a talking face")
        tracks = self._measured
        if centre:
            again = (self._measure(*over, centre) for over in self._over.values())
            tracks = [track for track in again if track is not None and not np.isnan(track.distances).all()]
        tracks = sorted(tracks, key=lambda track: track.number)
        sound = self._soundtrack
        return Analysis(
            tracks,
            self.frames,
            sound.samples,
            sound.speech,
            self.timecode,
            centre,
            self.looked,
            self._refused,
            list(self._notes),
            sound.report,
        )

    def pieces(self, number: int, reach: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """The embeddings of a track in portions, each with the audio around it.

        Args:
            number: of a track that was measured.
            reach: frames.

        Yields:
            Frame of the video at which the first window begins, (n, D) float32 of windows that follow each other, and
            (n + 2 reach, D) of the audio from `reach` frames before the first of them on; NaN where there is none.
        """
        track, opened = self._over[number]
        video = self._video(opened)
        first = self._soundtrack.lead + track.first
        mean = self._cepstral_mean(first - reach, first + len(video) + WINDOW_FRAMES + reach)
        for start in range(0, len(video), features.PORTION):
            part = np.asarray(video[start : start + features.PORTION])
            around = self._around(first + start - reach, len(part) + 2 * reach, mean, 0, self._heard, np.nan)
            yield track.first + start, part, around

    def along(self, number: int, line: Line) -> fine.Rows:
        """The distances of a track to the audio around an offset that grows.

        Args:
            number: of a track that was measured.
            line: the offsets, each taken to the next step of 10 ms.

        Returns:
            At steps of 10 ms; column 4 i + p is that many steps below `line` + VSHIFT.
        """
        track, opened = self._over[number]
        video, vshift = self._video(opened), scoring.VSHIFT
        frames = track.first + np.arange(len(video))
        heard = self._soundtrack.lead + frames - vshift
        starts = heard * MFCC_PER_FRAME - np.rint(line.at(frames) * MFCC_PER_FRAME).astype(np.int64)
        ends = max(int(starts.min()) // MFCC_PER_FRAME, 0), int(starts.max()) // MFCC_PER_FRAME + 2 * vshift + 2
        mean = self._cepstral_mean(ends[0], ends[1] + WINDOW_FRAMES)
        steps = MFCC_PER_FRAME * (2 * vshift + 1)
        rows = fine.Rows.empty(track.first, len(video), 2 * vshift + 1)
        for start in range(0, len(video), features.PORTION):
            part, at = np.asarray(video[start : start + features.PORTION]), starts[start : start + features.PORTION]
            begin = int(at.min()) // MFCC_PER_FRAME
            count = int(at.max()) // MFCC_PER_FRAME + 2 * vshift + 2 - begin
            phases = [self._around(begin, count, mean, phase, self._heard, np.nan) for phase in range(MFCC_PER_FRAME)]
            around = np.stack(phases, axis=1).reshape(count * MFCC_PER_FRAME, -1)
            at = at - begin * MFCC_PER_FRAME
            found = np.stack([np.linalg.norm(part - around[at + step], axis=1) for step in range(steps)], axis=1)
            rows.add(track.first + start, found)
        return rows

    def _video(self, opened: _Open) -> np.ndarray:
        """(N, D) float32 embeddings of a track that is over."""
        return np.memmap(opened.spool.name, np.float32, "r", shape=(opened.windows, self._audio.spec.embedding))

    @property
    def _heard(self) -> tuple[int, int]:
        """The first window of the soundtrack with audio, and the one after the last."""
        return self._soundtrack.first, self._soundtrack.stop

    def _measure(self, track: TrackEnd, opened: _Open, centre: int) -> Measured | None:
        """The distances of a track around an offset; None where the audio ends before it."""
        soundtrack = self._soundtrack
        start = soundtrack.lead + track.first - centre
        length = track.last + 1 - track.first
        # Masked, a window without audio of its own still has that of other shifts; zero-padded, it is left out.
        heard = len(soundtrack.levels) - start if self._settings.edges == "zero" else length
        windows = features.window_count(length, max(0, heard) * SAMPLES_PER_FRAME)
        if windows < 1:
            return None
        frames = windows + WINDOW_FRAMES
        video = self._video(opened)
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
        vshift = self._settings.vshift
        windows = len(video)
        mean = self._cepstral_mean(first - vshift, first + windows + WINDOW_FRAMES + vshift)
        zero = self._settings.edges == "zero"
        limits, fill = ((first, first + windows), 0.0) if zero else (self._heard, np.nan)
        found = np.empty((windows, 2 * vshift + 1), np.float32)
        rows = fine.Rows.empty(frame, windows, 2 * vshift + 1)
        for start in range(0, windows, features.PORTION):
            stop = min(start + features.PORTION, windows)
            steps = np.empty((stop - start, 2 * vshift + 1, fine.PHASES), np.float32)
            for phase in range(fine.PHASES):
                around = self._around(first + start - vshift, stop - start + 2 * vshift, mean, phase, limits, fill)
                steps[:, :, phase] = scoring.padded_distances(np.asarray(video[start:stop]), around)
            found[start:stop] = steps[:, :, 0]
            rows.add(frame + start, steps.reshape(stop - start, -1))
        return found, rows

    def _around(
        self, begin: int, count: int, mean: np.ndarray, phase: int, limits: tuple[int, int], fill: float
    ) -> np.ndarray:
        """(count, D) float32 embeddings of the audio from a frame of the soundtrack on, `phase` MFCC steps later; what
        lies outside of the limits is nan, or 0 as in [syncnet_python]."""
        around = np.full((count, self._audio.spec.embedding), fill, np.float32)
        mfcc = self._soundtrack.mfcc
        last = (len(mfcc) - phase - WINDOW_MFCC) // MFCC_PER_FRAME + 1
        low, high = max(begin, limits[0]), min(begin + count, limits[1], last)
        if low < high:
            steps = mfcc[low * MFCC_PER_FRAME + phase : (high - 1) * MFCC_PER_FRAME + phase + WINDOW_MFCC]
            around[low - begin : high - begin] = self._audio.audio(steps - mean)
        return around

    def _cepstral_mean(self, begin: int, end: int) -> np.ndarray:
        """(13,) float32 mean MFCC of all audio that a search looks at, so that it stays the same when audio is moved;
        zeros where the model does not want it taken off."""
        if not self._model.spec.cepstral_mean:
            return np.zeros(MFCC_SIZE, np.float32)
        steps = self._soundtrack.mfcc[begin * MFCC_PER_FRAME : end * MFCC_PER_FRAME]
        # Digital silence has cepstra far from all others; it is no part of how this microphone sounds.
        heard = steps[:, 0] > DIGITAL_SILENCE
        return steps[heard].mean(axis=0) if heard.any() else np.zeros(MFCC_SIZE, np.float32)
