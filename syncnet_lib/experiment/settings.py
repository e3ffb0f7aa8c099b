"""The sections `common` and `evaluate` of params.yaml."""

from typing import Literal

from pydantic import Field

from syncnet_lib.model import scoring
from syncnet_lib.settings import Settings


class CommonSettings(Settings):
    """What every stage may use."""

    seed: int = Field(0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int | Literal["auto"] = "auto"
    scheduler: str = ""


class EvaluateSettings(Settings):
    """What the evaluation searches, and which further videos it measures."""

    vshift: int = Field(scoring.VSHIFT, ge=1)
    extra_path: str = "data/extra"
