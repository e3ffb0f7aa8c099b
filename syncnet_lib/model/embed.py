"""Sliding windows of a clip through a model, in batches."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from syncnet_lib.errors import InputError
from syncnet_lib.media.features import MFCC_PER_FRAME, WINDOW_FRAMES, WINDOW_MFCC
from syncnet_lib.model.device import fastest_precision, largest_weight
from syncnet_lib.model.fold import fold
from syncnet_lib.model.int8 import Int8Stream
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.model.prepare import prepare_frames, prepare_mfcc
from syncnet_lib.model.spec import Asked
from syncnet_lib.model.windows import centre, stacked_windows, standardised_windows

BATCH = {"small": 256, "paper": 64, "v2": 8}
"""Video windows at a time: what a layer gives stays in a CPU's caches."""
AUDIO_BATCH = 128
"""Audio windows at a time."""
SAMPLE = 16
"""Windows of a stretch of audio, evenly spread, on which the 8-bit layers measure their ranges."""


class Embedder:
    """One face track through a model, piece by piece: memory does not grow with its length.

    Args:
        model: in evaluation mode; its weights are not changed.
        device: where to compute, e.g. "cpu" or "cuda".
        precision: "fp32", the model as it is; "bf16"; "int8", v2 on a CPU only; "auto", the fastest on the device.

    Attributes:
        spec: what the model is fed.
        precision: the one in use.

    Raises:
        InputError: int8 for another model than v2, on another device than a CPU, or on a processor without kernels for
            it.
    """

    def __init__(self, model: SyncNet, device: str | torch.device = "cpu", precision: Asked = "auto") -> None:
        self.spec, self.device = model.spec, torch.device(device)
        self._model = model.to(self.device)
        self.precision = fastest_precision(model.spec, self.device) if precision == "auto" else precision
        self._video: nn.Module | Int8Stream = model.video
        self._audio: nn.Module | Int8Stream = model.audio
        if self.precision == "int8":
            if self.spec.name != "v2" or self.device.type != "cpu":
                raise InputError("precision int8", "is only for v2 on a CPU", "use auto")
            if not largest_weight():
                raise InputError("precision int8", "this processor or build of torch has no kernels for it", "use auto")
            self._video, self._audio = Int8Stream(model.video), Int8Stream(model.audio.get_submodule("network"))
        elif self.precision == "bf16":
            self._video, self._audio = (fold(stream).bfloat16() for stream in (model.video, model.audio))
        self.reset()

    def reset(self) -> None:
        """Begin another track."""
        self._before: Tensor | None = None
        if isinstance(self._video, Int8Stream):
            self._video.reset()

    @torch.inference_mode()
    def video(self, crops: UInt8[np.ndarray, "crops side side *rgb"]) -> Float[np.ndarray, "windows embedding"]:
        """Embed the windows that the next crops of the track complete.

        Args:
            crops: 120x120 gray mouths or 224x224 RGB faces, as the model's `spec.crop` says; any number of them, the
                pieces of a track in their order.

        Returns:
            Embeddings: after T crops T - 4 windows have come out, window f covering the crops f to f + 4.

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
            if isinstance(self._video, Int8Stream):
                planes = stacked_windows(part, self.spec)
                if not self._video.measured:
                    self._video.measure(planes[:1])
            else:
                windows = standardised_windows if self.spec.standardise else stacked_windows
                planes = self._cast(windows(part, self.spec)).contiguous(memory_format=torch.channels_last)
            found.append(self._finish(self._video(planes)))
        return torch.cat(found).numpy()

    @torch.inference_mode()
    def audio(self, mfcc: Float[np.ndarray, "steps 13"]) -> Float[np.ndarray, "windows embedding"]:
        """Embed every window of a stretch of audio.

        Args:
            mfcc: four steps a frame (`features.frame_mfcc`). Give a track as one stretch: where the model wants it, the
                stretch's mean is subtracted.

        Returns:
            Embeddings: T - 4 of T frames, window f covering the steps `4 f : 4 f + 20` [Agrawal]; none below 20 steps.
        """
        count = (len(mfcc) - WINDOW_MFCC) // MFCC_PER_FRAME + 1
        steps = prepare_mfcc(np.array(mfcc), self.spec, np.array([len(mfcc) // MFCC_PER_FRAME]))
        scaled = (torch.from_numpy(steps).to(self.device) - self._model.mfcc_mean) / self._model.mfcc_std
        found = [torch.empty(0, self.spec.embedding)]
        if isinstance(self._audio, Int8Stream) and count > 0:
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


def embed_clip(
    model: SyncNet, frames: UInt8[np.ndarray, "frames side side *rgb"], mfcc: Float[np.ndarray, "steps 13"]
) -> tuple[Float[np.ndarray, "windows embedding"], Float[np.ndarray, "windows embedding"]]:
    """Embed every window of stride 1 of one clip [Agrawal: stage 4], in fp32.

    Args:
        model: in evaluation mode.
        frames: mouth or face crops, as the model's `spec.crop` says.
        mfcc: four steps a frame.

    Returns:
        Embeddings of video and audio, T - 5 windows of T frames.
    """
    embedder = Embedder(model, model.mfcc_mean.device, "fp32")
    count = len(frames) - WINDOW_FRAMES
    return embedder.video(frames)[:count], embedder.audio(mfcc)[:count]
