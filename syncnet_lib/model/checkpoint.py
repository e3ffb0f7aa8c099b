"""Checkpoints: safetensors files that say what they are; the released model is read, and nothing in it executed."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from syncnet_lib import files
from syncnet_lib.errors import InputError
from syncnet_lib.model import header
from syncnet_lib.model.header import Header, Threshold
from syncnet_lib.model.networks import SyncNet

RELEASED = {
    "netcnnlip": "video.layers",
    "netfclip": "video.head",
    "netcnnaud": "audio.network.layers",
    "netfcaud": "audio.network.head",
}
"""Parts of the released file, and where they are in `SyncNet("v2")`."""


def save(model: SyncNet, path: Path, threshold: Threshold | None = None, **about: Any) -> None:
    """Write a safetensors checkpoint whose header says what the model is.

    Args:
        model: the model.
        path: the file.
        threshold: the confidence from which its verdicts are sure; None where that is not known.
        about: anything that JSON can say about how it was trained.
    """
    metadata = Header(model.spec, about, threshold).metadata()
    with files.atomic(path) as temporary:
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, temporary, metadata)


def load(path: Path, device: str = "cpu") -> SyncNet:
    """Read a checkpoint of `save`, or the released `syncnet_v2.model`, ready for inference.

    Nothing in the file is executed: of a pickled file only tensors are taken.

    Args:
        path: the file.
        device: where to put the model.

    Raises:
        InputError: missing, of another kind, truncated, or holding anything but tensors.
    """
    model = SyncNet(header.read(path).spec)
    if header.is_pickled(path):
        _take_released(model, path)
        return model.to(device).eval()
    try:
        with safe_open(path, "pt", device) as tensors:
            model.load_state_dict({name: tensors.get_tensor(name) for name in tensors.keys()})  # noqa: SIM118
    except (SafetensorError, RuntimeError) as error:
        raise InputError(path, f"not a SyncNet checkpoint ({error})", "give a file that training wrote") from None
    return model.to(device).eval()


def _take_released(model: SyncNet, path: Path) -> None:
    """Put the weights of a released file (a pickled state dict) into a v2 model.

    Raises:
        InputError: anything but the tensors of that model.
    """
    cure = "give syncnet_v2.model as released, or a file that training wrote"
    try:
        state = torch.load(path, "cpu", weights_only=True)
    except Exception:  # a damaged file ends in any of the errors of pickle, zip and torch, whose texts take a page
        cause = "truncated, or holds other things than tensors, which are not read because they could run code"
        raise InputError(path, cause, cure) from None
    own = model.state_dict()
    taken = {}
    for name, value in state.items() if isinstance(state, dict) else ():
        part, _, rest = str(name).partition(".")
        target = f"{RELEASED.get(part)}.{rest}"
        if target not in own or not isinstance(value, Tensor):
            raise InputError(path, f"not the released model: it holds {name}", cure)
        if name == "netcnnlip.0.weight" and value.dim() == 5:
            value = value.flip(1)  # crops are stored as RGB, the released model was trained on BGR
        if value.dim() == 5:
            value = value.transpose(1, 2).flatten(1, 2)  # time and colour become planes
        if value.shape != own[target].shape:
            raise InputError(path, f"not the released model: {name} has another shape", cure)
        taken[target] = value
    # What the released file need not have: our own buffers, and counters that inference does not read.
    optional = ("mfcc_mean", "mfcc_std", "log_scale", "num_batches_tracked")
    missing = [name for name in own if name not in taken and not name.endswith(optional)]
    if missing:
        raise InputError(path, f"not the released model: {len(missing)} of its tensors are missing", cure)
    model.load_state_dict(taken, strict=False)


def convert(path: Path, out: Path) -> None:
    """Write a checkpoint, the released one for instance, as safetensors with what the model is in its header.

    Args:
        path: any file that `load` reads.
        out: the safetensors file.

    Raises:
        InputError: as for `load`.
    """
    save(load(path), out, header.read(path).threshold, converted_from=path.name, sha256=files.sha256(path))
