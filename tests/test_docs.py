"""The documents say what is there: drawings are current, keys and links resolve, versions agree."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from docs import draw
from tests.conftest import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SOURCES = [*(ROOT / "syncnet_lib").rglob("*.py"), *ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("benchmarks/*.py")]
REFERENCES = set(re.findall(r"^\*\*\[([^]]+)\]\*\*", (ROOT / "docs" / "references.md").read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", draw.PICTURES)
def test_drawings_are_current(name: str) -> None:
    drawn = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert drawn == draw.PICTURES[name](), "run: python docs/draw.py"


def test_no_circle_can_be_drawn() -> None:
    with pytest.raises(ValueError, match="a, b"):
        draw.levels({"": set(), "a": {"", "b"}, "b": {"a"}})


@pytest.mark.parametrize("path", [*DOCUMENTS, *SOURCES], ids=lambda path: path.stem)
def test_citations_resolve(path: Path) -> None:
    """A key is a surname with its year, or one of those that the references define."""
    found = set(re.findall(r"\[([A-Z][a-z]+\d\d)\](?!\()", path.read_text(encoding="utf-8")))
    assert found <= REFERENCES


def test_every_reference_is_cited() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in [*DOCUMENTS, *SOURCES] if path.stem != "references")
    uncited = {key for key in REFERENCES if f"[{key}]" not in text}
    assert not uncited


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (path.parent / target).exists(), target


def test_versions_agree() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == version
    changes = re.findall(r"^## (\S+)(?: - (\S+))?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert changes[0] == ("Unreleased", "")
    assert changes[1] == (version, str(citation["date-released"]))


def test_the_workflow_runs_what_ci_runs() -> None:
    (job,) = YAML(typ="safe").load((ROOT / ".github" / "workflows" / "test.yml").read_text())["jobs"].values()
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12"]


def test_the_tree_of_the_readme_is_that_of_the_project() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = readme.partition("## What is where\n\n```\n")[2].partition("```")[0]
    shown = [line.split()[0] for line in tree.splitlines()]
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {f"{name.partition('/')[0]}/" for name in listed.splitlines() if "/" in name and not name.startswith(".")}
    assert {name for name in shown if name.endswith("/")} == folders
    assert all((ROOT / name).exists() for name in shown)
