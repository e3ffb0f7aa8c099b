"""The released model: what [syncnet_python] computes, ours computes too; and what its file may not do."""

import importlib.util
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.io import wavfile
from scipy.signal import medfilt

from benchmarks.reference import Reference, random_reference, reference_distances, reference_embeddings
from syncnet_lib.errors import InputError
from syncnet_lib.media import features
from syncnet_lib.model import checkpoint, scoring
from syncnet_lib.model.embed import Embedder, embed_clip
from syncnet_lib.model.networks import SyncNet
from tests.conftest import shared


@pytest.fixture(scope="module")
def golden() -> Path:
    """What the reference implementation returned for a clip."""
    return shared("golden", "the reference's results")


@pytest.fixture(scope="module")
def net() -> Reference:
    return random_reference()


@pytest.fixture(scope="module")
def released(net: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file such as the released one."""
    path = tmp_path_factory.mktemp("released") / "syncnet_v2.model"
    torch.save(net.state_dict(), path)
    return path


def clip(frames: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Faces and MFCC of a clip that changes from frame to frame."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (frames, 14, 14, 3), dtype=np.uint8)
    faces = np.stack([cv2.resize(frame, (224, 224), interpolation=cv2.INTER_CUBIC) for frame in small])
    return faces, features.frame_mfcc(rng.normal(0, 3000, frames * 640).astype(np.int16))


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest distance of two embeddings over their length."""
    return float((np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)).max())


@pytest.mark.slow
def test_what_the_reference_returned(golden, tmp_path):
    spec = importlib.util.spec_from_file_location("weights", golden / "weights.py")
    weights = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(weights)
    torch.save(weights.state_dict(), tmp_path / "v2.model")
    expected = np.load(golden / "expected_a.npz")
    frames = np.stack([cv2.imread(str(path))[..., ::-1] for path in sorted((golden / "clip_a").glob("*.jpg"))])
    _, samples = wavfile.read(golden / "clip_a" / "audio.wav")
    count = features.window_count(len(frames), len(samples))
    embedder = Embedder(checkpoint.load(tmp_path / "v2.model"), precision="fp32")
    v, a = embedder.video(frames)[:count], embedder.audio(features.mfcc(samples))[:count]
    assert relative(v, expected["video"]) < 1e-4
    assert relative(a, expected["audio"]) < 1e-4
    distances = scoring.shift_distances(v, a, int(expected["vshift"]), embedder.spec.edges)
    means = scoring.mean_distances(distances)
    np.testing.assert_allclose(distances, expected["distances"], rtol=1e-4)
    np.testing.assert_allclose(means, expected["mean_distance"], rtol=1e-4)
    assert scoring.offset(means) == expected["offset"]
    assert means.min() == pytest.approx(float(expected["min_distance"]), rel=1e-4)
    assert scoring.confidence(means) == pytest.approx(float(expected["confidence"]), rel=1e-4)
    single = scoring.frame_confidence(distances, "zero")
    np.testing.assert_allclose(single, expected["frame_confidence"], rtol=1e-4, atol=1e-2)


@pytest.mark.slow
def test_ours_is_the_references_way_of_computing(net, released):
    faces, mfcc = clip()
    v, a = reference_embeddings(net, faces, mfcc)
    ours_v, ours_a = embed_clip(checkpoint.load(released), faces, mfcc)
    assert ours_v.shape == ours_a.shape == v.shape == (25, 1024)
    assert v.std(axis=0).mean() > 0.01 * np.abs(v).mean()  # windows differ
    assert relative(ours_v, v) < 1e-4
    assert relative(ours_a, a) < 1e-4
    theirs = reference_distances(v, a, 15)
    distances = scoring.shift_distances(ours_v, ours_a, 15, "zero")
    np.testing.assert_allclose(distances, theirs, rtol=1e-4)
    best = theirs.mean(axis=0).argmin()
    single = medfilt(np.median(theirs.mean(axis=0)) - theirs[:, best], 9)
    np.testing.assert_allclose(scoring.frame_confidence(distances, "zero"), single, rtol=1e-4, atol=1e-3)


def test_the_released_layers(released):
    net = checkpoint.load(released)
    assert sum(weights.numel() for part in (net.video, net.audio) for weights in part.parameters()) == 13_631_616
    assert net.embed_video(torch.zeros(2, *net.spec.window)).shape == (2, 1024)


def test_it_can_be_trained():
    net = SyncNet("v2").train()
    video, audio = net(torch.randint(0, 256, (2, *net.spec.window), dtype=torch.uint8), torch.randn(2, 20, 13))
    (video - audio[:, 0]).square().mean().backward()
    assert all(value.grad is not None for part in (net.video, net.audio) for value in part.parameters())


def test_conversion_keeps_the_weights(released, tmp_path):
    out = tmp_path / "v2.safetensors"
    checkpoint.convert(released, out)
    before, after = checkpoint.load(released).state_dict(), checkpoint.load(out).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_file_of_an_older_torch(net, released, tmp_path):
    state = {name: value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.model", _use_new_zipfile_serialization=False)
    old, new = checkpoint.load(tmp_path / "old.model").state_dict(), checkpoint.load(released).state_dict()
    assert all(torch.equal(old[name], new[name]) for name in old if not name.endswith("num_batches_tracked"))


class Malicious:
    """Unpickled by a careless reader, it writes a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return exec, (f"open({str(self.proof)!r}, 'w').close()",)


@pytest.mark.parametrize("how", ["zip", "old", "bare"])
def test_pickled_code_is_not_executed(net, tmp_path, how):
    path, proof = tmp_path / "syncnet_v2.model", tmp_path / "executed"
    content = {**net.state_dict(), "extra": Malicious(proof)}
    if how == "bare":
        path.write_bytes(pickle.dumps(Malicious(proof)))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    refused(path)
    assert not proof.exists()
    if how == "bare":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert proof.exists(), "the file is harmless, and the test shows nothing"


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        checkpoint.load(path)
    text = str(error.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert len(text) < 400
    return text


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("share", [0.0001, 0.1, 0.9, 0.9999])
def test_a_truncated_file_is_refused(net, tmp_path, old, share):
    path = tmp_path / "half.model"
    torch.save(net.state_dict(), path, _use_new_zipfile_serialization=not old)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "truncated" in refused(path)


def test_weights_of_another_model_are_refused(net, tmp_path):
    path = tmp_path / "other.model"
    torch.save({"conv1.weight": torch.zeros(3)}, path)
    assert "it holds conv1.weight" in refused(path)
    state = net.state_dict()
    torch.save({**state, "netfclip.0.weight": torch.zeros(3)}, path)
    assert "another shape" in refused(path)
    state.pop("netfclip.0.weight")
    torch.save(state, path)
    assert "missing" in refused(path)
    torch.save(torch.zeros(3), path)
    assert "not the released model" in refused(path)
