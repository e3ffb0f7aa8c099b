"""The audio of a video, ready to be compared: its MFCC, its levels, and where it has any."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Float64

from syncnet_lib.errors import InputError
from syncnet_lib.measurement.stream import AudioBlock, AudioEnd, Event
from syncnet_lib.media import features, speech
from syncnet_lib.media.clock import SAMPLE_RATE, SAMPLES_PER_FRAME
from syncnet_lib.media.features import MFCC_PER_FRAME, MFCC_SIZE, WINDOW_FRAMES
from syncnet_lib.media.report import Report

DIGITAL_SILENCE = float(np.log(np.finfo(float).eps)) + 1
"""Log energy below which an MFCC step is of zeros only (python_speech_features puts the machine's epsilon there)."""


@dataclass
class Soundtrack:
    """The audio of a file, in frames from `lead` frames before its first picture on.

    Attributes:
        samples: how many there are from the first picture on.
        lead: frames before the first picture with which what follows begins.
        mfcc: of its whole frames, four steps each.
        levels: of each frame, dB of full scale.
        first, stop: the first window with audio that is not the silence which stands for audio that is not there, and
            the one after the last.
        report: what of it is damaged or missing.
        speech: frames from the first picture on that are of speech by silero-vad.
    """

    samples: int
    lead: int
    mfcc: Float32[np.ndarray, "steps 13"]
    levels: Float64[np.ndarray, " frames"]
    first: int
    stop: int
    report: Report
    speech: Bool[np.ndarray, " pictures"]


def listen(path: Path, events: Iterable[Event], folder: Path, lead: int) -> "list[Soundtrack | InputError]":
    """Take the audio off the front of a video's events.

    Args:
        path: what to name in an error.
        events: of `stream.watch`; those up to the end of the last audio track are taken.
        folder: for the samples, so that hours of them need no memory.
        lead: frames before the first picture with which the audio begins.

    Returns:
        Each track that was sent, or why it cannot be measured; one of them can.

    Raises:
        InputError: none of them can be measured: silence, or shorter than one window.
    """
    found: list[Soundtrack | InputError] = []
    more = True
    while more:
        spool = folder / f"{len(found)}.audio"
        end = _stored(events, spool)
        try:
            if end.failed is not None:
                raise end.failed
            found.append(_heard(path, spool, lead, end.report))
        except InputError as error:
            found.append(error)
        spool.unlink()
        more = end.more
    errors = [each for each in found if isinstance(each, InputError)]
    if len(errors) == len(found):
        raise errors[0]
    return found


def _stored(events: Iterable[Event], spool: Path) -> AudioEnd:
    """Write the samples of one audio track to a file."""
    with spool.open("wb") as file:
        for event in events:
            if isinstance(event, AudioEnd):
                return event
            assert isinstance(event, AudioBlock)
            file.write(event.samples.tobytes())
    return AudioEnd(Report())


def _heard(path: Path, spool: Path, lead: int, report: Report) -> Soundtrack:
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
    spoken = _speech(spool, lead * SAMPLES_PER_FRAME, total)
    return Soundtrack(samples, lead, mfcc, levels, -(-first // SAMPLES_PER_FRAME), stop, report, spoken)


def _speech(spool: Path, first: int, total: int) -> Bool[np.ndarray, " pictures"]:
    """Which frames from a sample on are of speech, a minute of sound in memory at a time."""
    detector, found = speech.Detector(), []
    with spool.open("rb") as file:
        for start in range(first, total, features.PORTION * SAMPLES_PER_FRAME):
            stop = min(start + features.PORTION * SAMPLES_PER_FRAME, total)
            found.append(detector.probabilities(features.stored(file, start, stop)))
    spans = speech.spans(np.concatenate(found), total - first)
    return speech.by_frame(spans, (total - first) // SAMPLES_PER_FRAME)
