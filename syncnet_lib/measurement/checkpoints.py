"""Checkpoints by name or by file, loaded once a process.

Nothing of torch is imported before a model is loaded.
"""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from syncnet_lib import files
from syncnet_lib.measurement.result import ModelInfo
from syncnet_lib.model import named

if TYPE_CHECKING:
    from syncnet_lib.measurement.stream import Crop
    from syncnet_lib.model.networks import SyncNet


def find(name: str) -> Path:
    """The file of a checkpoint, by its name or path; see `model.named.find`."""
    from syncnet_lib.paths import ROOT

    return named.find(name, ROOT / "data" / "models")


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
