"""`small` in numpy against the same network in torch."""

import numpy as np
import pytest
import torch

from syncnet_lib.errors import InputError
from syncnet_lib.model import checkpoint
from syncnet_lib.model.embed import Embedder
from syncnet_lib.model.light import Small, SmallEmbedder
from syncnet_lib.model.named import SHIPPED
from syncnet_lib.model.networks import SyncNet


@pytest.fixture(scope="module", params=["shipped", "random"])
def path(request, tmp_path_factory):
    """The shipped checkpoint, and one whose BatchNorm and calibration are all random."""
    if request.param == "shipped":
        return SHIPPED / "small.safetensors"
    torch.manual_seed(0)
    model = SyncNet("small")
    for value in model.state_dict().values():
        if value.is_floating_point() and value.dim() < 2:
            torch.nn.init.uniform_(value, 0.5, 1.5)
    random = tmp_path_factory.mktemp("light") / "random.safetensors"
    checkpoint.save(model, random)
    return random


def test_embeddings_are_torchs(path):
    rng = np.random.default_rng(0)
    crops, mfcc = rng.integers(0, 256, (27, 120, 120), dtype=np.uint8), rng.normal(size=(108, 13)).astype(np.float32)
    crops[9:15] = 80  # windows without any contrast
    theirs, ours = Embedder(checkpoint.load(path), precision="fp32"), SmallEmbedder(Small(path))
    expected = theirs.video(crops)
    whole = ours.video(crops)
    flat = np.arange(9, 11)  # of these all that is left is rounding, of pixels less their mean
    np.testing.assert_allclose(np.delete(whole, flat, 0), np.delete(expected, flat, 0), atol=1e-5)
    np.testing.assert_allclose(whole[flat], expected[flat], atol=1e-3)
    ours.reset()
    pieces = [ours.video(crops[at : at + 3]) for at in range(0, 27, 3)]
    assert [len(piece) for piece in pieces[:3]] == [0, 2, 3]
    np.testing.assert_allclose(np.delete(np.concatenate(pieces), flat, 0), np.delete(whole, flat, 0), atol=1e-5)
    np.testing.assert_allclose(ours.audio(mfcc), theirs.audio(mfcc), atol=1e-5)
    assert ours.audio(mfcc[:19]).shape == (0, 128)
    assert len(ours.audio(mfcc[:20])) == 1


def test_what_it_cannot_do():
    model = Small(SHIPPED / "small.safetensors")
    with pytest.raises(InputError, match="use auto or fp32"):
        SmallEmbedder(model, "bf16")
    with pytest.raises(InputError, match="give it mouth crops"):
        SmallEmbedder(model).video(np.zeros((5, 120, 120, 3), np.uint8))


def test_a_checkpoint_that_lacks_weights(tmp_path):
    model = SyncNet("small")
    del model.audio[5]
    checkpoint.save(model, tmp_path / "half.safetensors")
    with pytest.raises(InputError, match="not a SyncNet checkpoint"):
        Small(tmp_path / "half.safetensors")
