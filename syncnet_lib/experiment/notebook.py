"""A notebook executed by papermill, and the executed copy that is kept."""

import ast
import contextlib
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from syncnet_lib.errors import InputError
from syncnet_lib.files import remove, write_aside
from syncnet_lib.paths import ROOT


class NotebookError(Exception):
    """A notebook stopped with an exception that is not the user's fault; str() is its traceback."""


def execute(stage: str, notebook: Path, parameters: Mapping[str, Any], copy: Path) -> None:
    """Execute a notebook in a kernel of its own and keep the executed copy.

    What the notebook prints goes to stdout and stderr as it comes, after each heading of the notebook.

    Args:
        stage: its name in the progress lines.
        notebook: the notebook; it is not changed. The kernel starts in its folder.
        parameters: names of the parameters cell to plain values; they win over the cell's own.
        copy: where the executed notebook goes, whole or not at all. It holds no time stamp and no absolute path, so
            that the same outputs give the same file. After a failure the copy is `copy` with the suffix .failed.ipynb.

    Raises:
        InputError: raised in the notebook, by any depth of library.
        NotebookError: any other exception, or a kernel that died.
    """
    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.exceptions import PapermillExecutionError

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
            start_cell = nb_man.cell_start

            def cell_start(cell: Any, cell_index: int, **rest: Any) -> None:
                heading = re.match(r"#+\s+(.*)", cell.source) if cell.cell_type == "markdown" else None
                if heading:
                    print(f"[{stage} {cell_index + 1}/{len(nb_man.nb.cells)}] {heading[1]}", flush=True)
                start_cell(cell, cell_index, **rest)

            nb_man.cell_start = cell_start
            return super().execute_managed_notebook(nb_man, kernel_name, **options)

    # A kernel that ends with an error may close its channels under a callback, and tornado then logs a traceback of its
    # own; what matters arrives as an exception.
    logging.getLogger("tornado").setLevel(logging.CRITICAL)
    papermill_engines.register("syncnet", Engine)
    failed = copy.with_suffix(".failed.ipynb")
    remove(failed)
    with tempfile.TemporaryDirectory(prefix="syncnet-") as folder:
        draft = Path(folder) / "draft.ipynb"
        try:
            with _kernel_environment():
                papermill.execute_notebook(
                    nbformat.read(notebook, as_version=4),
                    draft,
                    dict(parameters),
                    engine_name="syncnet",
                    kernel_name="python3",
                    progress_bar=False,
                    stdout_file=sys.stdout,
                    stderr_file=sys.stderr,
                    cwd=notebook.parent,
                    # A kernel warns at every start that it speaks plain TCP to this machine; what matters is raised.
                    extra_arguments=["--log-level=50"],
                )
        except PapermillExecutionError as error:
            if error.ename == InputError.__name__:
                raise raised_inside(error.evalue) from None
            _keep(draft, failed)
            trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
            raise NotebookError(f"{trace}\nThe executed notebook: {failed}") from None
        except DeadKernelError:
            _keep(draft, failed)
            cause = "the kernel died, most often for lack of memory"
            raise NotebookError(f"{notebook}: {cause}\nThe executed notebook: {failed}") from None
        _keep(draft, copy)


def code_cells(notebook: Path) -> dict[str, str]:
    """Code cells of a notebook by their DVC key: {"cells.1.source": "import numpy", ...}."""
    try:
        cells = enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"])
        # nbformat writes the lines of a cell as a list, but also reads them as one text.
        return {f"cells.{at}.source": "".join(cell["source"]) for at, cell in cells if cell["cell_type"] == "code"}
    except OSError as error:
        raise InputError(notebook, str(error.strerror), "restore the notebook") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(notebook, "is not a notebook", "restore it, e.g. with git checkout") from None


def raised_inside(line: str) -> InputError:
    """The InputError behind its one-line text "where: cause; cure"; where may hold a colon of its own."""
    where, _, rest = line.partition(": ")
    cause, _, cure = rest.partition("; ")
    return InputError(where, cause, cure)


@contextlib.contextmanager
def _kernel_environment() -> Iterator[None]:
    """What a kernel and its workers inherit: this checkout's library first, not one that is merely installed."""
    before = dict(os.environ)
    search = [str(ROOT), *filter(None, [before.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(search)
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # a kernel warns of its debugger, which is not in use
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _keep(draft: Path, path: Path) -> None:
    """Put an executed notebook in its place, without what differs from one execution to the next."""
    import nbformat

    notebook = nbformat.read(draft, as_version=4)
    parameters = notebook.metadata.get("papermill", {}).get("parameters", {})
    notebook.metadata["papermill"] = {"parameters": parameters}
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell["id"] = "injected-parameters"
        if cell.cell_type == "code":
            cell.outputs = _last_lines(cell.outputs)
    text = nbformat.writes(notebook)
    root = json.dumps(str(ROOT), ensure_ascii=False)[1:-1]
    text = text.replace(f"{root}/", "").replace(root, ".")
    with write_aside(path) as aside:
        aside.write_text(text + "\n", encoding="utf-8")


def _last_lines(outputs: Sequence[Any]) -> list[Any]:
    """Outputs of a cell with a stream's pieces in one, and of a line that was rewritten, by a progress bar, the last
    state only."""
    joined: list[Any] = []
    for output in outputs:
        before = joined[-1] if joined else None
        if before is not None and output.output_type == before.output_type == "stream" and output.name == before.name:
            before.text += output.text
        else:
            joined.append(output)
    for output in joined:
        if output.output_type == "stream":
            output.text = re.sub(r"[^\n]*\r(?!\n)", "", output.text)
    return joined


def parameter_names(notebook: Path) -> list[str]:
    """What a notebook's parameters cell assigns, in its order; nothing where it has no such cell."""
    import nbformat

    cells = nbformat.read(notebook, as_version=4).cells
    sources = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    return [
        target.id
        for source in sources
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    ]
