"""SyncNet research workspace: extraction, pairs, training, refinement and scoring of audio-visual synchronisation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from syncnet_lib.measurement.result import Result


def measure(
    path: str | Path,
    checkpoint: str = "small",
    *,
    vshift: int = 15,
    edges: Literal["mask", "zero"] | None = None,
    cropped: bool = False,
    device: str = "auto",
    progress: bool = False,
) -> Result:
    """Measure the offset between the sound and the lips of a video.

    Args:
        path: any video file; with `cropped` a face crop: a video, or a folder of frames with audio.wav.
        checkpoint: small, base, refined, or a file.
        vshift: frames of 40 ms searched to each side.
        edges: shifts without sound are left out ("mask"), or compared with zeros as the reference does ("zero"); None
            for what the model's published scores do: "mask", but "zero" for the released model.
        cropped: the pictures are one face already.
        device: auto, cpu or cuda.
        progress: show a bar on stderr.

    Returns:
        What `syncnet offset --json` prints; in a notebook a table and a plot.

    Raises:
        InputError: no face, no sound, too short, or not readable; no such checkpoint.
    """
    from syncnet_lib.measurement import analyse, checkpoints, examination

    model, info = checkpoints.load(checkpoint, device)
    return examination.measure(Path(path), model, info, analyse.settings_for(model, vshift, edges, cropped), progress)
