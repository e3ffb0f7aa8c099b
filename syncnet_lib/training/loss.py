"""The losses: [Agrawal]'s contrastive loss, and multi-way matching against a clip's other windows [Chung19]."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

MAX_LOG_SCALE = 4.6
"""Log of the largest inverse temperature, 100, as CLIP limits it (Radford et al., 2021)."""


def distance(
    video: Float[Tensor, "*batch embedding"], audio: Float[Tensor, "*batch embedding"]
) -> Float[Tensor, "*batch"]:
    """Euclidean distance d = |v - a| [Agrawal].

    Args:
        video, audio: embeddings.

    Returns:
        Distances; the gradient is finite at 0.
    """
    return (video - audio).square().sum(dim=-1).clamp_min(1e-12).sqrt()


def contrastive(
    video: Float[Tensor, "pairs embedding"],
    audio: Float[Tensor, "pairs embedding"],
    label: Float[Tensor, " pairs"],
    margin: float,
) -> Float[Tensor, ""]:
    """Contrastive loss, E = 1/(2N) sum( y d^2 + (1 - y) max(margin - d, 0)^2 ), exactly as in [Agrawal].

    Args:
        video, audio: embeddings.
        label: 1 for genuine and 0 for shifted pairs.
        margin: distance beyond which a shifted pair costs nothing.

    Returns:
        The loss.
    """
    d = distance(video, audio)
    return (label * d.square() + (1 - label) * (margin - d).clamp_min(0).square()).mean() / 2


def matching(
    video: Float[Tensor, "windows embedding"],
    audio: Float[Tensor, "all_candidates embedding"],
    target: Int64[Tensor, " windows"],
    mask: Bool[Tensor, "clips candidates"],
    log_scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Multi-way matching: each video window finds its audio among the windows of its clip, and the reverse.

    [Chung19], made symmetric, and with all candidates from the same clip.

    Args:
        video: embeddings, the same number for every clip, clip by clip.
        audio: embeddings of every clip's candidates, padding included, clip by clip.
        target: which of its clip's candidates is the window's own.
        mask: False where a candidate is padding.
        log_scale: log of the inverse temperature.

    Returns:
        The loss.
    """
    clips, candidates = mask.shape
    v = video.view(clips, -1, video.shape[-1])
    a = audio.view(clips, candidates, -1)
    scores = torch.einsum("ckd,csd->cks", v, a) * log_scale.clamp(max=MAX_LOG_SCALE).exp()
    scores = scores.masked_fill(~mask[:, None], torch.finfo(scores.dtype).min)
    own = target.view(clips, -1)
    find_audio = F.cross_entropy(scores.flatten(0, 1), own.flatten())
    # The reverse: each window's audio against the clip's windows. Two draws of the same window are both right.
    back = scores.gather(2, own[:, None].expand(-1, own.shape[1], -1)).transpose(1, 2)
    same = own[:, :, None] == own[:, None]
    share = same / same.sum(dim=2, keepdim=True)
    find_video = -(share * back.log_softmax(dim=2)).sum(dim=2).mean()
    return (find_audio + find_video) / 2
