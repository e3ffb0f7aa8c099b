"""What the page of the experiment tells beside its figures: how it came about, clips to play, what it was run with."""

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from syncnet_lib import parallel
from syncnet_lib.dataset import clips, sources
from syncnet_lib.experiment import config, known_noise, playable, provenance, stills
from syncnet_lib.media.clock import FPS, FRAME_MS
from syncnet_lib.plots.page import Film
from syncnet_lib.training.refinement import DUBBED, KEPT, OFF_SYNC

EACH = 2
"""Clips shown of each verdict."""
MOST_BYTES = 1 << 20
"""Of a film: larger ones would make the page too large to send."""
MOST_FRAMES = 10 * FPS
"""Of a clip that is shown by its crops."""
PACKAGES = ("torch", "mediapipe", "opencv-python", "av", "numpy", "dvc", "mlflow")
"""Named with their versions."""


def flow(reports: Path) -> dict[str, str]:
    """What each stage made of what.

    Args:
        reports: the folder with `metrics/*.json`.

    Returns:
        Stage to a few words, in the order in which they ran.
    """
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (reports / "metrics").glob("*.json")}
    pairs, filtered, best = found["pairs"], found["filter"], found["evaluate"]["refined"]
    kept = ", ".join(
        f"{filtered[f'clips_{verdict}']} {said}"
        for verdict, said in ((KEPT, "clips kept"), (OFF_SYNC, "off-sync"), (DUBBED, "left out"))
        if f"clips_{verdict}" in filtered
    )
    return {
        "corpus": f"{found['corpus']['videos']} videos of {found['corpus']['talkers']} talkers",
        "extract": f"{found['extract']['clips']} clips, {found['extract']['minutes']:.3g} minutes of faces with sound",
        "pairs": " + ".join(str(pairs[split]["clips"]) for split in ("train", "val", "test"))
        + " clips to train, validate and test; no talker in two of them",
        "train": _trained(found["train"]),
        "filter": kept,
        "retrain": _trained(found["retrain"]),
        "evaluate": f"{best['clips']} clean clips that no training saw: {best['accuracy_by_frames']['15']:.0%} at K=15",
    }


def _trained(figures: Mapping[str, Any]) -> str:
    return (
        f"{figures['epochs']} epochs over {figures['positives']:,} positives, validation AUC {figures['val_auc']:.3f}"
    )


def films(data: Path, root: Path) -> list[Film]:
    """Clips of each verdict of the filter, the clearest first, as they went into the training.

    Args:
        data: the working folder.
        root: the project.
    """
    videos, base = sources.load(data / "raw", root)
    silent = set(videos.video_id[videos.sound != ""]) if "sound" in videos else set()
    judged = pd.read_parquet(data / "filter" / "clips.parquet")
    manifest = pd.read_parquet(data / "clips" / "clips.parquet").set_index("clip_id")
    judged = judged.assign(size=judged.moved.abs(), video_id=manifest.video_id[judged.clip_id].to_numpy())
    truth = known_noise.of(data).set_index("video_id")
    found = []
    for verdict, order in ((KEPT, "confidence"), (OFF_SYNC, "size"), (DUBBED, "distance")):
        for row in judged[judged.verdict == verdict].nlargest(EACH, order).itertuples():
            made = _made(truth.loc[row.video_id]) if row.video_id in truth.index else ""
            clip = manifest.loc[row.clip_id]
            if film := _film(data, clip, None if row.video_id in silent else base / clip.path):
                found.append(Film(*film, f"{_said(verdict, row.moved)}: {row.clip_id}", f"{row.reason}{made}"))
    return found


def _said(verdict: str, moved: float) -> str:
    if verdict == OFF_SYNC:
        return f"sound moved by {moved * FRAME_MS:+.0f} ms" if moved else "off-sync, left out"
    return "kept" if verdict == KEPT else "left out"


def _made(truth: pd.Series) -> str:
    """What is known of a synthetic video and was kept from the stages."""
    if truth.kind == "shifted":
        return f". Made with its sound {abs(truth.offset):.0f} frames {'early' if truth.offset > 0 else 'late'}."
    return {"dubbed": ". Made with another talker's sound.", "clean": ". Made in sync."}[truth.kind]


def _film(data: Path, clip: pd.Series, source: Path | None) -> tuple[bytes, bytes] | None:
    """The video of a clip, which has its sound, and a picture of it; the clip's crops where that is long or not known,
    and None where they are long, too."""
    middle = clip.frames // 2
    if source and source.suffix == ".mp4" and source.is_file() and source.stat().st_size <= MOST_BYTES:
        return source.read_bytes(), b"".join(stills.of_video(source, clip.start_frame + middle, 1))
    folder = data / "clips" / str(clip.name)
    if clip.frames > MOST_FRAMES:
        return None
    return playable.video(folder), stills.jpeg(np.array(clips.load(folder).mouth[middle]))


def about(root: Path) -> dict[str, str]:
    """What the experiment was run with: code, parameters, packages, machine.

    Args:
        root: the project.
    """
    origin = provenance.tags("report", root)
    parameters = config.load_yaml(root / "params.yaml")
    changed = ", changed since" if origin.get("git.dirty") == "true" else ""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return {
        "code": f"commit {origin['git.commit'][:9]}{changed}" if "git.commit" in origin else "no git repository",
        "parameters": f"profile {parameters['profile']}, seed {parameters['common']['seed']} (params.yaml)",
        "packages": f"Python {platform.python_version()}, {versions} (requirements.lock)",
        "machine": f"{parallel.processor()}, {parallel.cores()} cores, {platform.system()}",
    }
