"""How a model is trained."""

from typing import Literal

from pydantic import Field

from syncnet_lib.model.spec import ModelName
from syncnet_lib.settings import Settings


class TrainSettings(Settings):
    """How a model is trained."""

    model: ModelName = "small"
    loss: Literal["matching", "contrastive"] = "matching"
    margin: float = Field(20.0, gt=0)
    epochs: int = Field(30, ge=1)
    batch_size: int = Field(384, ge=2)
    samples_per_clip: int = Field(24, ge=1)
    validate_every: int = Field(5, ge=1)
    lr: float = Field(2.0e-3, gt=0)
    weight_decay: float = Field(0.02, ge=0)
    schedule: Literal["cosine", "step"] = "cosine"
    grad_clip: float = Field(5.0, ge=0)
    early_stopping: int = Field(0, ge=0)
    augment: bool = True
    blur: float = Field(0.0, ge=0, le=0.7)
    noise: float = Field(0.0, ge=0)
    masks: float = Field(0.0, ge=0)
    loader: Literal["auto", "resident", "mapped", "folder", "folder_persistent"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False
    processes: int | Literal["auto"] = Field("auto")
