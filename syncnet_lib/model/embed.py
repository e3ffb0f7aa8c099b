"""Sliding windows of a clip through a model, in batches."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from syncnet_lib.errors import InputError
from syncnet_lib.media.features import MFCC_PER_FRAME, WINDOW_FRAMES, WINDOW_MFCC
from syncnet_lib.model import fold
from syncnet_lib.model.fold import Precision
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.model.prepare import centre, prepare_frames, prepare_mfcc

BATCH = {"small": 256, "paper": 64, "v2": 8}
"""Windows of lips at a time: what a layer gives stays in a CPU's caches."""
AUDIO_BATCH = 128
"""Windows of sound at a time."""
SAMPLE = 16
"""Windows of a stretch of sound, evenly spread, that tell 8-bit layers their ranges."""


Asked = Precision | Literal["auto"]
"""A precision, or the fastest that the device computes in by itself."""


class Embedder:
    """One track through a model, piece by piece: memory does not grow with its length.

    Args:
        model: in evaluation mode; its weights are not changed.
        device: where to compute, e.g. "cpu" or "cuda".
        precision: "fp32", the model as it is; "bf16"; "int8", v2 on a CPU only; "auto", the fastest that the device
            computes in by itself.

    Attributes:
        spec: what the model is fed.
        precision: the one in use.

    Raises:
        InputError: int8 for another model than v2, or on another device than a CPU.
    """

    def __init__(self, model: SyncNet, device: str | torch.device = "cpu", precision: Asked = "auto") -> None:
        self.spec, self.device = model.spec, torch.device(device)
        self._model = model.to(self.device)
        self.precision = fold.native(model, self.device) if precision == "auto" else precision
        self._video: nn.Module | fold.Bytes = model.video
        self._audio: nn.Module | fold.Bytes = model.audio
        if self.precision == "int8":
            if self.spec.name != "v2" or self.device.type != "cpu":
                raise InputError("precision int8", "is only for v2 on a CPU", "use auto")
            self._video, self._audio = fold.Bytes(model.video), fold.Bytes(model.audio.get_submodule("network"))
        elif self.precision == "bf16":
            self._video, self._audio = (fold.fold(stream).bfloat16() for stream in (model.video, model.audio))
        self.reset()

    def reset(self) -> None:
        """Begin another track."""
        self._before: Tensor | None = None
        if isinstance(self._video, fold.Bytes):
            self._video.reset()

    @torch.inference_mode()
    def video(self, crops: np.ndarray) -> np.ndarray:
        """Embed the windows that the next crops of the track complete.

        Args:
            crops: (n, 120, 120) uint8 gray mouths or (n, 224, 224, 3) uint8 RGB faces, as the model's `spec.crop` says;
                any n, the pieces of a track in their order.

        Returns:
            (m, D) float32: after T crops T - 4 windows have come out, window f covering the crops f to f + 4.

        Raises:
            InputError: the other kind of crop.
        """
        frames = centre(torch.from_numpy(np.array(prepare_frames(crops, self.spec))), self.spec.size)
        if self._before is not None:
            frames = torch.cat([self._before, frames])
        self._before = frames[1 - WINDOW_FRAMES :].clone()
        found = [torch.empty(0, self.spec.embedding)]
        for at in range(0, len(frames) + 1 - WINDOW_FRAMES, BATCH[self.spec.name]):
            part = frames[at : at + BATCH[self.spec.name] + WINDOW_FRAMES - 1].to(self.device)
            if isinstance(self._video, fold.Bytes):
                planes = fold.windows(part, self.spec)
                if not self._video.measured:
                    self._video.measure(planes[:1])
            else:
                planes = fold.standardise(part, self.spec) if self.spec.standardise else fold.windows(part, self.spec)
                planes = self._cast(planes).contiguous(memory_format=torch.channels_last)
            found.append(self._finish(self._video(planes)))
        return torch.cat(found).numpy()

    @torch.inference_mode()
    def audio(self, mfcc: np.ndarray) -> np.ndarray:
        """Embed every window of a stretch of sound.

        Args:
            mfcc: (4 T, 13) float32 (`features.frame_mfcc`). Give a track as one stretch: where the model wants it, the
                stretch's mean is taken off.

        Returns:
            (T - 4, D) float32, window f covering the steps `4 f : 4 f + 20` [Agrawal]; empty below 20 steps.
        """
        count = (len(mfcc) - WINDOW_MFCC) // MFCC_PER_FRAME + 1
        steps = prepare_mfcc(np.array(mfcc), self.spec, np.array([len(mfcc) // MFCC_PER_FRAME]))
        scaled = (torch.from_numpy(steps).to(self.device) - self._model.mfcc_mean) / self._model.mfcc_std
        found = [torch.empty(0, self.spec.embedding)]
        if isinstance(self._audio, fold.Bytes) and count > 0:
            planes = scaled.unfold(0, WINDOW_MFCC, MFCC_PER_FRAME)[:, None]
            self._audio.reset()
            self._audio.measure(planes[:: -(-count // SAMPLE)])
            found += [self._audio(part) for part in planes.split(AUDIO_BATCH)]
        elif count > 0:
            for at in range(0, count, AUDIO_BATCH):
                run = scaled[at * MFCC_PER_FRAME : (at + AUDIO_BATCH - 1) * MFCC_PER_FRAME + WINDOW_MFCC]
                found.append(self._finish(self._audio(self._cast(run)[None])[0]))
        return torch.cat(found).numpy()

    def _cast(self, values: Tensor) -> Tensor:
        return values.to(torch.bfloat16 if self.precision == "bf16" else torch.float32)

    def _finish(self, found: Tensor) -> Tensor:
        return self._model.finish(found).cpu()


def embed_clip(model: SyncNet, frames: np.ndarray, mfcc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Embed every window of stride 1 of one clip [Agrawal: stage 4], in fp32.

    Args:
        model: in evaluation mode.
        frames: (T, 120, 120) uint8 mouth crops, or (T, 224, 224, 3) uint8 faces, as the model's `spec.crop` says.
        mfcc: (4 T, 13) float32.

    Returns:
        Lips and sound, each (T - 5, D) float32.
    """
    embedder = Embedder(model, model.mfcc_mean.device, "fp32")
    count = len(frames) - WINDOW_FRAMES
    return embedder.video(frames)[:count], embedder.audio(mfcc)[:count]
