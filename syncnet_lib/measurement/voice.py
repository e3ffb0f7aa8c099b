"""Which of several audio tracks carries the speech: captures keep the desktop beside the microphone, films a dub."""

import contextlib
from pathlib import Path

import numpy as np
from jaxtyping import Int16

from syncnet_lib.errors import InputError
from syncnet_lib.media import audio, decode, speech
from syncnet_lib.media.clock import SAMPLE_RATE
from syncnet_lib.media.report import Note

LISTENED = 120
"""Seconds of each track, from the first picture on, in which speech is looked for."""
LEAST_SHARE = 0.5
"""Share of the speech of the track with most of it from which another one counts as a track of speech as well."""


def choose_track(path: Path) -> tuple[int, list[Note]]:
    """The audio track to measure: of those with speech the one that the file marks as default, else the first.

    Args:
        path: a video.

    Returns:
        The number of the track, as `audio.audio_blocks` counts them, and what a user should know of the choice; the
        first track and nothing to say where there is no other.

    Raises:
        InputError: the file cannot be read.
    """
    tracks = decode.probe(path).audio
    if len(tracks) < 2:
        return 0, []
    spoken = [_speech_seconds(_beginning(path, number)) for number in range(len(tracks))]
    if not any(spoken):
        return 0, [Note(0.0, f"no speech in any of the {len(tracks)} audio tracks: the first is measured")]
    candidates = [number for number, seconds in enumerate(spoken) if seconds >= LEAST_SHARE * max(spoken)]
    chosen = next((number for number in candidates if tracks[number].default), candidates[0])
    title = f" ({tracks[chosen].title})" if tracks[chosen].title else ""
    why = "the one with speech" if len(candidates) == 1 else "the default of those with speech"
    return chosen, [Note(0.0, f"audio track {chosen + 1} of {len(tracks)}{title} is measured: {why}")]


def _speech_seconds(samples: Int16[np.ndarray, " samples"]) -> float:
    return sum(end - start for start, end in speech.speech_spans(samples)) / SAMPLE_RATE


def _beginning(path: Path, track: int) -> Int16[np.ndarray, " samples"]:
    parts, samples = [np.zeros(0, np.int16)], 0
    # A track that cannot be read has no speech to offer; where it is the only one, whoever reads it next says why.
    with contextlib.suppress(InputError):
        for block in audio.audio_blocks(path, track):
            parts.append(block)
            samples += len(block)
            if samples >= LISTENED * SAMPLE_RATE:
                break
    return np.concatenate(parts)
