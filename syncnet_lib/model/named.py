"""Checkpoints by name or by file: those that come with the package, and those that a pipeline trained."""

from pathlib import Path

from syncnet_lib.errors import InputError

SHIPPED = Path(__file__).parents[1] / "weights"
"""Checkpoints that come with the package, by the names of their files."""
TRAINED = ("base", "refined")
"""Checkpoints of the pipeline, where it has been run."""


def find(name: str, models: Path) -> Path:
    """The file of a checkpoint.

    Args:
        name: of a shipped one or of one that the pipeline trained, or a file.
        models: folder of the pipeline's models; it need not be there.

    Raises:
        InputError: neither.
    """
    known = {path.stem: path for path in sorted(SHIPPED.glob("*.safetensors"))}
    known |= {trained: models / trained / "model.safetensors" for trained in TRAINED}
    there = {known_as: path for known_as, path in known.items() if path.is_file()}
    if name in there:
        return there[name]
    if Path(name).is_file():
        return Path(name)
    cause = "is a folder" if Path(name).is_dir() else "no such checkpoint"
    raise InputError(name, cause, f"use {', '.join(there)} or a file" if there else "give a file")
