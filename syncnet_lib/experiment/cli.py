"""The commands of `syncnet` for the experiment: what dvc.yaml and the Makefile run.

What a command needs is imported when it runs: `syncnet offset` needs none of it, and neither JupyterLab nor MLflow.
"""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from syncnet_lib import extras
from syncnet_lib.errors import InputError
from syncnet_lib.paths import PIPELINE, ROOT

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""


def register(app: typer.Typer, panel: str) -> None:
    """Add the commands to the app, in a panel of its help."""
    for command in (stage, check, doctor, spoil, cells, results, runs, sweep, export, adapt):
        app.command(rich_help_panel=panel)(command)


def stage(
    name: Annotated[str, typer.Argument(help="corpus, extract, pairs, train, filter, retrain, evaluate or report")],
    notebook: Annotated[str, typer.Argument(help="the stage's notebook, relative to the project")],
    workdir: Annotated[
        str, typer.Option(help="working folder; in any but data the notebook's own small parameters hold")
    ] = PIPELINE,
) -> None:
    """Execute a stage's notebook with the parameters of params.yaml: what dvc.yaml runs.

    Example: syncnet stage train notebooks/04_train.ipynb
    """
    signal.signal(signal.SIGTERM, _stop)  # as Ctrl-C: the kernel must not outlive this process
    with _workspace(name):
        from syncnet_lib.experiment import stages

        stages.run(name, notebook, workdir)


def check() -> None:
    """Check all of params.yaml, for every profile, and dvc.yaml: before the first stage, not after an hour.

    Example: syncnet check && dvc repro
    """
    with _workspace("check"):
        from syncnet_lib.experiment import stages

        stages.check()


def doctor(
    data: Annotated[Path, typer.Option(help="working folder with clips")] = Path(PIPELINE),
    checkpoint: Annotated[Path | None, typer.Option(help="what measures offsets; by default the shipped one")] = None,
    limit: Annotated[int, typer.Option(min=0, help="clips that are measured at most; 0 measures none")] = 200,
) -> None:
    """Examine the clips before hours of training: talkers, speech, sources with an offset of their own, off-sync clips.

    Exit code 1 where training will suffer.

    Example: syncnet doctor --limit 50
    """
    with _workspace("doctor"):
        from syncnet_lib.dataset.pairs_settings import PairsSettings
        from syncnet_lib.experiment import config
        from syncnet_lib.experiment import doctor as examination
        from syncnet_lib.training.settings import TrainSettings

        sections = config.read(ROOT / "params.yaml").sections
        found = examination.examine(
            data,
            checkpoint or ROOT / "syncnet_lib" / "weights" / "small.safetensors",
            TrainSettings(**sections["train"]),
            PairsSettings(**sections["pairs"]),
            limit,
            ROOT / "studies" / "talkers.json",
        )
        for finding in found:
            print(f"{finding.level:4}  {finding.what}: {finding.says}" + (f"; {finding.cure}" if finding.cure else ""))
        raise typer.Exit(int(any(finding.level == "bad" for finding in found)))


def spoil(
    clips: Annotated[Path, typer.Argument(help="folder of clips, of real or synthetic talkers")],
    out: Annotated[Path, typer.Argument(help="a new folder of the same clips, some of them spoilt")],
    truth: Annotated[Path, typer.Argument(help="a new CSV: which, and how")],
    share: Annotated[float, typer.Option(min=0.0, max=0.6, help="of the clips")] = 0.3,
    kinds: Annotated[
        str, typer.Option(help="of dubbed, sentence, shifted, drifting, listener, silent and music, joined by commas")
    ] = "dubbed,shifted",
    least_shift: Annotated[float, typer.Option(help="frames")] = 3,
    most_shift: Annotated[float, typer.Option(help="frames")] = 15,
    seed: int = 0,
) -> None:
    """Spoil clips in a known way, to see what the filter makes of them; nothing in the clips tells which.

    Example: syncnet spoil data/clips spoilt/clips spoilt/truth.csv --share 0.3 --kinds dubbed,shifted
    """
    with _workspace("spoil"):
        from syncnet_lib.dataset import noise

        values = {"share": share, "kinds": kinds.split(","), "least_shift": least_shift, "most_shift": most_shift}
        settings = noise.NoiseSettings.parse(values, "syncnet spoil")
        counts = noise.spoil_clips(clips, out, truth, settings, seed).kind.value_counts()
        print(", ".join(f"{count} {kind}" for kind, count in counts.items()))


def cells() -> None:
    """Write into dvc.yaml what is derived from the code: after editing a notebook or its imports.

    Example: syncnet cells
    """
    with _workspace("cells"):
        from syncnet_lib.experiment import pipeline

        changed = pipeline.write_derived(ROOT)
        print("\n".join(f"{file}: written" for file in changed) or "dvc.yaml is current")


def results() -> None:
    """Print the table of base against refined model, and where the report is.

    Example: syncnet results
    """
    with _workspace("results"):
        import pandas as pd

        from syncnet_lib.plots import tables

        metrics = ROOT / "reports" / "metrics" / "evaluate.json"
        if not metrics.exists():
            raise InputError(metrics, "missing", "run: make repro")
        with pd.option_context("display.width", 0, "display.max_columns", None):
            print(tables.comparison(json.loads(metrics.read_text())).to_string())
        print(f"\nthe whole report: {ROOT / 'reports' / 'report.html'}")


def runs(
    server: Annotated[str, typer.Argument(help="address of MLflow's server")] = "http://127.0.0.1:5000",
) -> None:
    """Print where MLflow shows the recorded runs, with the columns worth reading: what `make ui` opens.

    Example: syncnet runs http://127.0.0.1:5001
    """
    with _workspace("runs"):
        from syncnet_lib.experiment import view

        print(f"the runs: {server}{view.page(ROOT)}")


def sweep(
    stage: Annotated[str, typer.Argument(help="a stage with parameters, e.g. train")],
    values: Annotated[list[str], typer.Argument(help="what to try: name=value,value or name=low..high")],
    random: Annotated[int, typer.Option(min=0, help="trials to draw, in place of every combination")] = 0,
    search: Annotated[int, typer.Option(min=0, help="trials that Optuna proposes, for the best validation AUC")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="trials at a time")] = 1,
) -> None:
    """Run a stage with many values: an executed notebook and a nested MLflow run each, and a summary.

    The same command goes on with a sweep that was stopped. Exit code 1 where a trial failed.

    Example: syncnet sweep train lr=1e-3,3e-3 seed=0,1,2 --jobs 2
    """
    signal.signal(signal.SIGTERM, _stop)
    with _workspace("sweep"):
        import pandas as pd

        from syncnet_lib.experiment import space
        from syncnet_lib.experiment import sweep as trials

        table = trials.sweep(stage, space.values_of(values), random=random, search=search, jobs=jobs)
        with pd.option_context("display.width", 0, "display.max_columns", None):
            print(table.drop(columns="trial").to_string(index=False))
        raise typer.Exit(int((table.error != "").any()))


def export(
    out: Annotated[Path, typer.Argument(help="a new folder")],
    data: Annotated[Path, typer.Option(help="working folder with clips and pairs")] = Path(PIPELINE),
) -> None:
    """Write the clips as [Agrawal] stores them: a folder a clip, with audio.wav, audio.npy and frames/.

    Example: syncnet export exchanged/
    """
    with _workspace("export"):
        from syncnet_lib.dataset import exchange

        exchange.export(data / "clips", exchange.read_index(data / "pairs"), out)


def adapt(
    folder: Annotated[Path, typer.Argument(help="videos of the people, in sync: minutes in all")],
    out: Annotated[Path, typer.Argument(help="a new checkpoint, e.g. anna.safetensors")],
    checkpoint: Annotated[str, typer.Option(help="the one to start from: small, base, refined, or a file")] = "small",
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="where the network is trained")] = "auto",
) -> None:
    """Train a checkpoint for certain people on their own videos, in minutes; use it with --checkpoint.

    Example: syncnet adapt videos/ anna.safetensors
    """
    with _workspace("adapt"):
        from syncnet_lib import parallel
        from syncnet_lib.experiment import adapt as adaptation
        from syncnet_lib.model import named

        if out.suffix != ".safetensors" or out.exists():
            raise InputError(out, "not a new .safetensors file", "give another name")
        start = named.find(checkpoint, ROOT / "data" / "models")
        found = adaptation.adapt(folder, out, start, device, parallel.cores())
        print(
            f"{out}: of stretches of 0.2 s that training did not see {found.after:.0%} are placed right, "
            f"{found.before:.0%} before; from {found.speech_seconds:.0f} s of speech"
        )


@contextmanager
def _workspace(what: str) -> Iterator[None]:
    """What a user should read in a line: a package of the workspace that is missing, Ctrl-C."""
    try:
        with extras.needed("workspace"):
            yield
    except KeyboardInterrupt:
        print(f"{what}: interrupted; what is finished stays", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def _stop(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)
