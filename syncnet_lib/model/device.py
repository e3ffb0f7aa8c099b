"""Where to compute, and the precision in which that is fastest."""

from typing import Literal

import torch

from syncnet_lib.errors import InputError


def pick_device(name: str) -> torch.device:
    """The device of a settings value: "auto" takes a GPU where there is one.

    Raises:
        InputError: a GPU is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("common.device", "no GPU is visible", "use auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def native_precision(device: torch.device) -> Literal["fp32", "bf16"]:
    """The precision in which a device multiplies fastest: bf16 where it has instructions for it."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = torch.cpu.get_capabilities()
        native = bool(able.get("avx512_bf16") or able.get("amx_tile"))
    return "bf16" if native else "fp32"
