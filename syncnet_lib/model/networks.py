"""SyncNet in its sizes: two streams, one for video and one for audio, that embed into one space.

Each model says in its `Spec` what it is fed, and a checkpoint carries that with its weights.
"""

import math
from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from syncnet_lib.media.features import MFCC_PER_FRAME, MFCC_SIZE, WINDOW_FRAMES, WINDOW_MFCC
from syncnet_lib.model.spec import SPECS, ModelName, Spec


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int | None = None, bias: bool = False
) -> list[nn.Module]:
    """Convolution, BatchNorm, ReLU: the order of the released model [syncnet_python: SyncNetModel.py]."""
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

    def forward(self, steps: Float[Tensor, "batch steps inputs"]) -> Float[Tensor, "batch fewer_steps outputs"]:
        """The layer's output at every stride."""
        rows = steps.unfold(1, self.kernel, self.stride).flatten(2)
        found = self.linear(rows)
        return F.relu(self.norm(found.flatten(0, 1))).view_as(found)


def _small_video(embedding: int) -> nn.Sequential:
    """48x48x5: the first convolution has a stride of four pixels; at full scale a CPU's time would go there."""
    return nn.Sequential(
        *_conv(WINDOW_FRAMES, 48, 7, stride=4, padding=3),  # 12
        *_conv(48, 64, 3),
        nn.MaxPool2d(2),  # 6
        *_conv(64, 96, 3),
        *_conv(96, 128, 3),
        nn.MaxPool2d(2),  # 3
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(128 * 3 * 3, embedding),
    )


def _small_audio(embedding: int) -> nn.Sequential:
    """20 steps to one without padding, two strides of 2: on a run of MFCC it gives one embedding a frame, each the same
    as that of its window alone, for a fraction of the work."""
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


def _paper_video(embedding: int) -> nn.Sequential:
    """Figure 3 of [Chung16]: 3x3 kernels, 96-256-512-512-512, fc6 of 4096, fc7.

    Strides are not given; these are those of its base, VGG-M (2 in the first convolution, 2 in every pooling), but for
    the second convolution, whose stride of 1 keeps the mouth's detail after a first kernel that is 3 and not 7 wide.
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


def _paper_audio(embedding: int) -> nn.Module:
    """Figure 3 of [Chung16]: the same depths on 13x20; the middle pooling is over three time steps alone."""
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


def _v2_video(embedding: int) -> nn.Sequential:
    """The released model's video stream, layer for layer. Its first convolution spans all five frames, so that the 3-D
    convolution of a window is a 2-D one of 5 x 3 planes; the others see one moment."""
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


def _v2_audio(embedding: int) -> nn.Module:
    """The released model's audio stream, layer for layer."""
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
    "small": (_small_video, _small_audio),
    "paper": (_paper_video, _paper_audio),
    "v2": (_v2_video, _v2_audio),
}


class SyncNet(nn.Module):
    """Two streams that embed windows of video and of audio.

    Args:
        spec: which, and what it is fed, as a checkpoint says; or the name alone, for what it is fed by default.

    Attributes:
        spec: what to feed it.
        mfcc_mean, mfcc_std: (13,) buffers: mean and deviation of the training audio, set by `calibrate`.
        log_scale: learned inverse temperature of the matching loss (loss.py); part of the model so that an interrupted
            training goes on with it.
    """

    mfcc_mean: Tensor
    mfcc_std: Tensor

    def __init__(self, spec: Spec | ModelName) -> None:
        super().__init__()
        self.spec = spec if isinstance(spec, Spec) else SPECS[spec]
        video, audio = STREAMS[self.spec.name]
        self.video, self.audio = video(self.spec.embedding), audio(self.spec.embedding)
        self.register_buffer("mfcc_mean", torch.zeros(MFCC_SIZE))
        self.register_buffer("mfcc_std", torch.ones(MFCC_SIZE))
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))  # where CLIP starts
        # Channels last nearly halves the small network's step on a CPU and is what tensor cores want.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def calibrate(self, mfcc: Float[np.ndarray, "steps 13"]) -> None:
        """Take mean and deviation of the audio from the training split.

        Args:
            mfcc: as `prepare_mfcc` returns it.
        """
        self.mfcc_mean.copy_(torch.from_numpy(mfcc.mean(axis=0)))
        self.mfcc_std.copy_(torch.from_numpy(mfcc.std(axis=0) + 1e-6))

    def embed_video(self, windows: Shaped[Tensor, "batch 5 size size *rgb"]) -> Float[Tensor, "batch embedding"]:
        """Embed video windows.

        Args:
            windows: gray or RGB pixels (`spec.window`), any real dtype, 0..255.
        """
        return self.finish(self.video(self.planes(windows)))

    def planes(self, windows: Shaped[Tensor, "batch 5 size size *rgb"]) -> Float[Tensor, "batch planes size size"]:
        """Video windows as the first convolution takes them: 5 gray or 15 colour planes, channels last in memory.

        Args:
            windows: as for `embed_video`.
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

    def embed_audio(self, steps: Float[Tensor, "batch steps 13"]) -> Float[Tensor, "batch windows embedding"]:
        """Embed every window of runs of audio.

        Args:
            steps: MFCC; 20 steps make one window, and every four more another one.

        Returns:
            Embeddings, window w that of the steps `4 w : 4 w + 20` [Agrawal].
        """
        return self.finish(self.audio((steps - self.mfcc_mean) / self.mfcc_std))

    def finish(self, embedding: Float[Tensor, "*batch embedding"]) -> Float[Tensor, "*batch embedding"]:
        """What a stream gives, as float32, and of length 1 if the model normalises its embeddings.

        Args:
            embedding: in any precision.
        """
        embedding = embedding.float()
        return F.normalize(embedding, dim=-1) if self.spec.normalise else embedding

    def forward(
        self, video: Shaped[Tensor, "batch 5 size size *rgb"], audio: Float[Tensor, "runs steps 13"]
    ) -> tuple[Float[Tensor, "batch embedding"], Float[Tensor, "runs windows embedding"]]:
        """Embed both sides at once; see `embed_video` and `embed_audio`."""
        return self.embed_video(video), self.embed_audio(audio)
