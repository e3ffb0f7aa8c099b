"""dvc.yaml: its stages, and the two parts of it that are derived from the code.

A stage depends on the library that decides its result and on the code cells of its notebook. Both lists are written by
`syncnet cells`, and a stage refuses to run while they are stale.
"""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from syncnet_lib import imports
from syncnet_lib.errors import InputError
from syncnet_lib.experiment import config
from syncnet_lib.files import atomic
from syncnet_lib.paths import PIPELINE

FILES = ("dvc.yaml", "studies/dvc.yaml")
"""Files of stages, relative to the project."""

LIBRARY = "syncnet_lib"

EXECUTING = {
    f"experiment.{name}"
    for name in (
        "cli",
        "config",
        "mlflow_log",
        "notebook",
        "outbox",
        "pipeline",
        "provenance",
        "registry",
        "search",
        "space",
        "stages",
        "store",
        "sweep",
    )
}
"""Modules of `experiment` that start notebooks, hand them their parameters and record them, but compute no result."""

DRAWN = {".html", ".png", ".svg"}
"""Outputs that depend on how figures are drawn. The figures of other stages are in no output of DVC."""


def stages(root: Path, file: str = FILES[0]) -> dict[str, Any]:
    """The stages of a dvc.yaml by name.

    Args:
        root: the project.
        file: relative to it.
    """
    return dict(config.load_yaml(root / file).get("stages", {}))


def stage_notebook(name: str, pipeline: Mapping[str, Any]) -> str:
    """The notebook in a stage's `cmd`, relative to the project.

    Raises:
        InputError: no such stage, or its cmd has no notebook.
    """
    words = shlex.split(pipeline.get(name, {}).get("cmd", ""))
    notebooks = [word for word in words if word.startswith("notebooks/") and word.endswith(".ipynb")]
    if len(notebooks) != 1:
        raise InputError(f"dvc.yaml: {name}", "no stage that runs a notebook", "restore it: git checkout dvc.yaml")
    return notebooks[0]


def data_of(stage: Mapping[str, Any], role: str) -> list[Path]:
    """What a stage reads ("deps") or makes ("outs") in the working folder, relative to it."""
    paths = [Path(path) for path in stage.get(role, []) if isinstance(path, str)]
    return [path.relative_to(PIPELINE) for path in paths if path.is_relative_to(PIPELINE)]


def code_cells(notebook: Path) -> dict[str, str]:
    """Code cells of a notebook by their DVC key: {"cells.1.source": "import numpy", ...}.

    Raises:
        InputError: no such file, or not a notebook.
    """
    try:
        cells = enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"])
        # nbformat writes the lines of a cell as a list, but also reads them as one text.
        return {f"cells.{at}.source": "".join(cell["source"]) for at, cell in cells if cell["cell_type"] == "code"}
    except OSError as error:
        raise InputError(notebook, str(error.strerror), "restore it: git checkout") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(notebook, "is not a notebook", "restore it: git checkout") from None


def library(stage: Mapping[str, Any], cells: Mapping[str, str]) -> list[str]:
    """The parts of the library that decide a stage's result, from the transitive imports of its notebook.

    Args:
        stage: its entry in dvc.yaml.
        cells: of `code_cells`.

    Returns:
        Paths relative to the project: a folder for each room that is reached, a file for each module of `experiment`.
        Left out, with what is reached by way of them only: the ground floor, which opens files, starts processes and
        reports errors; the rest of `EXECUTING`; and `plots`, unless a figure or a page is an output of the stage. None
        of these computes a result, and a change in them should not train for an hour.
    """
    draws = any(Path(path).suffix in DRAWN for path in _outputs(stage))
    rooms = {"", *(() if draws else ("plots",))}
    passed_over = {name for name in imports.modules() if name in EXECUTING or imports.room(name) in rooms}
    code = "\n".join(re.sub(r"^[%!].*$", "", cell, flags=re.MULTILINE) for cell in cells.values())
    return sorted({_dep(name) for name in imports.closure(imports.imported(code), passed_over)})


def write_derived(root: Path) -> list[str]:
    """Write what is derived, library and code cells, into every file of stages; comments are kept.

    Args:
        root: the project.

    Returns:
        The files that changed.
    """
    return [file for file in FILES if (root / file).exists() and _write_derived(root, file)]


def check_derived(name: str, root: Path, file: str = FILES[0]) -> None:
    """Refuse a stage that dvc.yaml does not call stale when it is.

    DVC watches the code of a notebook by `params: - notebook.ipynb: [cells.1.source, ...]`, because the file as a whole
    changes whenever somebody opens and saves it.

    Args:
        name: of the stage.
        root: the project.
        file: of stages, relative to it.

    Raises:
        InputError: the listed code cells or library paths are not those of the code.
    """
    pipeline = stages(root, file)
    stage, notebook = pipeline.get(name, {}), stage_notebook(name, pipeline)
    cells = code_cells(root / notebook)
    if _listed_cells(stage, notebook) != list(cells):
        raise InputError(file, f"the code cells of {notebook} are not those of stage {name}", "run: syncnet cells")
    derived = library(stage, cells)
    if [path for path in stage.get("deps", []) if _is_library(path)] != derived:
        cause = f"stage {name} does not depend on the library as its notebook does ({', '.join(derived)})"
        raise InputError(file, cause, "run: syncnet cells")


def taken_away(name: str, root: Path) -> str:
    """The commands that bring back what DVC removed before it ran a stage; "" where nothing is gone, or never was.

    DVC deletes the outputs of a stage before it runs it. Those of the last run are in its cache, the headline in git.

    Args:
        name: of the stage.
        root: the project.
    """
    if not (root / "dvc.lock").exists():
        return ""
    locked = config.load_yaml(root / "dvc.lock").get("stages", {}).get(name, {})
    gone = [out["path"] for out in locked.get("outs", []) if not (root / out["path"]).exists()]
    cached = stages(root)[name].get("outs", [])  # git keeps the metrics and plots
    commands = [f"dvc checkout {name}"] if any(path in cached for path in gone) else []
    if in_git := [path for path in gone if path not in cached]:
        commands.append(" ".join(["git checkout", *in_git]))
    return " && ".join(commands)


def _write_derived(root: Path, file: str) -> bool:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    path = root / file
    before = path.read_text(encoding="utf-8")
    content = yaml.load(before)
    for name, stage in content["stages"].items():
        notebook = stage_notebook(name, content["stages"])
        cells = code_cells(root / notebook)
        if _listed_cells(stage, notebook) != list(cells):
            others = [entry for entry in stage.get("params", []) if not _lists_cells(entry, notebook)]
            stage["params"] = [*others, {notebook: list(cells)}]
        data = [path for path in stage.get("deps", []) if not _is_library(path)]
        if stage.get("deps", []) != [*data, *library(stage, cells)]:
            stage["deps"] = [*data, *library(stage, cells)]
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        yaml.dump(content, stream)
    return path.read_text(encoding="utf-8") != before


def _listed_cells(stage: Mapping[str, Any], notebook: str) -> list[str]:
    return [cell for entry in stage.get("params", []) if _lists_cells(entry, notebook) for cell in entry[notebook]]


def _lists_cells(entry: Any, notebook: str) -> bool:
    return isinstance(entry, Mapping) and notebook in entry


def _outputs(stage: Mapping[str, Any]) -> list[str]:
    """Paths of outs and plots, which may carry options: `path` or `path: {cache: false}`."""
    entries = [*stage.get("outs", []), *stage.get("plots", [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def _is_library(path: str) -> bool:
    return Path(path).is_relative_to(LIBRARY)


def _dep(name: str) -> str:
    """The path that stands for a module among the deps."""
    room = imports.room(name)
    if room != "experiment":
        return f"{LIBRARY}/{room}"
    return imports.modules()[name].relative_to(imports.PACKAGE.parent).as_posix()
