"""Videos into clips: one face track with its sound, on disk, and the manifest of all of them.

Each video is worked on once: its result goes into a folder of the cache that is named by the content of the file and
the settings, whole or not at all. The clips of a run are hard links into that cache, so a new video costs only itself,
and an interrupted run goes on where it stopped.
"""

import dataclasses
import hashlib
import itertools
import json
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from syncnet_lib import files, parallel
from syncnet_lib.dataset import exchange
from syncnet_lib.dataset.clips import COLUMNS, TRACK_COLUMNS
from syncnet_lib.dataset.settings import ExtractSettings
from syncnet_lib.dataset.video import PHASES, Extracted, extract_video, pictures
from syncnet_lib.errors import InputError
from syncnet_lib.media.clock import FPS
from syncnet_lib.stopwatch import Stopwatch

__all__ = ["PHASES", "ExtractSettings", "extract", "refused_stills"]

VERSION = 5
"""Raised when extraction gives other clips for the same settings: cached results are then made anew."""


@dataclass(frozen=True)
class _Job:
    """The work on one video.

    Attributes:
        source: what the manifest says about the video: video_id, speaker, split, path, sha256.
        path: the video, or a clip in the exchange layout.
        audio: the file with its sound, None where that is the video itself.
        cache: folder of the result.
        settings: of the extraction.
    """

    source: dict[str, str]
    path: Path
    audio: Path | None
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
    files.sweep(cache_dir)
    jobs, skipped = _jobs(videos, root, cache_dir, settings)
    failed = _run(jobs, workers, scheduler, progress)
    rows, tracks, timing = [], [], []
    for job in jobs:
        file = job.source["path"]
        if job.cache in failed:
            skipped.append((file, failed[job.cache]))
            continue
        extracted = Extracted(**json.loads((job.cache / "result.json").read_text()))
        rows += [_link_clip(job, clip, out_dir) for clip in extracted.clips]
        tracks += [{"path": file, **track} for track in extracted.tracks]
        timing.append({"path": file, **json.loads((job.cache / "timing.json").read_text())})
        skipped += [(file, reason) for reason in extracted.refused]
    if not rows:
        raise _nothing_usable(videos, root, skipped)
    manifest = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS).sort_values("clip_id", ignore_index=True)
    refused = pd.DataFrame(sorted(skipped), columns=["file", "reason"])
    _remove_other_clips(out_dir, set(manifest["clip_id"]))
    with files.atomic(out_dir / "skipped.csv") as temporary:
        refused.to_csv(temporary, index=False)
    with files.atomic(out_dir / "clips.parquet") as temporary:
        manifest.to_parquet(temporary, index=False)
    with files.atomic(out_dir / "tracks.parquet") as temporary:
        pd.DataFrame(tracks, columns=TRACK_COLUMNS).to_parquet(temporary, index=False)
    with files.atomic(cache_dir / "timing.csv") as temporary:
        pd.DataFrame(timing, columns=["path", "frames", *PHASES]).to_csv(temporary, index=False)
    return manifest, refused


def refused_stills(out_dir: Path, root: Path, count: int) -> dict[str, UInt8[np.ndarray, "height width 3"]]:
    """What refused face tracks look like.

    Args:
        out_dir, root: of `extract`.
        count: how many, evenly spread.

    Returns:
        File and reason to an RGB picture: the last one of the track with its face outlined.
    """
    import cv2

    table = pd.read_parquet(out_dir / "tracks.parquet")
    refused = table[table.reason != ""]
    shown = {}
    for row in refused.iloc[:: max(1, math.ceil(len(refused) / count))].itertuples():
        still = next(itertools.islice(pictures(root / row.path), row.last, None)).rgb.copy()
        corner, opposite = (round(row.left), round(row.top)), (round(row.right), round(row.bottom))
        cv2.rectangle(still, corner, opposite, (255, 0, 0), max(1, len(still) // 150))
        shown[f"{Path(row.path).name}, {row.last / FPS:.1f} s: {row.reason}"] = still
    return shown


def _jobs(
    videos: pd.DataFrame, root: Path, cache_dir: Path, settings: ExtractSettings
) -> tuple[list[_Job], list[tuple[str, str]]]:
    """The work to be done, by video_id; and file and reason of what cannot be read at all."""
    jobs, skipped = [], []
    for video in videos.sort_values("video_id").to_dict("records"):
        path = root / str(video["path"])
        try:
            audio = _audio_file(path, root, str(video.get("sound") or ""))
            sha256 = str(video.get("sha256") or "") or _content_hash(path, audio)
        except (InputError, OSError) as error:
            skipped.append((str(video["path"]), parallel.reason(error)))
            continue
        source = {name: str(video.get(name) or "") for name in ("video_id", "speaker", "split", "path")}
        cache = cache_dir / _key(sha256, settings)
        jobs.append(_Job({**source, "sha256": sha256}, path, audio, cache, settings))
    return jobs, skipped


def _run(jobs: Iterable[_Job], workers: int, scheduler: str, progress: bool) -> dict[Path, str]:
    """Do the work that the cache does not hold yet; returns the reasons of what failed."""
    todo = {job.cache: job for job in jobs if not (job.cache / "result.json").exists()}
    outcomes = parallel.run(
        _work, todo.values(), workers=workers, scheduler=scheduler, progress=progress, describe="extract"
    )
    return {job.cache: parallel.reason(result) for job, result in outcomes if isinstance(result, Exception)}


def _work(job: _Job) -> None:
    """Extract one video into the cache."""
    import cv2

    cv2.setNumThreads(1)  # the processes are the parallelism
    with files.atomic(job.cache) as folder:
        folder.mkdir()
        watch = Stopwatch(PHASES)
        extracted = extract_video(job.path, job.audio, folder, job.settings, watch)
        (folder / "result.json").write_text(json.dumps(dataclasses.asdict(extracted)))
        (folder / "timing.json").write_text(json.dumps({"frames": extracted.frames, **watch.seconds}))


def _audio_file(path: Path, root: Path, sound: str) -> Path | None:
    """The file that has the sound of a video, None where that is the video itself.

    Raises:
        InputError: it or the video cannot be read.
    """
    if exchange.is_clip(path):
        return path / exchange.SOUND
    _check_file(path)
    if not sound:
        return None
    _check_file(root / sound)
    return root / sound


def _content_hash(path: Path, audio: Path | None) -> str:
    """SHA-256 of a video with its sound."""
    if exchange.is_clip(path):
        return exchange.digest(path)
    return files.sha256(path, *([audio] if audio else []))


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


def _link_clip(job: _Job, clip: dict[str, Any], out_dir: Path) -> dict[str, Any]:
    """Put a clip of the cache into the folder of clips; returns its row of the manifest."""
    name = f"{clip['track']:02d}"
    row = {"clip_id": f"{_safe(job.source['video_id'])}_{name}", **job.source, **clip}
    start = clip["start_frame"] / FPS
    meta = {
        **row,
        "start_seconds": start,
        "end_seconds": start + clip["frames"] / FPS,
        "settings": job.settings.model_dump(exclude={"time_limit"}),
    }
    with files.atomic(out_dir / row["clip_id"]) as folder:
        folder.mkdir()
        for file in sorted((job.cache / name).iterdir()):
            files.link(file, folder / file.name)
        (folder / "clip.json").write_text(json.dumps(meta, indent=1, ensure_ascii=False) + "\n")
    return row


def _nothing_usable(videos: pd.DataFrame, root: Path, skipped: Sequence[tuple[str, str]]) -> InputError:
    folders = [str((root / str(path)).absolute().parent) for path in videos["path"]]
    where = os.path.commonpath(folders) if folders else root
    first = f", e.g. {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
    return InputError(where, f"no usable video among {len(videos)}{first}", "give videos of talking faces with sound")


def _remove_other_clips(out_dir: Path, kept: set[str]) -> None:
    for folder in out_dir.iterdir():
        if folder.is_dir() and folder.name not in kept:
            files.remove(folder)
