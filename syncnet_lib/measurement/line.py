"""An offset that grows evenly, as that of sound at another speed."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from syncnet_lib.measurement.result import Drift
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.features import WINDOW_FRAMES

MILLION = 1_000_000


@dataclass(frozen=True)
class Line:
    """Offsets along a video.

    Attributes:
        start: offset at the first picture, frames; above 0 the sound is ahead.
        rate: by which it grows, frames a frame.
    """

    start: float
    rate: float

    @classmethod
    def of(cls, drift: Drift) -> "Line":
        """That of a result."""
        rate = drift.ppm / MILLION
        return cls(drift.start_frames - rate * drift.start_s * FPS, rate)

    def at(self, frames: Int[np.ndarray, " n"] | Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Offsets of the windows that begin with these frames, in the middle of each: where lips and sound of another
        speed are compared with each other, both halves of a window are off by as much to either side."""
        return self.start + self.rate * (np.asarray(frames, np.float64) + WINDOW_FRAMES / 2)

    def drift(self, start_s: float, end_s: float, low: float, high: float) -> Drift:
        """As a result has it.

        Args:
            start_s, end_s: stretch that it was fitted to, seconds.
            low, high: ends of the 95 % interval of `rate`.
        """
        begin, end = (self.start + self.rate * seconds * FPS for seconds in (start_s, end_s))
        return Drift(
            frames_per_minute=60 * FPS * self.rate,
            ppm=self.rate * MILLION,
            ppm_low=low * MILLION,
            ppm_high=high * MILLION,
            start_s=start_s,
            end_s=end_s,
            start_frames=begin,
            end_frames=end,
        )
