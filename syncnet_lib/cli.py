"""The `syncnet` command, for people who have a video and want its offset, how sure it is, and the cure.

What a command needs is imported when it runs, so that `syncnet --help` and a wrong name are answered at once.
"""

import atexit
import contextlib
import gc
import importlib
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
import typer.core
import typer.exceptions

from syncnet_lib import parallel, verbosity
from syncnet_lib.experiment import cli as experiment

if TYPE_CHECKING:
    from syncnet_lib.measurement.batch import Options
    from syncnet_lib.measurement.finding import Gate
    from syncnet_lib.measurement.journal import Journal
    from syncnet_lib.measurement.result import Failure, Limits, Result

DONE, OUT_OF_SYNC, ERROR, INTERRUPTED = 0, 1, 2, 130
STDOUT = Path("-")
LSE_COLUMNS = ("path", "track", "lse_d", "lse_c", "model", "checkpoint", "error")

TRACES = logging.getLogger("syncnet")
"""Where unexpected errors came from, on stderr with --debug."""
TRACES.addHandler(logging.StreamHandler())

MEASURE, WORKSPACE = "Measure", "Training workspace"
"""Groups of commands in `syncnet --help`."""
RESULTS, GATE, PART, SOUND, FACES = "Results", "Pass or fail", "Part of a video", "Which sound", "Faces"
"""Groups of options of `syncnet offset`."""


class Boundary(typer.core.TyperGroup):
    """The commands, and the one place where what they raise becomes a line on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.exceptions.TyperException):
            raise
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # `syncnet ... | head`: whoever read has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(DONE) from None
        except Exception as error:
            from syncnet_lib.failures import explained

            TRACES.debug("", exc_info=True)
            print(f"error: {explained(error, f'syncnet {ctx.invoked_subcommand}')}", file=sys.stderr)
            raise typer.Exit(ERROR) from None
        finally:
            verbosity.say(f"{ctx.invoked_subcommand}: over")


app = typer.Typer(
    cls=Boundary,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, each verdict sure; 1 out of sync beyond --tolerance or --standard; 2 an error, or not "
    "sure.",
)


def _version(asked: bool) -> bool:
    if asked:
        from importlib.metadata import version

        print(f"syncnet {version('syncnet_lib')}")
        raise typer.Exit
    return asked


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress: results, notes and errors only")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="tell what is done, with what, and how long each phase takes")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="show where an unexpected error came from")] = False,
) -> None:
    """Are lips and sound in sync? Measure, correct and show the offset of talking-head videos."""
    TRACES.setLevel(logging.DEBUG if debug else logging.INFO)
    if quiet:
        os.environ[verbosity.QUIET] = "1"
    if verbose:
        verbosity.begin()
        verbosity.say(f"Python {sys.version.split()[0]} on {sys.platform}, {parallel.cores()} cores")


In = Annotated[Path, typer.Argument(help="a video")]
Out = Annotated[Path, typer.Argument(help="a new file")]
Paths = Annotated[list[str], typer.Argument(help="videos, folders, patterns")]
Checkpoint = Annotated[str, typer.Option(help="small, base, refined, or a file")]
Cropped = Annotated[bool, typer.Option("--cropped", help="face crops: videos, or folders of frames with audio.wav")]
Vshift = Annotated[int, typer.Option(min=1, help="frames of 40 ms searched to each side")]
Json = Annotated[
    Path | None, typer.Option("--json", help="JSON to a new file or - : a line a video", rich_help_panel=RESULTS)
]
Csv = Annotated[
    Path | None, typer.Option("--csv", help="CSV to a new file or - : a row a face track", rich_help_panel=RESULTS)
]
Workers = Annotated[int | None, typer.Option(min=1, help="processes; by default one a core")]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="where the network runs")]


@app.command(rich_help_panel=MEASURE)
def offset(
    paths: Paths,
    checkpoint: Checkpoint = "small",
    cropped: Cropped = False,
    vshift: Vshift = 15,
    edges: Annotated[
        Literal["mask", "zero"] | None,
        typer.Option(help="shifts without sound: left out, or zeros; by default as the model is published"),
    ] = None,
    json_to: Json = None,
    csv_to: Csv = None,
    plot: Annotated[
        Path | None, typer.Option(help="a picture a video into a new folder", rich_help_panel=RESULTS)
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="a page a video, an index, JUnit XML, editor markers, RTTM into a new folder", rich_help_panel=RESULTS
        ),
    ] = None,
    markers: Annotated[
        Literal["csv", "edl", "otio"],
        typer.Option(help="form of the editor markers in the report", rich_help_panel=RESULTS),
    ] = "csv",
    workers: Workers = None,
    device: Device = "auto",
    tolerance: Annotated[
        int | None,
        typer.Option(min=0, help="exit with 1 if any part of a video is off by more frames", rich_help_panel=GATE),
    ] = None,
    standard: Annotated[
        str | None,
        typer.Option(help="ebu-r37, atsc, bt1359-detect, bt1359-accept or a .yaml file", rich_help_panel=GATE),
    ] = None,
    early: Annotated[
        float | None,
        typer.Option(min=0, help="in place of a standard: ms the sound may be ahead", rich_help_panel=GATE),
    ] = None,
    late: Annotated[float | None, typer.Option(min=0, help="and ms it may be behind", rich_help_panel=GATE)] = None,
    start: Annotated[float, typer.Option(min=0, help="seconds from which is measured", rich_help_panel=PART)] = 0.0,
    end: Annotated[float, typer.Option(min=0, help="seconds up to which; 0 for the end", rich_help_panel=PART)] = 0.0,
    sample: Annotated[
        str, typer.Option(help="only stretches of it, evenly spread, e.g. 6x25s for long films", rich_help_panel=PART)
    ] = "",
    audio_track: Annotated[
        str, typer.Option(help="number from 1; 0 for the one with speech; all for each", rich_help_panel=SOUND)
    ] = "0",
    channel: Annotated[str, typer.Option(help="left, right, centre, or e.g. BL", rich_help_panel=SOUND)] = "",
    audio: Annotated[
        Path | None,
        typer.Option(help="a file with the sound, e.g. a dub, from the first picture on", rich_help_panel=SOUND),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="compare the sound with that of a file, or with the audio track of that number, instead of with faces",
            rich_help_panel=SOUND,
        ),
    ] = None,
    min_face: Annotated[int, typer.Option(min=1, help="smallest face, pixels", rich_help_panel=FACES)] = 40,
    min_track: Annotated[int, typer.Option(min=5, help="shortest face track, frames", rich_help_panel=FACES)] = 15,
    shot_threshold: Annotated[
        float, typer.Option(min=0.1, help="change of colour that is a cut, 0-255", rich_help_panel=FACES)
    ] = 27.0,
) -> None:
    """Measure how far the sound is ahead of the lips (+) or behind (-), in frames of 40 ms.

    Example: syncnet offset talk.mp4 --tolerance 1
    """
    videos, missing = _videos(paths, cropped)
    outputs = _outputs(json_to, csv_to, report)

    from syncnet_lib import extras
    from syncnet_lib.measurement import batch, output
    from syncnet_lib.measurement import standard as standards
    from syncnet_lib.measurement.journal import Journal
    from syncnet_lib.measurement.result import Result
    from syncnet_lib.measurement.settings import WatchSettings

    limits = standards.find(standard, early, late)
    if markers != "csv":
        with extras.needed("otio"):  # before anything is measured
            importlib.import_module("opentimelineio")

    def held(outcome: "Result | Failure") -> "Result | Failure":
        if limits is None or not isinstance(outcome, Result):
            return outcome
        from syncnet_lib.measurement import compliance

        return compliance.held_against(outcome, limits)

    track = _track(audio_track)
    watching = WatchSettings.parse(
        {
            **{"start": start, "end": end, "sample": sample},
            **{"audio_track": track or 0, "channel": channel, "audio": str(audio or "")},
            **{"min_face_size": min_face, "min_track": min_track, "shot_threshold": shot_threshold},
        },
        "options",
    )
    if reference is not None:
        raise typer.Exit(_compare(videos, missing, track or 1, reference, limits, json_to, csv_to))
    options = batch.Options(checkpoint, device, vshift, edges, cropped, watching=watching, each_track=track is None)
    with Journal(outputs[0] if outputs else None) as journal:
        outcomes = [*missing, *map(held, _measure(videos, options, workers, journal, plot))]
        if json_to:
            output.write_json(json_to, (held(outcome).to_json() for outcome in journal.whole(outcomes)))
        if csv_to:
            output.write_csv(csv_to, output.COLUMNS, (row for each in outcomes for row in output.rows(each)))
        if report:
            _write_report(outcomes, videos, report, limits, markers)
        journal.remove()
    measured = [outcome for outcome in outcomes if isinstance(outcome, Result)]
    if measured and STDOUT not in (json_to, csv_to):
        from syncnet_lib.measurement import table

        table.show(table.results(measured))
    failed = _list_failures(outcomes)
    unsure = any(result.sureness != "sure" for result in measured)
    gates = _gates(measured, tolerance)
    raise typer.Exit(ERROR if failed or unsure or "unsure" in gates else OUT_OF_SYNC if "out" in gates else DONE)


@app.command(rich_help_panel=MEASURE)
def correct(
    path: In,
    out: Out,
    offset: Annotated[int | None, typer.Option(help="move by this many frames, whatever is measured")] = None,
    min_confidence: Annotated[
        float | None, typer.Option(help="least confidence to act on; by default that from which the model is sure")
    ] = None,
    samples: Annotated[
        bool,
        typer.Option("--samples", help="change the sound itself, encoded again: for readers that ignore time stamps"),
    ] = False,
    preview: Annotated[
        Path | None, typer.Option(help="a new video, before and after side by side, of a minute at most")
    ] = None,
    json_to: Annotated[
        Path | None,
        typer.Option("--json", help="a new file: what was done, and both measurements", rich_help_panel=RESULTS),
    ] = None,
    checkpoint: Checkpoint = "small",
    vshift: Vshift = 15,
    device: Device = "auto",
) -> None:
    """Write a copy that is in sync: packets are copied bit for bit, only their times change.

    Where sync changes with edits, each part of the sound is moved by its own offset; where it drifts, the pictures get
    the speed of the sound. With --samples the sound itself is changed, and its speed in place of the pictures'.

    Example: syncnet correct late.mp4 fixed.mp4
    """
    from fractions import Fraction

    from syncnet_lib import files
    from syncnet_lib.measurement import batch, cure, finding, inputs, output
    from syncnet_lib.media.clock import FRAME_MS
    from syncnet_lib.media.correction import Cure
    from syncnet_lib.model import scoring

    inputs.check(path, cropped=False)
    for made in filter(None, (out, preview, json_to)):
        files.check_new(made)
    options = batch.Options(checkpoint, device, vshift, None, cropped=False)
    if offset is None:
        before = batch.measure(path, options)
        _say(before, str(path))
        finding.check_sure(before, min_confidence)
        done, drift = cure.cure(before), finding.significant(before.drift)
    else:
        before, drift = None, None
        done = Cure.shift(Fraction(offset * FRAME_MS, 1000))

    if samples:
        copy, left_out = None, batch.rewrite_sound(path, out, done)
    else:
        copy = batch.retime(path, out, done)
        left_out = list(copy.left_out)
    print(f"{out}: {cure.words(done, drift, samples)}, {cure.became(copy)}")
    for lost in left_out:
        print(f"{out}: left out, as a {out.suffix} file cannot hold it: {lost}")
    after = batch.measure(out, options)
    _say(after, f"{out}: measured again")
    if preview is not None:
        start = min((track.start_s for track in after.tracks if track.speaking), default=0.0)
        was = "before" if before is None else f"before: {before.verdict}"
        batch.preview(path, out, preview, start, was, f"after: {after.verdict}")
        print(f"{preview}: before and after")
    if json_to is not None:
        measured = {"before": before, "after": after}
        said = {name: each and json.loads(each.brief().to_json()) for name, each in measured.items()}
        output.write_json(json_to, [json.dumps({"correction": cure.record(done, copy, left_out), **said})])
    gate = finding.gate(after, scoring.TOLERANCE, min_confidence)
    raise typer.Exit({"in": DONE, "out": OUT_OF_SYNC, "unsure": ERROR}[gate])


@app.command(rich_help_panel=MEASURE)
def clean(
    folder: Annotated[Path, typer.Argument(help="a folder of videos, which stays as it is")],
    out: Annotated[Path, typer.Argument(help="a new folder, or one that an interrupted run has left")],
    max_offset: Annotated[int, typer.Option(min=0, help="frames to either side within which a video is kept")] = 1,
    checkpoint: Checkpoint = "small",
    vshift: Vshift = 15,
    workers: Workers = None,
    device: Device = "auto",
) -> None:
    """Make a folder to train from: videos in sync, corrected copies of those that are off, and a list of the rest.

    Example: syncnet clean videos/ cleaned/ && dvc exp run -S corpus.source=folder -S corpus.path=cleaned
    """
    from syncnet_lib.measurement import batch, cleaning

    options = batch.Options(checkpoint, device, vshift, None, cropped=False)
    try:
        counts = cleaning.clean(folder, out, options, max_offset, workers)
    except KeyboardInterrupt:
        print("stopped; what is done is kept: give the same command again", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    print(*cleaning.spoken(counts, out), sep="\n")


@app.command(rich_help_panel=MEASURE)
def render(path: In, out: Out, checkpoint: Checkpoint = "small", vshift: Vshift = 15, device: Device = "auto") -> None:
    """Draw faces, who speaks, the offset and the running confidence on a copy of the video.

    Example: syncnet render talk.mp4 drawn.mp4
    """
    from syncnet_lib import files
    from syncnet_lib.measurement import inputs

    inputs.check(path, cropped=False)
    files.check_new(out)

    from syncnet_lib.measurement import batch, table

    result, left_out = batch.render(path, out, batch.Options(checkpoint, device, vshift, None, cropped=False))
    for lost in left_out:
        print(f"{out}: left out: {lost}")
    table.show(table.results([result]))


@app.command(rich_help_panel=MEASURE)
def score(
    paths: Paths,
    checkpoint: Checkpoint = "small",
    cropped: Cropped = False,
    json_to: Json = None,
    csv_to: Csv = None,
    workers: Workers = None,
    device: Device = "auto",
) -> None:
    """LSE-D (least distance, lower is better) and LSE-C (confidence, higher is better) of each video, and their means.

    As published evaluations compute them: a search of 15 frames, zeros beyond the ends of a face track, each track a
    sample. They compare with published figures only with the released model: --checkpoint syncnet_v2.model.

    Example: syncnet score generated/ --cropped --checkpoint syncnet_v2.model --csv lse.csv
    """
    videos, missing = _videos(paths, cropped)
    outputs = _outputs(json_to, csv_to)

    from syncnet_lib.measurement import batch, output
    from syncnet_lib.measurement.journal import Journal

    # Published figures were computed in fp32; what fewer bits would add to their last digits is not the video's.
    options = batch.Options(checkpoint, device, 15, "zero", cropped, "fp32")
    with Journal(outputs[0] if outputs else None) as journal:
        outcomes = [*missing, *_measure(videos, options, workers, journal, None)]
        rows = [row for outcome in outcomes for row in _lse(outcome)]
        scored = [row for row in rows if "error" not in row]
        if scored:
            means = {name: sum(row[name] for row in scored) / len(scored) for name in ("lse_d", "lse_c")}
            total = {**scored[0], "path": f"mean of {len(scored)}", "track": None, **means}
            rows, scored = [*rows, total], [*scored, total]
        if json_to:
            output.write_json(json_to, map(json.dumps, rows))
        if csv_to:
            output.write_csv(csv_to, LSE_COLUMNS, rows)
        journal.remove()
    if scored and scored[0]["model"] != "v2":
        note = f"note: {checkpoint} is not the released model: these figures do not compare with published LSE"
        print(note, file=sys.stderr)
    if scored and STDOUT not in (json_to, csv_to):
        from syncnet_lib.measurement import table

        table.show(table.scores(scored))
    raise typer.Exit(ERROR if _list_failures(outcomes) else DONE)


@app.command(rich_help_panel=MEASURE)
def convert(
    path: Annotated[Path, typer.Argument(help="a checkpoint, e.g. syncnet_v2.model as released")],
    out: Annotated[Path, typer.Argument(help="a new .safetensors file")],
) -> None:
    """Write a checkpoint as safetensors; nothing in the old file is executed.

    Example: syncnet convert syncnet_v2.model syncnet_v2.safetensors
    """
    from syncnet_lib import files

    files.check_new(out)

    from syncnet_lib.model import checkpoint

    checkpoint.convert(path, out)
    print(f"{out}: {path.name} as safetensors")


@app.command(rich_help_panel=MEASURE)
def serve(
    host: Annotated[str, typer.Option(help="address to listen on; another than this machine's own needs a token")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for a free one")] = 8000,
    token: Annotated[str, typer.Option(envvar="SYNCNET_TOKEN", help="what whoever asks must know")] = "",
    checkpoint: Checkpoint = "small",
    workers: Workers = None,
    device: Device = "auto",
    max_mb: Annotated[int, typer.Option(min=1, help="largest upload, megabytes")] = 2000,
    max_minutes: Annotated[float, typer.Option(min=0.01, help="longest work on a video")] = 30.0,
    patience: Annotated[float, typer.Option(min=0.1, help="seconds that an upload may stand still")] = 30.0,
) -> None:
    """Measure videos that others send: a page to drop them on, and the same over HTTP.

    Example: syncnet serve, then: curl -T talk.mp4 -X POST "http://127.0.0.1:8000/jobs?name=talk.mp4"
    """
    from syncnet_lib import extras
    from syncnet_lib.measurement import batch

    with extras.needed("serve"):
        from syncnet_lib.service import server
    options = batch.Options(checkpoint, device, 15, None, cropped=False)
    server.serve(host, port, token, options, workers, max_mb, max_minutes, patience)


def _write_report(
    outcomes: "Sequence[Result | Failure]",
    videos: Sequence[Path],
    folder: Path,
    limits: "Limits | None",
    markers: str,
) -> None:
    """Write the pages of a batch, whole or not at all."""
    from syncnet_lib import files
    from syncnet_lib.errors import printable, shown
    from syncnet_lib.failures import writing
    from syncnet_lib.measurement import batch, pages, report
    from syncnet_lib.measurement.result import Failure

    with writing(folder), files.atomic(folder) as made:
        made.mkdir()
        stems = (printable(Path(each.path).stem, "_") for each in outcomes)
        names = [f"{number:0{len(str(len(outcomes)))}d}-{stem}" for number, stem in enumerate(stems, 1)]
        source = {shown(path): path for path in videos}  # a name that is not UTF-8 cannot be opened as it is shown
        done = [(name, each) for name, each in zip(names, outcomes, strict=True) if not isinstance(each, Failure)]
        batch.write_pages([(source[each.path], made / f"{name}.html", each) for name, each in done])
        for name, each in done:
            files.write_bytes(made / f"{name}.markers.{markers}", _markers(each, source[each.path], markers).encode())
            files.write_bytes(made / f"{name}.rttm", report.rttm(each).encode())
        index = pages.index_page([(each, f"{name}.html") for name, each in zip(names, outcomes, strict=True)])
        files.write_bytes(made / "index.html", index.encode())
        files.write_bytes(made / "junit.xml", report.junit(outcomes, limits))
    print(f"{folder / 'index.html'}: the report", file=sys.stderr)


def _markers(result: "Result", video: Path, kind: str) -> str:
    """The editor markers of a video."""
    from syncnet_lib.measurement import report

    if kind == "csv":
        return report.markers(result)
    from syncnet_lib.measurement import editor

    return editor.markers(result, video, kind)


def _say(result: "Result", name: str) -> None:
    """Print a verdict and its notes."""
    print(f"{name}: {result.verdict} (confidence {result.confidence:.3g}, {result.meaning})")
    for warning in result.warnings:
        print(f"{name}: note: {warning}")


def _compare(
    videos: Sequence[Path],
    missing: "Sequence[Failure]",
    track: int,
    reference: str,
    limits: "Limits | None",
    json_to: Path | None,
    csv_to: Path | None,
) -> int:
    """Compare the sound of videos with a reference; gives the exit code."""
    from syncnet_lib.errors import InputError
    from syncnet_lib.measurement import finding, output, table
    from syncnet_lib.measurement.batch import compare, failure
    from syncnet_lib.measurement.reference import ReferenceOffset

    outcomes: list[ReferenceOffset | Failure] = [*missing]
    for video in videos:
        try:
            found = compare(video, track, reference)
            outcomes.append(found if limits is None else found.held_against(limits))
        except InputError as error:
            outcomes.append(failure(video, error))
    compared = [outcome for outcome in outcomes if isinstance(outcome, ReferenceOffset)]
    if json_to:
        output.write_json(json_to, (outcome.model_dump_json() for outcome in outcomes))
    if csv_to:
        output.write_csv(csv_to, output.REFERENCE_COLUMNS, map(output.reference_row, outcomes))
    if compared and STDOUT not in (json_to, csv_to):
        table.show(table.references(compared))
    failed = _list_failures([outcome for outcome in outcomes if not isinstance(outcome, ReferenceOffset)])
    gates = {finding.GATES[each.compliance] for each in compared if each.compliance is not None}
    if failed or "unsure" in gates or not all(each.sure for each in compared):
        return ERROR
    return OUT_OF_SYNC if "out" in gates else DONE


def _videos(names: Sequence[str], cropped: bool) -> "tuple[list[Path], list[Failure]]":
    """The videos that names stand for, and the names that stand for none."""
    from syncnet_lib.measurement import inputs
    from syncnet_lib.measurement.result import Failure

    videos, errors = inputs.expand(names, cropped)
    return videos, [Failure(path=error.where, error=error.cause, cure=error.cure) for error in errors]


def _outputs(*targets: Path | None) -> list[Path]:
    """The files among the targets, which must be new."""
    from syncnet_lib import files

    outputs = [target for target in targets if target and target != STDOUT]
    for target in outputs:
        files.check_new(target)
    return outputs


def _measure(
    videos: Sequence[Path], options: "Options", workers: int | None, journal: "Journal", plot: Path | None
) -> "list[Result | Failure]":
    """Measure videos.

    Args:
        videos: they.
        options: what to measure them with.
        workers: as for `batch.run`.
        journal: keeps what is done.
        plot: folder of pictures; a new one unless an interrupted run goes on.

    Returns:
        Outcomes in the order of the videos, several where each audio track has one, without the confidence of single
        windows, which the journal has.
    """
    from syncnet_lib import files
    from syncnet_lib.errors import shown
    from syncnet_lib.measurement import batch
    from syncnet_lib.measurement.result import Result

    if not videos:
        return []
    if plot and not len(journal):
        files.check_new(plot)
    outcomes: dict[str, list[Result | Failure]] = {shown(path): [] for path in videos}
    try:
        for outcome in batch.run(videos, options, workers, journal):
            if plot and isinstance(outcome, Result):
                _plot(outcome, plot, [shown(path) for path in videos])
            outcomes[outcome.path].append(outcome.brief() if isinstance(outcome, Result) else outcome)
    except KeyboardInterrupt:
        kept = f"; the {len(journal)} that are done are kept: give the same command again" if journal.path else ""
        print(f"stopped{kept}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    return [outcome for found in outcomes.values() for outcome in found]


def _track(asked: str) -> int | None:
    """The number of an audio track; None for all."""
    from syncnet_lib.errors import InputError

    if asked == "all":
        return None
    if not asked.isdecimal():
        raise InputError(
            "--audio-track", f"{asked} is no number", "give a number from 1, 0 for the one with speech, or all"
        )
    return int(asked)


def _lse(outcome: "Result | Failure") -> list[dict[str, Any]]:
    """A row a face track, or one that says why a video could not be measured."""
    from syncnet_lib.measurement.result import Failure

    if isinstance(outcome, Failure):
        return [{"path": outcome.path, "error": outcome.error}]
    model = {"model": outcome.model.name, "checkpoint": outcome.model.checkpoint}
    return [
        {"path": outcome.path, "track": track.track, "lse_d": track.min_distance, "lse_c": track.confidence, **model}
        for track in outcome.tracks
    ]


def _gates(measured: "Sequence[Result]", tolerance: int | None) -> "set[Gate]":
    """What a tolerance and a standard make of videos; nothing where none is given."""
    if not measured:
        return set()
    from syncnet_lib.measurement import finding

    gates = set() if tolerance is None else {finding.gate(result, tolerance) for result in measured}
    return gates | {finding.GATES[result.compliance] for result in measured if result.compliance is not None}


def _list_failures(outcomes: "Sequence[Result | Failure]") -> bool:
    """Say on stderr which videos failed and why; whether any did."""
    from syncnet_lib.measurement.result import Failure

    failed = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if len(outcomes) > 1 and failed:
        print(f"{len(failed)} of {len(outcomes)} failed:", file=sys.stderr)
    for failure in failed:
        if failure.trace:
            TRACES.debug(failure.trace)
        print(f"error: {failure}", file=sys.stderr)
    return bool(failed)


def _plot(result: "Result", folder: Path, paths: Sequence[str]) -> None:
    """A picture of a result, named by its video and, where others have that name too, by its place in the list."""
    from syncnet_lib import files
    from syncnet_lib.failures import writing
    from syncnet_lib.plots import page
    from syncnet_lib.plots.verdicts import measurement

    path = Path(result.path)
    alike = sum(Path(other).stem == path.stem for other in paths) > 1
    name = f"{path.stem}-{paths.index(result.path)}" if alike else path.stem
    if track := result.settings["audio_track"]:
        name += f"-track{track}"
    try:
        with writing(folder):
            files.write_bytes(folder / f"{name}.png", page.png(measurement(result.to_dict(), result.verdict)))
    except BaseException:
        with contextlib.suppress(OSError):  # not empty: earlier pictures stay
            folder.rmdir()
        raise


experiment.register(app, WORKSPACE)


def main() -> None:
    """Run the command. A file whose name begins with a dash is a file, not an option."""
    # Of what is imported nothing is garbage, yet Python walks through all of it several times on the way, and once more
    # at its end: a fifth of a process that imports torch. New garbage is found as ever, old ten times as rarely.
    gc.set_threshold(*gc.get_threshold()[:2], 100)
    atexit.register(gc.freeze)
    app([f"./{name}" if name.startswith("-") and Path(name).is_file() else name for name in sys.argv[1:]])


if __name__ == "__main__":
    main()
