"""Checkpoints by name or by file, loaded once a process.

Nothing of torch is imported before a model is loaded.
"""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from syncnet_lib import files
from syncnet_lib.errors import InputError
from syncnet_lib.measurement.result import ModelInfo

if TYPE_CHECKING:
    from syncnet_lib.measurement.stream import Crop
    from syncnet_lib.model.networks import SyncNet

SHIPPED = Path(__file__).parents[1] / "weights"
"""Checkpoints that come with the package, by the names of their files."""
TRAINED = ("base", "refined")
"""Checkpoints of the pipeline, where it has been run in this checkout."""


def find(name: str) -> Path:
    """The file of a checkpoint.

    Args:
        name: of a shipped one or of one that the pipeline trained, or a file.

    Raises:
        InputError: neither.
    """
    named = _named()
    if name in named:
        return named[name]
    if Path(name).is_file():
        return Path(name)
    cause = "is a folder" if Path(name).is_dir() else "no such checkpoint"
    raise InputError(name, cause, f"use {', '.join(named)} or a file" if named else "give a file")


def crop(name: str) -> "Crop":
    """Which crops the model in a checkpoint is fed, by the file's header alone.

    Args:
        name: as for `find`.

    Raises:
        InputError: no such checkpoint, or a file of another kind.
    """
    from syncnet_lib.model import header

    return header.read(find(name)).spec.crop


def load(name: str, device: str) -> "tuple[SyncNet, ModelInfo]":
    """A model ready to measure with, and what a result says about it.

    Args:
        name: as for `find`.
        device: auto, cpu or cuda.

    Raises:
        InputError: no such checkpoint or device, or a file of another kind.
    """
    from syncnet_lib.model.device import pick_device

    path = find(name).resolve()
    status = path.stat()
    return _load(name, path, str(pick_device(device)), (status.st_mtime_ns, status.st_size))


@functools.cache
def _load(name: str, path: Path, device: str, _version: tuple[int, int]) -> "tuple[SyncNet, ModelInfo]":
    from syncnet_lib.model import checkpoint, header

    threshold = header.read(path).threshold
    info = ModelInfo(
        name=header.read(path).spec.name,
        checkpoint=name,
        sha256=files.sha256(path),
        threshold=threshold.confidence if threshold else None,
        threshold_windows=threshold.windows if threshold else None,
    )
    return checkpoint.load(path, device), info


def _named() -> dict[str, Path]:
    """Names and files of the checkpoints that there are."""
    from syncnet_lib.paths import ROOT

    models = ROOT / "data" / "models"
    known = {path.stem: path for path in sorted(SHIPPED.glob("*.safetensors"))}
    known |= {name: models / name / "model.safetensors" for name in TRAINED}
    return {name: path for name, path in known.items() if path.is_file()}
