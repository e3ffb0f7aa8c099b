"""Videos into clips: one face track with its sound, on disk, and the manifest of all of them.

Each video is worked on once: its result goes into a folder of the cache that is named by the content of the file and
the settings, whole or not at all. The clips of a run are hard links into that cache, so a new video costs only itself,
and an interrupted run goes on where it stopped.
"""

import functools
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import time
import wave
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pandas as pd
from pydantic import Field

from syncnet_lib import files, parallel
from syncnet_lib.dataset import exchange
from syncnet_lib.dataset.clips import COLUMNS, TRACK_COLUMNS
from syncnet_lib.errors import InputError
from syncnet_lib.faces.crops import FACE_SIZE, MOUTH_SIZE, sharpness
from syncnet_lib.faces.shots import THUMBNAIL, ShotFinder
from syncnet_lib.faces.track import Crops, FaceTracker, TrackSettings
from syncnet_lib.media import audio, decode
from syncnet_lib.media.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from syncnet_lib.media.decode import Picture
from syncnet_lib.media.features import MFCC_PER_FRAME, MFCC_SIZE, WINDOW_FRAMES, level, portions, speech, stored

VERSION = 4
"""Raised when extraction gives other clips for the same settings: cached results are then made anew."""
PHASES = ("sound", "decode", "shots", "faces and crops", "writing")
"""What the work on a video consists of."""


class ExtractSettings(TrackSettings):
    """Settings of the extraction."""

    crops: Literal["mouth", "face", "both"] = "mouth"
    """Which crops are made: mouth 120x120 gray, face 224x224 colour, or both."""
    audio_track: int = Field(0, ge=0)
    """Which sound track of a video is used, counted from 0."""
    time_limit: float = Field(20.0, gt=0)
    """Longest work on one video, as a multiple of its duration (one minute is always allowed)."""


@dataclass(frozen=True)
class _Job:
    path: Path
    sound: Path | None
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
        videos: a row a video, or a clip in the exchange layout (see `exchange`): video_id and path; and, absent or ""
            where not known, speaker, sha256, split and sound (the file with its sound where that is not the video).
        root: what relative paths start from.
        out_dir: gets one folder a clip, clips.parquet, tracks.parquet and skipped.csv; clips of an earlier run are
            removed.
        cache_dir: results by content, on the same file system as `out_dir` to be linked and not copied; and timing.csv,
            kept there because it differs from run to run.
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
            sound, content = _sound_beside(path, root, str(video.get("sound") or ""))
            video["sha256"] = str(video.get("sha256") or "") or content()
        except (InputError, OSError) as error:
            skipped.append((str(video["path"]), parallel.reason(error)))
            continue
        cache = cache_dir / _key(video["sha256"], settings)
        jobs[str(video["video_id"])] = (video, _Job(path, sound, cache, settings))

    todo = {job.cache: job for _, job in jobs.values() if not (job.cache / "result.json").exists()}
    failed = {}
    for job, result in parallel.run(
        _work, todo.values(), workers=workers, scheduler=scheduler, progress=progress, describe="extract"
    ):
        if isinstance(result, Exception):
            failed[job.cache] = parallel.reason(result)

    rows, tracks, timing = [], [], []
    for video_id, (video, job) in sorted(jobs.items()):
        if job.cache in failed:
            skipped.append((str(video["path"]), failed[job.cache]))
            continue
        result = json.loads((job.cache / "result.json").read_text())
        skipped.extend((str(video["path"]), reason) for reason in result["refused"])
        tracks += [{"path": str(video["path"]), **track} for track in result["tracks"]]
        timing.append({"path": str(video["path"]), **json.loads((job.cache / "timing.json").read_text())})
        for clip in result["clips"]:
            row = {
                "clip_id": f"{_safe(video_id)}_{clip['track']:02d}",
                "video_id": video_id,
                "speaker": str(video.get("speaker") or ""),
                "split": str(video.get("split") or ""),
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
    with files.write_aside(out_dir / "tracks.parquet") as aside:
        pd.DataFrame(tracks, columns=TRACK_COLUMNS).to_parquet(aside, index=False)
    with files.write_aside(cache_dir / "timing.csv") as aside:
        pd.DataFrame(timing, columns=["path", "frames", *PHASES]).to_csv(aside, index=False)
    return manifest, refused


def refused_stills(out_dir: Path, root: Path, count: int) -> dict[str, np.ndarray]:
    """What refused face tracks look like.

    Args:
        out_dir, root: of `extract`.
        count: how many, evenly spread.

    Returns:
        File and reason to (H, W, 3) uint8 RGB: the last picture of the track with its face outlined.
    """
    import cv2

    table = pd.read_parquet(out_dir / "tracks.parquet")
    refused = table[table.reason != ""]
    shown = {}
    for row in refused.iloc[:: max(1, math.ceil(len(refused) / count))].itertuples():
        still = next(itertools.islice(_shown(root / row.path), row.last, None)).rgb.copy()
        corner, opposite = (round(row.left), round(row.top)), (round(row.right), round(row.bottom))
        cv2.rectangle(still, corner, opposite, (255, 0, 0), max(1, len(still) // 150))
        shown[f"{Path(row.path).name}, {row.last / FPS:.1f} s: {row.reason}"] = still
    return shown


def _sweep(cache_dir: Path) -> None:
    """Remove what processes that were killed have left half done."""
    for left in cache_dir.glob(f".*{files.ASIDE}"):
        pid = left.name.removesuffix(files.ASIDE).rpartition(".")[2]
        if pid.isdigit() and not Path("/proc", pid).exists():
            files.remove(left)


def _sound_beside(path: Path, root: Path, sound: str) -> tuple[Path | None, Callable[[], str]]:
    """The file that has the sound of a video, None where that is the video itself, and what gives the hash of both.

    Raises:
        InputError: one of them cannot be read.
    """
    if _is_ready_made(path):
        return path / exchange.SOUND, functools.partial(exchange.digest, path)
    _check_file(path)
    if not sound:
        return None, functools.partial(files.sha256, path)
    _check_file(root / sound)
    return root / sound, functools.partial(files.sha256, path, root / sound)


def _is_ready_made(path: Path) -> bool:
    """Whether a path is a clip in the exchange layout, and not a video."""
    return (path / exchange.FRAMES).is_dir()


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


def _place(cached: Path, folder: Path, row: dict[str, Any], settings: ExtractSettings) -> None:
    with files.write_aside(folder) as aside:
        aside.mkdir()
        for file in sorted(cached.iterdir()):
            try:
                os.link(file, aside / file.name)
            except OSError:  # another file system, or one without links
                shutil.copyfile(file, aside / file.name)
        start = row["start_frame"] / FPS
        meta = {
            **row,
            "start_seconds": start,
            "end_seconds": start + row["frames"] / FPS,
            "settings": settings.model_dump(exclude={"time_limit"}),
        }
        (aside / "clip.json").write_text(json.dumps(meta, indent=1, ensure_ascii=False) + "\n")


def _work(job: _Job) -> None:
    """Extract one video into the cache."""
    import cv2

    cv2.setNumThreads(1)  # the processes are the parallelism
    with files.write_aside(job.cache) as aside:
        aside.mkdir()
        watch = _Stopwatch()
        result = _extract_one(job.path, job.sound, aside, job.settings, watch)
        (aside / "result.json").write_text(json.dumps(result))
        (aside / "timing.json").write_text(json.dumps({"frames": result["frames"], **watch.seconds}))


class _Stopwatch:
    """Seconds of each phase of the work on a video."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        """What has passed since the last lap belongs to this phase."""
        now = time.perf_counter()
        self.seconds[phase] += now - self._last
        self._last = now


def _extract_one(
    path: Path, beside: Path | None, folder: Path, settings: ExtractSettings, watch: _Stopwatch
) -> dict[str, Any]:
    ready = _is_ready_made(path)
    allowed = max(60.0, settings.time_limit * _duration(path))
    in_time = functools.partial(_check_time, path, time.monotonic() + allowed, allowed)
    sound_file = folder / "sound.raw"
    # A sound file of its own begins with the first picture; the sound of a video is placed by the video's clock.
    sound = audio.audio_blocks(path, settings.audio_track) if beside is None else audio.audio_blocks(beside)
    with sound_file.open("wb") as file:
        for block in sound:
            in_time()
            file.write(block.tobytes())
    if not sound_file.stat().st_size:
        raise InputError(path, "no sound: the sound track ends before the first picture")
    heard = math.ceil(sound_file.stat().st_size / (2 * SAMPLES_PER_FRAME))
    watch.lap("sound")

    if ready and _holds_mouths(path):
        clip = _take_over(path, folder / "00", sound_file, heard)
        sound_file.unlink()
        watch.lap("writing")
        return clip
    tracker = FaceTracker(settings, mouth=settings.crops != "face", face=settings.crops != "mouth")
    writers: dict[int, _Writer] = {}
    clips, refused, tracks = [], [], []
    frames = 0
    for item in _followed(_shown(path), tracker, settings, watch):
        in_time()
        if isinstance(item, int):
            frames = item
        elif isinstance(item, Crops):
            number = item.track.number
            if number not in writers:
                writers[number] = _Writer(folder / f"{number:02d}")
            room = heard - item.track.first - writers[number].frames
            writers[number].add(item.mouth, item.face, item.lip_aperture, room)
        else:
            written = writers.pop(item.number, None)
            span = f"face track of frames {item.first} to {item.last}"
            reason = item.refused
            if not reason and (written is None or written.frames < WINDOW_FRAMES):
                reason = "the sound ends before it"
            place = {name: round(getattr(item.face.box, name), 1) for name in ("left", "top", "right", "bottom")}
            span_of = {"shot": item.shot, "track": item.number, "first": item.first, "last": item.last}
            tracks.append({**span_of, **place, "reason": reason})
            if reason or written is None:
                refused.append(f"{span}: {reason}")
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
    return {"frames": frames, "clips": clips, "refused": refused, "tracks": tracks}


def _duration(path: Path) -> float:
    """Seconds of a video or of a clip in the exchange layout."""
    return len(exchange.frame_files(path)) / FPS if _is_ready_made(path) else decode.probe(path).duration


def _holds_mouths(path: Path) -> bool:
    """Whether the pictures of a clip in the exchange layout are mouth crops: no larger than ours, so without a face."""
    return max(next(exchange.frames(path)).shape[:2]) <= MOUTH_SIZE


def _shown(path: Path) -> Iterator[Picture]:
    """The pictures of a video, or of a clip in the exchange layout as if they came from one."""
    if not _is_ready_made(path):
        yield from decode.pictures(path)
        return
    for image in exchange.frames(path):
        pixels = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
        yield Picture(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24"))


def _take_over(path: Path, folder: Path, sound_file: Path, heard: int) -> dict[str, Any]:
    """A clip whose mouth crops are ready-made: they are only brought to our size."""
    import cv2

    writer = _Writer(folder)
    edges = 0.0
    no_face = np.zeros((0, FACE_SIZE, FACE_SIZE, 3), np.uint8)
    for image in exchange.frames(path):
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
        if gray.shape != (MOUTH_SIZE, MOUTH_SIZE):
            gray = cv2.resize(gray, (MOUTH_SIZE, MOUTH_SIZE), interpolation=cv2.INTER_LINEAR)
        edges += sharpness(gray)
        writer.add(gray[None], no_face, np.full(1, np.nan, np.float32), heard - writer.frames)
    if writer.frames < WINDOW_FRAMES:
        raise InputError(path, f"shorter than one window ({writer.frames} of {WINDOW_FRAMES} frames)")
    speech_share = writer.close(sound_file, 0)
    exchange.check_features(path, np.load(folder / "mfcc.npy", mmap_mode="r"))
    clip = {
        "start_frame": 0,
        "frames": writer.frames,
        "shot": 0,
        "track": 0,
        "face_size": None,
        "sharpness": edges / writer.frames,
        "speech_share": speech_share,
        "faceless_share": 0.0,
    }
    return {"frames": writer.frames, "clips": [clip], "refused": [], "tracks": []}


def _followed(
    pictures: Iterable[Picture], tracker: FaceTracker, settings: ExtractSettings, watch: _Stopwatch
) -> Iterator[Any]:
    """What the tracker gives for a whole video, and after each picture how many there were."""
    shots = ShotFinder(settings.shot_threshold)
    for number, picture in enumerate(pictures):
        watch.lap("decode")
        cut = shots.cut_before(picture.thumbnail(THUMBNAIL))
        watch.lap("shots")
        for item in tracker.show(picture, cut):
            watch.lap("faces and crops")
            yield item
            watch.lap("writing")
        watch.lap("faces and crops")
        yield number + 1
    for item in tracker.finish():
        watch.lap("faces and crops")
        yield item
        watch.lap("writing")


def _check_time(path: Path, deadline: float, allowed: float) -> None:
    if time.monotonic() > deadline:
        raise InputError(path, f"takes longer than its time limit of {allowed:.0f} s")


class _Writer:
    """One clip on its way to disk: crops are appended as they come, so that its length costs no memory."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.frames = 0
        self._lip_aperture: list[np.ndarray] = []
        self._shapes: dict[str, tuple[int, ...]] = {}

    def add(self, mouth: np.ndarray, face: np.ndarray, lip_aperture: np.ndarray, room: int) -> None:
        """Append the crops of some frames, as many as there is sound for.

        Args:
            mouth, face, lip_aperture: as in `track.Crops`.
            room: frames.
        """
        count = max(0, min(room, len(lip_aperture)))
        self.frames += count
        self._lip_aperture.append(lip_aperture[:count])
        for name, images in (("mouth", mouth), ("face", face)):
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
        np.save(self._folder / "lip_aperture.npy", np.concatenate(self._lip_aperture))
        steps = self.frames * MFCC_PER_FRAME
        features = np.lib.format.open_memmap(self._folder / "mfcc.npy", "w+", np.float32, (steps, MFCC_SIZE))
        levels = []
        with wave.open(str(self._folder / "audio.wav"), "wb") as file, sound_file.open("rb") as sound:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            span = {"start": first * SAMPLES_PER_FRAME, "length": self.frames * SAMPLES_PER_FRAME}
            read = functools.partial(stored, sound, **span)
            for start, samples, part in portions(read, self.frames):
                file.writeframes(samples.tobytes())
                levels.append(level(samples))
                features[start * MFCC_PER_FRAME : start * MFCC_PER_FRAME + len(part)] = part
        features.flush()
        carries = speech(np.concatenate(levels))
        np.save(self._folder / "speech.npy", carries)
        return float(carries.mean())


def _header(file: Any, frames: int, shape: tuple[int, ...]) -> None:
    """Write the header of an .npy of uint8; numpy leaves room in it for the first axis to grow."""
    descr = {"descr": "|u1", "fortran_order": False, "shape": (frames, *shape)}
    np.lib.format.write_array_header_1_0(file, descr)
