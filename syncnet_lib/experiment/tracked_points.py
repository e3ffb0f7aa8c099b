"""The points of a study in the record: one run a point in MLflow, nested under the study's."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from syncnet_lib.experiment import mlflow_log
from syncnet_lib.experiment.points import Settings, Study

EXPERIMENT = f"{mlflow_log.EXPERIMENT}-studies"
"""The experiment of the studies' runs."""
Found = list[tuple[Settings, dict[str, Any]]]


def gather(study: Study, points: Sequence[Settings], device: str, jobs: int, root: Path, compute: bool = True) -> Found:
    """The figures of points, each logged.

    Args:
        study: whose.
        points: their settings.
        device: where to compute.
        jobs: processes.
        root: the project.
        compute: those that are missing; else only those on disk are gathered.
    """
    if not compute:
        points = [settings for settings in points if study.path(settings).is_file()]
    found = []
    with mlflow_log.start(study.name, {"points": len(points), "device": device}, root, experiment=EXPERIMENT) as parent:
        for settings, figures, computed in study.compute(points, device, jobs):
            found.append((settings, figures))
            tags = {"mlflow.parentRunId": parent.id, "computed": str(computed).lower()}
            with mlflow_log.start(f"{study.name}-point", settings, root, experiment=EXPERIMENT, tags=tags) as run:
                run.numbers(_scalars(figures))
    return found


def _scalars(figures: Mapping[str, Any]) -> dict[str, Any]:
    """What of a point's figures a record holds: numbers, and the means of lists of numbers."""
    kept: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            kept[name] = _scalars(value)
        elif isinstance(value, int | float):
            kept[name] = value
        elif isinstance(value, list) and value and all(isinstance(each, int | float) for each in value):
            kept[name] = sum(value) / len(value)
        elif isinstance(value, list) and value and isinstance(value[-1], Mapping):
            kept |= {f"{name}/{key}": each for key, each in _scalars(value[-1]).items()}
    return kept
