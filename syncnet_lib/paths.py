"""Where the project is: the only module that knows."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The checkout: every path of a notebook or a stage starts here, whatever the working directory."""
PIPELINE = "data"
"""The working folder of `dvc repro`; a notebook run by hand works in another one and leaves this one alone."""


def reports(workdir: str) -> Path:
    """Folder of metrics and figures: `reports` for the pipeline, a folder inside `workdir` for a run by hand."""
    return ROOT / "reports" if is_pipeline(workdir) else ROOT / workdir / "reports"


def is_pipeline(workdir: str | Path) -> bool:
    """Whether this working folder is the one whose contents DVC owns."""
    return (ROOT / workdir).resolve() == (ROOT / PIPELINE).resolve()
