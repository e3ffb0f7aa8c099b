"""Devices and the precisions that they compute in natively."""

import pytest
import torch

from syncnet_lib.errors import InputError
from syncnet_lib.model import device
from syncnet_lib.model.device import fastest_precision, pick_device
from syncnet_lib.model.spec import SPECS


def test_no_gpu_is_one_line():
    assert pick_device("cpu").type == "cpu"
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert pick_device("auto").type == "cpu"
    with pytest.raises(InputError, match="no GPU"):
        pick_device("cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_is_believed_after_one_multiplication(monkeypatch, capsys):
    """A GPU that is visible and cannot compute, as one that is older than the build of torch."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    device._note.cache_clear()
    assert pick_device("auto").type == pick_device("auto").type == "cpu"
    assert capsys.readouterr().err == (
        "note: the network runs on the processor: this build of torch has no code for this GPU\n"
    )
    with pytest.raises(InputError, match="has no code for this GPU"):
        pick_device("cuda")


def test_the_precision_is_one_the_device_has():
    able = torch.cpu.get_capabilities()
    assert fastest_precision(SPECS["v2"], torch.device("cpu")) in ("int8", "bf16", "fp32")
    small = fastest_precision(SPECS["small"], torch.device("cpu"))
    assert small == ("bf16" if able.get("avx512_bf16") else "fp32")
