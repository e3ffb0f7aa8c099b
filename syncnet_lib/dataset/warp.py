"""Vocal-tract length warping of a clip's MFCC: another speaker says the same thing at the same moments."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import python_speech_features
import torch
import torchaudio
from jaxtyping import Float32, Int16

from syncnet_lib.media.clock import SAMPLE_RATE
from syncnet_lib.media.features import HOP, MFCC_SPAN

WHOLE = 20
"""Steps in the whole rate: one step is 1/20 of it, 5 %, and changes the hop by a whole number of samples."""


@contextmanager
def one_thread() -> Iterator[None]:
    """What is warped in here takes one thread of torch: a clip is too short to be shared by several, which wait for
    each other, on a busy machine for six times as long as the work takes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def warped_mfcc(samples: Int16[np.ndarray, "samples"], warp: int) -> Float32[np.ndarray, "steps 13"]:
    """MFCC of the sound with pitch and formants moved and the timing kept: resampled, and the hop scaled alike.

    Args:
        samples: 16 kHz mono, 640 a frame.
        warp: steps of 5 % by which pitch and formants are raised (positive) or lowered (negative).

    Returns:
        4 steps a frame.
    """
    # A sound played faster by 20 / (20 - warp) has its steps (20 - warp) / 20 as far apart: a whole number of samples.
    hop = HOP * (WHOLE - warp) // WHOLE
    padded = np.pad(samples, (0, MFCC_SPAN - HOP)).astype(np.float32)
    faster = torchaudio.functional.resample(torch.from_numpy(padded), WHOLE, WHOLE - warp)
    cepstra = python_speech_features.mfcc(
        np.pad(faster.numpy(), (0, MFCC_SPAN)), SAMPLE_RATE, winstep=hop / SAMPLE_RATE
    )
    return cepstra[: len(samples) // HOP].astype(np.float32)
