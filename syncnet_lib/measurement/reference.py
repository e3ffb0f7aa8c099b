"""Sound against sound: by how many samples a track is off the same sound in another track or file.

First the whole of both, by the change of their level every 10 ms, which survives another codec, another microphone and
another language over the same music; then, around that, blocks of a few seconds each by generalised cross-correlation
with phase transform (Knapp and Carter, 1976), to the sample. The blocks are independent witnesses: where they do not
agree there is no common sound, or no constant offset, and nothing is answered.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int16
from pydantic import Field
from scipy import fft

from syncnet_lib.errors import InputError, shown
from syncnet_lib.measurement.result import Compliance, Limits, Number, Record
from syncnet_lib.media import audio, decode
from syncnet_lib.media.clock import SAMPLE_RATE

STEP = SAMPLE_RATE // 100
"""Samples between two levels."""
BLOCK = 3 * SAMPLE_RATE
"""Samples compared at a time."""
BLOCKS = 24
"""Blocks that are compared at most, spread over what both have."""
REACH = 4 * STEP
"""Samples around the coarse offset in which the fine one is looked for."""
AGREE = SAMPLE_RATE // 1000
"""Samples by which blocks may differ and still say the same: 1 ms."""
SHARE = 0.8
"""Share of the blocks that must agree: where an edit moves a part of the sound, no single offset is the answer."""
LEAST = 3
"""Blocks that must agree at least: of noise, each does so with one in forty."""
QUIET = -60.0
"""Decibels of full scale below which a block has nothing to compare."""


class ReferenceOffset(Record):
    """By how much a sound is off its reference."""

    path: str = Field(description="the video")
    reference: str = Field(description="what it was compared with")
    sure: bool = Field(description="whether enough of the blocks agree")
    offset_samples: int = Field(description="samples of 16 kHz; above 0: the sound is ahead of the reference")
    offset_ms: Number = Field(description="the same in milliseconds")
    agreeing: int = Field(description="blocks that agree within 1 ms")
    blocks: int = Field(description="blocks that were compared")
    limits: Limits | None = Field(None, description="the standard that was asked for")
    compliance: Compliance | None = Field(None, description="with it")

    @property
    def verdict(self) -> str:
        """The finding in words."""
        seen = f"{self.agreeing} of {self.blocks} stretches of {BLOCK // SAMPLE_RATE} s agree"
        if not self.sure:
            return f"cannot be told: {seen}; another programme, or an offset that changes"
        side = "ahead of" if self.offset_samples > 0 else "behind" if self.offset_samples < 0 else "level with"
        return f"{abs(self.offset_ms):g} ms {side} the reference ({seen})"

    def held_against(self, limits: Limits) -> "ReferenceOffset":
        """The same with what a standard says."""
        within = -limits.late_ms <= self.offset_ms <= limits.early_ms
        compliance = ("pass" if within else "fail") if self.sure else "cannot be told"
        return self.model_copy(update={"limits": limits, "compliance": compliance})


def compare(path: Path, track: int, reference: str) -> ReferenceOffset:
    """Compare a sound with a reference.

    Args:
        path: a video or sound file.
        track: of its audio tracks, from 1.
        reference: a file, or the number of another audio track of the same file, from 1.

    Raises:
        InputError: there is no such file or track, it cannot be read, or is too short.
    """
    sounds = []
    for source, number in ((path, track), (path, int(reference)) if reference.isdigit() else (Path(reference), 1)):
        if not source.is_file():
            raise InputError(source, "does not exist", "give a file, or the number of an audio track")
        count = len(decode.probe(source).audio)
        if number > count or number < 1:
            raise InputError(source, f"no audio track {number}", f"choose from 1 to {count}" if count else "")
        samples = audio.read_audio(source, number - 1)
        if len(samples) < LEAST * BLOCK:
            cause = f"the sound is shorter than {LEAST * BLOCK // SAMPLE_RATE} s ({len(samples) / SAMPLE_RATE:.1f} s)"
            raise InputError(source, cause, "give a longer one")
        sounds.append(samples)
    lags = list(_fine(sounds[0], sounds[1], _coarse(*sounds)))
    middle = round(float(np.median(lags))) if lags else 0
    agreeing = [lag for lag in lags if abs(lag - middle) <= AGREE]
    middle = round(float(np.median(agreeing))) if agreeing else 0
    named = f"audio track {reference}" if reference.isdigit() else reference
    return ReferenceOffset(
        path=shown(path),
        reference=shown(named),
        sure=len(agreeing) >= max(LEAST, SHARE * len(lags)),
        offset_samples=middle,
        offset_ms=1000 * middle / SAMPLE_RATE,
        agreeing=len(agreeing),
        blocks=len(lags),
    )


def _coarse(sound: Int16[np.ndarray, " samples"], reference: Int16[np.ndarray, " others"]) -> int:
    """Samples, in whole steps, by which a sound is ahead of its reference."""
    one, other = _changes(sound), _changes(reference)
    size = fft.next_fast_len(len(one) + len(other), real=True)
    found = fft.irfft(np.conj(fft.rfft(one, size)) * fft.rfft(other, size), size)
    lag = int(found.argmax())
    return (lag if lag < len(other) else lag - size) * STEP


def _changes(samples: Int16[np.ndarray, " samples"]) -> Float[np.ndarray, " steps"]:
    """Rises and falls of the level every 10 ms, of mean 0 and deviation 1."""
    parts = samples[: len(samples) // STEP * STEP].reshape(-1, STEP)
    levels = np.log(
        np.concatenate([np.square(part, dtype=np.float64).mean(axis=1) for part in _thousands(parts)]) + 100
    )
    changes = np.diff(levels)
    changes -= changes.mean()
    return changes / (changes.std() + 1e-9)


def _thousands(parts: np.ndarray) -> Iterator[np.ndarray]:
    """Parts of an array, so that hours of sound are no float64 as a whole."""
    for start in range(0, len(parts), 1000):
        yield parts[start : start + 1000]


def _fine(sound: Int16[np.ndarray, " samples"], reference: Int16[np.ndarray, " others"], coarse: int) -> Iterator[int]:
    """Samples by which each of some blocks is ahead of the reference around a coarse offset."""
    first = max(0, -coarse + REACH)
    last = min(len(sound), len(reference) - coarse - REACH) - BLOCK
    if last < first:
        return
    count = min(BLOCKS, (last - first) // BLOCK + 1)
    window = np.hanning(BLOCK)
    for start in np.linspace(first, last, count).astype(int):
        one = sound[start : start + BLOCK].astype(np.float64)
        other = reference[start + coarse : start + coarse + BLOCK].astype(np.float64)
        if min(_level(one), _level(other)) < QUIET:
            continue
        cross = np.conj(fft.rfft(one * window)) * fft.rfft(other * window)
        peaks = fft.irfft(cross / (np.abs(cross) + 1e-9 * np.abs(cross).max() + 1e-12), BLOCK)
        around = np.concatenate([peaks[-REACH:], peaks[: REACH + 1]])
        yield coarse + int(around.argmax()) - REACH


def _level(samples: np.ndarray) -> float:
    return 10 * float(np.log10(np.square(samples).mean() / 2**30 + 1e-12))
