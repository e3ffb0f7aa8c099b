# ruff: noqa: RUF001  (phonetic letters look like others)
"""Recorded speech with phone times as voices of the synthetic corpus: English in ARPAbet, any language in IPA."""

import csv
import io
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from scipy.signal import resample_poly

from syncnet_lib.errors import InputError
from syncnet_lib.files import sha256
from syncnet_lib.media.audio import read_audio
from syncnet_lib.media.clock import SAMPLE_RATE
from syncnet_lib.synthetic.articulation import LETTERS
from syncnet_lib.synthetic.voice import Phoneme

BIAS = 0.008
"""Seconds by which pocketsphinx places phones early: median against 1,595 phones labelled by hand, and 7 ms against
930 of a synthesiser that tells its own times."""

_IPA = {
    **{"AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AY": "aɪ", "EH": "ɛ", "ER": "əɹ", "EY": "eɪ"},
    **{"IH": "ɪ", "IY": "i", "OW": "oʊ", "OY": "ɔɪ", "UH": "ʊ", "UW": "u", "B": "b", "CH": "tʃ", "D": "d", "DH": "ð"},
    **{"F": "f", "G": "ɡ", "HH": "h", "JH": "dʒ", "K": "k", "L": "l", "M": "m", "N": "n", "NG": "ŋ", "P": "p"},
    **{"R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ"},
}
"""ARPAbet -> IPA."""
_PAUSES = frozenset(["sil", "sp", "spn", "pau"])
"""Names of silence and noise that could be letters of the phonetic alphabet."""
_MARKS = frozenset(["Lm", "Mn", "Sk", "Po", "Nd"])
"""Categories of the characters for length, stress, tone and the like."""
_VOWELS = frozenset("aɑɐäɶʌɜæɛeəɘɞᵻɚɝiɪɨɯɒɔoɵøɤœuʊʉyʏ")
_SCHWA, _STRESSED = 0.08, 0.10
"""Seconds: a shorter AH is a schwa, a longer vowel is stressed. Forced alignments do not tell either."""
_RELEASES = {"p": 0.6, "t": 0.6, "k": 0.6, "c": 0.6, "q": 0.6, "tʃ": 0.4, "ts": 0.4, "pf": 0.4, "b": 0.85, "m": 1.0}
"""Share of a phone after which a closure is released; aspiration or frication takes the rest."""
_CURE = "a line is start, end, phone (ARPAbet or IPA), word, between tabs"
_COLUMNS = ("file", "speaker", "alignment")
_INDEX = "index.csv"


@dataclass(frozen=True)
class Recording:
    """An utterance.

    Args:
        audio: its sound file.
        alignment: its phone times: a line a phone, start and end in seconds, ARPAbet or IPA symbol, word, between tabs;
            what is neither (SIL, noises) is a pause.
        sha256: of both.
    """

    audio: Path
    alignment: Path
    sha256: str


def find(folder: Path) -> list[tuple[Recording, ...]]:
    """The recordings of each speaker in a folder.

    Args:
        folder: with one or more ``index.csv`` in it or below; columns file, speaker and alignment are read.

    Returns:
        A tuple of recordings a speaker, in the order of their names.

    Raises:
        InputError: no such folder, no index in it, a column or a file is missing, or there are fewer than two speakers.
    """
    where = f"corpus.voices: {folder}"
    if not folder.is_dir():
        raise InputError(where, "no such folder", "give a folder of recordings with phone times, or espeak")
    speakers: dict[str, list[Recording]] = {}
    for index in sorted(folder.rglob(_INDEX)):
        for row in _rows(index):
            audio, alignment = index.parent / row["file"], index.parent / row["alignment"]
            for path in (audio, alignment):
                if not path.is_file():
                    raise InputError(path, f"missing, though {index.name} names it", "add it or remove its row")
            name = f"{index.parent.relative_to(folder).as_posix()}/{row['speaker']}"
            speakers.setdefault(name, []).append(Recording(audio, alignment, sha256(audio, alignment)))
    if len(speakers) < 2:
        cause = f"fewer than two speakers ({len(speakers)}) in the {_INDEX} below it"
        raise InputError(where, cause, "add recordings with phone times, or use espeak")
    return [tuple(speakers[name]) for name in sorted(speakers)]


def read(recording: Recording, tract: float = 1.0) -> tuple[Float32[np.ndarray, " samples"], list[Phoneme]]:
    """Read an utterance.

    Args:
        recording: which.
        tract: factor on all frequencies, as of `voice.Voice`.

    Returns:
        samples: (N,) float32 at 16 kHz in [-1, 1].
        phonemes: in order, in seconds of the samples; pauses without a symbol among them.

    Raises:
        InputError: the sound cannot be read, or a line of the alignment is not of the agreed form.
    """
    percent = round(100 * tract)  # a round number keeps the resampling filter short
    samples = resample_poly(read_audio(recording.audio) / np.float32(32768), 100, percent).astype(np.float32)
    rows = csv.reader(_text(recording.alignment), delimiter="\t", quoting=csv.QUOTE_NONE)
    lines = [line for line in rows if line]
    if _in_arpabet([line[2] for line in lines if len(line) > 2]):
        lines = [[*line[:2], *map(str.upper, line[2:])] for line in lines]
    phonemes = [_phoneme(recording.alignment, line, 100 / percent) for line in lines]
    if not any(phoneme.ipa for phoneme in phonemes):
        said = ", ".join(sorted({line[2] for line in lines})) or "no line"
        raise InputError(recording.alignment, f"not one phone is known: {said[:60]}", _CURE)
    return samples, [phoneme for phoneme in phonemes if phoneme.start < len(samples) / SAMPLE_RATE]


def _rows(index: Path) -> Iterator[dict[str, str]]:
    """The rows of an index, complete in what is read of them."""
    for number, row in enumerate(csv.DictReader(_text(index)), 1):
        for name in _COLUMNS:
            if name not in row:
                raise InputError(index, f"no column {name}", f"columns are {', '.join(_COLUMNS)}")
            if not row[name]:
                raise InputError(index, f"row {number} has no {name}", "complete or remove it")
        yield row


def _text(path: Path) -> io.StringIO:
    """A file in UTF-8, with a byte order mark, as spreadsheets write it, or without."""
    try:
        return io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")
    except UnicodeDecodeError:
        raise InputError(path, "is not UTF-8", "save it as UTF-8") from None


def _in_arpabet(phones: list[str]) -> bool:
    """Whether all phones are of ARPAbet, in capitals or small letters. In IPA hardly an utterance does without a vowel
    of a single letter, and ARPAbet has none; the few names that both have, such as "ow" and "s", are the same
    sounds."""
    return all(phone.rstrip("012").upper() in _IPA for phone in phones if _symbol(phone))


def _phoneme(path: Path, line: list[str], stretch: float) -> Phoneme:
    """A line of an alignment; times are multiplied by `stretch`."""
    try:
        start, end = ((float(value) + BIAS) * stretch for value in line[:2])
        phone = line[2]
    except (ValueError, IndexError):
        raise InputError(path, f"not a phone: {' '.join(line)}", _CURE) from None
    length = end - start
    symbol = _symbol(phone)
    if phone.rstrip("012") == "AH" and length < _SCHWA * stretch:
        symbol = "ə"
    release = start + _RELEASES[symbol] * length if symbol in _RELEASES else None
    return Phoneme(symbol, start, end, stressed=symbol[:1] in _VOWELS and length > _STRESSED * stretch, release=release)


def _symbol(phone: str) -> str:
    """A phone in letters of the phonetic alphabet, without length, stress and other marks; "" for a pause."""
    if arpabet := _IPA.get(phone.rstrip("012")):
        return arpabet
    letters = "".join(char for char in phone if unicodedata.category(char) not in _MARKS)
    return letters if phone.lower() not in _PAUSES and LETTERS.issuperset(letters) else ""
