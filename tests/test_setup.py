"""The environment: what is declared, what is locked, what is imported, and the Makefile that installs it."""

import ast
import itertools
import json
import os
import re
import shlex
import socket
import stat
import subprocess
import sys
import sysconfig
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from jaxtyping import TypeCheckError
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from syncnet_lib import files
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()


def locked() -> dict[str, list[str]]:
    """Package -> versions of requirements.lock; more than one where the Python version decides."""
    versions: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", LOCK, re.MULTILINE):
        versions.setdefault(canonicalize_name(name), []).append(version)
    return versions


def declared(*groups: str) -> list[Requirement]:
    """What the command and its extras need, and these groups of what developing needs."""
    project = PROJECT["project"]
    texts = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    texts += itertools.chain(*(PROJECT["dependency-groups"][group] for group in groups))
    return [Requirement(text) for text in texts]


def test_every_declared_package_is_locked_as_declared() -> None:
    versions = locked()
    for requirement in declared("dev"):
        found = versions.get(canonicalize_name(requirement.name), [])
        assert found, f"{requirement.name} is not in requirements.lock: make lock"
        assert all(requirement.specifier.contains(version) for version in found), requirement


def test_every_locked_package_has_hashes_and_parses() -> None:
    entries = re.split(r"\n(?=[A-Za-z0-9])", LOCK.split("\n", 2)[2])
    assert len(entries) > 100
    for entry in entries:
        assert "--hash=sha256:" in entry, entry[:80]
        assert Requirement(entry.split("\\")[0].strip()).name
    assert "make lock" in LOCK.splitlines()[1]
    assert "--index-url" not in LOCK


def test_this_environment_is_the_locked_one() -> None:
    for match in re.finditer(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)(?: ; ([^\\]+?))? \\$", LOCK, re.MULTILINE):
        name, version, marker = match.groups()
        if marker is None or Marker(marker).evaluate():
            assert metadata.version(name) == version


def test_conda_installs_the_same() -> None:
    environment = YAML(typ="safe").load((ROOT / "environment.yml").read_text())
    python = next(text for text in environment["dependencies"] if isinstance(text, str) and text.startswith("python"))
    assert python.removeprefix("python ") == PROJECT["project"]["requires-python"]
    assert environment["dependencies"][-1] == {"pip": ["-r requirements.lock"]}


def test_every_import_is_declared() -> None:
    providers = metadata.packages_distributions()
    runtime = {canonicalize_name(each) for needed in declared() for each in (needed.name, *needed.extras)}
    testing = {canonicalize_name(requirement.name) for requirement in declared("dev")}
    runtime.add("protobuf")  # mediapipe's own interface is made of it
    for folder, allowed in (("syncnet_lib", runtime), ("benchmarks", runtime | testing), ("tests", runtime | testing)):
        own = {"syncnet_lib", "benchmarks", "docs", "tests"}
        for path in (ROOT / folder).rglob("*.py"):
            for name in imported(path.read_text()) - own - set(sys.stdlib_module_names):
                distributions = {canonicalize_name(each) for each in providers.get(name, [])}
                assert distributions & allowed, f"{path.name} imports {name}: declare it in pyproject.toml"


def imported(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def make(folder: Path, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}" if path else os.environ["PATH"]}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_help_is_the_default_and_names_every_target() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert targets
    for shown in (make(ROOT), make(ROOT, "help")):
        assert shown.returncode == 0
        assert [line.split()[0] for line in shown.stdout.splitlines()] == targets[1].split()
    assert {"help", "repro", "test", "test-fast", "lab", "explore", "ui", "exps", "lint", "bench", "lock"} == set(
        targets[1].split()
    )


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout with a lock and no environment, and commands that only say that they were called."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / "requirements.lock").write_text("uv==1.2.3 \\\n    --hash=sha256:00\n")
    script = (
        '#!/bin/sh\necho "$@" >> "$LOG"\n'
        'case "$*" in\n'
        '  "-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python;;\n'
        "  *version_info*) exit ${OLD:-0};;\n"
        '  *"pip sync"*) exit ${BROKEN:-0};;\n'
        "esac\n"
    )
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "python3"
    fake.write_text(script)
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    return folder


def calls(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, list[str]]:
    log = folder.parent / "log"
    log.unlink(missing_ok=True)
    for name, value in {"LOG": str(log), "OLD": "0", "BROKEN": "0", **environment}.items():
        os.environ[name] = value
    try:
        done = make(folder, *arguments, path=str(folder.parent / "bin"))
    finally:
        for name in ("LOG", "OLD", "BROKEN"):
            os.environ.pop(name, None)
    return done.returncode, done.stderr, log.read_text().splitlines() if log.exists() else []


def test_environment_is_made_once_and_again_when_the_lock_is_newer(bare: Path) -> None:
    code, err, first = calls(bare, "lint")
    assert (code, err) == (0, "")
    assert first[1] == "-m venv .venv"
    assert first[2].endswith("uv==1.2.3"), "the locked uv"
    assert "pip sync" in first[3]
    assert "--require-hashes requirements.lock" in first[3]
    assert "--no-deps --no-build-isolation --editable ." in first[4]
    assert [call for call in calls(bare, "lint")[2] if "venv" in call and "-m venv" in call] == []
    newer = (bare / ".venv" / ".ready").stat().st_mtime + 10
    os.utime(bare / "requirements.lock", (newer, newer))
    kept = bare / ".venv" / "kept"
    kept.touch()
    assert "-m venv .venv" in calls(bare, "lint")[2]
    assert kept.exists(), "brought up to date in place"


def test_half_an_installation_is_done_again(bare: Path) -> None:
    code, _, _ = calls(bare, "lint", BROKEN="1")
    assert code != 0
    assert not (bare / ".venv" / ".ready").exists()
    left = bare / ".venv" / "half a package"
    left.touch()
    code, _, again = calls(bare, "lint")
    assert code == 0
    assert "-m venv .venv" in again
    assert not left.exists()


def test_wrong_python_is_one_line(bare: Path) -> None:
    code, err, _ = calls(bare, "lint", OLD="1")
    assert code != 0
    assert err.splitlines()[0].startswith("error: Python 3.11 or 3.12 is needed")
    assert not (bare / ".venv").exists()


def test_a_folder_without_git_is_told_before_anything_is_installed(bare: Path) -> None:
    code, err, called = calls(bare, "repro")
    assert code != 0
    assert called == []
    assert err.splitlines()[0].startswith(f"error: {bare}: not a git repository")
    cure = (
        err.splitlines()[0].partition("run: ")[2].replace("git commit", "git -c user.name=a -c user.email=a@b commit")
    )
    subprocess.run(cure, shell=True, cwd=bare, check=True)
    code, err, called = calls(bare, "repro")
    assert (code, err) == (0, "")
    assert "-m dvc repro" in called


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives a folder to another user")
def test_a_folder_of_another_user_is_told_with_its_cure(bare: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=bare, check=True)
    for path in (bare, bare / ".git"):
        os.chown(path, 12345, 12345)
    code, err, called = calls(bare, "repro")
    assert code != 0
    assert called == []
    assert err.splitlines()[0].endswith(f"run: git config --global --add safe.directory '{bare}'")


def test_a_taken_port_is_told_with_a_free_one(bare: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code, err, called = calls(bare, "ui", f"PYTHON={sys.executable}", f"PORT={port}")
    assert code != 0
    assert called == []
    assert err.splitlines()[0] == f"error: port {port} is taken; run: make ui PORT={port + 1}"


def test_a_user_without_a_name_gets_one() -> None:
    """DVC asks for the user's name, and a container's user may have none."""
    if not Path(sysconfig.get_path("purelib"), "user.pth").exists():
        pytest.skip("this environment was not made by make")
    code = """
import getpass, pwd
def unknown(uid): raise KeyError(uid)
pwd.getpwuid = unknown
print(getpass.getuser())
"""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("USER", "LOGNAME", "LNAME", "USERNAME")
    }
    asked = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == str(os.getuid())


def test_every_check_is_part_of_the_tests(bare: Path) -> None:
    code, _, called = calls(bare, "test")
    assert code == 0
    checks = [call.split()[1] for call in called[-4:]]
    assert checks[:2] == ["ruff", "ruff"]
    assert set(checks[2:]) == {"mypy", "pytest"}, "side by side"


def test_ci_runs_the_tests_and_keeps_their_exit_code(bare: Path) -> None:
    (bare / ".ci").mkdir()
    (bare / ".ci" / "run").write_bytes((ROOT / ".ci" / "run").read_bytes())
    for code in (0, 3):
        (bare / "Makefile").write_text(f"test:\n\t@echo '=== 7 passed in 1.23s ==='; echo later; exit {code}\n")
        done = subprocess.run(["bash", ".ci/run"], cwd=bare, capture_output=True, text=True, check=False)
        assert done.stdout.splitlines()[-1] == "=== 7 passed in 1.23s ==="
        assert (done.returncode == 0) == (code == 0)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_hooks_need_no_network() -> None:
    hooks = YAML(typ="safe").load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in hooks["repos"]] == ["local"]
    entries = [hook["entry"] for repository in hooks["repos"] for hook in repository["hooks"]]
    assert all(entry.startswith(".venv/bin/python -m ") for entry in entries)
    assert any("nbstripout --keep-id" in entry for entry in entries)


def test_annotations_are_checked_in_a_test_run() -> None:
    name: Any = "no path"
    with pytest.raises(TypeCheckError, match="path"):
        files.sha256(name)


def test_dvc_is_ready_and_silent() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "dvc", "config", "--list"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "core.analytics=false" in shown.lower()
    assert "cache.type=reflink,copy" in shown


def test_settings_of_jupyterlab_are_settings_it_has() -> None:
    overrides = json.loads((ROOT / "docs" / "jupyter" / "lab" / "overrides.json").read_text())
    for plugin, settings in overrides.items():
        package, _, name = plugin.partition(":")
        schema = Path(sys.prefix) / "share" / "jupyter" / "lab" / "schemas" / package / f"{name}.json"
        assert set(settings) <= set(json.loads(schema.read_text())["properties"])


def test_the_image_is_made_of_what_is_here() -> None:
    """There is no Docker where tests run: what its file names is there, and is let in by .dockerignore."""
    text = (ROOT / "Dockerfile").read_text()
    steps = [line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    copied = [name for step, rest in steps if step == "COPY" for name in shlex.split(rest)[:-1]]
    let_in = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    assert set(copied) == let_in
    assert all((ROOT / name).exists() for name in copied)
    before: set[str] = set()
    for step, rest in steps:
        if step == "COPY":
            before |= set(shlex.split(rest)[:-1])
        named = {name for name in copied if step == "RUN" and name in rest}
        assert named <= before, rest
    for expression in re.findall(r"\$\((sed .*?lock)\)", text):
        shown = subprocess.run(expression, shell=True, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert re.fullmatch(r"(uv|torch)==[\d.]+\n", shown)
    users = [rest for step, rest in steps if step == "USER"]
    assert users == ["syncnet"]
    (entry,) = (json.loads(rest) for step, rest in steps if step == "ENTRYPOINT")
    assert [entry[0], *entry[2:]] == [*PROJECT["project"]["scripts"], "--host", "0.0.0.0"]
    extras = re.findall(r"--extra (\w+)", text)
    assert set(extras) <= set(PROJECT["project"]["optional-dependencies"])


def test_bytecode_is_kept_whatever_the_shell_says_and_searched_for_garbage_rarely() -> None:
    """Else every start of `syncnet` compiles what it imports, longer than a short video takes to measure; and a fifth
    of a kernel's start and end is a search for garbage in what it has imported."""
    if not Path(sysconfig.get_path("purelib"), "user.pth").exists():
        pytest.skip("this environment was not made by make")
    code = "import gc, sys; sys.exit(sys.dont_write_bytecode or gc.get_threshold()[2] < 100)"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, check=True)
