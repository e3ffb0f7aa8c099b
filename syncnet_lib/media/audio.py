"""The sound track of a file: 16 kHz mono samples, placed by their timestamps."""

import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import av.error
import av.filter
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from jaxtyping import Int16

from syncnet_lib.errors import InputError
from syncnet_lib.media.clock import MAX_GAP, SAMPLE_RATE, SAMPLES_PER_FRAME, TOLERANCE, jump
from syncnet_lib.media.decode import FREEZE, decoded, probe
from syncnet_lib.media.mix import only, to_mono
from syncnet_lib.media.report import Damage, Note, Report
from syncnet_lib.media.streams import audio_streams, opened

BLOCK = SAMPLE_RATE
"""Samples of silence given out at once."""
PORTION = 30 * SAMPLE_RATE
"""Samples over which it is decided how several channels become one."""


class _Block(NamedTuple):
    """Sound without a gap: the (n,) mix and, where there are several, the (c, n) channels and their names."""

    mix: np.ndarray
    channels: np.ndarray | None = None
    names: tuple[str, ...] = ()


def read_audio(path: Path, audio_track: int = 0) -> Int16[np.ndarray, "samples"]:
    """The whole sound of a file, int16 mono at 16 kHz; see `audio_blocks`.

    Returns:
        Samples; the first belongs to the start of frame 0 of `read_frames`.
    """
    return np.concatenate([*audio_blocks(path, audio_track), np.zeros(0, np.int16)])


def audio_blocks(
    path: Path, audio_track: int = 0, lead: int = 0, report: Report | None = None, channel: str = ""
) -> Iterator[Int16[np.ndarray, "samples"]]:
    """The sound of a file in blocks that follow each other without a gap, on the clock of `pictures`.

    Args:
        path: any file that libav reads. Without video the clock starts with the sound.
        audio_track: which sound track, counted from 0 among those that can be decoded.
        lead: frames before the first picture with which the blocks begin; sound before these is left out.
        report: gets the notes on what is damaged or missing, when all has been read.
        channel: the only one that is wanted, as for `mix.only`; "" for what `mix.to_mono` chooses.

    Yields:
        int16 mono at 16 kHz.

    Raises:
        InputError: no such track or channel, too much of it cannot be decoded, or its timestamps jump.
    """
    report = Report() if report is None else report
    origin = probe(path).first_picture
    with opened(path) as container:
        source = _Source(path, _track(container, audio_track, path), origin, -lead * SAMPLES_PER_FRAME, report)
        blocks = source.blocks(container)
        if channel:
            yield from (_only(block, channel) for block in blocks)
        else:
            yield from _mono(blocks, -lead * SAMPLES_PER_FRAME, report)
        source.finish()


def _track(container: InputContainer, number: int, path: Path) -> AudioStream:
    tracks = audio_streams(container)
    if not tracks:
        unknown = len(container.streams.audio)
        raise InputError(path, "no sound" + (" that can be decoded" if unknown else ""))
    if number >= len(tracks):
        raise InputError(path, f"no sound track {number}", f"choose from 0 to {len(tracks) - 1}")
    return tracks[number]


class _Source:
    """The sound of a track as it comes from the decoder, and the account of it.

    Args:
        path: of the file.
        track: of it.
        origin: time of the first picture, None without video.
        cursor: sample of the clock with which the blocks begin.
        report: gets the notes.
    """

    def __init__(self, path: Path, track: AudioStream, origin: Fraction | None, cursor: int, report: Report) -> None:
        self._path, self._track, self._origin, self._cursor, self._report = path, track, origin, cursor, report
        self._damage = Damage("sound", "silence stands there")
        self._samples = 0

    def _damaged(self, time: Fraction | None, duration: Fraction) -> None:
        if time is None or self._origin is None:
            time = (self._origin or 0) + Fraction(self._cursor, SAMPLE_RATE)
        self._damage.add(float(time - (self._origin or 0)), float(duration))

    def blocks(self, container: InputContainer) -> Iterator[_Block]:
        """Blocks that follow each other, with silence where the file has nothing."""
        begun = False
        for start, block in _runs(decoded(container, self._track, self._path, self._damaged)):
            self._origin = start if self._origin is None else self._origin
            position = round((start - self._origin) * SAMPLE_RATE)
            gap = position - self._cursor
            if gap > MAX_GAP * SAMPLE_RATE:
                raise jump(self._path, Fraction(self._cursor, SAMPLE_RATE), start - self._origin)
            seen = max(self._cursor, 0)  # sound before the first picture is not missed
            if abs(position - seen) > FREEZE * SAMPLE_RATE:
                self._note_gap(seen / SAMPLE_RATE, position / SAMPLE_RATE, begun)
            begun = True
            self._samples += len(block.mix)
            while position > self._cursor:
                silence = np.zeros(min(BLOCK, position - self._cursor), np.int16)
                yield _Block(silence)
                self._cursor += len(silence)
            fresh = max(self._cursor - position, 0)
            if fresh < len(block.mix):
                channels = None if block.channels is None else block.channels[:, fresh:]
                yield _Block(block.mix[fresh:], channels, block.names)
                self._cursor += len(block.mix) - fresh

    def _note_gap(self, cursor: float, position: float, begun: bool) -> None:
        if position > cursor:
            self._report.notes.append(Note(cursor, f"no sound from {cursor:.2f} to {position:.2f} s"))
        elif not begun:
            text = f"the sound begins {-position:.2f} s before the first picture; that part is not measured"
            self._report.notes.append(Note(0.0, text))

    def finish(self) -> None:
        """Complete the report.

        Raises:
            InputError: too much is damaged.
        """
        self._report.notes += self._damage.check(self._path, self._samples / SAMPLE_RATE)
        self._report.notes.sort()


def _runs(frames: Iterable[av.AudioFrame]) -> Iterator[tuple[Fraction, _Block]]:
    """Resampled sound with the time of its first sample; each stretch without a gap is one pass of the resampler."""
    resampler: _Resampler | None = None
    run_start, expected, made, layout = Fraction(0), Fraction(0), 0, ("", "", 0)
    for frame in frames:
        time = expected if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
        now = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or abs(time - expected) > TOLERANCE or now != layout:
            if resampler is not None:
                for block in resampler.resample(None):
                    yield run_start + Fraction(made, SAMPLE_RATE), block
            resampler = _Resampler(frame)
            run_start, expected, made, layout = time, time, 0, now
        expected += Fraction(frame.samples, frame.sample_rate)
        for block in resampler.resample(frame):
            yield run_start + Fraction(made, SAMPLE_RATE), block
            made += len(block.mix)
    if resampler is not None:
        for block in resampler.resample(None):
            yield run_start + Fraction(made, SAMPLE_RATE), block


class _Resampler:
    """A stretch of sound at 16 kHz: mixed by libav and, where there are several channels, each by itself."""

    def __init__(self, frame: av.AudioFrame) -> None:
        self._names = tuple(channel.name for channel in frame.layout.channels)
        self._count = frame.layout.nb_channels
        self._mix = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        # Not s16p: PyAV 18 reads beyond the list of planes where there are 8 or more.
        self._each = av.AudioResampler(format="s16", rate=SAMPLE_RATE)

    def resample(self, frame: av.AudioFrame | None) -> Iterator[_Block]:
        """The next sound; that which the filter still holds where there is no more frame."""
        if frame is not None:
            frame.pts = None  # the resampler counts for itself
        if self._count == 1:
            yield from (_Block(part.to_ndarray()[0]) for part in self._mix.resample(frame))
            return
        parts = [part.to_ndarray().reshape(-1, self._count).T for part in self._each.resample(frame)]
        try:
            mixed = [part.to_ndarray()[0] for part in self._mix.resample(frame)]
        except (av.error.FFmpegError, ValueError):  # libav has no rule to mix channels that nobody has named
            mixed = [np.asarray(channels.mean(axis=0), np.int16) for channels in parts]
        for mix, channels in zip(mixed, parts, strict=True):
            yield _Block(mix, channels, self._names or ("",) * self._count)


def _only(block: _Block, channel: str) -> Int16[np.ndarray, "samples"]:
    """One channel of a block, or its silence."""
    return only(block.channels, block.names, channel) if block.channels is not None or block.mix.any() else block.mix


def _mono(blocks: Iterable[_Block], cursor: int, report: Report) -> Iterator[Int16[np.ndarray, "samples"]]:
    """One channel out of several, portion by portion; sound of a single channel passes as it comes.

    Args:
        blocks: that follow each other.
        cursor: sample of the clock with which they begin.
        report: gets a note where a portion is not the mix, unless the one before was not for the same reason.
    """
    held: list[_Block] = []
    length, told = 0, ""
    for block in itertools.chain(blocks, [None]):
        other = block is None or (block.names and held and block.names != held[0].names)
        if held and (other or length >= PORTION):
            samples, why = _joined(held)
            if why and why != told:
                time = max(cursor, 0) / SAMPLE_RATE
                report.notes.append(Note(time, f"sound from {time:.2f} s on: {why}"))
            told = why
            yield samples
            cursor += len(samples)
            held, length = [], 0
        if block is not None and (held or block.channels is not None):
            held.append(block)
            length += len(block.mix)
        elif block is not None:
            yield block.mix
            cursor += len(block.mix)


def _joined(blocks: list[_Block]) -> tuple[Int16[np.ndarray, "samples"], str]:
    """Blocks of the same channels, or silence, as one; see `to_mono`."""
    names = blocks[0].names
    channels = [
        np.zeros((len(names), len(block.mix)), np.int16) if block.channels is None else block.channels
        for block in blocks
    ]
    return to_mono(np.concatenate([block.mix for block in blocks]), np.concatenate(channels, axis=1), names)
