"""The commands of `syncnet` for the experiment: what dvc.yaml and the Makefile run.

What a command needs is imported when it runs: `syncnet offset` needs none of it, and neither JupyterLab nor MLflow.
"""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from syncnet_lib.errors import InputError
from syncnet_lib.experiment.notebook import NotebookError
from syncnet_lib.paths import PIPELINE, ROOT

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""


def register(app: typer.Typer, panel: str) -> None:
    """Add the commands to the app, in a panel of its help."""
    for command in (stage, check, cells, results, sweep, export):
        app.command(rich_help_panel=panel)(command)


def stage(
    name: Annotated[str, typer.Argument(help="corpus, extract, pairs, train, filter, retrain, evaluate or report")],
    notebook: Annotated[str, typer.Argument(help="the stage's notebook, relative to the project")],
    workdir: Annotated[
        str, typer.Option(help="working folder; in any but data the notebook's own small parameters hold")
    ] = PIPELINE,
) -> None:
    """Execute a stage's notebook with the parameters of params.yaml: what dvc.yaml runs."""
    signal.signal(signal.SIGTERM, _stop)  # as Ctrl-C: the kernel must not outlive this process
    with _workspace(name):
        from syncnet_lib.experiment import stages

        stages.run(name, notebook, workdir)


def check() -> None:
    """Check all of params.yaml, for every profile, and dvc.yaml: before the first stage, not after an hour."""
    with _workspace("check"):
        from syncnet_lib.experiment import stages

        stages.check()


def cells() -> None:
    """Write into dvc.yaml what is derived from the code: after editing a notebook or its imports."""
    with _workspace("cells"):
        from syncnet_lib.experiment import pipeline

        changed = pipeline.write_derived(ROOT)
        print("\n".join(f"{file}: written" for file in changed) or "dvc.yaml is current")


def results() -> None:
    """Print the table of base against refined model, and where the report is."""
    with _workspace("results"):
        import pandas as pd

        from syncnet_lib.plots import tables

        metrics = ROOT / "reports" / "metrics" / "evaluate.json"
        if not metrics.exists():
            raise InputError(metrics, "missing", "run: make repro")
        with pd.option_context("display.width", 0, "display.max_columns", None):
            print(tables.comparison(json.loads(metrics.read_text())).to_string())
        print(f"\nthe whole report: {ROOT / 'reports' / 'report.html'}")


def sweep(
    stage: Annotated[str, typer.Argument(help="a stage with parameters, e.g. train")],
    values: Annotated[list[str], typer.Argument(help="a parameter and the values to try: name=value,value")],
) -> None:
    """Run a stage with every combination of values: an executed notebook and a nested MLflow run each.

    Exit code 1 where a trial failed.
    """
    signal.signal(signal.SIGTERM, _stop)
    with _workspace("sweep"):
        import pandas as pd

        from syncnet_lib.experiment import sweep as trials

        table = trials.sweep(stage, trials.grid(values))
        with pd.option_context("display.width", 0, "display.max_columns", None):
            print(table.drop(columns="trial").to_string(index=False))
        raise typer.Exit(int((table.error != "").any()))


def export(
    out: Annotated[Path, typer.Argument(help="a new folder")],
    data: Annotated[Path, typer.Option(help="working folder with clips and pairs")] = Path(PIPELINE),
) -> None:
    """Write the clips as [Agrawal] stores them: a folder a clip, with audio.wav, audio.npy and frames/."""
    with _workspace("export"):
        from syncnet_lib.dataset import exchange

        exchange.export(data / "clips", exchange.read_index(data / "pairs"), out)


@contextmanager
def _workspace(what: str) -> Iterator[None]:
    """What a user should read in a line: a package of the workspace that is missing, a notebook that failed, Ctrl-C."""
    try:
        yield
    except ModuleNotFoundError as error:
        if str(error.name).startswith("syncnet_lib"):
            raise
        cure = 'pip install "syncnet_lib[workspace]"'
        raise InputError(str(error.name), "this package is not installed", cure) from None
    except KeyboardInterrupt:
        print(f"{what}: interrupted; what is finished stays", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    except NotebookError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None


def _stop(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)
