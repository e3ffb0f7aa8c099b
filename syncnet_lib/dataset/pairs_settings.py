"""The section `pairs` of params.yaml, apart from the others: what is trained on is not made anew when those change."""

from pydantic import Field

from syncnet_lib.settings import Settings


class PairsSettings(Settings):
    """How clips become the three splits."""

    train_share: float = Field(0.64, gt=0, lt=1)
    """Share of the clips for training, 0-1; [Agrawal] 0.8."""
    val_share: float = Field(0.08, gt=0, lt=1)
    """Share of the clips for validation, 0-1 ([Agrawal] 0.1); the test split takes the rest, 70 clips of the default
    corpus."""
    warps: list[int] = Field([0, -2, -1, 1, 2], min_length=1)
    """Versions of the audio, each by the steps of 5 % by which pitch and formants are moved; 0, as it is, first."""
