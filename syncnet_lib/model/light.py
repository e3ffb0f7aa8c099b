"""The network `small` in numpy, for inference on a CPU: importing torch takes longer than measuring a short video.

The layers are those of `networks`, BatchNorm folded in: pictures lie channels last, and a convolution is one matrix
product of its patches. What comes out is what torch gives in fp32, but for rounding.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy.lib.stride_tricks import sliding_window_view
from safetensors import SafetensorError, safe_open

from syncnet_lib.errors import InputError
from syncnet_lib.media.features import MFCC_PER_FRAME, WINDOW_FRAMES, WINDOW_MFCC
from syncnet_lib.model import header
from syncnet_lib.model.prepare import prepare_frames, prepare_mfcc
from syncnet_lib.model.spec import Asked, Spec

BATCH = 16
"""Video windows at a time: the patches of a layer stay near a CPU's caches."""
STEM, STEM_STRIDE = 7, 4
"""Kernel and stride of the first convolution of the video stream."""
CONVOLUTIONS = {"video.3": True, "video.7": False, "video.10": True}
"""The other ones, by their names in a checkpoint, and whether a pooling comes after them."""
STEPS = {"audio.0": (4, 1), "audio.1": (3, 2), "audio.2": (4, 2), "audio.3": (3, 1)}
"""Layers of the audio stream: kernel and stride in MFCC steps."""
HEADS = "video.16", "audio.5"
"""The linear layers that give the embeddings."""
EPSILON = 1e-5
"""Of BatchNorm, torch's default."""

Weights = tuple[np.ndarray, np.ndarray]
"""(inputs, outputs) and (outputs,)."""


class Small:
    """The weights of a checkpoint of `small`, as `SmallEmbedder` takes them.

    Args:
        path: of the checkpoint.

    Attributes:
        spec: what the network is fed.

    Raises:
        InputError: a file of another kind.
    """

    def __init__(self, path: Path) -> None:
        self.spec = header.read(path).spec
        try:
            with safe_open(path, "np") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            self._take(tensors)
        except (SafetensorError, KeyError, ValueError) as error:
            raise InputError(path, f"not a SyncNet checkpoint ({error})", "give a file that training wrote") from None

    def _take(self, tensors: Mapping[str, np.ndarray]) -> None:
        self.mean, self.deviation = tensors["mfcc_mean"], tensors["mfcc_std"]
        stem, self.stem_bias = _folded(tensors["video.0.weight"], tensors, "video.1")  # (48, 5, 7, 7)
        # One product gives what a frame adds to each of the windows that it is in.
        self.stem = _rows(stem.transpose(2, 3, 1, 0).reshape(STEM * STEM, -1))  # (49, 5 * 48)
        ones = np.ones((1, self.spec.size, self.spec.size), np.float32)
        everywhere = (_stem_patches(ones) @ self.stem).reshape(-1, WINDOW_FRAMES, len(stem)).sum(1)
        self.stem_of_one = everywhere  # (positions, 48), what a constant gives: less where the edge's zeros are
        self.convolutions = []
        for name, pooled in CONVOLUTIONS.items():
            place, number = name.split(".")
            weight, bias = _folded(tensors[f"{name}.weight"], tensors, f"{place}.{int(number) + 1}")
            self.convolutions.append((pooled, (_rows(weight.transpose(2, 3, 1, 0).reshape(-1, len(weight))), bias)))
        channels = len(weight)
        head = tensors[f"{HEADS[0]}.weight"]
        side = int((head.shape[1] // channels) ** 0.5)
        head = head.reshape(-1, channels, side, side).transpose(0, 2, 3, 1).reshape(len(head), -1)  # channels last
        self.video_head: Weights = _rows(head.T), tensors[f"{HEADS[0]}.bias"]
        self.steps = []
        for name, (kernel, stride) in STEPS.items():
            weight, bias = _folded(tensors[f"{name}.linear.weight"], tensors, f"{name}.norm")
            self.steps.append((kernel, stride, (_rows(weight.T), bias)))
        self.audio_head: Weights = _rows(tensors[f"{HEADS[1]}.weight"].T), tensors[f"{HEADS[1]}.bias"]


class SmallEmbedder:
    """`embed.Embedder` of a `Small`: one face track through it, piece by piece.

    Args:
        model: the weights.
        precision: "fp32", or "auto", which is that.

    Attributes:
        spec: what the model is fed.

    Raises:
        InputError: another precision.
    """

    def __init__(self, model: Small, precision: Asked = "auto") -> None:
        if precision not in ("auto", "fp32"):
            raise InputError(f"precision {precision}", "small is computed in fp32 on a CPU", "use auto or fp32")
        self.spec: Spec = model.spec
        self._model = model
        self.reset()

    def reset(self) -> None:
        """Begin another track."""
        self._before: np.ndarray | None = None

    def video(self, crops: UInt8[np.ndarray, "crops side side *rgb"]) -> Float32[np.ndarray, "windows embedding"]:
        """Embed the windows that the next crops of the track complete; as `embed.Embedder.video`.

        Raises:
            InputError: face crops.
        """
        size = self.spec.size
        frames = prepare_frames(crops, self.spec)
        margin = (frames.shape[1] - size) // 2
        frames = frames[:, margin : margin + size, margin : margin + size]
        if self._before is not None:
            frames = np.concatenate([self._before, frames])
        self._before = frames[1 - WINDOW_FRAMES :].copy()
        starts = range(0, len(frames) + 1 - WINDOW_FRAMES, BATCH)
        found = [self._windows(frames[at : at + BATCH + WINDOW_FRAMES - 1]) for at in starts]
        return np.concatenate([np.empty((0, self.spec.embedding), np.float32), *found])

    def audio(self, mfcc: Float[np.ndarray, "steps 13"]) -> Float32[np.ndarray, "windows embedding"]:
        """Embed every window of a stretch of audio; as `embed.Embedder.audio`."""
        model = self._model
        if len(mfcc) < WINDOW_MFCC:
            return np.empty((0, self.spec.embedding), np.float32)
        steps = prepare_mfcc(np.asarray(mfcc, np.float32), self.spec, np.array([len(mfcc) // MFCC_PER_FRAME]))
        values = (steps - model.mean) / model.deviation
        for kernel, stride, weights in model.steps:
            patches = sliding_window_view(values, kernel, axis=0)[::stride]  # (steps, inputs, kernel)
            values = _rectified(patches.reshape(len(patches), -1), weights)
        return _normalised(values, model.audio_head)

    def _windows(self, frames: np.ndarray) -> np.ndarray:
        """All windows of some consecutive frames; see `windows.standardised_windows` for their scale."""
        model = self._model
        count, positions = len(frames) + 1 - WINDOW_FRAMES, len(model.stem_of_one)
        pixels = frames.reshape(len(frames), -1).astype(np.int64)
        moments = pixels.sum(1), np.square(pixels).sum(1)
        sums, squares = (sliding_window_view(each, WINDOW_FRAMES).sum(1) for each in moments)
        number = WINDOW_FRAMES * pixels.shape[1]
        mean = sums / number
        scale = 1 / (np.sqrt(np.maximum(squares - sums * mean, 0) / (number - 1)) + 1)
        level = np.float32(pixels.mean())  # near the mean of each window, so that little is lost where the two cancel
        shared = (_stem_patches(frames.astype(np.float32) - level) @ model.stem).reshape(
            len(frames), positions, WINDOW_FRAMES, -1
        )
        values = shared[:count, :, 0].copy()
        for at in range(1, WINDOW_FRAMES):
            values += shared[at : at + count, :, at]
        values -= (mean - level).astype(np.float32)[:, None, None] * model.stem_of_one
        values *= scale.astype(np.float32)[:, None, None]
        values += model.stem_bias
        side = int(positions**0.5)
        values = np.maximum(values, 0, out=values).reshape(count, side, side, -1)
        for pooled, weights in model.convolutions:
            values = _convolved(values, weights, pooled)
            values = _pooled(values) if pooled else values
        return _normalised(values.reshape(count, -1), model.video_head)


def _folded(weight: np.ndarray, tensors: Mapping[str, np.ndarray], norm: str) -> Weights:
    """Weights and bias of a layer without bias and the BatchNorm after it."""
    scale = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"] + np.float32(EPSILON))
    bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
    return weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), bias


def _rows(weight: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(weight, np.float32)


def _stem_patches(frames: np.ndarray) -> np.ndarray:
    """(T, size, size) to the patches (T * positions, 49) of the first convolution."""
    padded = np.pad(frames, ((0, 0), *[(STEM // 2, STEM // 2)] * 2))
    patches = sliding_window_view(padded, (STEM, STEM), (1, 2))[:, ::STEM_STRIDE, ::STEM_STRIDE]  # type: ignore[call-overload]
    return patches.reshape(-1, STEM * STEM)


def _convolved(values: np.ndarray, weights: Weights, pooled: bool) -> np.ndarray:
    """Convolution of 3x3 and ReLU of (N, h, w, c); the edge is padded with zeros. An odd last row or column that the
    pooling after it would leave out is not computed."""
    count, height, width, channels = values.shape
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1), (0, 0)))
    if pooled:
        height, width = height // 2 * 2, width // 2 * 2
    patches = np.empty((count, height, width, 9, channels), np.float32)
    for at in range(9):
        row, column = divmod(at, 3)
        patches[:, :, :, at] = padded[:, row : row + height, column : column + width]
    found = _rectified(patches.reshape(-1, 9 * channels), weights)
    return found.reshape(count, height, width, -1)


def _pooled(values: np.ndarray) -> np.ndarray:
    """Maximum over 2x2 of (N, h, w, c), with even h and w."""
    rows = np.maximum(values[:, ::2], values[:, 1::2])
    return np.maximum(rows[:, :, ::2], rows[:, :, 1::2])


def _rectified(rows: np.ndarray, weights: Weights) -> np.ndarray:
    found = rows @ weights[0]
    found += weights[1]
    return np.maximum(found, 0, out=found)


def _normalised(rows: np.ndarray, weights: Weights) -> np.ndarray:
    """The last layer, its embeddings of length 1."""
    found = rows @ weights[0] + weights[1]
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
