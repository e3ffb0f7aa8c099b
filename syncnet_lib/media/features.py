"""Samples to MFCC, and the arithmetic that ties sound to frames: 640 samples = 4 MFCC steps = 1 frame."""

from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np

from syncnet_lib.media.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME

MFCC_RATE = 100
"""MFCC steps a second: a hop of 10 ms [Agrawal: "100Hz sampling rate"]."""
MFCC_SIZE = 13
"""Cepstral coefficients a step [Agrawal: "13 mel frequency bands"]."""
MFCC_PER_FRAME = MFCC_RATE // FPS
WINDOW_FRAMES = 5
"""Video frames in a window: 0.2 s [Agrawal]."""
WINDOW_MFCC = WINDOW_FRAMES * MFCC_PER_FRAME
HOP = SAMPLE_RATE // MFCC_RATE
"""Samples between two MFCC steps."""
MFCC_SPAN = SAMPLE_RATE // 40
"""Samples under one MFCC step: 25 ms [Agrawal]."""
PORTION = 60 * FPS
"""Frames whose sound is in memory at a time where a clip may be hours long."""
SPEECH_RANGE, SPEECH_FLOOR = 30.0, -55.0
"""A frame carries speech from 30 dB below the loud parts (95th percentile) of its clip and -55 dB of full scale."""


def mfcc(samples: np.ndarray) -> np.ndarray:
    """MFCC as the reference computes them (`python_speech_features` with its defaults).

    Args:
        samples: (N,) int16, 16 kHz mono.

    Returns:
        (1 + ceil((N - 400) / 160), 13) float32; 575,616 samples give 3,597 steps [Agrawal].
    """
    # Brings much of scipy, which whoever needs only the constants of this module should not wait for.
    import python_speech_features

    return python_speech_features.mfcc(samples, SAMPLE_RATE).astype(np.float32)


def frame_mfcc(samples: np.ndarray) -> np.ndarray:
    """MFCC with exactly four steps a frame, so that one index addresses frames and sound.

    Args:
        samples: (T * 640,) int16, 16 kHz mono.

    Returns:
        (4 * T, 13) float32. The last step that a whole file lacks is computed on 240 samples of silence.
    """
    if len(samples) % SAMPLES_PER_FRAME:
        raise ValueError(f"{len(samples)} samples are not a whole number of frames of {SAMPLES_PER_FRAME}")
    return mfcc(np.pad(samples, (0, MFCC_SPAN - HOP)))


def stored(file: BinaryIO, low: int, high: int, start: int = 0, length: int | None = None) -> np.ndarray:
    """Samples of a recording that lies in a file of raw int16.

    Args:
        file: opened for reading.
        low, high: samples of the recording, the last one not included.
        start: sample of the file with which the recording begins.
        length: its samples; None for all that follow.

    Returns:
        (high - low,) int16, zeros beyond the end of the recording or of the file.
    """
    samples = np.zeros(high - low, np.int16)
    file.seek(2 * (start + low))
    wanted = (high if length is None else min(high, length)) - low
    heard = np.frombuffer(file.read(2 * wanted), np.int16)
    samples[: len(heard)] = heard
    return samples


def portions(read: Callable[[int, int], np.ndarray], frames: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Sound of any length with the MFCC that the whole would have, a minute in memory at a time.

    Args:
        read: gives the (stop - start,) int16 samples from one sample to another, zeros where there are none.
        frames: length.

    Yields:
        The first frame of a portion of n frames, its (n * 640,) int16 samples, and its (4 n, 13) float32 MFCC: those of
        `frame_mfcc`.
    """
    for start in range(0, frames, PORTION):
        stop = min(start + PORTION, frames)
        # A step covers 25 ms, and by the pre-emphasis one sample before: one step more is computed and dropped.
        spare = HOP if start else 0
        samples = read(start * SAMPLES_PER_FRAME - spare, stop * SAMPLES_PER_FRAME + MFCC_SPAN - HOP)
        own = samples[spare : spare + (stop - start) * SAMPLES_PER_FRAME]
        yield start, own, mfcc(samples)[spare // HOP :]


def window_count(frames: int, samples: int) -> int:
    """Number of windows of stride 1 in a clip [Agrawal: `min_length = min(frames, samples // 640)`, less 5]."""
    return max(0, min(frames, samples // SAMPLES_PER_FRAME) - WINDOW_FRAMES)


def loudness(samples: np.ndarray) -> np.ndarray:
    """Sound level of every frame.

    Args:
        samples: (T * 640,) int16, 16 kHz mono.

    Returns:
        (T,) float32, decibels relative to full scale, no less than -96 (one bit).
    """
    return np.maximum(level(samples), -96.0).astype(np.float32)


def level(samples: np.ndarray) -> np.ndarray:
    """(T,) float64 mean power of each frame of (T * 640,) int16 samples, dB of full scale."""
    frames = samples.reshape(-1, SAMPLES_PER_FRAME).astype(np.float64) / 2**15
    return 10 * np.log10(np.square(frames).mean(1) + 1e-12)


def speech(levels: np.ndarray) -> np.ndarray:
    """(T,) bool: which frames carry speech, by their (T,) levels in dB alone."""
    return levels > max(np.percentile(levels, 95) - SPEECH_RANGE, SPEECH_FLOOR)
