"""Models: shapes, what they are fed, and checkpoints that carry their settings."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from syncnet_lib.errors import InputError
from syncnet_lib.media.features import MFCC_SIZE, WINDOW_MFCC
from syncnet_lib.model import checkpoint, size
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.model.spec import SPECS


@pytest.mark.parametrize(
    ("name", "window", "embedding"),
    [("small", (5, 48, 48), 128), ("paper", (5, 111, 111), 256), ("v2", (5, 224, 224, 3), 1024)],
)
def test_shapes(name, window, embedding):
    net = SyncNet(name).eval()
    assert net.spec.window == window
    video, audio = net(torch.randint(0, 256, (2, *window), dtype=torch.uint8), torch.randn(2, 20, 13))
    assert video.shape == audio[:, 0].shape == (2, embedding) == (2, SPECS[name].embedding)
    length = video.norm(dim=1)
    assert torch.allclose(length, torch.ones(2), atol=1e-5) == SPECS[name].normalise


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "paper", "v2"])
def test_a_run_of_sound_is_its_windows_one_by_one(name):
    net = SyncNet(name).eval()
    steps = torch.randn(2, 20 + 4 * 6, 13)
    run = net.embed_audio(steps)
    assert run.shape[:2] == (2, 7)
    for window in range(7):
        alone = net.embed_audio(steps[:, 4 * window : 4 * window + 20])
        torch.testing.assert_close(run[:, window], alone[:, 0], rtol=1e-4, atol=1e-5)


def test_lighting_does_not_matter_to_the_lips():
    net = SyncNet("small").eval()
    pixels = torch.randint(50, 150, (3, 5, 48, 48)).float()
    one, other = net.embed_video(pixels), net.embed_video(pixels * 1.5 + 20)
    assert torch.allclose(one, other, atol=0.02)


def test_checkpoint_round_trip(tmp_path):
    torch.manual_seed(1)
    net = SyncNet("small").eval()
    net.calibrate(np.random.default_rng(0).normal(3, 2, (500, 13)).astype(np.float32))
    path = tmp_path / "a folder" / "small.safetensors"
    checkpoint.save(net, path, stage="train")
    back = checkpoint.load(path)
    video, audio = torch.rand(2, 5, 48, 48) * 255, torch.randn(2, 20, 13)
    for ours, theirs in zip(net(video, audio), back(video, audio), strict=True):
        assert torch.equal(ours, theirs)
    assert not back.training


def test_the_same_weights_give_the_same_bytes(tmp_path):
    torch.manual_seed(1)
    net = SyncNet("small")
    checkpoint.save(net, tmp_path / "1", stage="train")
    checkpoint.save(net, tmp_path / "2", stage="train")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x04}q\x00."])
def test_another_file_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        checkpoint.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_checkpoint_names_the_cure(tmp_path):
    with pytest.raises(InputError, match="dvc repro"):
        checkpoint.load(tmp_path / "none")


def test_sizes_are_those_of_the_literature():
    sizes = {name: size.size_of(name) for name in SPECS}
    assert sizes["v2"].parameters - 1 == 13_631_616, "but for the temperature, which the released model does not have"
    assert 3.0 < sizes["v2"].gflop < 3.7
    assert sizes["small"].gflop < 0.1 < sizes["paper"].gflop
    assert sizes["small"].parameters == sum(parameter.numel() for parameter in SyncNet("small").parameters())
    assert sizes["paper"].inputs == 5 * 111 * 111 + 20 * 13 * 4


def test_sizes_are_counted_as_torch_counts_them():
    for name in SPECS:
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            spec = SPECS[name]
            SyncNet(name).eval()(torch.zeros(1, *spec.window), torch.zeros(1, WINDOW_MFCC, MFCC_SIZE))
        assert size.size_of(name).gflop == counter.get_total_flops() / 1e9
