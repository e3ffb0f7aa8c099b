"""The points of a study: each is one plain call, and its figures are kept as one small JSON file.

A point is named by its settings and by a digest of the code and the data that it was made from, so a study goes on
where it was interrupted, and points computed on another machine are found when their files are put beside the others.
"""

import hashlib
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from syncnet_lib import files, imports
from syncnet_lib.errors import InputError

PASSED_OVER = ("", "media", "faces")
"""Rooms whose code does not key a point: packed data are decoded already, and the ground floor computes nothing."""

Settings = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """What the points of a study share.

    Attributes:
        name: of the study.
        function: computes the figures of a point, picklable: called with the folder of the corpora, the name of the
            device, and the point's settings by name.
        module: of the library in which the function is.
        corpora: folder of the corpora.
        folder: of the points.
    """

    name: str
    function: Callable[..., dict[str, Any]]
    module: str
    corpora: Path
    folder: Path

    def path(self, settings: Mapping[str, Any]) -> Path:
        """The file of a point.

        Raises:
            InputError: its corpus is not there.
        """
        corpus = self.corpora / f"{settings['corpus']}.npz"
        if not corpus.is_file():
            raise InputError(corpus, "no such corpus", "pack it: see experiment/corpora.py")
        passed_over = {name for name in imports.modules() if imports.room(name) in PASSED_OVER}
        made_from = [imports.digest([self.module], passed_over), files.sha256(corpus, corpus.with_suffix(".mp4"))]
        text = json.dumps([*made_from, settings], sort_keys=True)
        words = "-".join(str(value) for value in settings.values())
        return self.folder / self.name / f"{words}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"

    def compute(
        self, points: Sequence[Settings], device: str, jobs: int
    ) -> Iterator[tuple[Settings, dict[str, Any], bool]]:
        """Compute what is not there yet; finished points stay whatever happens to others.

        Args:
            points: the settings of each.
            device: e.g. "cpu" or "cuda".
            jobs: processes.

        Yields:
            The settings of a point, its figures, and whether they were computed now; first those that were there.

        Raises:
            Exception: the first that a point raised, when all others are done.
        """
        paths = [self.path(settings) for settings in points]
        todo = []
        for settings, path in zip(points, paths, strict=True):
            if path.is_file():
                yield settings, json.loads(path.read_text())["figures"], False
            else:
                todo.append((settings, path))
        failed: Exception | None = None
        with ProcessPoolExecutor(max(1, jobs), multiprocessing.get_context("spawn")) as pool:
            running = {
                pool.submit(_compute, self.function, self.corpora, device, settings, path): settings
                for settings, path in todo
            }
            for done in tqdm(as_completed(running), self.name, len(running), unit="point", disable=not todo):
                if error := done.exception():
                    failed = failed or Exception(f"{self.name} {running[done]}: {error}")
                else:
                    yield running[done], done.result(), True
        if failed:
            raise failed


def _compute(
    function: Callable[..., dict[str, Any]], corpora: Path, device: str, settings: Settings, path: Path
) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1 if device == "cpu" else 2)
    begin = time.perf_counter()
    figures = function(corpora, device, **settings)
    seconds = round(time.perf_counter() - begin, 1)
    files.write_json(path, {"settings": settings, "figures": figures, "seconds": seconds, "device": device})
    return figures
