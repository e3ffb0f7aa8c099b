"""Shared by all tests: one thread, real clips where they are, and no trace in the user's MLflow store."""

import gc
import os

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # before numpy and torch are imported: they read it once
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DVC_NO_ANALYTICS"] = "true"
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"

import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import nbval.kernel
import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook
from xdist.scheduler import LoadFileScheduling

import tests.typecheck
from tests.fileserver import Server

sys.modules["jax._src.traceback_util"] = None  # type: ignore[assignment]  # jaxtyping would import all of jax for it
install_import_hook("syncnet_lib", f"{tests.typecheck.__name__}.check")  # before anything of the library is imported

ROOT = Path(__file__).resolve().parents[1]

# A shell starts what goes to the background (`make test &`) with Ctrl-C ignored, and every process under test would
# inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no failure; and what CI says of a commit must be the same the next time.
settings.register_profile(
    "here", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("here")


@pytest.hookimpl(trylast=True)  # when pytest has made its own folder
def pytest_configure(config: pytest.Config) -> None:
    """What the processes under test leave behind, killed on purpose or not, and their runs in MLflow: all of it lies in
    pytest's folder, which goes when every test has passed. In the environment, which kernels inherit as well."""
    base = config._tmp_path_factory.getbasetemp()
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{base / 'mlflow.db'}"
    own = base / "tmp"
    own.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(own)

    if "PYTEST_XDIST_WORKER" not in os.environ and not list(ROOT.glob("tests/*/__pycache__")):
        os.environ[UNCOMPILED] = "1"


UNCOMPILED = "SYNCNET_TESTS_UNCOMPILED"
"""Environment: set by a run of a fresh clone, in which nothing that tests import has been compiled."""


@contextmanager
def _compiled_by_one(base: Path) -> Iterator[None]:
    """In a fresh clone one process collects the tests first, and compiles all that they import: others, which would
    compile the same at the same time, wait for it. What checks the types needs the other processor meanwhile."""
    from syncnet_lib.files import locked

    if UNCOMPILED in os.environ and "PYTEST_XDIST_WORKER" in os.environ:
        done = base.parent / "compiled"
        with locked(base.parent / "compiling.lock"):
            if not done.exists():
                yield
                done.touch()
                return
    yield


_start_kernel = nbval.kernel.start_new_kernel


def _start_kernel_twice(*arguments: object, **options: object) -> object:
    """A kernel takes ports that were found free a second before; where another process was faster it dies at once."""
    try:
        return _start_kernel(*arguments, **options)
    except RuntimeError:
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # what the dead one has open
        gc.collect()
    return _start_kernel(*arguments, **options)


nbval.kernel.start_new_kernel = _start_kernel_twice


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """No search for garbage while all is imported: it stays, and walking through it takes a seventh of the time."""
    gc.disable()
    try:
        with _compiled_by_one(session.config._tmp_path_factory.getbasetemp()):
            return (yield)
    finally:
        gc.freeze()
        gc.enable()


def shared(name: str, what: str) -> Path:
    """A folder beside the checkout; the test is skipped where it is absent, as on a user's machine."""
    folder = ROOT.parent / "shared" / name
    if not folder.is_dir():
        pytest.skip(f"{what} (../shared/{name}) are not on this machine")
    return folder


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """A file's tests stay in one process, and the stages' notebooks, which share data/smoke, are one file in that."""

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "stages" if nodeid.startswith("notebooks/0") else super()._split_scope(nodeid)

    return Files(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A process more than there are processors: a sixth of their time tests wait, for a kernel, a server, a signal."""
    from syncnet_lib import parallel

    return parallel.cores() + 1


SLOW_FIXTURES = {"clone", "project", "talkers", "real_clips"}
"""Fixtures that take so long to make that every test which uses one is slow."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what uses a slow fixture, and every notebook."""
    for item in items:
        if item.path.suffix == ".ipynb" or SLOW_FIXTURES.intersection(item.fixturenames):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def real_clips() -> Path:
    """Real talkers."""
    return shared("clips", "the real clips")


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for what is temporary in a test and the processes that it starts."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of files that may fail, and no waiting between retries."""
    monkeypatch.setattr("syncnet_lib.download.BACK_OFF", 0.0)
    monkeypatch.setenv("NO_PROXY", "*")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with this library, compiled, and no notebooks, in a folder whose name has a space."""
    folder = tmp_path / "a project"
    unused = shutil.ignore_patterns("*.pyc.*", "*.opt-*")  # bytecode half written, and that of the checked annotations
    shutil.copytree(ROOT / "syncnet_lib", folder / "syncnet_lib", ignore=unused)
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "notebooks").mkdir()
    return folder


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """This checkout as git would clone it after a commit of everything: no data, no caches."""
    return make_clone(tmp_path / "a clone")


def wait_for_the_last(folder: Path) -> None:
    """Until no process works in a folder any more: kernels and workers of one that was killed end by themselves."""
    if not Path("/proc/self").exists():
        time.sleep(5)
        return
    until = time.monotonic() + 300
    while any(_works_in(process, folder) for process in Path("/proc").glob("[0-9]*")):
        assert time.monotonic() < until, f"a process in {folder} does not end"
        time.sleep(0.1)


def _works_in(process: Path, folder: Path) -> bool:
    try:
        return Path(os.readlink(process / "cwd")).is_relative_to(folder)
    except OSError:  # it has ended, or is another user's
        return False


def make_clone(folder: Path) -> Path:
    """The same in a given folder."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "clone"]):
        subprocess.run(
            ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", *arguments], cwd=folder, check=True
        )
    return folder


@contextmanager
def made_once(factory: pytest.TempPathFactory, name: str) -> Iterator[tuple[Path, bool]]:
    """A folder that all processes of a run share, and whether it has still to be filled; the others wait for that."""
    from syncnet_lib.files import locked

    own = factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    folder.mkdir(exist_ok=True)
    with locked(folder / ".lock"):
        yield folder, not (folder / ".filled").exists()
        (folder / ".filled").touch()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs, to be copied: making one takes seconds."""
    import mlflow

    with made_once(tmp_path_factory, "store") as (folder, empty):
        if empty:
            mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def talkers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic talkers in sync, `videos/*.mp4` of 3 s, and `model.safetensors`, the shipped network without its
    threshold. Nobody writes into the folder."""
    from syncnet_lib.model import checkpoint
    from syncnet_lib.synthetic import corpus
    from syncnet_lib.synthetic.settings import SyntheticSettings

    with made_once(tmp_path_factory, "talkers") as (folder, empty):
        if empty:
            made = SyntheticSettings(clips=12, identities=8, seconds=3.0, noisy_share=0.0)
            corpus.make(folder, made, seed=1, workers=0, progress=False)
            shipped = checkpoint.load(ROOT / "syncnet_lib" / "weights" / "small.safetensors")
            checkpoint.save(shipped, folder / "model.safetensors")
    return folder


def write_notebook(path: Path, *cells: str) -> None:
    """A notebook of the given cells: markdown where a cell starts with #, else code, the first of it the parameters."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["language_info"] = {"name": "python"}
    for number, source in enumerate(cells):
        if source.startswith("#"):
            notebook.cells.append(nbformat.v4.new_markdown_cell(source, id=f"cell-{number}"))
        else:
            first = all(cell.cell_type == "markdown" for cell in notebook.cells)
            metadata = {"tags": ["parameters"]} if first else {}
            notebook.cells.append(nbformat.v4.new_code_cell(source, id=f"cell-{number}", metadata=metadata))
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
