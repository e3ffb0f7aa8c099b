"""How faces are found and followed: part of the section `extract` of params.yaml."""

from pydantic import Field

from syncnet_lib.settings import Settings


class TrackSettings(Settings):
    """How faces are found and followed; named as in [syncnet_python] (run_pipeline.py) where it has them."""

    min_track: int = Field(15, ge=5)
    """Shortest face track that is kept, frames of 40 ms; the 100 of [syncnet_python] would drop every clip of GRID."""
    num_failed_det: int = Field(25, ge=0)
    """Longest gap without a face that is bridged, frames."""
    min_face_size: int = Field(40, ge=1)
    """Smallest face that is kept, pixels (mean of width and height over the track)."""
    track_iou: float = Field(0.5, gt=0, lt=1)
    """Overlap of a face with itself after a gap, 0-1."""
    crop_scale: float = Field(0.40, ge=0)
    """Margin of the face crop, as a share of the face."""
    shot_threshold: float = Field(27.0, gt=0)
    """Mean change of colour that is a cut, 0-255 (scenedetect's content detector)."""
    detect_every: int = Field(12, ge=1)
    """Frames between two searches of the whole picture for new faces."""
    mesh_every: int = Field(3, ge=1)
    """Frames between two fits of the face mesh; what lies between is interpolated."""
