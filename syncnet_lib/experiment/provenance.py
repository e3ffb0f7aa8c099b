"""What a result is made from: the commit, the experiment, and the hashes of its data."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML

DATA = "data."
"""Before the path of an input in the name of the tag that holds its hash."""

SOURCES = ("syncnet_lib", "notebooks", "params.yaml", "dvc.yaml", "requirements.lock")
"""What decides a result; a change here that git does not know makes a run `dirty`. Results themselves do not."""


def tags(stage: str, root: Path) -> dict[str, str]:
    """Tags that tell what a run is made from: commit, experiment, and the hashes of its data.

    Args:
        stage: that runs.
        root: the project.
    """
    found = {}
    if commit := _git(root, "rev-parse", "HEAD"):
        found["git.commit"] = found["mlflow.source.git.commit"] = commit
        found["git.dirty"] = str(bool(_git(root, "status", "--porcelain", "--", *SOURCES))).lower()
    if experiment := os.environ.get("DVC_EXP_NAME"):
        found["dvc.exp"] = experiment
    for path, md5 in _data(stage, root).items():
        found[f"{DATA}{path}"] = md5
    return found


def inputs(told: Mapping[str, str]) -> dict[str, str]:
    """The data that a run was made from.

    Args:
        told: its tags.

    Returns:
        DVC's md5 by path.
    """
    return {name.removeprefix(DATA): md5 for name, md5 in told.items() if name.startswith(DATA)}


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _data(stage: str, root: Path) -> dict[str, str]:
    """DVC's md5 of the data that a stage reads: what the stages before it last wrote, as dvc.lock has it."""
    pipeline, lock = root / "dvc.yaml", root / "dvc.lock"
    if not pipeline.exists() or not lock.exists():
        return {}
    reader = YAML(typ="safe")
    read = reader.load(pipeline.read_text(encoding="utf-8"))["stages"].get(stage, {}).get("deps", [])
    made = {
        out["path"]: out["md5"]
        for each in reader.load(lock.read_text(encoding="utf-8")).get("stages", {}).values()
        for out in each.get("outs", [])
        if "md5" in out
    }
    return {path: made[path] for path in read if path in made}
