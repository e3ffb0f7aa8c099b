"""Where to compute, and the precision in which that is fastest."""

import functools
import sys
from typing import Literal

import torch

from syncnet_lib.errors import InputError
from syncnet_lib.model.spec import Precision, Spec


def pick_device(name: str) -> torch.device:
    """The device of a settings value.

    Args:
        name: "cpu", "cuda", or "auto", which takes a GPU where there is one that can multiply.

    Raises:
        InputError: a GPU is asked for and there is none, or this build of torch has no code for it.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise InputError("common.device", "no GPU is visible", "use auto or cpu")
    if not _multiplies():
        if name == "auto":
            _note("the network runs on the processor: this build of torch has no code for this GPU")
            return torch.device("cpu")
        raise InputError("common.device", "this build of torch has no code for this GPU", "use auto or cpu")
    return torch.device("cuda")


@functools.cache
def _multiplies() -> bool:
    """Whether the GPU computes: one that is older than the build of torch is visible, and fails at its first kernel."""
    try:
        ones = torch.ones(2, 2, device="cuda")
        return bool((ones @ ones).sum().item() == 8)
    except (RuntimeError, AssertionError):
        return False


def native_precision(device: torch.device) -> Literal["fp32", "bf16"]:
    """The floating-point precision in which a device multiplies fastest: bf16 where it has instructions for it.

    Args:
        device: where.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = torch.cpu.get_capabilities()
        native = bool(able.get("avx512_bf16") or able.get("amx_tile"))
    return "bf16" if native else "fp32"


def fastest_precision(spec: Spec, device: torch.device) -> Precision:
    """The precision in which a device embeds fastest; a fall-back from 8 bits is told in a line.

    Args:
        spec: of the model; only v2 is computed in 8 bits: it is heavy, and its input is bytes.
        device: where.
    """
    precision = native_precision(device)
    if device.type == "cpu" and spec.name == "v2":
        if largest_weight():
            return "int8"
        _note(f"v2 is computed in {precision}: this processor or build of torch has no kernels for its 8 bits")
    return precision


@functools.cache  # once a process, not once a face track
def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


def largest_weight() -> int:
    """Largest weight, in steps, with which this processor multiplies bytes and adds the products without overflow; 0
    where oneDNN has no fast kernels of bytes for it.

    With instructions for it (VNNI) sums have 32 bits. AVX2 alone adds two products in 16 bits and cuts off what does
    not fit: 2 * 255 * 64 does.
    """
    able = torch.cpu.get_capabilities()
    if not torch.backends.mkldnn.is_available():
        return 0
    if able.get("avx512_vnni") or able.get("avx_vnni"):
        return 127
    return 64 if able.get("avx2") else 0
