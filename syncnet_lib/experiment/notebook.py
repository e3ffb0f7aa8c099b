"""A notebook executed by papermill, and the executed copy that is kept."""

import ast
import contextlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from syncnet_lib.errors import InputError
from syncnet_lib.files import atomic, remove, scratch, sweep_scratch
from syncnet_lib.paths import ROOT


def execute(
    stage: str, notebook: Path, parameters: Mapping[str, Any], copy: Path, last: Callable[[], str] = lambda: ""
) -> None:
    """Execute a notebook in a kernel of its own and keep the executed copy.

    What the notebook prints goes to stdout and stderr as it comes, after each heading of the notebook.

    Args:
        stage: its name in the progress lines.
        notebook: the notebook; it is not changed. The kernel starts in its folder.
        parameters: names of the parameters cell to plain values; they win over the cell's own.
        copy: where the executed notebook goes, whole or not at all. It holds no time stamp and no absolute path, so
            that the same outputs give the same file. After a failure or an interruption it is at `failed_copy(copy)`,
            with the error and its trace.
        last: told when every cell has been executed and the copy is kept: gives code that the kernel executes before it
            is shut down, "" for none. Nobody is told whether it could.

    Raises:
        InputError: raised in the notebook, by any depth of library, or made of any other exception, or of the death
            of the kernel.
    """
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    failed = failed_copy(copy)
    remove(failed)
    with scratch() as folder:
        draft = Path(folder) / "draft.ipynb"

        def executed() -> str:
            _keep(draft, copy)
            return last()

        try:
            _papermill(stage, notebook, parameters, draft, executed)
        except BaseException as error:
            sweep_scratch()  # of a kernel that was killed
            with contextlib.suppress(OSError, ValueError):  # half a draft, a full disk: the error is told anyway
                _keep(draft, failed)
            kept = f"the executed notebook: {_in_project(failed)}"
            if isinstance(error, DeadKernelError):
                cause = "the kernel died, most often for lack of memory"
                raise InputError(_in_project(notebook), cause, kept) from error
            if not isinstance(error, PapermillExecutionError):
                raise
            if error.ename == InputError.__name__:
                raise raised_inside(error.evalue) from error
            said = error.evalue.strip().partition("\n")[0]
            cause = f"{error.ename}: {said}".removesuffix(": ")
            raise InputError(_in_project(notebook), cause, kept) from error
        _keep(draft, copy)


def failed_copy(copy: Path) -> Path:
    """Where the executed copy goes when the notebook fails."""
    return copy.with_suffix(".failed.ipynb")


def _in_project(path: Path) -> Path:
    """A path as a reader in the project's folder would write it."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def raised_inside(line: str) -> InputError:
    """The InputError behind its one-line text "where: cause; cure"; where may hold a colon of its own."""
    where, _, rest = line.partition(": ")
    cause, _, cure = rest.partition("; ")
    return InputError(where, cause, cure)


def parameter_names(notebook: Path) -> list[str]:
    """What a notebook's parameters cell assigns, in its order; nothing where it has no such cell."""
    import nbformat

    cells = nbformat.read(notebook, as_version=4).cells
    return [name for cell in cells if _is_parameters(cell) for name in _assigned(cell.source)]


def _papermill(
    stage: str, notebook: Path, parameters: Mapping[str, Any], draft: Path, executed: Callable[[], str]
) -> None:
    import nbformat
    import papermill
    from papermill.engines import papermill_engines

    # A kernel that ends with an error, or is stopped, may close its channels under a callback or a task: tornado and
    # asyncio then log a traceback of their own. What matters arrives as an exception.
    for logger in ("tornado", "asyncio"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    papermill_engines.register("syncnet", _engine(stage, executed))
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


def _engine(stage: str, executed: Callable[[], str]) -> type:
    """Papermill's engine, which also prints each heading of the notebook as it comes to it, and before it shuts the
    kernel down has that execute what `executed` gives."""
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    from nbformat.v4 import new_code_cell
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import Engine as Base

    class Client(PapermillNotebookClient):
        @contextlib.contextmanager
        def setup_kernel(self, **options: Any) -> Iterator[None]:
            with super().setup_kernel(**options):
                yield
                if _has_failed(self.nb):
                    return
                self.nb_man.save()
                if code := executed():
                    self.nb.cells.append(new_code_cell(code))
                    with contextlib.suppress(CellExecutionError, DeadKernelError):
                        self.execute_cell(self.nb.cells[-1], len(self.nb.cells) - 1, store_history=False)
                    del self.nb.cells[-1]

    class Engine(Base):
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
            start_cell = nb_man.cell_start

            def cell_start(cell: Any, cell_index: int, **rest: Any) -> None:
                heading = re.match(r"#+\s+(.*)", cell.source) if cell.cell_type == "markdown" else None
                if heading:
                    print(f"[{stage} {cell_index + 1}/{len(nb_man.nb.cells)}] {heading[1]}", flush=True)
                start_cell(cell, cell_index, **rest)

            nb_man.cell_start = cell_start
            used = {name: options[name] for name in ("stdout_file", "stderr_file", "extra_arguments")}
            wait = options["start_timeout"]
            return Client(nb_man, kernel_name=kernel_name, timeout=None, startup_timeout=wait, **used).execute()

    return Engine


def _has_failed(notebook: Any) -> bool:
    """Whether a cell was stopped by an exception; a notebook that was left by `exit()` counts as one that was."""
    if notebook.metadata.papermill.get("exception"):
        return True
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    return any(output.output_type == "error" for output in outputs)


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
    """Put an executed notebook in its place as a reader wants it, without what differs from one execution to the next.

    The cell that papermill injects is taken out: its values stand in the parameters cell itself, beside their comments.
    """
    import nbformat

    notebook = nbformat.read(draft, as_version=4)
    parameters = notebook.metadata.get("papermill", {}).get("parameters", {})
    notebook.metadata["papermill"] = {"parameters": parameters}
    notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    count = 0
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if _is_parameters(cell):
            cell.source = with_values(cell.source, parameters)
        if cell.cell_type == "code":
            cell.outputs = _without_progress(cell.outputs)
            if cell.execution_count:
                count += 1
                cell.execution_count = count
                for output in cell.outputs:
                    if "execution_count" in output:
                        output.execution_count = count
    text = nbformat.writes(notebook)
    root = json.dumps(str(ROOT), ensure_ascii=False)[1:-1]
    text = text.replace(f"{root}/", "").replace(root, ".")
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def with_values(source: str, values: Mapping[str, Any]) -> str:
    """A parameters cell with other values in the place of its own; comments stay.

    Args:
        source: lines of the form ``name = literal  # comment``; a literal may go over several lines.
        values: name to plain value; names that the cell does not assign are passed over.
    """
    lines = source.splitlines()
    for name, node in reversed(_assigned(source).items()):  # from the end, so that the places before it hold
        if name in values:
            first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
            # The parser counts bytes.
            before = lines[first].encode()[: node.col_offset].decode()
            after = lines[last].encode()[node.end_col_offset :].decode()
            lines[first : last + 1] = [before + repr(values[name]) + after]
    return "\n".join(lines)


def _assigned(source: str) -> dict[str, ast.expr]:
    """The names that a cell assigns to, and the expressions of their values."""
    return {
        target.id: statement.value
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }


def _is_parameters(cell: Any) -> bool:
    return "parameters" in cell.metadata.get("tags", [])


def _without_progress(outputs: list[Any]) -> list[Any]:
    """Outputs with neighbouring pieces of a stream in one, and without lines that were rewritten: progress bars."""
    joined: list[Any] = []
    for output in outputs:
        before = joined[-1] if joined else None
        if before is not None and output.output_type == before.output_type == "stream" and output.name == before.name:
            before.text += output.text
        else:
            joined.append(output)
    for output in joined:
        if output.output_type == "stream":
            output.text = re.sub(r"[^\n]*\r(?!\n)[^\n]*\n?", "", output.text)
    return [output for output in joined if output.get("text") != ""]
