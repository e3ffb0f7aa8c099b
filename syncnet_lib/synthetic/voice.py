# ruff: noqa: RUF001, RUF002  (phonetic letters look like others)
"""Speech synthesis with espeak-ng: text to samples, with the instant at which each phoneme begins."""

import _ctypes
import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Self

import numpy as np
from jaxtyping import Float32
from scipy.signal import resample_poly

from syncnet_lib.errors import InputError
from syncnet_lib.media.clock import SAMPLE_RATE

# speak_lib.h of espeak-ng 1.52
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_PHONEME_EVENTS_IN_IPA = 0x1 | 0x2
_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_RANDOM_SEED = 1
_EVENT_END, _EVENT_PHONEME = 0, 7
_MODIFIERS = "ˈˌːˑ ̩̃"
"""Stress, length and diacritics: they do not change the articulatory target of a phoneme."""


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Phoneme:
    """A phoneme of an utterance.

    Args:
        ipa: the symbol without stress and length, e.g. ``b`` or ``aɪ``; empty for a pause.
        start: seconds from the start of the utterance.
        end: seconds; the start of the next one.
        stressed: whether it carries the stress of its word.
        release: seconds at which a closure that begins at `start` opens. None where that is not known: espeak-ng's
            event of a voiceless stop is its release, so its closure lies before `start`.
    """

    ipa: str
    start: float
    end: float
    stressed: bool = False
    release: float | None = None

    def moved(self, seconds: float) -> "Phoneme":
        """The same phoneme, `seconds` later."""
        release = None if self.release is None else self.release + seconds
        return replace(self, start=self.start + seconds, end=self.end + seconds, release=release)


@dataclass(frozen=True)
class Voice:
    """How a person sounds.

    Args:
        name: espeak-ng's name of the voice with its variant, e.g. ``en-us+f3``.
        rate: words per minute.
        pitch: 0-99, espeak-ng's scale.
        pitch_range: 0-99, espeak-ng's scale of how much the pitch varies.
        tract: factor on all frequencies, as of a shorter vocal tract where it is over 1; durations shrink by the same.
    """

    name: str
    rate: int
    pitch: int
    pitch_range: int = 50
    tract: float = 1.0


class _Espeak:
    """The library in its initial state: otherwise its static variables (flutter, noise) carry over between utterances.

    Only unloading resets them, so it is loaded for every utterance, in 5 ms. Not thread-safe.
    """

    def __init__(self) -> None:
        import espeakng_loader

        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        options = _PHONEME_EVENTS_IN_IPA | _DONT_EXIT
        data = espeakng_loader.get_data_path().encode()
        self.rate = self.library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data, options)
        if self.rate <= 0:
            raise InputError(data.decode(), "espeak-ng cannot read its data", "install espeakng-loader again")
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(_RANDOM_SEED))
        self.chunks: list[np.ndarray] = []
        self.events: list[tuple[int, str]] = []
        self._callback = _CALLBACK(self._receive)  # referenced here, since ctypes does not
        self.library.espeak_SetSynthCallback(self._callback)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.library.espeak_Terminate()
        _ctypes.dlclose(self.library._handle)

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        if count:
            self.chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != _EVENT_END:
            if events[index].type == _EVENT_PHONEME:
                # The name is cut at 8 bytes, perhaps inside a character.
                name = events[index].id.string.decode("utf8", "ignore")
                self.events.append((events[index].sample, name))
            index += 1
        return 0

    def synthesise(self, text: str, voice: Voice) -> tuple[np.ndarray, list[tuple[int, str]]]:
        if self.library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise InputError(voice.name, "espeak-ng has no such voice", "see espeakng_loader's data folder")
        for parameter, value in ((_RATE, voice.rate), (_PITCH, voice.pitch), (_RANGE, voice.pitch_range)):
            self.library.espeak_SetParameter(parameter, value, 0)
        data = text.encode()
        self.library.espeak_Synth(data, len(data) + 1, 0, 0, 0, _CHARS_UTF8, None, None)
        return np.concatenate([np.zeros(0, np.int16), *self.chunks]), self.events


def speak(text: str, voice: Voice) -> tuple[Float32[np.ndarray, " samples"], list[Phoneme]]:
    """Synthesise an utterance.

    Args:
        text: the words.
        voice: the speaker.

    Returns:
        samples: (N,) float32 at 16 kHz in [-1, 1], without silence at either end.
        phonemes: in order; the first starts at 0 s or later, the last ends with the samples.

    Raises:
        InputError: espeak-ng has no such voice, or the text has no phoneme.
    """
    with _Espeak() as espeak:
        raw, events = espeak.synthesise(text, voice)
    loud = np.flatnonzero(np.abs(raw) > 32)
    # "(en)" and the like say that the language changes.
    events = [(at, name) for at, name in events if not name.startswith("(")]
    if not len(loud) or not any(name.strip(_MODIFIERS) for _, name in events):
        raise InputError(repr(text), "nothing to say", "give words")
    first, last = int(loud[0]), int(loud[-1]) + 1
    # A round number keeps the resampling filter short.
    source_rate = round(espeak.rate * voice.tract / 400) * 400
    ratio = Fraction(SAMPLE_RATE, source_rate)
    samples = resample_poly(raw[first:last] / np.float32(32768), ratio.numerator, ratio.denominator)
    starts = [min(max(at - first, 0), last - first) / source_rate for at, _ in events]
    ends = [*starts[1:], (last - first) / source_rate]
    phonemes = [
        Phoneme("".join(c for c in name if c not in _MODIFIERS), start, end, stressed="ˈ" in name)
        for (_, name), start, end in zip(events, starts, ends, strict=True)
        if end > start
    ]
    return samples.astype(np.float32), phonemes


def pauses_between(phonemes: Sequence[Phoneme], start: float, end: float) -> list[Phoneme]:
    """Fill gaps between phonemes with pauses: phonemes without a symbol.

    Args:
        phonemes: in order of time.
        start, end: seconds between which there must be no gap.

    Returns:
        Phonemes and pauses, each starting where the one before ends.
    """
    filled: list[Phoneme] = []
    at = start
    for phoneme in phonemes:
        if phoneme.start > at + 1e-6:
            filled.append(Phoneme("", at, phoneme.start))
        filled.append(phoneme)
        at = phoneme.end
    if end > at:
        filled.append(Phoneme("", at, end))
    return filled
