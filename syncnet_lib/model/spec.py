"""What each network is fed and what it returns."""

from dataclasses import dataclass
from typing import Literal

from syncnet_lib.media.features import WINDOW_FRAMES

ModelName = Literal["small", "paper", "v2"]
Precision = Literal["fp32", "bf16", "int8"]
Asked = Precision | Literal["auto"]
"""A precision, or the one in which the device embeds fastest."""


@dataclass(frozen=True)
class Spec:
    """What a model is fed and what it returns.

    Attributes:
        name: which network.
        crop: which crop of the face it is fed: "mouth", 120x120 gray, or "face", 224x224 RGB.
        stored: side of the square crop that the loader hands over, in pixels; as extracted, or reduced.
        size: side of the crop the network sees; cut at random in training, from the centre otherwise.
        standardise: each window of pixels is standardised (mean 0, deviation 1); otherwise 0..255 as they are.
        embedding: dimensions of an embedding.
        normalise: embeddings have length 1, so that distances lie in [0, 2].
        cepstral_mean: the clip's mean MFCC is subtracted before windows are cut (cepstral mean normalisation): another
            microphone is no asynchrony.
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
    # Just under half the scale of [Chung16], a fifth of its pixels. Strides of 4, 2 and 2 make three cells a side of 48
    # pixels; of 56, which the shipped checkpoint is fed, they computed a seventh that the last pooling left out.
    "small": Spec("small", "mouth", 52, 48, True, 128, normalise=True, cepstral_mean=True, edges="mask"),
    # [Agrawal]: 111x111x5 gray, fc7 of 256 dimensions, plain Euclidean distances.
    "paper": Spec("paper", "mouth", 120, 111, True, 256, normalise=False, cepstral_mean=False, edges="mask"),
    # The released model [syncnet_python: SyncNetModel.py]: the face as it is.
    "v2": Spec("v2", "face", 224, 224, False, 1024, normalise=False, cepstral_mean=False, edges="zero"),
}
