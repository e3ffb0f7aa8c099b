"""SyncNet in its sizes: two streams, one for lips and one for sound, that meet in one space.

Each model says in its `Spec` what it must be fed, and a checkpoint carries that with its weights.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from syncnet_lib import files
from syncnet_lib.audio import MFCC_PER_FRAME, MFCC_SIZE, WINDOW_FRAMES, WINDOW_MFCC
from syncnet_lib.errors import InputError

ModelName = Literal["small", "paper"]


@dataclass(frozen=True)
class Spec:
    """What a model is fed and what it returns.

    Attributes:
        name: which network.
        stored: side of the square gray crop that the loader hands over, in pixels; 120 as extracted, or reduced.
        size: side of the crop the network sees; cut at random in training, from the centre otherwise.
        embedding: dimensions of an embedding.
        normalise: embeddings have length 1, so that distances lie in [0, 2].
        cepstral_mean: the clip's mean MFCC is taken off before windows are cut: another microphone is no asynchrony.
    """

    name: ModelName
    stored: int
    size: int
    embedding: int
    normalise: bool
    cepstral_mean: bool


SPECS = {
    # 60 of 120 and 56 of 60: half the paper's scale, a quarter of its pixels.
    "small": Spec("small", stored=60, size=56, embedding=128, normalise=True, cepstral_mean=True),
    # Seed: 111x111x5 gray, fc7 of 256 dimensions, plain Euclidean distances.
    "paper": Spec("paper", stored=120, size=111, embedding=256, normalise=False, cepstral_mean=False),
}


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int | None = None) -> list[nn.Module]:
    """Convolution, BatchNorm, ReLU: the order of the released model (syncnet_python, SyncNetModel.py)."""
    pad = kernel // 2 if padding is None else padding
    return [nn.Conv2d(inputs, outputs, kernel, stride, pad, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


class _Steps(nn.Module):
    """Convolution over time without padding, BatchNorm and ReLU, as one matrix product: three times faster on a CPU
    than a convolution of so few channels.

    Args:
        inputs, outputs: channels.
        kernel, stride: in time steps.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.linear = nn.Linear(inputs * kernel, outputs, bias=False)
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, steps: Tensor) -> Tensor:
        """(N, T, inputs) to (N, T', outputs)."""
        rows = steps.unfold(1, self.kernel, self.stride).flatten(2)
        found = self.linear(rows)
        return F.relu(self.norm(found.flatten(0, 1))).view_as(found)


def _small_lips(embedding: int) -> nn.Sequential:
    """56x56x5: the first convolution takes four pixels a step, which is where a CPU's time would go."""
    return nn.Sequential(
        *_conv(WINDOW_FRAMES, 48, 7, stride=4, padding=3),  # 14
        *_conv(48, 64, 3),
        nn.MaxPool2d(2),  # 7
        *_conv(64, 96, 3),
        *_conv(96, 128, 3),
        nn.MaxPool2d(2),  # 3
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(128 * 3 * 3, embedding),
    )


def _small_sound(embedding: int) -> nn.Sequential:
    """20 steps to one without padding, two strides of 2: on a run of MFCC it gives one embedding a frame, each the very
    same as that of its window alone, for a fraction of the work."""
    return nn.Sequential(
        _Steps(MFCC_SIZE, 128, 4),  # 17
        _Steps(128, 192, 3, stride=2),  # 8
        _Steps(192, 256, 4, stride=2),  # 3
        _Steps(256, 256, 3),  # 1
        nn.Dropout(0.1),
        nn.Linear(256, embedding),
    )


class _Windows(nn.Module):
    """A network of single windows, applied to each window of a run of MFCC."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, steps: Tensor) -> Tensor:
        """(N, T, 13) to (N, windows, D)."""
        windows = steps.unfold(1, WINDOW_MFCC, MFCC_PER_FRAME)  # (N, windows, 13, 20)
        return self.network(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])


def _paper_lips(embedding: int) -> nn.Sequential:
    """The paper's figure 3: 3x3 kernels, 96-256-512-512-512, fc6 of 4096, fc7.

    Strides are not given; these are those of its base, VGG-M (2 in the first convolution, 2 in every pooling), but for
    the second convolution, whose stride of 1 keeps the lips' detail after a first kernel that is 3 and not 7 wide.
    """
    return nn.Sequential(
        *_conv(WINDOW_FRAMES, 96, 3, stride=2, padding=0),  # 55
        nn.MaxPool2d(3, 2),  # 27
        *_conv(96, 256, 3),
        nn.MaxPool2d(3, 2),  # 13
        *_conv(256, 512, 3),
        *_conv(512, 512, 3),
        *_conv(512, 512, 3),
        nn.MaxPool2d(3, 2),  # 6
        *_conv(512, 4096, 6, padding=0),
        nn.Flatten(),
        nn.Linear(4096, embedding),
    )


def _paper_sound(embedding: int) -> nn.Module:
    """The paper's figure 3: the same depths on 13x20; the middle pooling takes three time steps, never coefficients."""
    network = nn.Sequential(
        nn.Unflatten(1, (1, MFCC_SIZE)),
        *_conv(1, 96, 3),
        *_conv(96, 256, 3),
        nn.MaxPool2d((1, 3), (1, 2)),  # 13 x 9
        *_conv(256, 512, 3),
        *_conv(512, 512, 3),
        *_conv(512, 512, 3),
        nn.MaxPool2d(3, 2),  # 6 x 4
        nn.Conv2d(512, 4096, (6, 4), bias=False),
        nn.BatchNorm2d(4096),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(4096, embedding),
    )
    return _Windows(network)


STREAMS = {"small": (_small_lips, _small_sound), "paper": (_paper_lips, _paper_sound)}


class SyncNet(nn.Module):
    """Two streams that embed windows of lips and of sound.

    Args:
        name: "small" or "paper".

    Attributes:
        spec: what to feed it.
        mfcc_mean, mfcc_std: (13,) buffers: scale of the training sound, set by `calibrate`.
        log_scale: learned inverse temperature of the matching loss (loss.py); part of the model so that an interrupted
            training goes on with it.
    """

    mfcc_mean: Tensor
    mfcc_std: Tensor

    def __init__(self, name: ModelName) -> None:
        super().__init__()
        self.spec = SPECS[name]
        lips, sound = STREAMS[name]
        self.lips, self.sound = lips(self.spec.embedding), sound(self.spec.embedding)
        self.register_buffer("mfcc_mean", torch.zeros(MFCC_SIZE))
        self.register_buffer("mfcc_std", torch.ones(MFCC_SIZE))
        self.log_scale = nn.Parameter(torch.tensor(1 / 0.07).log())  # where CLIP starts
        # Channels last nearly halves the small network's step on a CPU and is what tensor cores want.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def calibrate(self, mfcc: np.ndarray) -> None:
        """Set the scale of the sound from the training split.

        Args:
            mfcc: (steps, 13) float, as `prepare_mfcc` returns them.
        """
        self.mfcc_mean.copy_(torch.from_numpy(mfcc.mean(axis=0)))
        self.mfcc_std.copy_(torch.from_numpy(mfcc.std(axis=0) + 1e-6))

    def embed_lips(self, windows: Tensor) -> Tensor:
        """Embed video windows.

        Args:
            windows: (N, 5, size, size), any real dtype, gray values 0..255.

        Returns:
            (N, embedding) float32.
        """
        pixels = windows.float()
        # Each window on its own scale: lighting and skin tone say nothing about synchrony.
        mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
        std = pixels.std(dim=(1, 2, 3), keepdim=True)
        pixels = ((pixels - mean) / (std + 1.0)).contiguous(memory_format=torch.channels_last)
        return self._finish(self.lips(pixels))

    def embed_sound(self, steps: Tensor) -> Tensor:
        """Embed every window of runs of sound.

        Args:
            steps: (N, 20 + 4 (W - 1), 13) float MFCC; 20 steps make one window.

        Returns:
            (N, W, embedding) float32: window w is that of the steps `4 w : 4 w + 20` (seed).
        """
        return self._finish(self.sound((steps - self.mfcc_mean) / self.mfcc_std))

    def _finish(self, embedding: Tensor) -> Tensor:
        embedding = embedding.float()
        return F.normalize(embedding, dim=-1) if self.spec.normalise else embedding

    def forward(self, lips: Tensor, sound: Tensor) -> tuple[Tensor, Tensor]:
        """Embed both sides at once; see `embed_lips` and `embed_sound`."""
        return self.embed_lips(lips), self.embed_sound(sound)

    def save(self, path: Path, **about: Any) -> None:
        """Write a safetensors checkpoint whose header says what the model is.

        Args:
            path: the file.
            about: anything that JSON can say about how it was trained.
        """
        # One entry: safetensors writes several in an order that changes from run to run, and so does the file's hash.
        header = {"syncnet": json.dumps({"spec": asdict(self.spec), "about": about}, sort_keys=True)}
        with files.write_aside(path) as aside:
            save_file({name: value.contiguous() for name, value in self.state_dict().items()}, aside, header)

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> "SyncNet":
        """Read a checkpoint of `save`, ready for inference.

        Raises:
            InputError: missing, not a safetensors file, or another program's.
        """
        if not path.is_file():
            raise InputError(path, "no such checkpoint", "run `dvc repro train` or give another path")
        try:
            with safe_open(path, "pt", device) as file:
                header = json.loads((file.metadata() or {})["syncnet"])
                model = cls(header["spec"]["name"])
                model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        except (SafetensorError, KeyError, RuntimeError, ValueError) as error:
            raise InputError(path, f"not a SyncNet checkpoint ({error})", "give a file that training wrote") from None
        return model.to(device).eval()


def pick_device(name: str) -> torch.device:
    """The device of a settings value: "auto" takes a GPU where there is one.

    Raises:
        InputError: a GPU is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("common.device", "no GPU is visible", "use auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def prepare_frames(frames: np.ndarray, spec: Spec) -> np.ndarray:
    """Reduce crops to what a model is stored at.

    Args:
        frames: (F, 120, 120) uint8 as extracted.
        spec: the model's.

    Returns:
        (F, stored, stored) uint8; the input itself where nothing has to be done.
    """
    if frames.shape[1] == spec.stored:
        return frames
    side = (spec.stored, spec.stored)
    return np.stack([cv2.resize(frame, side, interpolation=cv2.INTER_AREA) for frame in frames])


def prepare_mfcc(mfcc: np.ndarray, spec: Spec, frames: np.ndarray) -> np.ndarray:
    """Take off each clip's mean where the model wants that.

    Args:
        mfcc: (..., 4 F, 13) float32 of clips one after another.
        spec: the model's.
        frames: (clips,) frames of each clip.

    Returns:
        (..., 4 F, 13) float32.
    """
    if not spec.cepstral_mean:
        return mfcc
    ends = np.cumsum(frames) * MFCC_PER_FRAME
    parts = np.split(mfcc, ends[:-1], axis=-2)
    return np.concatenate([part - part.mean(axis=-2, keepdims=True) for part in parts], axis=-2)


def centre(frames: Tensor, size: int) -> Tensor:
    """The middle square of frames.

    Args:
        frames: (..., h, w).
        size: side of the square, in pixels.

    Returns:
        (..., size, size) view.
    """
    top, left = (frames.shape[-2] - size) // 2, (frames.shape[-1] - size) // 2
    return frames[..., top : top + size, left : left + size]
