"""One video to distances: its face tracks, and how far the lips of each are from the sound at every shift.

The pictures are seen once. The embeddings of a track's lips go to a temporary file; when the track is over, its sound
is embedded a minute at a time and only distances are kept, so that two hours need hardly more memory than two minutes:
about 0.3 kB a frame and track.

**The sound of a track** is that of the file, so that a shift may look beyond the ends of the track; with edges "mask" a
window is left out at shifts at which the file has no sound. With "zero" everything outside the track is zeros, as the
reference does it, which cuts each track out first.
"""

import dataclasses
import functools
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from pydantic import Field

from syncnet_lib.errors import InputError
from syncnet_lib.faces.track import TrackSettings
from syncnet_lib.measurement.stream import Event, TrackCrops, TrackEnd, VideoEnd, check, sound_of, watch
from syncnet_lib.media import audio, features
from syncnet_lib.media.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from syncnet_lib.media.features import MFCC_PER_FRAME, MFCC_SIZE, WINDOW_FRAMES, WINDOW_MFCC
from syncnet_lib.model import scoring
from syncnet_lib.model.embed import Asked, Embedder
from syncnet_lib.model.networks import SyncNet

DIGITAL_SILENCE = float(np.log(np.finfo(float).eps)) + 1
"""Log energy below which an MFCC step is of zeros only (python_speech_features puts the machine's epsilon there)."""


Edges = Literal["mask", "zero"]


class InferSettings(TrackSettings):
    """How a video is measured."""

    vshift: int = Field(scoring.VSHIFT, ge=1)
    """Frames searched to each side."""
    edges: Edges = "mask"
    """Shifts without sound are left out, or compared with zeros as the reference does."""
    cropped: bool = False
    """The pictures are a face crop already: one face, no cut."""
    precision: Asked = "auto"
    """Of the network: the fastest that the device computes in by itself, or fp32."""


@dataclass
class Measured:
    """One face track, measured.

    Attributes:
        number, shot, first, frames: which, and where in the video, in frames.
        distances: (N, 2 vshift + 1) float32, nan where masked.
        speech: (N,) bool: windows in which the sound carries speech.
        boxes: (frames, 3) float32 centre x, y and half the longer side of the face, pixels.
    """

    number: int
    shot: int
    first: int
    frames: int
    distances: np.ndarray
    speech: np.ndarray
    boxes: np.ndarray

    @property
    def windows(self) -> int:
        """How many windows were measured."""
        return len(self.distances)


@dataclass
class Analysis:
    """A whole video, measured but not judged.

    Attributes:
        tracks: those that could be measured, in the order of their number.
        frames: length of the pictures.
        samples: length of the sound.
        notes: what could not be used, and why.
    """

    tracks: list[Measured]
    frames: int
    samples: int
    notes: list[str] = field(default_factory=list)


@dataclass
class _Sound:
    """The sound of a file.

    Attributes:
        samples: how many there are from the first picture on.
        lead: frames before the first picture with which what follows begins.
        mfcc: (4 T, 13) float32 of its T whole frames.
        levels: (T,) float64 dB.
        first, stop: windows with sound that is not the silence which stands for sound that is not there.
    """

    samples: int
    lead: int
    mfcc: np.ndarray
    levels: np.ndarray
    first: int
    stop: int


@dataclass
class _Open:
    """A track that is being followed."""

    embedder: Embedder
    spool: BinaryIO
    windows: int = 0
    boxes: list[np.ndarray] = field(default_factory=list)


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
    seen: Iterable[Event] | None = None,
) -> Analysis:
    """Measure every face track of a video.

    Args:
        path: any file that libav reads; with `settings.cropped` also a folder of frames with its sound.
        model: in evaluation mode.
        settings: how.
        device: of the model.
        progress: show a bar on stderr.
        seen: of `stream.watch`, where another process is at it already; with the crops that the model is fed.

    Raises:
        InputError: no face, no sound, silence, too short, or not readable.
    """
    check(path, settings.cropped)
    with tempfile.TemporaryDirectory(prefix="syncnet-") as scratch:
        folder = Path(scratch)
        sound = _listen(path, sound_of(path), folder / "sound.raw", settings.vshift)
        # The mean of a track is taken off here, over the whole of it, before it is embedded a minute at a time.
        ears = Embedder(model, device, settings.precision)
        ears.spec = dataclasses.replace(model.spec, cepstral_mean=False)
        idle: list[Embedder] = []
        found = Analysis([], 0, sound.samples)
        opened: dict[int, _Open] = {}
        for item in seen or watch(path, settings, model.spec.crop, settings.cropped, progress):
            if isinstance(item, VideoEnd):
                found.frames = item.frames
            elif isinstance(item, TrackCrops):
                if item.number not in opened:
                    eyes = idle.pop() if idle else Embedder(model, device, settings.precision)
                    eyes.reset()
                    opened[item.number] = _Open(eyes, (folder / f"{item.number}.lips").open("w+b"))
                track = opened[item.number]
                embedded = track.embedder.video(item.crops)
                track.spool.write(embedded.tobytes())
                track.windows += len(embedded)
                track.boxes.append(item.boxes)
            else:
                over = opened.pop(item.number, None)
                _end(item, over, sound, ears, model, settings, found)
                idle += [over.embedder] if over else []
    if found.frames < WINDOW_FRAMES + 1:
        raise InputError(path, f"shorter than one window ({found.frames} frames of 1/{FPS} s)", "give a longer video")
    if not found.tracks:
        why = found.notes[0] if found.notes else f"no face found in any of {found.frames} frames"
        raise InputError(path, why, "give a video that shows a talking face")
    found.tracks.sort(key=lambda track: track.number)
    return found


def _listen(path: Path, sound_path: Path, spool: Path, lead: int) -> _Sound:
    """Decode the sound once, from `lead` frames before the first picture on, and take its features."""
    with spool.open("wb") as file:
        for block in audio.audio_blocks(sound_path, lead=lead):
            file.write(block.tobytes())
    total = spool.stat().st_size // 2
    frames, samples = total // SAMPLES_PER_FRAME, total - lead * SAMPLES_PER_FRAME
    if frames - lead < WINDOW_FRAMES + 1:
        seconds = max(samples, 0) / SAMPLE_RATE
        raise InputError(path, f"the sound is shorter than one window ({seconds:.2f} s)")
    mfcc = np.empty((frames * MFCC_PER_FRAME, MFCC_SIZE), np.float32)
    levels = np.empty(frames)
    first, last = total, 0
    with spool.open("rb") as file:
        for start, part, steps in features.portions(functools.partial(features.stored, file), frames):
            mfcc[start * MFCC_PER_FRAME : start * MFCC_PER_FRAME + len(steps)] = steps
            heard = features.level(part)
            levels[start : start + len(heard)] = heard
            loud = start * SAMPLES_PER_FRAME + np.flatnonzero(part)
            if len(loud):
                first, last = min(first, int(loud[0])), int(loud[-1])
    if not features.speech(levels).any():
        raise InputError(path, f"silence: no sound above {features.SPEECH_FLOOR:.0f} dB of full scale")
    stop = min(frames, last // SAMPLES_PER_FRAME + 1) - WINDOW_FRAMES + 1
    return _Sound(samples, lead, mfcc, levels, -(-first // SAMPLES_PER_FRAME), stop)


def _end(
    track: TrackEnd,
    opened: _Open | None,
    sound: _Sound,
    ears: Embedder,
    model: SyncNet,
    settings: InferSettings,
    found: Analysis,
) -> None:
    """Measure a track that is over."""
    span = f"face from {track.first / FPS:.1f} to {(track.last + 1) / FPS:.1f} s"
    if track.refused or opened is None:
        if track.refused:
            found.notes.append(f"{span} not used: {track.refused}")
        return
    with opened.spool as spool:
        start = sound.lead + track.first
        length = track.last + 1 - track.first
        # Masked, a window without sound of its own still has that of other shifts; the reference compares none such.
        heard = len(sound.levels) - start if settings.edges == "zero" else length
        windows = features.window_count(length, max(0, heard) * SAMPLES_PER_FRAME)
        if windows < 1:
            found.notes.append(f"{span} not used: the sound ends before it")
            return
        frames = windows + WINDOW_FRAMES
        spool.flush()
        lips = np.memmap(spool, np.float32, "r", shape=(opened.windows, ears.spec.embedding))
        speech = np.zeros(frames, bool)
        levels = sound.levels[start : start + frames]
        if len(levels):
            speech[: len(levels)] = features.speech(levels)
        measured = Measured(
            track.number,
            track.shot,
            track.first,
            frames,
            _distances(lips[:windows], sound, start, ears, model.spec.cepstral_mean, settings),
            speech[WINDOW_FRAMES // 2 :][:windows],
            np.concatenate(opened.boxes)[:frames],
        )
    if np.isnan(measured.distances).all():
        found.notes.append(f"{span} not used: there is no sound around it")
    else:
        found.tracks.append(measured)


def _distances(
    lips: np.ndarray, sound: _Sound, first: int, ears: Embedder, centred: bool, settings: InferSettings
) -> np.ndarray:
    """(N, S) float32 distances of (N, D) lips, whose first window begins with frame `first` of the sound."""
    windows, vshift = len(lips), settings.vshift
    shift = np.zeros(MFCC_SIZE, np.float32)
    if centred:
        # Over all sound that is searched, so that the mean stays the same when sound is moved.
        begin, end = first - vshift, first + windows + WINDOW_FRAMES + vshift
        steps = sound.mfcc[begin * MFCC_PER_FRAME : end * MFCC_PER_FRAME]
        # Digital silence has cepstra far from all others; it is no part of how this microphone sounds.
        heard = steps[:, 0] > DIGITAL_SILENCE
        shift = steps[heard].mean(axis=0) if heard.any() else shift
    low, high = (first, first + windows) if settings.edges == "zero" else (sound.first, sound.stop)
    fill = 0.0 if settings.edges == "zero" else np.nan
    found = np.empty((windows, 2 * vshift + 1), np.float32)
    for start in range(0, windows, features.PORTION):
        stop = min(start + features.PORTION, windows)
        around = np.full((stop - start + 2 * vshift, lips.shape[1]), fill, np.float32)
        begin = first + start - vshift
        inside = max(begin, low), min(begin + len(around), high)
        if inside[0] < inside[1]:
            steps = sound.mfcc[inside[0] * MFCC_PER_FRAME : (inside[1] - 1) * MFCC_PER_FRAME + WINDOW_MFCC]
            around[inside[0] - begin : inside[1] - begin] = ears.audio(steps - shift)
        found[start:stop] = scoring.padded_distances(np.asarray(lips[start:stop]), around)
    return found
