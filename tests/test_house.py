"""The rules of the house: what keeps the rooms in order, the notebooks thin and the parameters in one place."""

import ast
import re
import shlex
from pathlib import Path

import nbformat
import pytest
from ruamel.yaml import YAML

from syncnet_lib import imports
from syncnet_lib.experiment import config, pipeline
from syncnet_lib.experiment.notebook import parameter_names
from syncnet_lib.experiment.settings import CommonSettings
from tests.conftest import ROOT

# A room imports from those to its left, never from one to its right; the ground floor, "", from itself only.
# `measurement` and `experiment` stand side by side: who has a video needs no DVC, who trains needs no `syncnet offset`.
ROOMS = [
    "",
    "media",
    "faces",
    "model",
    "synthetic",
    "dataset",
    "training",
    "plots",
    "measurement",
    "service",
    "experiment",
]
APART = [{"faces", "model"}, {"measurement", "experiment"}, {"service", "experiment"}]
TOP = {"cli", "served", "__init__", "__main__"}
MODULES = imports.modules()
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
OTHERS = [ROOT / name for name in ("dvc.yaml", "params.yaml", "Makefile", "pyproject.toml", "environment.yml")]
STAGES = [(file, name) for file in pipeline.FILES for name in pipeline.stages(ROOT, file)]
PIPELINE = pipeline.stages(ROOT)
LOOPS = (ast.For, ast.While, ast.AsyncFor)
ABSOLUTE = re.compile(r"""["'\s(=](/(home|root|tmp|work|Users|mnt|data)/|[A-Z]:\\)""")


def code(path: Path) -> list[str]:
    """Sources of a notebook's code cells, without the lines that are IPython's."""
    cells = nbformat.read(path, as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "code"]
    return ["\n".join("" if line.startswith(("%", "!")) else line for line in text.splitlines()) for text in sources]


def top_level(name: str) -> set[str]:
    """Packages that a module imports from outside, anywhere in it."""
    nodes = list(ast.walk(ast.parse(MODULES[name].read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name: str) -> None:
    if name in TOP:
        return
    own = imports.room(name)
    for other in imports.graph()[name]:
        assert other not in TOP, f"{name} imports {other}, which is above everything"
        theirs = imports.room(other)
        assert ROOMS.index(theirs) <= ROOMS.index(own), f"{name} imports {other}, which is above it"
        assert theirs == own or {theirs, own} not in APART, f"{name} imports {other}, which stands beside it"


def test_no_circle() -> None:
    for name in MODULES:
        # A package's __init__ may give what is inside it to the outside.
        below = imports.closure(imports.graph()[name])
        assert name not in below or name == "__init__", f"{name} imports itself by way of others"


@pytest.mark.parametrize("name", MODULES)
def test_heavy_packages_stay_in_their_rooms(name: str) -> None:
    used, own = top_level(name), imports.room(name)
    if own in ("media", "faces"):
        assert not used & {"torch", "torchaudio"}
    if own != "experiment" and name not in TOP:
        assert not used & {"mlflow", "papermill", "dvc"}
    tracking = {"experiment.mlflow_log", "experiment.registry", "experiment.store", "served"}
    assert "mlflow" not in used or name in tracking


@pytest.mark.parametrize("name", MODULES)
def test_library_takes_paths_as_arguments(name: str) -> None:
    if imports.room(name) not in ("measurement", "experiment"):
        assert "paths" not in imports.graph()[name]


@pytest.mark.parametrize("path", [*MODULES.values(), *NOTEBOOKS, *OTHERS], ids=lambda path: path.name)
def test_no_absolute_path(path: Path) -> None:
    assert not ABSOLUTE.search(path.read_text()), "start from ROOT"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_is_short(self, path: Path) -> None:
        cells = nbformat.read(path, as_version=4).cells
        lines = sum(bool(line.strip()) for text in code(path) for line in text.splitlines())
        assert len(cells) <= 25
        assert lines <= 120
        assert cells[0].cell_type == "markdown"
        assert cells[0].source.startswith("# ")

    def test_is_thin(self, path: Path) -> None:
        for node in (node for text in code(path) for node in ast.walk(ast.parse(text))):
            assert not isinstance(node, ast.ClassDef), "a class belongs into the library"
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 8, f"{node.name} belongs into the library"
            if isinstance(node, LOOPS):
                # Writing out a dict of figures is no loop over data.
                over = ast.unparse(node.iter) if isinstance(node, ast.For) else "while"
                assert re.fullmatch(r"\w+\.items\(\)", over), f"a loop over {over} belongs into the library"

    def test_is_kept_without_outputs(self, path: Path) -> None:
        for cell in nbformat.read(path, as_version=4).cells:
            assert cell.id
            if cell.cell_type == "code":
                assert not cell.outputs, "nbstripout --keep-id, or pre-commit install"
                assert cell.execution_count is None

    def test_has_one_parameters_cell(self, path: Path) -> None:
        cells = nbformat.read(path, as_version=4).cells
        assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells) == 1
        names = parameter_names(path)
        assert len(names) == len(set(names))
        (parameters,) = (cell.source for cell in cells if "parameters" in cell.metadata.get("tags", []))
        for line in parameters.splitlines():
            assert re.fullmatch(r"(stage = \"\w+\"|\w+ = .+  # [^=]+)", line), (
                f"{line}: no comment, or one that papermill misreads"
            )


@pytest.mark.parametrize("stage", config.STAGES)
class TestStage:
    def test_runs_its_notebook(self, stage: str) -> None:
        notebook = pipeline.stage_notebook(stage, PIPELINE)
        assert shlex.split(PIPELINE[stage]["cmd"]) == ["python", "-m", "syncnet_lib", "stage", stage, notebook]
        assert (ROOT / notebook).is_file()

    def test_parameters_have_the_same_names_everywhere(self, stage: str) -> None:
        section = config.STAGES[stage]
        own = set(config.SECTIONS[section].model_fields) if section else set()
        common = set(CommonSettings.model_fields)
        assert not own & common
        names = set(parameter_names(ROOT / pipeline.stage_notebook(stage, PIPELINE)))
        assert own | {"stage", "workdir"} <= names <= own | common | {"stage", "workdir"}
        params = [entry for entry in PIPELINE[stage].get("params", []) if isinstance(entry, str)]
        assert (section in params) == bool(section)
        assert ("common.seed" in params) == ("seed" in names)
        assert ({"profile", "profiles"} <= set(params)) == (section in config.PROFILED)


@pytest.mark.parametrize(("file", "stage"), STAGES)
def test_a_stage_depends_on_the_code_that_decides_it(file: str, stage: str) -> None:
    pipeline.check_derived(stage, ROOT, file)


def test_stages_run_in_the_order_of_the_pipeline() -> None:
    assert list(PIPELINE) == list(config.STAGES)


def test_every_parameter_stands_in_params_yaml_with_a_comment() -> None:
    content = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    for section in config.SECTIONS:
        assert set(content[section]) == set(config.SECTIONS[section].model_fields), section
    for number, line in enumerate((ROOT / "params.yaml").read_text().splitlines(), 1):
        if line.strip() and not line.startswith("#") and not re.fullmatch(r"\s*\w+:", line):
            assert re.search(r"\s# \S.*", line), f"params.yaml:{number} has no comment"
