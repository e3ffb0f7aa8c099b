"""How much of the synthetic corpus to make: part of the section `corpus` of params.yaml."""

from pydantic import Field

from syncnet_lib.settings import Settings


class SyntheticSettings(Settings):
    """How much of the synthetic corpus to make."""

    clips: int = Field(250, ge=1, le=100_000)
    """Videos to make."""
    identities: int = Field(50, ge=2, le=10_000)
    """Different people, each with a face and a voice."""
    seconds: float = Field(3.0, ge=1.0, le=60.0)
    """Length of each video, seconds."""
    noisy_share: float = Field(0.2, ge=0.0, lt=1.0)
    """Share of the videos made wrong, 0-1: half dubbed with another's audio, half with shifted audio."""
    portraits: str = "builtin"
    """Faces: builtin, a folder of portrait photographs, who then are as many people at most, or london, which downloads
    102 people."""
    voices: str = "espeak"
    """Voices: espeak, or a folder of recorded speech with phone times."""
