# ruff: noqa: RUF001  (phonetic letters look like others)
"""Articulation: the gestures of lips, jaw and tongue that belong to each phoneme, and how neighbours blend."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from syncnet_lib.synthetic.voice import Phoneme

GESTURES = ("aperture", "jaw", "round", "spread", "press", "tuck", "raise", "tongue")
"""Columns of a gesture track. `aperture` and `jaw` are heights in half mouth widths of the resting mouth, the rest
0..1: lips rounded, corners apart, lips pressed, lower lip under the upper teeth, upper lip raised, tongue tip up."""

# Time constants in seconds of the dominance functions [Cohen93], a gesture each: rounding is anticipated by a tenth of
# a second and more. With these the lip aperture of synthetic clips is as smooth as that of GRID's clips: its
# autocorrelation at a lag of one frame is 0.86 in both.
_FADE = np.array([0.060, 0.085, 0.100, 0.085, 0.035, 0.040, 0.070, 0.045])

_RELEASE = 0.35
"""Share of a bilabial's duration, at its end, in which the closure opens again."""


@dataclass(frozen=True)
class _Shape:
    targets: np.ndarray
    weights: np.ndarray


def _shape(aperture: float, jaw: float, *, weight: float = 1.0, **others: float) -> _Shape:
    """Targets of all gestures; `weight` is the dominance of the phoneme over its neighbours in aperture and jaw."""
    targets = {"aperture": aperture, "jaw": jaw} | others
    # A phoneme that does not use a gesture has little dominance in it, so a neighbour's target shows through.
    dominance = {name: 1.0 if abs(targets.get(name, 0.0)) > 0.05 else 0.25 for name in GESTURES}
    dominance |= {"aperture": weight, "jaw": weight}
    return _Shape(np.array([targets.get(n, 0.0) for n in GESTURES]), np.array([dominance[n] for n in GESTURES]))


_REST = _shape(0.0, 0.02, weight=0.9)
_SHAPES = {
    "pbm": _shape(0.0, 0.06, weight=2.2, press=0.7),
    "ɸβ": _shape(0.06, 0.08, weight=1.6),
    "fvⱱʋɱ": _shape(0.10, 0.07, weight=1.9, tuck=1.0),
    "θð": _shape(0.17, 0.12, weight=1.0, tongue=0.9),
    "tdnɾʈɖɳ": _shape(0.17, 0.10, weight=0.8, tongue=0.45),
    "lɫɭʎʟɬɮɺ": _shape(0.22, 0.18, weight=0.7, tongue=0.8),
    "szɕʑ": _shape(0.13, 0.04, weight=1.1, spread=0.35, **{"raise": 0.25}),
    "ʃʒʂʐ": _shape(0.20, 0.06, weight=1.1, round=0.55, **{"raise": 0.5}),
    "rɹɻʀʁɽ": _shape(0.17, 0.12, weight=0.7, round=0.45),
    "wɥʍ": _shape(0.07, 0.08, weight=1.4, round=1.0),
    "jʝ": _shape(0.17, 0.10, weight=0.6, spread=0.5),
    "kgŋɡxɣχɰqɢɴhɦħʕçʔcɟɲ": _shape(0.22, 0.18, weight=0.35),
    "aɑɐäɶ": _shape(0.58, 0.62, weight=1.1),
    "ʌɜ": _shape(0.44, 0.45, weight=1.0),
    "æ": _shape(0.52, 0.52, weight=1.1, spread=0.35),
    "ɛe": _shape(0.40, 0.36, weight=1.0, spread=0.35),
    "əɘɞᵻ": _shape(0.27, 0.24, weight=0.6),
    "ɚɝ": _shape(0.27, 0.24, weight=0.7, round=0.3),
    "iɪɨɯ": _shape(0.24, 0.13, weight=0.9, spread=0.6),
    "ɒɔ": _shape(0.44, 0.46, weight=1.1, round=0.55),
    "oɵøɤ": _shape(0.30, 0.28, weight=1.1, round=0.8),
    "œ": _shape(0.34, 0.32, weight=1.0, round=0.6),
    "uʊʉyʏ": _shape(0.14, 0.12, weight=1.1, round=0.95),
}
_INHALE = "\N{DOWNWARDS ARROW}"
_SHAPES[_INHALE] = _shape(0.20, 0.12, weight=0.5)
_BY_SYMBOL = {symbol: shape for symbols, shape in _SHAPES.items() for symbol in symbols}
LETTERS = frozenset(_BY_SYMBOL) - {_INHALE}
"""Of the phonetic alphabet, that have a target."""
_BILABIAL, _VOICELESS_STOPS = frozenset("pbm"), frozenset("ptkcq")
_CLOSURE = 0.055
"""Seconds from the closure of a voiceless stop to its release, which is what espeak-ng's event marks."""
_BREATH = 0.18
"""Seconds before speech in which the lips part to breathe in."""
_STRESSED, _UNSTRESSED = 1.15, 0.9
"""Factors on aperture and jaw."""


@dataclass(frozen=True)
class Style:
    """How a person articulates.

    Args:
        opening: factor on aperture and jaw (hypo- to hyperarticulation).
        rounding: factor on rounding, spreading, raising.
        parted: aperture at rest, half mouth widths.
        smile: 0..1, added to spread at all times.
        breath: 0..1, how far the lips part before speech.
        sluggish: factor on the time constants of the gestures.
        late: seconds by which the gestures are delayed against the phonemes' times.
    """

    opening: float = 1.0
    rounding: float = 1.0
    parted: float = 0.0
    smile: float = 0.0
    breath: float = 0.5
    sluggish: float = 1.0
    late: float = 0.0


def shape_of(ipa: str) -> Float[np.ndarray, " gestures"]:
    """Articulatory target of a phoneme.

    Args:
        ipa: its symbol; a diphthong counts as its first part, an unknown symbol or "" as rest.

    Returns:
        (8,) float64, in the order of `GESTURES`.
    """
    return _BY_SYMBOL.get(ipa[:1], _REST).targets


def gestures(
    phonemes: Sequence[Phoneme], times: Float[np.ndarray, " times"], style: Style
) -> Float[np.ndarray, "times gestures"]:
    """Gesture tracks of an utterance: the phonemes' targets weighted by dominance functions [Cohen93].

    Args:
        phonemes: without gaps between them (see `voice.pauses_between`).
        times: (T,) instants in seconds.
        style: how the person articulates.

    Returns:
        (T, 8) float64, columns as in `GESTURES`.
    """
    centres, holds, targets, weights = [], [], [], []
    segments = _segments(phonemes)
    for start, end, symbol, stressed in segments:
        shape = _BY_SYMBOL.get(symbol, _REST)
        margin = min(0.3 * (end - start), 0.06)
        centres.append((start + end) / 2)
        holds.append((end - start) / 2 - margin)
        emphasis = np.ones(len(GESTURES))
        emphasis[:2] = _STRESSED if stressed else style.breath if symbol == _INHALE else _UNSTRESSED
        targets.append(shape.targets * emphasis)
        weights.append(shape.weights)
    distance = np.abs(times[:, None] - style.late - np.array(centres)) - np.array(holds)
    fade = _FADE * style.sluggish
    dominance = np.exp(-((np.maximum(distance, 0)[:, :, None] / fade) ** 1.5)) * np.array(weights) + 1e-9
    track = (dominance * np.array(targets)).sum(1) / dominance.sum(1)
    track *= [style.opening] * 2 + [style.rounding] * 2 + [1, 1, style.rounding, 1]
    track[:, 3] += style.smile
    silent = np.array([symbol == "" for _, _, symbol, _ in segments])
    rest = (dominance[:, silent, 0].sum(1)) / dominance[:, :, 0].sum(1)
    track[:, 0] += style.parted * (0.4 + 0.6 * rest)
    # Blending alone would leave the lips parted in a bilabial between two open vowels, but they must have met.
    closed = _closures(phonemes, times - style.late)
    track[:, 0] *= 1 - closed
    track[:, 4] = np.maximum(track[:, 4] * 0.5, 0.8 * closed)
    return track


def _segments(phonemes: Sequence[Phoneme]) -> list[tuple[float, float, str, bool]]:
    """Start, end, symbol, stress of each target; diphthongs and affricates have two, a long pause ends in a breath."""
    found: list[tuple[float, float, str, bool]] = []
    for phoneme in phonemes:
        symbols = [c for c in phoneme.ipa if c in _BY_SYMBOL] or [""]
        start, end = phoneme.start, phoneme.end
        if not phoneme.ipa and end - start > 2 * _BREATH:
            found += [(start, end - _BREATH, "", False), (end - _BREATH, end, _INHALE, False)]
            continue
        if symbols[0] in _VOICELESS_STOPS and phoneme.release is None:
            start -= _CLOSURE
        step = (end - start) / len(symbols)
        found += [
            (start + i * step, start + (i + 1) * step, symbol, phoneme.stressed) for i, symbol in enumerate(symbols)
        ]
    return found


def _closures(phonemes: Sequence[Phoneme], times: Float[np.ndarray, " times"]) -> Float[np.ndarray, " times"]:
    """How far bilabials force the lips shut at each time, (T,) in 0..1."""
    closed = np.zeros(len(times))
    for phoneme in phonemes:
        if phoneme.ipa[:1] in _BILABIAL:
            if phoneme.release is not None:
                start, end = phoneme.start, phoneme.release
            elif phoneme.ipa[0] in _VOICELESS_STOPS:
                start, end = phoneme.start - _CLOSURE, phoneme.start + 0.005
            else:
                start, end = phoneme.start - 0.01, phoneme.end - _RELEASE * (phoneme.end - phoneme.start)
            end = max(end, start + _CLOSURE)
            outside = np.maximum(np.maximum(start - times, times - end), 0)
            closed = np.maximum(closed, np.clip(1 - outside / 0.06, 0, 1))
    return closed * closed * (3 - 2 * closed)
