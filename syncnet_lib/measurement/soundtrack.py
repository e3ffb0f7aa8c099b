"""The audio of a video, ready to be compared: its MFCC, its levels, and where it has any."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int16

from syncnet_lib.errors import InputError
from syncnet_lib.measurement.stream import AudioBlock, AudioEnd, Event
from syncnet_lib.measurement.voice import LISTENED
from syncnet_lib.media import features
from syncnet_lib.media.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from syncnet_lib.media.features import MFCC_PER_FRAME, MFCC_SIZE, WINDOW_FRAMES
from syncnet_lib.media.report import Report

DIGITAL_SILENCE = float(np.log(np.finfo(float).eps)) + 1
"""Log energy below which an MFCC step is of zeros only (python_speech_features puts the machine's epsilon there)."""

PART = 10
"""Seconds of a block of the excerpt."""


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
        excerpt: samples of where it is loud, LISTENED seconds at most, in which speech may be looked for.
    """

    samples: int
    lead: int
    mfcc: Float32[np.ndarray, "steps 13"]
    levels: Float64[np.ndarray, " frames"]
    first: int
    stop: int
    report: Report
    excerpt: Int16[np.ndarray, " samples"]


def listen(path: Path, events: Iterable[Event], spool: Path, lead: int) -> Soundtrack:
    """Take the audio off the front of a video's events.

    Args:
        path: what to name in an error.
        events: of `stream.watch`; those up to the end of the audio are taken.
        spool: a temporary file for the samples, so that hours of them need no memory.
        lead: frames before the first picture with which the audio begins.

    Raises:
        InputError: silence, or shorter than one window.
    """
    report = Report()
    with spool.open("wb") as file:
        for event in events:
            if isinstance(event, AudioEnd):
                report = event.report
                break
            assert isinstance(event, AudioBlock)
            file.write(event.samples.tobytes())
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
    return Soundtrack(
        samples, lead, mfcc, levels, -(-first // SAMPLES_PER_FRAME), stop, report, _excerpt(spool, levels)
    )


def _excerpt(spool: Path, levels: np.ndarray) -> Int16[np.ndarray, " samples"]:
    """The blocks of PART seconds that are loud for longest, in their order."""
    size = PART * FPS
    loud = np.add.reduceat(features.speech(levels).astype(int), np.arange(0, len(levels), size))
    blocks = np.sort(np.argsort(-loud, kind="stable")[: LISTENED // PART])
    samples = np.memmap(spool, np.int16, "r")
    return np.concatenate([samples[block * size * SAMPLES_PER_FRAME :][: size * SAMPLES_PER_FRAME] for block in blocks])
