"""What of a video is looked at and listened to; needs neither torch nor libav, so that another process can decode."""

from pydantic import Field

from syncnet_lib.faces.settings import TrackSettings


class WatchSettings(TrackSettings):
    """Which part, which sound, and how faces are followed."""

    start: float = Field(0.0, ge=0)
    """Seconds after the first picture from which is measured."""
    end: float = Field(0.0, ge=0)
    """Seconds after the first picture up to which is measured; 0 for the end of the video."""
    sample: str = ""
    """Stretches spread evenly over that, as 6x25s: number, length in seconds; "" for all of it."""
    audio_track: int = Field(0, ge=0)
    """Number of the audio track, from 1; 0 for the one with speech."""
    channel: str = ""
    """Channel of the audio: left, right, centre or libav's name; "" for what `mix.to_mono` chooses."""
    audio: str = ""
    """File with the audio, in place of that of the video; it begins with the first picture."""

    @property
    def whole(self) -> bool:
        """Whether all of a video is looked at."""
        return not (self.start or self.end or self.sample)
