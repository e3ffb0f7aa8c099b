"""One clip on disk: a face track with its sound; and the columns of the manifest."""

import json
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from syncnet_lib.errors import InputError

COLUMNS = {
    "clip_id": "str",
    "video_id": "str",
    "speaker": "str",
    "split": "str",
    "path": "str",
    "sha256": "str",
    "start_frame": "int64",
    "frames": "int64",
    "shot": "int64",
    "track": "int64",
    "face_size": "float64",
    "sharpness": "float64",
    "speech_share": "float64",
    "faceless_share": "float64",
}
"""Columns of the manifest."""
TRACK_COLUMNS = ["path", "shot", "track", "first", "last", "left", "top", "right", "bottom", "reason"]
"""Columns of tracks.parquet: where a track begins and ends (frames), its face's box in the last of them (pixels), and
why it was refused ("" if it is a clip)."""


@dataclass(frozen=True)
class Clip:
    """One clip in memory.

    Attributes:
        mouth: (T, 120, 120) uint8 gray, mapped from disk.
        samples: (T * 640,) int16, 16 kHz mono.
        mfcc: (4 T, 13) float32, `features.frame_mfcc` of the samples.
        speech: (T,) bool: which frames carry speech.
        lip_aperture: (T,) float32 lip aperture over face height; nan where mouth crops were imported.
        meta: provenance: source file and its hash, time span, shot, track, settings.
    """

    mouth: np.ndarray
    samples: np.ndarray
    mfcc: np.ndarray
    speech: np.ndarray
    lip_aperture: np.ndarray
    meta: dict[str, Any]


def load(folder: Path) -> Clip:
    """Read one clip.

    Raises:
        InputError: it is not a clip.
    """
    try:
        mouth = np.load(folder / "mouth.npy", mmap_mode="r", allow_pickle=False)
        mfcc, speech, lip_aperture = (
            np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("mfcc", "speech", "lip_aperture")
        )
        with wave.open(str(folder / "audio.wav")) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        meta = json.loads((folder / "clip.json").read_text())
    except (OSError, ValueError, EOFError, wave.Error) as error:
        raise InputError(folder, f"is not a clip: {error}", "run the extraction") from error
    return Clip(mouth, samples, mfcc, speech, lip_aperture, meta)
