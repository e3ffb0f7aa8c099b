"""The sound track of a file: 16 kHz mono samples, placed by their timestamps."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import av.filter
import numpy as np

from syncnet_lib.errors import InputError
from syncnet_lib.media.clock import MAX_GAP, SAMPLE_RATE, SAMPLES_PER_FRAME, TOLERANCE, jump
from syncnet_lib.media.decode import decoded, first_picture, opened

BLOCK = SAMPLE_RATE
"""Samples of silence given out at once."""


def read_audio(path: Path, audio_track: int = 0) -> np.ndarray:
    """The whole sound of a file; see `audio_blocks`.

    Returns:
        (N,) int16 mono at 16 kHz; sample 0 belongs to the start of frame 0 of `read_frames`.
    """
    return np.concatenate([*audio_blocks(path, audio_track), np.zeros(0, np.int16)])


def audio_blocks(path: Path, audio_track: int = 0, lead: int = 0) -> Iterator[np.ndarray]:
    """The sound of a file in blocks that follow each other without a gap, on the clock of `pictures`.

    Args:
        path: any file that libav reads. Without video the clock starts with the sound.
        audio_track: which sound track, counted from 0.
        lead: frames before the first picture with which the blocks begin; sound before these is left out.

    Yields:
        (n,) int16 mono at 16 kHz.

    Raises:
        InputError: no such track, it cannot be decoded, or its timestamps jump.
    """
    origin = first_picture(path)
    with opened(path) as container:
        tracks = container.streams.audio
        if not tracks:
            raise InputError(path, "no sound")
        if audio_track >= len(tracks):
            raise InputError(path, f"no sound track {audio_track}", f"choose from 0 to {len(tracks) - 1}")
        cursor = -lead * SAMPLES_PER_FRAME
        for start, samples in _runs(decoded(container, tracks[audio_track], path)):
            origin = start if origin is None else origin
            position = round((start - origin) * SAMPLE_RATE)
            if abs(position - cursor) > MAX_GAP * SAMPLE_RATE:
                raise jump(path, Fraction(cursor, SAMPLE_RATE), start - origin)
            while position > cursor:
                silence = min(BLOCK, position - cursor)
                yield np.zeros(silence, np.int16)
                cursor += silence
            fresh = samples[cursor - position :]
            if len(fresh):
                yield fresh
                cursor += len(fresh)


def _runs(frames: Iterable[av.AudioFrame]) -> Iterator[tuple[Fraction, np.ndarray]]:
    """Resampled sound with the time of its first sample; each stretch without a gap is one pass of the resampler."""
    resampler = None
    run_start, expected, made, layout = Fraction(0), Fraction(0), 0, ("", "", 0)
    for frame in frames:
        time = expected if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
        now = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or abs(time - expected) > TOLERANCE or now != layout:
            if resampler is not None:
                for part in resampler.resample(None):
                    yield run_start + Fraction(made, SAMPLE_RATE), part.to_ndarray()[0]
            resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
            run_start, expected, made, layout = time, time, 0, now
        expected += Fraction(frame.samples, frame.sample_rate)
        frame.pts = None  # the resampler counts for itself
        for part in resampler.resample(frame):
            yield run_start + Fraction(made, SAMPLE_RATE), part.to_ndarray()[0]
            made += part.samples
    if resampler is not None:
        for part in resampler.resample(None):
            yield run_start + Fraction(made, SAMPLE_RATE), part.to_ndarray()[0]
