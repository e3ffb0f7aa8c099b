"""Sliding windows against windows cut one by one."""

import numpy as np
import pytest
import torch

from syncnet_lib.errors import InputError
from syncnet_lib.model import embed
from syncnet_lib.model.embed import Embedder
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.model.prepare import prepare_frames, prepare_mfcc
from syncnet_lib.model.windows import centre
from syncnet_lib.training import validation
from tests import packed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "paper"])
def test_windows_are_those_of_the_seed(name):
    torch.manual_seed(0)
    model, split = SyncNet(name).eval(), packed.split([14])
    v, a = embed.embed_clip(model, split.frames, split.mfcc[0])
    assert v.shape == a.shape == (9, model.spec.embedding)
    frames = torch.from_numpy(prepare_frames(split.frames, model.spec))
    steps = torch.from_numpy(prepare_mfcc(split.mfcc[0], model.spec, np.array([14])))
    with torch.inference_mode():
        for f in (0, 4, 8):
            video, audio = model(centre(frames[None, f : f + 5], model.spec.size), steps[None, 4 * f : 4 * f + 20])
            np.testing.assert_allclose(v[f], video[0], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(a[f], audio[0, 0], rtol=1e-4, atol=1e-5)


def test_the_batch_does_not_matter(monkeypatch):
    torch.manual_seed(0)
    model, split = SyncNet("small").eval(), packed.split([30])
    whole = embed.embed_clip(model, split.frames, split.mfcc[0])
    monkeypatch.setitem(embed.BATCH, "small", 7)
    monkeypatch.setattr(embed, "AUDIO_BATCH", 7)
    for once, parts in zip(whole, embed.embed_clip(model, split.frames, split.mfcc[0]), strict=True):
        np.testing.assert_allclose(once, parts, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["small", "v2"])
def test_a_track_piece_by_piece(name):
    torch.manual_seed(0)
    model = SyncNet(name).eval()
    shape = (120, 120) if name == "small" else (224, 224, 3)
    crops = np.random.default_rng(0).integers(0, 256, (14, *shape), dtype=np.uint8)
    embedder = Embedder(model, precision="fp32")
    whole = embedder.video(crops)
    embedder.reset()
    pieces = [embedder.video(crops[at : at + 3]) for at in range(0, 14, 3)]
    assert [len(piece) for piece in pieces] == [0, 2, 3, 3, 2]
    np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=1e-3, atol=1e-5)
    mfcc = np.random.default_rng(0).normal(size=(56, 13)).astype(np.float32)
    assert embedder.audio(mfcc).shape == whole.shape == (10, model.spec.embedding)
    assert embedder.audio(mfcc[:16]).shape == (0, model.spec.embedding)


def test_the_other_kind_of_crop_is_refused():
    with pytest.raises(InputError, match="give it face crops"):
        Embedder(SyncNet("v2").eval()).video(np.zeros((5, 120, 120), np.uint8))
    with pytest.raises(InputError, match="give it mouth crops"):
        Embedder(SyncNet("small").eval()).video(np.zeros((5, 224, 224, 3), np.uint8))


def test_a_split_clip_by_clip():
    torch.manual_seed(0)
    model, split = SyncNet("small").eval(), packed.split([20, 25])
    distances = validation.split_distances(model, split, vshift=3, progress=False)
    assert {name: table.shape for name, table in distances.items()} == {"clip000": (15, 7), "clip001": (20, 7)}
