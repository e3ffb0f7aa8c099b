"""The released model as the reference implementation [syncnet_python] computes it, to test parity and to compare
speed."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from syncnet_lib.media.features import MFCC_PER_FRAME, WINDOW_FRAMES, WINDOW_MFCC

REFERENCE_BATCH = 20
"""Windows at a time [syncnet_python]."""


class Reference(nn.Module):
    """The released model as [syncnet_python] builds it (SyncNetModel.py), with 3-D convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_layer(nn.Conv2d(1, 64, 3, padding=1)), nn.MaxPool2d(1, 1),
            *_layer(nn.Conv2d(64, 192, 3, padding=1)), nn.MaxPool2d(3, (1, 2)),
            *_layer(nn.Conv2d(192, 384, 3, padding=1)),
            *_layer(nn.Conv2d(384, 256, 3, padding=1)),
            *_layer(nn.Conv2d(256, 256, 3, padding=1)), nn.MaxPool2d(3, 2),
            *_layer(nn.Conv2d(256, 512, (5, 4))),
        )  # fmt: skip
        self.netcnnlip = nn.Sequential(
            *_layer(nn.Conv3d(3, 96, (5, 7, 7), (1, 2, 2))), nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_layer(nn.Conv3d(96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1))), nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_layer(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_layer(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_layer(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))), nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_layer(nn.Conv3d(256, 512, (1, 6, 6))),
        )  # fmt: skip
        self.netfcaud, self.netfclip = (
            nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024)) for _ in range(2)
        )

    def forward_lip(self, windows: Tensor) -> Tensor:
        """(N, 3, 5, 224, 224) BGR 0..255 to (N, 1024)."""
        return self.netfclip(self.netcnnlip(windows).flatten(1))

    def forward_aud(self, windows: Tensor) -> Tensor:
        """(N, 1, 13, 20) MFCC to (N, 1024)."""
        return self.netfcaud(self.netcnnaud(windows).flatten(1))


def _layer(convolution: nn.Conv2d | nn.Conv3d) -> list[nn.Module]:
    norm = nn.BatchNorm2d if isinstance(convolution, nn.Conv2d) else nn.BatchNorm3d
    return [convolution, norm(convolution.out_channels), nn.ReLU(inplace=True)]


def random_reference(seed: int = 0) -> Reference:
    """The network with random weights whose embeddings differ from window to window."""
    generator = torch.Generator().manual_seed(seed)
    net = Reference().eval()
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if value.dim() > 1:
                # Kept in range from layer to layer; what comes in is 0..255 for pixels, tens for cepstra.
                scale = {"netcnnlip.0.weight": 1 / 128, "netcnnaud.0.weight": 1 / 16}.get(name, 1.0)
                value.normal_(0, scale * (2 / value[0].numel()) ** 0.5, generator=generator)
            elif name.endswith(("weight", "running_var")):
                value.uniform_(0.5, 1.5, generator=generator)
            elif value.dim():
                value.normal_(0, 0.1, generator=generator)
    return net


@torch.inference_mode()
def reference_embeddings(net: Reference, frames: np.ndarray, mfcc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Embed a clip as [syncnet_python] does (SyncNetInstance.py, evaluate): batches of 20 stacked windows.

    Args:
        net: the network.
        frames: (T, 224, 224, 3) uint8 RGB.
        mfcc: (S, 13) float32.

    Returns:
        Video and audio, each (N, 1024) float32 for the N = min(T, S // 4) - 5 windows.
    """
    video = torch.from_numpy(frames[..., ::-1].transpose(3, 0, 1, 2)[None].astype(float)).float()
    audio = torch.from_numpy(mfcc.T[None, None].astype(float)).float()
    last = min(len(frames), len(mfcc) // MFCC_PER_FRAME) - WINDOW_FRAMES
    v, a = [], []
    for start in range(0, last, REFERENCE_BATCH):
        batch = range(start, min(last, start + REFERENCE_BATCH))
        v.append(net.forward_lip(torch.cat([video[:, :, f : f + WINDOW_FRAMES] for f in batch])))
        steps = [audio[..., MFCC_PER_FRAME * f : MFCC_PER_FRAME * f + WINDOW_MFCC] for f in batch]
        a.append(net.forward_aud(torch.cat(steps)))
    return torch.cat(v).numpy(), torch.cat(a).numpy()


def reference_distances(video: np.ndarray, audio: np.ndarray, vshift: int) -> np.ndarray:
    """(N, 2 vshift + 1) float32 distances, the audio padded with zeros (SyncNetInstance.py, calc_pdist)."""
    width = 2 * vshift + 1
    v, a = torch.from_numpy(video), F.pad(torch.from_numpy(audio), (0, 0, vshift, vshift))
    rows = [F.pairwise_distance(v[[n]].repeat(width, 1), a[n : n + width]) for n in range(len(v))]
    return torch.stack(rows).numpy()
