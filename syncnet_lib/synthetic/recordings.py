# ruff: noqa: RUF001  (phonetic letters look like others)
"""Recorded speech with phone times as voices of the synthetic corpus."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from scipy.signal import resample_poly

from syncnet_lib.errors import InputError
from syncnet_lib.files import sha256
from syncnet_lib.media.audio import read_audio
from syncnet_lib.media.clock import SAMPLE_RATE
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
"""ARPAbet -> IPA. Whatever is not in it (SIL, noises) is a pause."""
_VOWELS = frozenset(["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"])
_SCHWA, _STRESSED = 0.08, 0.10
"""Seconds: a shorter AH is a schwa, a longer vowel is stressed. Forced alignments do not tell either."""
_RELEASES = {"P": 0.6, "T": 0.6, "K": 0.6, "CH": 0.4, "B": 0.85, "M": 1.0}
"""Share of a phone after which a closure is released; aspiration or frication takes the rest."""
_COLUMNS = ("file", "speaker", "alignment")
_INDEX = "index.csv"


@dataclass(frozen=True)
class Recording:
    """An utterance.

    Args:
        audio: its sound file.
        alignment: its phone times: a line a phone, start and end in seconds, ARPAbet symbol, word, between tabs.
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
        with index.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        if missing := [name for name in _COLUMNS if rows and name not in rows[0]]:
            raise InputError(index, f"no column {missing[0]}", f"columns are {', '.join(_COLUMNS)}")
        for row in rows:
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
    with recording.alignment.open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    phonemes = [_phoneme(recording.alignment, line, 100 / percent) for line in lines]
    return samples, [phoneme for phoneme in phonemes if phoneme.start < len(samples) / SAMPLE_RATE]


def _phoneme(path: Path, line: list[str], stretch: float) -> Phoneme:
    """A line of an alignment; times are multiplied by `stretch`."""
    try:
        start, end = ((float(value) + BIAS) * stretch for value in line[:2])
        phone = line[2].rstrip("012")
    except (ValueError, IndexError):
        raise InputError(path, f"not a phone: {' '.join(line)}", "a line is start, end, phone, word") from None
    length = end - start
    symbol = "ə" if phone == "AH" and length < _SCHWA * stretch else _IPA.get(phone, "")
    release = start + _RELEASES[phone] * length if phone in _RELEASES else None
    return Phoneme(symbol, start, end, stressed=phone in _VOWELS and length > _STRESSED * stretch, release=release)
