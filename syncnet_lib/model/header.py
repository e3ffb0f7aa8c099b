"""What a checkpoint file says about itself, read without torch and without reading a weight."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from syncnet_lib.errors import InputError
from syncnet_lib.model.scoring import VSHIFT
from syncnet_lib.model.spec import SPECS, Spec

KEY = "syncnet"
"""The entry of the safetensors metadata that holds the header, as JSON."""
PICKLED = (b"PK\x03\x04", b"\x80")
"""How files of torch.save begin: a zip archive, or, before torch 1.6, a bare pickle."""


@dataclass(frozen=True)
class Chance:
    """What a threshold keeps out.

    Attributes:
        quantile: share of the clips with swapped audio that stay below it, 0-1.
        search: frames searched to each side: the more shifts, the lower chance reaches.
    """

    quantile: float
    search: int


@dataclass(frozen=True)
class Threshold:
    """The confidence from which a verdict of a network counts, and how it was found: in a checkpoint, counts as sure.

    Confidence depends on the length of the clip and on the width of the search, so both are part of the threshold.

    Attributes:
        confidence: the threshold itself.
        source: on which data it was measured, or who published it.
        vshift: frames searched to each side.
        windows: windows in a clip of the reference length; None where the source does not say.
        quantile: share of the clips with swapped audio (another clip's) that stay below the threshold; None where it
            was not measured in this way.
        swapped: number of clips with swapped audio that were measured.
        genuine_above: share of the same clips with their own audio that reach the threshold; None where not measured.
    """

    confidence: float
    source: str
    vshift: int = VSHIFT
    windows: int | None = None
    quantile: float | None = None
    swapped: int = 0
    genuine_above: float | None = None

    def needed(self, windows: int) -> float:
        """The confidence from which a clip is sure. The noise of a mean grows as windows get fewer, by the square root.

        Args:
            windows: of the clip. More than the threshold was measured on need no less.
        """
        return self.confidence * max(1.0, ((self.windows or 0) / windows) ** 0.5)


RELEASED_THRESHOLD = Threshold(3.0, "the confidence from which the data pipeline of [LatentSync] keeps a video")
"""Of the released model, whose file has no header. Its search is the reference implementation's, 15 frames."""


@dataclass(frozen=True)
class Header:
    """What a checkpoint says about itself.

    Attributes:
        spec: which network it is, and what that is fed: what a network is fed by default may have been another when
            the file was written.
        about: how it was trained; whatever its writer gave.
        threshold: from which confidence a verdict is sure; None where no threshold is known.
    """

    spec: Spec
    about: dict[str, Any]
    threshold: Threshold | None

    def metadata(self) -> dict[str, str]:
        """The header as safetensors metadata.

        One entry: safetensors writes several in an order that changes from run to run, and so does the file's hash.
        """
        return {KEY: json.dumps(asdict(self), sort_keys=True)}


def read(path: Path) -> Header:
    """Read the header of a checkpoint, and nothing of its weights.

    Args:
        path: a file of `checkpoint.save`, or the released `syncnet_v2.model`; any other pickled file is taken for that
            here, and refused by `checkpoint.load`.

    Returns:
        The header; that of a file written before checkpoints carried thresholds has none.

    Raises:
        InputError: no such file, or a file of another kind.
    """
    if is_pickled(path):
        return Header(SPECS["v2"], {}, RELEASED_THRESHOLD)
    try:
        with safe_open(path, "np") as file:
            content = json.loads((file.metadata() or {})[KEY])
        threshold = content.get("threshold")
        spec = replace(SPECS[content["spec"]["name"]], **content["spec"])
        return Header(spec, content["about"], None if threshold is None else Threshold(**threshold))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"not a SyncNet checkpoint ({error})", "give a file that training wrote") from None


def is_pickled(path: Path) -> bool:
    """Whether a checkpoint is a file of torch.save, as the released one, and not of safetensors.

    Raises:
        InputError: no such file.
    """
    if not path.is_file():
        raise InputError(path, "no such checkpoint", "run `dvc repro train` or give another path")
    with path.open("rb") as file:
        head = file.read(9)
    # A safetensors file begins with its header's length in 8 bytes, which may be any, and the header's brace.
    return head.startswith(PICKLED) and not head.endswith(b"{")
