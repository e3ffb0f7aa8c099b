"""What training makes small: [Agrawal]'s contrastive loss, and matching against a clip's other windows."""

import torch
import torch.nn.functional as F
from torch import Tensor


def distance(video: Tensor, audio: Tensor) -> Tensor:
    """Euclidean distance d = |v - a| [Agrawal].

    Args:
        video, audio: (..., D) float embeddings.

    Returns:
        (...) float; its gradient is finite at 0.
    """
    return (video - audio).square().sum(dim=-1).clamp_min(1e-12).sqrt()


def contrastive(video: Tensor, audio: Tensor, label: Tensor, margin: float) -> Tensor:
    """E = 1/(2N) sum( y d^2 + (1 - y) max(margin - d, 0)^2 ), [Agrawal]'s loss exactly.

    Args:
        video, audio: (N, D) float embeddings.
        label: (N,) float, 1 for genuine and 0 for shifted pairs.
        margin: distance beyond which a shifted pair costs nothing.

    Returns:
        () float.
    """
    d = distance(video, audio)
    return (label * d.square() + (1 - label) * (margin - d).clamp_min(0).square()).mean() / 2


def matching(video: Tensor, audio: Tensor, target: Tensor, mask: Tensor, log_scale: Tensor) -> Tensor:
    """Multi-way matching: each window finds its sound among its clip's other windows, and the reverse.

    Chung, Chung & Kang, "Perfect Match" (2019), made symmetric inside a clip.

    Args:
        video: (clips * windows, D) float embeddings, clip by clip.
        audio: (clips * candidates, D) float embeddings of each clip's sound.
        target: (clips * windows,) int64, which candidate is the window's own.
        mask: (clips, candidates) bool, False where a candidate is padding.
        log_scale: () float, log of the inverse temperature.

    Returns:
        () float.
    """
    clips, candidates = mask.shape
    v = video.view(clips, -1, video.shape[-1])
    a = audio.view(clips, candidates, -1)
    scores = torch.einsum("ckd,csd->cks", v, a) * log_scale.clamp(max=4.6).exp()  # at most 100, as CLIP
    scores = scores.masked_fill(~mask[:, None], torch.finfo(scores.dtype).min)
    own = target.view(clips, -1)
    find_audio = F.cross_entropy(scores.flatten(0, 1), own.flatten())
    # The reverse: each window's sound against the clip's windows. Two draws of the same window are both right.
    back = scores.gather(2, own[:, None].expand(-1, own.shape[1], -1)).transpose(1, 2)
    same = own[:, :, None] == own[:, None]
    share = same / same.sum(dim=2, keepdim=True)
    find_video = -(share * back.log_softmax(dim=2)).sum(dim=2).mean()
    return (find_audio + find_video) / 2
