"""The sections `corpus` and `extract` of params.yaml: which videos, and which clips of them."""

from typing import Literal

from pydantic import Field, field_validator

from syncnet_lib.dataset.speakers import Dataset
from syncnet_lib.faces.settings import TrackSettings
from syncnet_lib.synthetic.settings import SyntheticSettings

GRID_TALKERS = tuple(n for n in range(1, 35) if n != 21)
"""Talkers with video; that of talker 21 was never published."""


class CorpusSettings(SyntheticSettings):
    """Which videos to work on; the settings of the synthetic corpus say how much of it to make."""

    source: Literal["synthetic", "folder", "mixed", "grid", "layout"] = "synthetic"
    """Made here, a folder of videos, both, the public GRID corpus, or a folder of ready-made clips in the exchange
    layout."""
    path: str = "data/videos"
    """Folder for the sources folder, mixed and layout: relative to the project, or absolute."""
    dataset: Dataset = "none"
    """Whose folder layout tells who talks."""
    talkers: list[int] = Field([1, 2, 3], min_length=1)
    """Talkers of GRID, 1-34 without 21."""

    @field_validator("talkers")
    @classmethod
    def _published(cls, talkers: list[int]) -> list[int]:
        if wrong := [n for n in talkers if n not in GRID_TALKERS]:
            raise ValueError(f"GRID has talkers 1 to 34 without 21, not {wrong[0]}")
        return sorted(set(talkers))


class ExtractSettings(TrackSettings):
    """How clips are extracted from videos."""

    crops: Literal["mouth", "face", "both"] = "mouth"
    """Which crops are made: mouth 120x120 gray, face 224x224 colour, or both."""
    audio_track: int = Field(0, ge=0)
    """Which sound track of a video is used, counted from 0."""
    time_limit: float = Field(20.0, gt=0)
    """Longest work on one video, as a multiple of its duration (one minute is always allowed)."""
