"""Checkpoints by name or by file, loaded once a process.

Nothing of torch is imported before a model is loaded that needs it: `small` on a CPU does not.
"""

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from syncnet_lib import files, verbosity
from syncnet_lib.measurement.result import ModelInfo
from syncnet_lib.model import named

if TYPE_CHECKING:
    from syncnet_lib.measurement.stream import Crop
    from syncnet_lib.model.light import Small
    from syncnet_lib.model.networks import SyncNet

GPU_FILES = "nvidia*", "nvmap", "kfd", "dxg"
"""Under /dev, where Linux has a GPU that torch may compute on: NVIDIA's, also on a Jetson, AMD's, and Windows' own."""


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


def load(name: str, device: str) -> "tuple[SyncNet | Small, ModelInfo]":
    """A model ready to measure with, and what a result says about it.

    Args:
        name: as for `find`.
        device: auto, cpu or cuda.

    Raises:
        InputError: no such checkpoint or device, or a file of another kind.
    """
    path = find(name).resolve()
    status = path.stat()
    return _load(name, path, _place(device), (status.st_mtime_ns, status.st_size))


def _place(device: str) -> str:
    """Where to compute; torch is asked only where it may find a GPU."""
    surely_none = sys.platform == "darwin" or (
        sys.platform == "linux" and not any(next(Path("/dev").glob(each), None) for each in GPU_FILES)
    )
    if device == "cpu" or (device == "auto" and surely_none):
        return "cpu"
    from syncnet_lib.model.device import pick_device

    return str(pick_device(device))


@functools.cache
def _load(name: str, path: Path, device: str, _version: tuple[int, int]) -> "tuple[SyncNet | Small, ModelInfo]":
    from syncnet_lib.model import header

    threshold = header.read(path).threshold
    info = ModelInfo(
        name=header.read(path).spec.name,
        checkpoint=name,
        sha256=files.sha256(path),
        threshold=threshold.confidence if threshold else None,
        threshold_windows=threshold.windows if threshold else None,
    )
    if info.name == "small" and device == "cpu":
        from syncnet_lib.model.light import Small

        verbosity.say(f"checkpoint {name} ({info.name}, {path}): numpy on the CPU")
        return Small(path), info
    import torch

    from syncnet_lib.model import checkpoint

    threads = f", {torch.get_num_threads()} threads" if device == "cpu" else ""
    verbosity.say(f"checkpoint {name} ({info.name}, {path}): torch {torch.__version__} on {device}{threads}")
    return checkpoint.load(path, device), info
