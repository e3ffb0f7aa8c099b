"""Faster ways of computing against the plain one: the same offset, the rest within the tolerance that is stated."""

import numpy as np
import pytest
import torch

from benchmarks.reference import random_reference
from syncnet_lib.errors import InputError
from syncnet_lib.model import checkpoint, device, scoring
from syncnet_lib.model.embed import Embedder
from syncnet_lib.model.int8 import Int8Layer, Int8Stream
from syncnet_lib.model.networks import SyncNet
from tests.model.test_parity import clip, relative

TOLERANCE = {"bf16": 0.02, "int8": 0.05}
"""Distance of an embedding to that of fp32, over its length."""
FRAMES = 36
"""As few as search ten frames to each side, three ahead: without instructions for it bf16 takes a third of a second a
window."""
ON_BYTES = pytest.mark.skipif(not device.largest_weight(), reason="there are no kernels of bytes for this processor")
PRECISIONS = ["bf16", pytest.param("int8", marks=ON_BYTES)]


@pytest.fixture(scope="module")
def v2(tmp_path_factory) -> SyncNet:
    path = tmp_path_factory.mktemp("v2") / "syncnet_v2.model"
    torch.save(random_reference().state_dict(), path)
    return checkpoint.load(path)


@pytest.fixture(scope="module")
def exact(v2) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of the video and the audio of a clip in fp32."""
    faces, mfcc = clip(FRAMES)
    embedder = Embedder(v2, precision="fp32")
    return embedder.video(faces), embedder.audio(mfcc)


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_released_model_within_its_tolerance(v2, exact, precision):
    faces, mfcc = clip(FRAMES)
    fast = Embedder(v2, precision=precision)
    v, a = exact
    ours_v, ours_a = fast.video(faces), fast.audio(mfcc)
    assert ours_v.shape == ours_a.shape == v.shape
    assert relative(ours_v, v) < TOLERANCE[precision]
    assert relative(ours_a, a) < TOLERANCE[precision]
    theirs = scoring.mean_distances(scoring.shift_distances(v, a, 10))
    ours = scoring.mean_distances(scoring.shift_distances(ours_v, ours_a, 10))
    np.testing.assert_allclose(ours, theirs, rtol=0.005)
    # What random weights say of video and audio means nothing: let the audio's embeddings be the video's, three ahead,
    # as far from them as half of what two windows are apart.
    heard = v[3:] + np.random.default_rng(0).normal(0, 1, v[3:].shape).astype(np.float32) * 15 / v.shape[1] ** 0.5
    expected, found = (scoring.mean_distances(scoring.shift_distances(x[:-3], heard, 10)) for x in (v, ours_v))
    assert scoring.offset(found) == scoring.offset(expected) == 3
    assert scoring.confidence(found) == pytest.approx(scoring.confidence(expected), rel=0.01)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_pieces_give_what_the_whole_gives(v2, precision):
    faces, _ = clip(9)
    embedder = Embedder(v2, precision=precision)
    whole = embedder.video(faces)
    embedder.reset()
    pieces = np.concatenate([embedder.video(faces[:3]), embedder.video(faces[3:7]), embedder.video(faces[7:])])
    # In bytes the ranges may have been widened at another window.
    assert relative(pieces, whole) < (TOLERANCE["int8"] if precision == "int8" else 1e-3)


@pytest.mark.slow
@ON_BYTES
def test_ranges_widen_when_a_dark_beginning_gets_light(v2):
    faces, _ = clip(24)
    faces[:8] //= 16
    exact, fast = Embedder(v2, precision="fp32"), Embedder(v2, precision="int8")
    assert relative(fast.video(faces)[8:], exact.video(faces)[8:]) < TOLERANCE["int8"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "paper"])
def test_own_models_in_bf16(name):
    torch.manual_seed(0)
    model = SyncNet(name).eval()
    rng = np.random.default_rng(0)
    crops, mfcc = rng.integers(0, 256, (6, 120, 120), dtype=np.uint8), rng.normal(size=(24, 13)).astype(np.float32)
    exact, fast = Embedder(model, precision="fp32"), Embedder(model, precision="bf16")
    assert relative(fast.video(crops), exact.video(crops)) < TOLERANCE["bf16"]
    assert relative(fast.audio(mfcc), exact.audio(mfcc)) < TOLERANCE["bf16"]


def test_the_model_is_not_changed():
    model = SyncNet("v2").eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for precision in ("bf16", "int8"):
        Embedder(model, precision=precision)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_bytes_are_for_the_released_model():
    with pytest.raises(InputError, match="only for v2"):
        Embedder(SyncNet("small"), precision="int8")


def test_a_processor_without_kernels_of_bytes(monkeypatch, capsys):
    """Asked for, it is an error that names the cure; by itself another precision is taken, and one line says so."""
    v2 = SyncNet("v2").eval()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": False})
    device._note.cache_clear()
    assert Embedder(v2).precision == Embedder(v2).precision == "fp32"
    said = "note: v2 is computed in fp32: this processor or build of torch has no kernels for its 8 bits\n"
    assert capsys.readouterr().err == said
    with pytest.raises(InputError, match="no kernels for it; use auto"):
        Embedder(v2, precision="int8")


def test_which_processors_multiply_bytes(monkeypatch):
    for able, largest in ({"avx512_vnni": True}, 127), ({"avx2": True, "avx_vnni": True}, 127), ({"avx2": True}, 64):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        assert device.largest_weight() == largest
        assert device.fastest_precision(SyncNet("v2").spec, torch.device("cpu")) == "int8"
        assert device.fastest_precision(SyncNet("small").spec, torch.device("cpu")) == "fp32"
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert device.largest_weight() == 0


@ON_BYTES
def test_the_largest_sums_do_not_overflow():
    """White pixels and the largest weights: AVX2 adds two products in 16 bits, and cuts off what does not fit."""
    convolution = torch.nn.Conv2d(32, 8, 3)
    torch.nn.init.constant_(convolution.weight, 1.0)
    torch.nn.init.zeros_(convolution.bias)
    layer = Int8Layer(convolution)
    layer.quantise(torch.ones(32), torch.ones(8), torch.zeros(32))
    white = torch.full((1, 32, 6, 6), 255, dtype=torch.uint8)
    torch.testing.assert_close(layer.quantised(white, torch.float32), layer.exact(white.float()))


def test_bytes_are_pooled_as_floats_are():
    net = SyncNet("v2").eval()
    layers = Int8Stream(net.video).layers + Int8Stream(net.audio.network).layers
    pools = [layer for layer in layers if layer.pool]
    assert len(pools) == 5
    for layer in pools:
        values = torch.randint(0, 256, (2, 8, 13, 21), dtype=torch.uint8)
        assert layer.pool is not None
        assert torch.equal(layer.pooled(values).float(), layer.pool(values.float()))
