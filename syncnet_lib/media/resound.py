"""The sound of a video decoded, put in its place piece by piece or at another speed, and encoded again.

For readers that ignore time stamps: sound begins with the first picture, and pictures keep their speed. Pictures and
subtitles are copied as they are.
"""

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from jaxtyping import Float32

from syncnet_lib import files
from syncnet_lib.errors import InputError
from syncnet_lib.media import remux
from syncnet_lib.media.correction import Cure
from syncnet_lib.media.decode import decoded, probe
from syncnet_lib.media.encode import encoder_of
from syncnet_lib.media.streams import audio_streams, opened

TOLERANCE = Fraction(3, 1000)
"""Seconds by which time stamps may wander before they count as a gap, as for `audio.audio_blocks`."""


def rewrite_sound(path: Path, out: Path, cure: Cure) -> list[str]:
    """Copy a video with its sound decoded, moved and encoded again at the settings that it had.

    Args:
        path: any file that libav reads.
        out: a file that is not there yet; the container follows from its suffix.
        cure: what is done to every audio track.

    Returns:
        What of the file is not in the copy, in words.

    Raises:
        InputError: `path` has no pictures or no sound, or no encoder for it is known; `out` cannot be written.
    """
    info = probe(path)
    if info.first_picture is None or not info.audio:
        raise InputError(path, "no pictures" if info.first_picture is None else "no sound")
    with files.scratch() as scratch, remux.new_media(out) as made:
        sounds = [
            _Sound(path, number, info.first_picture, cure, Path(scratch) / f"{number}.raw")
            for number in range(len(info.audio))
        ]
        with remux.refused(out):
            return _written(path, made, sounds, info.first_picture)


class _Sound:
    """An audio track as samples on the clock of the pictures, stretched.

    Args:
        path, number: of the file, and of its track.
        origin: time of the first picture, seconds.
        cure: what is done to it.
        spool: a file for its samples.
    """

    def __init__(self, path: Path, number: int, origin: Fraction, cure: Cure, spool: Path) -> None:
        self._cure = cure
        with opened(path) as container:
            stream = audio_streams(container)[number]
            context = stream.codec_context
            self.rate, self.layout = int(context.sample_rate), context.layout.name
            self.channels, self.bit_rate = context.layout.nb_channels, context.bit_rate
            self.codec = encoder_of(context.name)
            self.metadata, self.disposition = dict(stream.metadata), stream.disposition
            if self.codec not in av.codecs_available:
                raise InputError(path, f"no encoder for {context.name}", "convert its sound first")
            self._first, self._length = _spooled(path, stream, container, origin, cure.stretch, spool)
        self._samples = np.memmap(spool, np.float32, "r", shape=(self._length, self.channels))

    def frames(self, origin: Fraction) -> Iterator[av.AudioFrame]:
        """The sound in seconds, the first one with the first picture."""
        edges = [0, *(round(piece.start * self.rate) for piece in self._cure.pieces[1:])]
        delays = [round(piece.delay * self.rate) for piece in self._cure.pieces]
        edges.append(max(edges[-1], self._first + self._length + delays[-1]))
        for (start, stop), delay in zip(itertools.pairwise(edges), delays, strict=True):
            for at in range(start, stop, self.rate):
                block = self._read(at - delay, min(self.rate, stop - at))
                frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="flt", layout=self.layout)
                frame.sample_rate, frame.time_base = self.rate, Fraction(1, self.rate)
                frame.pts = at + round(origin * self.rate)
                yield frame

    def _read(self, start: int, count: int) -> Float32[np.ndarray, "count channels"]:
        """Samples from a place on the clock on; zeros where the track has none."""
        block = np.zeros((count, self.channels), np.float32)
        low, high = max(start, self._first), min(start + count, self._first + self._length)
        if low < high:
            block[low - start : high - start] = self._samples[low - self._first : high - self._first]
        return block


def _spooled(
    path: Path,
    stream: AudioStream,
    container: av.container.InputContainer,
    origin: Fraction,
    stretch: Fraction,
    spool: Path,
) -> tuple[int, int]:
    """Write the samples of a track to a file; gives where they begin on the clock of the pictures, and how many."""
    rate, first, length = int(stream.codec_context.sample_rate), None, 0
    resampler: av.AudioResampler | None = None
    expected = Fraction(0)
    with spool.open("w+b") as file:

        def write(frames: Sequence[av.AudioFrame]) -> None:
            nonlocal length
            for part in frames:
                samples = part.to_ndarray().reshape(-1, part.layout.nb_channels)
                file.write(samples.astype(np.float32).tobytes())
                length += len(samples)

        for frame in decoded(container, stream, path):
            time = expected if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base - origin
            if resampler is None or abs(time - expected) > TOLERANCE:
                if resampler is not None:
                    write(resampler.resample(None))
                place = round(time * stretch * rate)
                first = place if first is None else first
                # What was written beyond that place is overwritten, as the later frame is the one that is heard.
                length = max(0, place - first)
                file.truncate(length * 4 * frame.layout.nb_channels)
                file.seek(0, 2)
                resampler = av.AudioResampler(format="flt", layout=frame.layout.name, rate=rate)
            expected = time + Fraction(frame.samples, frame.sample_rate)
            frame.pts = None
            frame.sample_rate = round(frame.sample_rate / stretch)
            write(resampler.resample(frame))
        if resampler is None or first is None:
            raise InputError(path, "no sound that can be decoded")
        write(resampler.resample(None))
    return first, length


def _written(path: Path, made: Path, sounds: list[_Sound], origin: Fraction) -> list[str]:
    """Write the copy; gives what is left out."""
    left_out = []
    options = {"movflags": "+faststart"} if made.suffix.lower() in remux.EDIT_LISTS else {}
    with opened(path) as source, av.open(f"file:{made}", "w", options=options) as target:
        copies = {}
        for stream in source.streams:
            if stream.type == "audio":
                continue
            try:
                copies[stream.index] = remux.add_copy(target, stream)
            except ValueError:
                if stream.type == "video":
                    raise
                left_out.append(remux.named(stream))
        tracks = [_encoder(target, sound) for sound in sounds]
        target.metadata.update({key: value for key, value in source.metadata.items() if key not in remux.BRANDS})
        target.set_chapters(source.chapters())
        waiting = [_encoded(track, sound, origin) for track, sound in zip(tracks, sounds, strict=True)]
        ahead: list[av.Packet | None] = [next(packets, None) for packets in waiting]
        for packet in remux.packets(source, [stream for stream in source.streams if stream.index in copies], path):
            until = remux.moment(packet)
            for number, packets in enumerate(waiting):
                while (
                    until is not None and (sound := ahead[number]) is not None and (remux.moment(sound) or 0) <= until
                ):
                    target.mux(sound)
                    ahead[number] = next(packets, None)
            packet.stream = copies[packet.stream.index]
            target.mux(packet)
        for sound, packets in zip(ahead, waiting, strict=True):
            target.mux([each for each in (sound,) if each is not None])
            for rest in packets:
                target.mux(rest)
    return left_out


def _encoder(target: OutputContainer, sound: _Sound) -> AudioStream:
    stream = target.add_stream(sound.codec, rate=sound.rate, layout=sound.layout)
    assert isinstance(stream, AudioStream)
    if sound.bit_rate and not sound.codec.startswith("pcm"):
        stream.codec_context.bit_rate = sound.bit_rate
    stream.metadata.update(sound.metadata)
    stream.disposition = sound.disposition
    return stream


def _encoded(stream: AudioStream, sound: _Sound, origin: Fraction) -> Iterator[av.Packet]:
    for frame in sound.frames(origin):
        yield from stream.encode(frame)
    yield from stream.encode(None)
