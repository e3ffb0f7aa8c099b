"""The command alone: a wheel of this checkout in an environment of its own, without the workspace."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from syncnet_lib.synthetic import corpus
from syncnet_lib.synthetic.settings import SyntheticSettings
from tests.conftest import ROOT, make_clone

pytestmark = pytest.mark.slow
UV = [sys.executable, "-m", "uv", "--quiet"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the executables of an environment that holds the wheel and what it asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    clone = make_clone(folder / "a clone")
    build = [*UV, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(folder)]
    subprocess.run([*build, str(clone)], check=True)
    subprocess.run([*UV, "venv", "--python", sys.executable, str(folder / "venv")], check=True)
    (wheel,) = folder.glob("*.whl")
    install = [*UV, "pip", "install", "--python", str(folder / "venv"), "--constraint", str(ROOT / "requirements.lock")]
    done = subprocess.run([*install, str(wheel)], capture_output=True, text=True, check=False)
    if "Failed to fetch" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    return folder / "venv" / "bin"


def syncnet(environment: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command of that environment, which must not see this checkout."""
    apart = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(environment / "syncnet"), *arguments]
    return subprocess.run(command, cwd=cwd, env=apart, capture_output=True, text=True, check=False)


def test_the_command_measures_without_the_workspace(environment: Path, tmp_path: Path) -> None:
    installed = subprocess.run(
        [*UV, "pip", "list", "--format", "json", "--python", str(environment / "python")],
        capture_output=True,
        text=True,
        check=True,
    )
    names = {package["name"] for package in json.loads(installed.stdout)}
    assert not names & {"jupyterlab", "dvc", "mlflow", "papermill", "dask"}

    made = SyntheticSettings(clips=2, identities=2, seconds=3.0, noisy_share=0.0)
    corpus.make(tmp_path, made, seed=1, workers=0, progress=False)
    done = syncnet(environment, tmp_path, "offset", *map(str, (tmp_path / "videos").iterdir()), "--json", "-")
    assert done.returncode in (0, 2), done.stderr  # of a made face it need not be sure
    assert ["offset_frames" in json.loads(line) for line in done.stdout.splitlines()] == [True, True]


def test_what_needs_the_workspace_says_how_to_install_it(environment: Path, tmp_path: Path) -> None:
    done = syncnet(environment, tmp_path, "stage", "corpus", "notebooks/01_corpus.ipynb")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert 'pip install "syncnet_lib[workspace]"' in done.stderr
