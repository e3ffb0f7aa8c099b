"""A clip to look at and listen to in an executed notebook."""

from pathlib import Path

import numpy as np

from syncnet_lib import files
from syncnet_lib.dataset import clips
from syncnet_lib.media import encode


def video(folder: Path) -> bytes:
    """The mouth crops of a clip with its sound, as MP4.

    Args:
        folder: of the clip.
    """
    clip = clips.load(folder)
    with files.scratch() as temporary:
        path = Path(temporary, "clip.mp4")
        encode.write_video(path, (np.repeat(mouth[:, :, None], 3, axis=2) for mouth in clip.mouth), clip.samples)
        return path.read_bytes()
