"""SyncNet in its sizes: two streams, one for lips and one for sound, that meet in one space.

Each model says in its `Spec` what it must be fed, and a checkpoint carries that with its weights.
"""

import json
from collections import OrderedDict
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
from syncnet_lib.errors import InputError
from syncnet_lib.media.features import MFCC_PER_FRAME, MFCC_SIZE, WINDOW_FRAMES, WINDOW_MFCC

ModelName = Literal["small", "paper", "v2"]


@dataclass(frozen=True)
class Spec:
    """What a model is fed and what it returns.

    Attributes:
        name: which network.
        crop: the crop of extraction it eats: "mouth", 120x120 gray, or "face", 224x224 RGB.
        stored: side of the square crop that the loader hands over, in pixels; as extracted, or reduced.
        size: side of the crop the network sees; cut at random in training, from the centre otherwise.
        standardise: each window of pixels is put on its own mean and deviation; otherwise 0..255 as they are.
        embedding: dimensions of an embedding.
        normalise: embeddings have length 1, so that distances lie in [0, 2].
        cepstral_mean: the clip's mean MFCC is taken off before windows are cut: another microphone is no asynchrony.
        edges: what its published scores do with shifts that leave the clip: "mask" them, or compare with "zero".
    """

    name: ModelName
    crop: Literal["mouth", "face"]
    stored: int
    size: int
    standardise: bool
    embedding: int
    normalise: bool
    cepstral_mean: bool
    edges: Literal["mask", "zero"]

    @property
    def colours(self) -> int:
        """Values a pixel: 1 gray, 3 RGB."""
        return 3 if self.crop == "face" else 1

    @property
    def window(self) -> tuple[int, ...]:
        """Shape of a window of the size the network sees: (5, size, size), or (5, size, size, 3)."""
        return (WINDOW_FRAMES, self.size, self.size, *([self.colours] if self.colours > 1 else []))


SPECS: dict[ModelName, Spec] = {
    # 60 of 120 and 56 of 60: half the paper's scale, a quarter of its pixels.
    "small": Spec("small", "mouth", 60, 56, True, 128, normalise=True, cepstral_mean=True, edges="mask"),
    # Seed: 111x111x5 gray, fc7 of 256 dimensions, plain Euclidean distances.
    "paper": Spec("paper", "mouth", 120, 111, True, 256, normalise=False, cepstral_mean=False, edges="mask"),
    # The released model (syncnet_python, SyncNetModel.py): the face as it is.
    "v2": Spec("v2", "face", 224, 224, False, 1024, normalise=False, cepstral_mean=False, edges="zero"),
}


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int | None = None, bias: bool = False
) -> list[nn.Module]:
    """Convolution, BatchNorm, ReLU: the order of the released model (syncnet_python, SyncNetModel.py)."""
    pad = kernel // 2 if padding is None else padding
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, pad, bias=bias)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


class Steps(nn.Module):
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
        self.norm: nn.Module = nn.BatchNorm1d(outputs)

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
        Steps(MFCC_SIZE, 128, 4),  # 17
        Steps(128, 192, 3, stride=2),  # 8
        Steps(192, 256, 4, stride=2),  # 3
        Steps(256, 256, 3),  # 1
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


def _v2_lips(embedding: int) -> nn.Sequential:
    """The released model's lips, layer for layer. Its first convolution spans all five frames, so that over 3-D data of
    one window it is a 2-D convolution of 5 x 3 planes; the others see one moment."""
    layers = [
        *_conv(WINDOW_FRAMES * 3, 96, 7, stride=2, padding=0, bias=True),  # 109
        nn.MaxPool2d(3, 2),  # 54
        *_conv(96, 256, 5, stride=2, padding=1, bias=True),  # 26
        nn.MaxPool2d(3, 2, padding=1),  # 13
        *_conv(256, 256, 3, bias=True),
        *_conv(256, 256, 3, bias=True),
        *_conv(256, 256, 3, bias=True),
        nn.MaxPool2d(3, 2),  # 6
        *_conv(256, 512, 6, padding=0, bias=True),
        nn.Flatten(),
    ]
    return nn.Sequential(OrderedDict(layers=nn.Sequential(*layers), head=_v2_head(embedding)))


def _v2_sound(embedding: int) -> nn.Module:
    """The released model's sound, layer for layer."""
    layers = [
        *_conv(1, 64, 3, bias=True),
        nn.Identity(),  # a pooling of 1x1: it keeps the numbers of the layers those of the released file
        *_conv(64, 192, 3, bias=True),
        nn.MaxPool2d(3, (1, 2)),  # 11 x 9
        *_conv(192, 384, 3, bias=True),
        *_conv(384, 256, 3, bias=True),
        *_conv(256, 256, 3, bias=True),
        nn.MaxPool2d(3, 2),  # 5 x 4
        nn.Conv2d(256, 512, (5, 4)),
        nn.BatchNorm2d(512),
        nn.ReLU(inplace=True),
        nn.Flatten(),
    ]
    planes = nn.Unflatten(1, (1, MFCC_SIZE))
    return _Windows(nn.Sequential(OrderedDict(planes=planes, layers=nn.Sequential(*layers), head=_v2_head(embedding))))


def _v2_head(embedding: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(inplace=True), nn.Linear(512, embedding))


STREAMS = {
    "small": (_small_lips, _small_sound),
    "paper": (_paper_lips, _paper_sound),
    "v2": (_v2_lips, _v2_sound),
}

RELEASED = {
    "netcnnlip": "lips.layers",
    "netfclip": "lips.head",
    "netcnnaud": "sound.network.layers",
    "netfcaud": "sound.network.head",
}
"""Parts of the released file, and where they are in `SyncNet("v2")`."""


class SyncNet(nn.Module):
    """Two streams that embed windows of lips and of sound.

    Args:
        name: "small", "paper" or "v2".

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
            windows: (N, 5, size, size) gray or (N, 5, size, size, 3) RGB (`spec.window`), any real dtype, 0..255.

        Returns:
            (N, embedding) float32.
        """
        return self.finish(self.lips(self.planes(windows)))

    def planes(self, windows: Tensor) -> Tensor:
        """Video windows as the first convolution takes them.

        Args:
            windows: as for `embed_lips`.

        Returns:
            (N, 5 or 15, size, size) float32, channels last.
        """
        pixels = windows.float()
        if self.spec.standardise:
            # Each window on its own scale: lighting and skin tone say nothing about synchrony.
            pixels = pixels - pixels.mean(dim=(1, 2, 3), keepdim=True)
            # Five times faster than torch.std, whose way of summing a mean near 0 does not need.
            std = (pixels.square().sum(dim=(1, 2, 3), keepdim=True) / (pixels[0].numel() - 1)).sqrt()
            pixels = pixels / (std + 1.0)
        if self.spec.colours > 1:
            pixels = pixels.permute(0, 1, 4, 2, 3).flatten(1, 2)
        return pixels.contiguous(memory_format=torch.channels_last)

    def embed_sound(self, steps: Tensor) -> Tensor:
        """Embed every window of runs of sound.

        Args:
            steps: (N, 20 + 4 (W - 1), 13) float MFCC; 20 steps make one window.

        Returns:
            (N, W, embedding) float32: window w is that of the steps `4 w : 4 w + 20` (seed).
        """
        return self.finish(self.sound((steps - self.mfcc_mean) / self.mfcc_std))

    def finish(self, embedding: Tensor) -> Tensor:
        """What a stream gives, as float32, of length 1 where the model is one that normalises."""
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
        """Read a checkpoint of `save`, or the released `syncnet_v2.model`, ready for inference.

        Nothing in the file is executed: of a pickled file only tensors are taken.

        Raises:
            InputError: missing, of another kind, truncated, or holding anything but tensors.
        """
        if not path.is_file():
            raise InputError(path, "no such checkpoint", "run `dvc repro train` or give another path")
        with path.open("rb") as file:
            head = file.read(9)
            # A safetensors file begins with its header's length in 8 bytes, which may be any, and the header's brace.
            if head.startswith(PICKLED) and not head.endswith(b"{"):
                model = cls("v2")
                _take_released(model, path)
                return model.to(device).eval()
        try:
            with safe_open(path, "pt", device) as file:
                header = json.loads((file.metadata() or {})["syncnet"])
                model = cls(header["spec"]["name"])
                model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        except (SafetensorError, KeyError, RuntimeError, ValueError) as error:
            raise InputError(path, f"not a SyncNet checkpoint ({error})", "give a file that training wrote") from None
        return model.to(device).eval()


PICKLED = (b"PK\x03\x04", b"\x80")
"""How files of torch.save begin: a zip archive, or, before torch 1.6, a bare pickle."""


def _take_released(model: SyncNet, path: Path) -> None:
    """Put the weights of a released file (a pickled state dict) into a v2 model.

    Raises:
        InputError: anything but the tensors of that model.
    """
    cure = "give syncnet_v2.model as released, or a file that training wrote"
    try:
        state = torch.load(path, "cpu", weights_only=True)
    except Exception:  # a damaged file ends in any of the errors of pickle, zip and torch, whose texts take a page
        cause = "truncated, or holds other things than tensors, which are not read because they could run code"
        raise InputError(path, cause, cure) from None
    own = model.state_dict()
    taken = {}
    for name, value in state.items() if isinstance(state, dict) else ():
        part, _, rest = str(name).partition(".")
        target = f"{RELEASED.get(part)}.{rest}"
        if target not in own or not isinstance(value, Tensor):
            raise InputError(path, f"not the released model: it holds {name}", cure)
        if name == "netcnnlip.0.weight" and value.dim() == 5:
            value = value.flip(1)  # crops are stored as RGB, the released model was trained on BGR
        if value.dim() == 5:
            value = value.transpose(1, 2).flatten(1, 2)  # time and colour become planes
        if value.shape != own[target].shape:
            raise InputError(path, f"not the released model: {name} has another shape", cure)
        taken[target] = value
    # What the released file need not have: our own buffers, and counters that inference does not read.
    optional = ("mfcc_mean", "mfcc_std", "log_scale", "num_batches_tracked")
    missing = [name for name in own if name not in taken and not name.endswith(optional)]
    if missing:
        raise InputError(path, f"not the released model: {len(missing)} of its tensors are missing", cure)
    model.load_state_dict(taken, strict=False)


def convert(path: Path, out: Path) -> None:
    """Write a checkpoint, the released one for instance, as safetensors with what the model is in its header.

    Args:
        path: any file that `SyncNet.load` reads.
        out: the safetensors file.

    Raises:
        InputError: as for `SyncNet.load`.
    """
    SyncNet.load(path).save(out, converted_from=path.name, sha256=files.sha256(path))


@dataclass(frozen=True)
class Size:
    """What a model is and costs.

    Attributes:
        parameters: numbers that training learns.
        gflop: floating-point operations of a window of lips with its sound, forwards, in 10^9; a multiplication and an
            addition are two.
        inputs: bytes of a window: its pixels and its MFCC.
    """

    parameters: int
    gflop: float
    inputs: int


def size_of(name: ModelName) -> Size:
    """Count a model's parameters and the work of one window, without making its weights."""
    from torch.utils.flop_counter import FlopCounterMode  # brings a compiler, for which nobody else must wait

    spec = SPECS[name]
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = SyncNet(name).eval()
        model(torch.zeros(1, *spec.window), torch.zeros(1, WINDOW_MFCC, MFCC_SIZE))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    inputs = int(np.prod(spec.window)) + WINDOW_MFCC * MFCC_SIZE * torch.float32.itemsize
    return Size(parameters, counter.get_total_flops() / 1e9, inputs)


def pick_device(name: str) -> torch.device:
    """The device of a settings value: "auto" takes a GPU where there is one.

    Raises:
        InputError: a GPU is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("common.device", "no GPU is visible", "use auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def native_precision(device: torch.device) -> Literal["fp32", "bf16"]:
    """The precision in which a device multiplies fastest: bf16 where it has instructions for it."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = torch.cpu.get_capabilities()
        native = bool(able.get("avx512_bf16") or able.get("amx_tile"))
    return "bf16" if native else "fp32"


def prepare_frames(frames: np.ndarray, spec: Spec) -> np.ndarray:
    """Reduce crops to what a model is stored at.

    Args:
        frames: (F, 120, 120) or (F, 224, 224, 3) uint8 as extracted.
        spec: the model's.

    Returns:
        (F, stored, stored) or (F, stored, stored, 3) uint8; the input itself where nothing has to be done.

    Raises:
        InputError: the other kind of crop.
    """
    if frames.ndim != (4 if spec.colours > 1 else 3):
        other = "mouth" if spec.crop == "face" else "face"
        raise InputError(f"model {spec.name}", f"is fed with {other} crops", f"give it {spec.crop} crops")
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
        frames: (..., h, w) or (..., h, w, 3).
        size: side of the square, in pixels.

    Returns:
        (..., size, size) or (..., size, size, 3) view.
    """
    rows = -3 if frames.shape[-1] == 3 else -2
    for axis in (rows, rows + 1):
        frames = frames.narrow(axis, (frames.shape[axis] - size) // 2, size)
    return frames
