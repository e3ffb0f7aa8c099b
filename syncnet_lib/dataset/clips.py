"""One clip on disk, a face track with its sound: read and written; and the columns of the manifest."""

import functools
import json
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Bool, Float32, Int16, UInt8

from syncnet_lib import files
from syncnet_lib.errors import InputError
from syncnet_lib.media import features
from syncnet_lib.media.clock import SAMPLE_RATE, SAMPLES_PER_FRAME
from syncnet_lib.media.features import MFCC_PER_FRAME, MFCC_SIZE

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
        mouth: gray mouth crops, memory-mapped.
        samples: 16 kHz mono, 640 a frame.
        mfcc: `features.frame_mfcc` of the samples, 4 rows a frame.
        speech: which frames carry speech.
        lip_aperture: opening of the lips over the height of the face; NaN where mouth crops were imported.
        meta: provenance: source file and its hash, time span, shot, track, settings.
    """

    mouth: UInt8[np.ndarray, "frames 120 120"]
    samples: Int16[np.ndarray, "640*frames"]
    mfcc: Float32[np.ndarray, "4*frames 13"]
    speech: Bool[np.ndarray, "frames"]
    lip_aperture: Float32[np.ndarray, "frames"]
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


@contextmanager
def write_sound(path: Path) -> Iterator[wave.Wave_write]:
    """A WAV file of a clip's sound, 16 kHz mono of 16 bits, open for samples.

    Args:
        path: the file.
    """
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        yield file


class ClipWriter:
    """One clip on its way to disk. Crops are appended as they come, so that its length costs no memory.

    Args:
        folder: of the clip, a new one.
        room: frames of the track for which there is sound; crops beyond them are not written.
    """

    def __init__(self, folder: Path, room: int) -> None:
        folder.mkdir()
        self._folder, self._room = folder, room
        self.frames = 0
        self._lip_aperture: list[np.ndarray] = []
        self._crop_shapes: dict[str, tuple[int, ...]] = {}

    def add(
        self,
        mouth: UInt8[np.ndarray, "mouths 120 120"],
        face: UInt8[np.ndarray, "faces 224 224 3"],
        lip_aperture: Float32[np.ndarray, "frames"],
    ) -> None:
        """Append the crops of some frames; a kind of crop that is not wanted has none."""
        count = max(0, min(self._room - self.frames, len(lip_aperture)))
        self.frames += count
        self._lip_aperture.append(lip_aperture[:count])
        for name, images in (("mouth", mouth), ("face", face)):
            if len(images):
                with (self._folder / f"{name}.npy").open("ab") as file:
                    if not file.tell():
                        self._crop_shapes[name] = images.shape[1:]
                        _write_header(file, 0, images.shape[1:])
                    file.write(images[:count].tobytes())

    def close(self, samples: Path, first: int) -> float:
        """Write the sound of the clip and what is computed from it.

        Args:
            samples: raw int16 samples of the whole video, 16 kHz mono.
            first: frame of the video with which the clip begins.

        Returns:
            The share of its frames that carry speech.
        """
        for name, shape in self._crop_shapes.items():
            with (self._folder / f"{name}.npy").open("r+b") as file:
                _write_header(file, self.frames, shape)
        np.save(self._folder / "lip_aperture.npy", np.concatenate(self._lip_aperture))
        mfcc = np.lib.format.open_memmap(
            self._folder / "mfcc.npy", "w+", np.float32, (self.frames * MFCC_PER_FRAME, MFCC_SIZE)
        )
        levels = []
        with write_sound(self._folder / "audio.wav") as file, samples.open("rb") as whole:
            span = {"start": first * SAMPLES_PER_FRAME, "length": self.frames * SAMPLES_PER_FRAME}
            read = functools.partial(features.stored, whole, **span)
            for start, portion, rows in features.portions(read, self.frames):
                file.writeframes(portion.tobytes())
                levels.append(features.level(portion))
                mfcc[start * MFCC_PER_FRAME : start * MFCC_PER_FRAME + len(rows)] = rows
        mfcc.flush()
        speech = features.speech(np.concatenate(levels))
        np.save(self._folder / "speech.npy", speech)
        return float(speech.mean())

    def discard(self) -> None:
        """Delete what was written."""
        files.remove(self._folder)


def _write_header(file: IO[bytes], frames: int, shape: tuple[int, ...]) -> None:
    """Write the header of an .npy of uint8; numpy leaves room in it for the first axis to grow."""
    descr = {"descr": "|u1", "fortran_order": False, "shape": (frames, *shape)}
    np.lib.format.write_array_header_1_0(file, descr)
