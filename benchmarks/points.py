"""Compute the points of the studies on the machine at hand, a GPU for instance; the studies find the files.

    python -m benchmarks.points CORPORA POINTS --device cuda --jobs 8

CORPORA holds the packed corpora (`experiment/corpora.py`), POINTS gets a small JSON file a point. An interrupted run
goes on. Put beside those of this machine (data/study/points) the files are found by `dvc repro studies/dvc.yaml`.
"""

import importlib.util
import sys
import time
import types
import warnings
from pathlib import Path
from typing import Annotated

import torch
import typer


class _Nothing(type):
    """A class of which every attribute is again such a class: enough for the imports of what is never called."""

    def __getattr__(cls, name: str) -> "_Nothing":
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing(name, (), {})


def _stand_in(name: str) -> None:
    """A package that decodes or computes MFCC, where it is not installed: packed data need neither."""
    module = types.ModuleType(name)
    module.__path__ = []
    module.__getattr__ = lambda attribute: getattr(_Nothing(name, (), {}), attribute)  # type: ignore[method-assign]
    sys.modules[name] = module


def main(
    corpora: Annotated[Path, typer.Argument(help="folder of the packed corpora")],
    points: Annotated[Path, typer.Argument(help="folder that gets a JSON file a point")],
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
    jobs: Annotated[int, typer.Option(help="processes that share the device")] = 8,
    only: Annotated[str, typer.Option(help="refine, loss or talkers; all by default")] = "",
    limit: Annotated[int, typer.Option(help="so many points of each study at most; 0 for all")] = 0,
) -> None:
    """Compute the points that are not there yet."""
    warnings.simplefilter("ignore", UserWarning)
    from syncnet_lib.experiment import loss_study, refine_study, talkers_study

    for module in (refine_study, loss_study, talkers_study):
        study = module.study(corpora, points)
        if only in ("", study.name):
            begin = time.perf_counter()
            chosen = module.POINTS[:limit] if limit else module.POINTS
            new = sum(computed for _, _, computed in study.compute(chosen, device, jobs))
            print(
                f"{study.name}: {len(chosen)} points, {new} computed in {time.perf_counter() - begin:.0f} s", flush=True
            )


# At import, because processes that are started anew import this file first.
for _package, _modules in {
    "av": (
        "error",
        "filter",
        "stream",
        "container",
        "audio",
        "audio.stream",
        "video",
        "video.stream",
        "video.reformatter",
    ),
    "python_speech_features": (),
    "torchaudio": (),
}.items():
    if importlib.util.find_spec(_package) is None:
        for _name in (_package, *(f"{_package}.{_module}" for _module in _modules)):
            _stand_in(_name)

if __name__ == "__main__":
    typer.run(main)
