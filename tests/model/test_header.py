"""What a checkpoint file says about itself."""

import json
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import save_file

from syncnet_lib.errors import InputError
from syncnet_lib.model import checkpoint, header
from syncnet_lib.model.header import Threshold
from syncnet_lib.model.named import SHIPPED
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.model.spec import SPECS

MEASURED = Threshold(0.31, "validation split", 15, 70, 0.99, 380, 0.9)


def test_a_threshold_travels_in_the_header(tmp_path):
    path = tmp_path / "small.safetensors"
    checkpoint.save(SyncNet("small"), path, MEASURED, stage="train")
    assert header.read(path) == header.Header(SPECS["small"], {"stage": "train"}, MEASURED)


def test_what_a_network_is_fed_travels_in_the_header(tmp_path):
    before = replace(SPECS["small"], stored=60, size=56)  # as the shipped one
    checkpoint.save(SyncNet(before), tmp_path / "before")
    assert checkpoint.load(tmp_path / "before").spec == before == header.read(SHIPPED / "small.safetensors").spec
    unknown = {"syncnet": json.dumps({"spec": {**asdict(before), "name": "large"}, "about": {}})}
    save_file({"weight": torch.zeros(1)}, tmp_path / "unknown", unknown)
    with pytest.raises(InputError, match=r"not a SyncNet checkpoint \('large'\)"):
        header.read(tmp_path / "unknown")


def test_conversion_keeps_the_threshold(tmp_path):
    checkpoint.save(SyncNet("small"), tmp_path / "one", MEASURED)
    checkpoint.convert(tmp_path / "one", tmp_path / "other")
    assert header.read(tmp_path / "other").threshold == MEASURED


def test_a_checkpoint_without_a_threshold_borrows_none(tmp_path):
    checkpoint.save(SyncNet("small"), tmp_path / "new")
    assert header.read(tmp_path / "new").threshold is None
    older = {"syncnet": json.dumps({"spec": asdict(SPECS["small"]), "about": {}})}  # from before there were thresholds
    save_file({"weight": torch.zeros(1)}, tmp_path / "old", older)
    assert header.read(tmp_path / "old").threshold is None


def test_the_shipped_checkpoint_says_how_its_threshold_was_measured():
    threshold = header.read(SHIPPED / "small.safetensors").threshold
    assert threshold is not None
    assert (threshold.confidence, threshold.quantile, threshold.swapped) == (0.089977, 0.99, 2000)


def test_a_released_file_has_the_published_threshold(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "syncnet_v2.model")
    found = header.read(tmp_path / "syncnet_v2.model")
    assert found.spec is SPECS["v2"]
    assert found.threshold is not None
    assert found.threshold.confidence == 3.0


def test_reading_a_header_loads_no_torch():
    code = (
        "import sys; from pathlib import Path; from syncnet_lib.model import header; "
        f"header.read(Path({str(SHIPPED / 'small.safetensors')!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
