"""What a benchmark ran on: its figures mean nothing without. `python -m benchmarks.machine` prints it."""

import json
import os
from pathlib import Path
from typing import Any

import torch

from syncnet_lib import parallel

ABILITIES = {
    "AVX2": ("avx2",),
    "AVX-512": ("avx512_f",),
    "VNNI": ("avx512_vnni", "avx_vnni"),
    "bf16": ("avx512_bf16", "amx_bf16"),
    "AMX": ("amx_tile",),
}
"""What decides how fast a network is on a CPU, and the names that torch has for it."""


def describe() -> dict[str, Any]:
    """The processor, its cores that may be used, which of ABILITIES it has, GPUs, memory, and what else it is doing."""
    able = torch.cpu.get_capabilities()
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {
        "cpu": parallel.processor(),
        "cores": parallel.cores(),
        "abilities": {name: any(able.get(flag, False) for flag in flags) for name, flags in ABILITIES.items()},
        **({"gpus": gpus} if gpus else {}),
        "memory_gib": _memory_gib(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def peak_mib() -> int:
    """Most memory that this process had at once (Linux). That of getrusage begins with its parent's."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) >> 10


def _memory_gib() -> float | None:
    """Of the machine, or None where that is not known."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return None
    return round(int(meminfo.read_text().split()[1]) / 2**20, 1)


if __name__ == "__main__":
    print(json.dumps(describe(), indent=2))
