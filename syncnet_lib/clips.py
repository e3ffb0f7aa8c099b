"""Videos into clips: one face track with its sound, on disk, and the manifest of all of them.

Each video is worked on once: its result goes into a folder of the cache that is named by the content of the file and
the settings, whole or not at all. The clips of a run are hard links into that cache, so a new video costs only itself,
and an interrupted run goes on where it stopped.
"""

import functools
import hashlib
import json
import math
import os
import re
import shutil
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from syncnet_lib import fanout, files, media
from syncnet_lib.errors import InputError
from syncnet_lib.media import SAMPLE_RATE, SAMPLES_PER_FRAME
from syncnet_lib.shots import THUMBNAIL, ShotFinder
from syncnet_lib.tracks import Crops, FaceTracker, TrackSettings

WINDOW_FRAMES = 5
"""Frames that a model looks at (seed: 5 frames against 0.2 s)."""
VERSION = 1
"""Raised when extraction gives other clips for the same settings: cached results are then made anew."""
SPEECH_RANGE, SPEECH_FLOOR = 30.0, -55.0
"""A frame carries speech from 30 dB below the loud parts (95th percentile) of its clip and -55 dB of full scale."""
PORTION = 60 * media.FPS
"""Frames whose sound is in memory at a time when a clip is written."""
COLUMNS = {
    "clip_id": "str",
    "video_id": "str",
    "speaker": "str",
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


class ExtractSettings(TrackSettings):
    """Settings of the extraction."""

    crops: Literal["mouth", "face", "both"] = "mouth"
    """Which crops are made: mouth 120x120 gray, face 224x224 colour, or both."""
    audio_track: int = Field(0, ge=0)
    """Which sound track of a video is used, counted from 0."""
    time_limit: float = Field(20.0, gt=0)
    """Longest work on one video, as a multiple of its duration (one minute is always allowed)."""


@dataclass(frozen=True)
class Clip:
    """One clip in memory.

    Attributes:
        mouth: (T, 120, 120) uint8 gray, mapped from disk.
        samples: (T * 640,) int16, 16 kHz mono.
        lips: (T,) float32 lip aperture over face height.
        meta: provenance: source file and its hash, time span, shot, track, settings.
    """

    mouth: np.ndarray
    samples: np.ndarray
    lips: np.ndarray
    meta: dict[str, Any]


@dataclass(frozen=True)
class _Job:
    path: Path
    cache: Path
    settings: ExtractSettings


def extract(
    videos: pd.DataFrame,
    root: Path,
    out_dir: Path,
    cache_dir: Path,
    settings: ExtractSettings,
    workers: int,
    progress: bool = True,
    scheduler: str = "",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make the clips of many videos.

    Args:
        videos: columns video_id, path, speaker and sha256 (may be empty), one row a video.
        root: what relative paths start from.
        out_dir: gets one folder a clip, clips.parquet and skipped.csv; clips of an earlier run are removed.
        cache_dir: results by content, on the same file system as `out_dir` to be linked and not copied.
        settings: of the extraction.
        workers: processes; 0 for none of its own.
        progress: show a bar.
        scheduler: address of a Dask cluster that shares the file system.

    Returns:
        The manifest (COLUMNS), and what was skipped (file, reason). Both sorted, whatever the number of workers.

    Raises:
        InputError: not one video gave a clip.
    """
    _sweep(cache_dir)
    jobs = {}
    skipped: list[tuple[str, str]] = []
    for video in videos.to_dict("records"):
        path = root / str(video["path"])
        try:
            _check_file(path)
            video["sha256"] = str(video.get("sha256") or "") or files.sha256(path)
        except (InputError, OSError) as error:
            skipped.append((str(video["path"]), _reason(error)))
            continue
        jobs[str(video["video_id"])] = (video, _Job(path, cache_dir / _key(video["sha256"], settings), settings))

    todo = {job.cache: job for _, job in jobs.values() if not (job.cache / "result.json").exists()}
    failed = {}
    for job, result in fanout.run(
        _work, todo.values(), workers=workers, scheduler=scheduler, progress=progress, describe="extract"
    ):
        if isinstance(result, Exception):
            failed[job.cache] = _reason(result)

    rows = []
    for video_id, (video, job) in sorted(jobs.items()):
        if job.cache in failed:
            skipped.append((str(video["path"]), failed[job.cache]))
            continue
        result = json.loads((job.cache / "result.json").read_text())
        skipped.extend((str(video["path"]), reason) for reason in result["refused"])
        for clip in result["clips"]:
            row = {
                "clip_id": f"{_safe(video_id)}_{clip['track']:02d}",
                "video_id": video_id,
                "speaker": str(video.get("speaker") or ""),
                "path": str(video["path"]),
                "sha256": video["sha256"],
                **clip,
            }
            _place(job.cache / f"{clip['track']:02d}", out_dir / row["clip_id"], row, settings)
            rows.append(row)
    if not rows:
        folders = [str((root / str(path)).absolute().parent) for path in videos["path"]]
        where = os.path.commonpath(folders) if folders else root
        first = f", e.g. {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        raise InputError(
            where, f"no usable video among {len(videos)}{first}", "give videos of talking faces with sound"
        )
    manifest = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS).sort_values("clip_id", ignore_index=True)
    refused = pd.DataFrame(sorted(skipped), columns=["file", "reason"])
    kept = set(manifest["clip_id"])
    for folder in out_dir.iterdir():
        if folder.is_dir() and folder.name not in kept:
            files.remove(folder)
    with files.write_aside(out_dir / "skipped.csv") as aside:
        refused.to_csv(aside, index=False)
    with files.write_aside(out_dir / "clips.parquet") as aside:
        manifest.to_parquet(aside, index=False)
    return manifest, refused


def load(folder: Path) -> Clip:
    """Read one clip.

    Raises:
        InputError: it is not a clip.
    """
    try:
        mouth = np.load(folder / "mouth.npy", mmap_mode="r", allow_pickle=False)
        lips = np.load(folder / "lips.npy", allow_pickle=False)
        with wave.open(str(folder / "audio.wav")) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        meta = json.loads((folder / "clip.json").read_text())
    except (OSError, ValueError, EOFError, wave.Error) as error:
        raise InputError(folder, f"is not a clip: {error}", "run the extraction") from error
    return Clip(mouth, samples, lips, meta)


def _sweep(cache_dir: Path) -> None:
    """Remove what processes that were killed have left half done."""
    for left in cache_dir.glob(f".*{files.ASIDE}"):
        pid = left.name.removesuffix(files.ASIDE).rpartition(".")[2]
        if pid.isdigit() and not Path("/proc", pid).exists():
            files.remove(left)


def _check_file(path: Path) -> None:
    # A pipe or a device would block for ever, so only what is a file is opened.
    try:
        if path.is_dir():
            raise InputError(path, "is a folder")
        if not path.exists():
            raise InputError(path, "does not exist")
        if not path.is_file():
            raise InputError(path, "is not a regular file")
        if path.stat().st_size == 0:
            raise InputError(path, "is empty")
        with path.open("rb"):
            pass
    except PermissionError:
        raise InputError(path, "cannot be read: permission denied") from None
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from None


def _key(sha256: str, settings: ExtractSettings) -> str:
    """Name of a result in the cache: what went in, and everything that decides what comes out."""
    values = settings.model_dump(exclude={"time_limit"})
    text = json.dumps([VERSION, sha256, values], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _safe(name: str) -> str:
    """A name that every file system takes; two names never become one."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:80]
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _reason(error: Exception) -> str:
    if isinstance(error, InputError):
        return error.args[1]
    return str(error) if isinstance(error, fanout.WorkerLost) else f"{type(error).__name__}: {error}"


def _place(cached: Path, folder: Path, row: dict[str, Any], settings: ExtractSettings) -> None:
    with files.write_aside(folder) as aside:
        aside.mkdir()
        for file in sorted(cached.iterdir()):
            try:
                os.link(file, aside / file.name)
            except OSError:  # another file system, or one without links
                shutil.copyfile(file, aside / file.name)
        start = row["start_frame"] / media.FPS
        meta = {
            **row,
            "start_seconds": start,
            "end_seconds": start + row["frames"] / media.FPS,
            "settings": settings.model_dump(exclude={"time_limit"}),
        }
        (aside / "clip.json").write_text(json.dumps(meta, indent=1, ensure_ascii=False) + "\n")


def _work(job: _Job) -> None:
    """Extract one video into the cache."""
    import cv2

    cv2.setNumThreads(1)  # the processes are the parallelism
    with files.write_aside(job.cache) as aside:
        aside.mkdir()
        result = _extract_one(job.path, aside, job.settings)
        (aside / "result.json").write_text(json.dumps(result))


def _extract_one(path: Path, folder: Path, settings: ExtractSettings) -> dict[str, Any]:
    allowed = max(60.0, settings.time_limit * media.probe(path).duration)
    in_time = functools.partial(_check_time, path, time.monotonic() + allowed, allowed)
    sound_file = folder / "sound.raw"
    with sound_file.open("wb") as file:
        for block in media.audio_blocks(path, settings.audio_track):
            in_time()
            file.write(block.tobytes())
    if not sound_file.stat().st_size:
        raise InputError(path, "no sound: the sound track ends before the first picture")
    heard = math.ceil(sound_file.stat().st_size / (2 * SAMPLES_PER_FRAME))

    tracker = FaceTracker(settings, mouth=settings.crops != "face", face=settings.crops != "mouth")
    writers: dict[int, _Writer] = {}
    clips, refused = [], []
    frames = 0
    for item in _followed(path, tracker, settings):
        in_time()
        if isinstance(item, int):
            frames = item
        elif isinstance(item, Crops):
            number = item.track.number
            if number not in writers:
                writers[number] = _Writer(folder / f"{number:02d}")
            writers[number].add(item, heard - item.track.first - writers[number].frames)
        else:
            written = writers.pop(item.number, None)
            span = f"face track of frames {item.first} to {item.last}"
            if item.refused or written is None or written.frames < WINDOW_FRAMES:
                refused.append(f"{span}: {item.refused or 'the sound ends before it'}")
                files.remove(folder / f"{item.number:02d}")
                continue
            clips.append(
                {
                    "start_frame": item.first,
                    "frames": written.frames,
                    "shot": item.shot,
                    "track": item.number,
                    "face_size": item.face_size,
                    "sharpness": item.sharpness / item.frames,
                    "speech_share": written.close(sound_file, item.first),
                    "faceless_share": item.faceless / item.frames,
                }
            )
    sound_file.unlink()
    if frames < WINDOW_FRAMES:
        raise InputError(path, f"shorter than one window ({frames} of {WINDOW_FRAMES} frames)")
    if not clips and not refused:
        refused.append(f"no face found in any of {frames} frames")
    return {"frames": frames, "clips": clips, "refused": refused}


def _followed(path: Path, tracker: FaceTracker, settings: ExtractSettings) -> Iterator[Any]:
    """What the tracker gives for a whole file, and after each picture how many there were."""
    shots = ShotFinder(settings.shot_threshold)
    for number, picture in enumerate(media.pictures(path)):
        yield from tracker.show(picture, shots.cut_before(picture.thumbnail(THUMBNAIL)))
        yield number + 1
    yield from tracker.finish()


def _check_time(path: Path, deadline: float, allowed: float) -> None:
    if time.monotonic() > deadline:
        raise InputError(path, f"takes longer than its time limit of {allowed:.0f} s")


class _Writer:
    """One clip on its way to disk: crops are appended as they come, so that its length costs no memory."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.frames = 0
        self._lips: list[np.ndarray] = []
        self._shapes: dict[str, tuple[int, ...]] = {}

    def add(self, crops: Crops, room: int) -> None:
        """Append crops, as many as there is sound for."""
        count = max(0, min(room, len(crops.lips)))
        self.frames += count
        self._lips.append(crops.lips[:count])
        for name, images in (("mouth", crops.mouth), ("face", crops.face)):
            if len(images):
                with (self._folder / f"{name}.npy").open("ab") as file:
                    if not file.tell():
                        self._shapes[name] = images.shape[1:]
                        _header(file, 0, images.shape[1:])
                    file.write(images[:count].tobytes())

    def close(self, sound_file: Path, first: int) -> float:
        """Finish the clip; returns the share of its frames that carry speech.

        Args:
            sound_file: raw int16 samples of the whole video.
            first: frame of the video with which the clip begins.
        """
        for name, shape in self._shapes.items():
            with (self._folder / f"{name}.npy").open("r+b") as file:
                _header(file, self.frames, shape)
        np.save(self._folder / "lips.npy", np.concatenate(self._lips))
        levels = []
        with wave.open(str(self._folder / "audio.wav"), "wb") as file, sound_file.open("rb") as sound:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            sound.seek(2 * first * SAMPLES_PER_FRAME)
            for start in range(0, self.frames, PORTION):
                wanted = min(PORTION, self.frames - start) * SAMPLES_PER_FRAME
                samples = np.zeros(wanted, np.int16)
                heard = np.frombuffer(sound.read(2 * wanted), np.int16)
                samples[: len(heard)] = heard
                file.writeframes(samples.tobytes())
                levels.append(level(samples))
        return float(speech(np.concatenate(levels)).mean())


def _header(file: Any, frames: int, shape: tuple[int, ...]) -> None:
    """Write the header of an .npy of uint8; numpy leaves room in it for the first axis to grow."""
    descr = {"descr": "|u1", "fortran_order": False, "shape": (frames, *shape)}
    np.lib.format.write_array_header_1_0(file, descr)


def level(samples: np.ndarray) -> np.ndarray:
    """(T,) float64 mean power of each frame of (T * 640,) int16 samples, dB of full scale."""
    frames = samples.reshape(-1, SAMPLES_PER_FRAME).astype(np.float64) / 2**15
    return 10 * np.log10(np.square(frames).mean(1) + 1e-12)


def speech(levels: np.ndarray) -> np.ndarray:
    """(T,) bool: which frames carry speech, by their (T,) levels in dB alone."""
    return levels > max(np.percentile(levels, 95) - SPEECH_RANGE, SPEECH_FLOOR)
