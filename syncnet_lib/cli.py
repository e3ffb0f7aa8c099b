"""The `syncnet` command, for people who have a video and want its offset, how sure it is, and the cure.

What a command needs is imported when it runs, so that `syncnet --help` answers at once.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from syncnet_lib.errors import InputError
from syncnet_lib.experiment import cli as experiment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from syncnet_lib.measurement.batch import Options, Outcome
    from syncnet_lib.measurement.result import Result, TrackResult

DONE, OUT_OF_SYNC, ERROR, INTERRUPTED = 0, 1, 2, 130
STDOUT = Path("-")
CSV_COLUMNS = (
    *("path", "offset_frames", "offset_ms", "confidence", "sureness", "min_distance"),
    *("track", "shot", "start_s", "end_s", "speaking"),
    *("track_offset_frames", "track_offset_ms", "track_confidence", "track_min_distance", "warnings"),
)
LSE_COLUMNS = ("path", "track", "lse_d", "lse_c", "model", "checkpoint")

MEASURE, WORKSPACE = "Measure", "Training workspace"
"""Groups of commands in `syncnet --help`."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 out of sync beyond --tolerance, 2 error.",
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"syncnet {version('syncnet_lib')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Are lips and sound in sync? Measure, correct and show the offset of talking-head videos."""


In = Annotated[Path, typer.Argument(help="a video")]
Out = Annotated[Path, typer.Argument(help="a new file")]
Paths = Annotated[list[str], typer.Argument(help="videos, folders, patterns")]
Checkpoint = Annotated[str, typer.Option(help="small, base, refined, or a file")]
Cropped = Annotated[bool, typer.Option("--cropped", help="face crops: videos, or folders of frames with audio.wav")]
Vshift = Annotated[int, typer.Option(min=1, help="frames of 40 ms searched to each side")]
Json = Annotated[Path | None, typer.Option("--json", help="JSON to a new file or - : a line a video")]
Csv = Annotated[Path | None, typer.Option("--csv", help="CSV to a new file or - : a row a face track")]
Workers = Annotated[int | None, typer.Option(min=0, help="processes; one a core where there are many videos")]
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
    plot: Annotated[Path | None, typer.Option(help="a picture a video into a new folder")] = None,
    workers: Workers = None,
    device: Device = "auto",
    tolerance: Annotated[
        int | None, typer.Option(min=0, help="exit with 1 if any video is off by more frames, or cannot be told")
    ] = None,
) -> None:
    """Measure how far the sound is ahead of the lips (+) or behind (-), in frames of 40 ms."""
    from syncnet_lib.measurement import batch

    options = batch.Options(checkpoint, device, vshift, edges, cropped)

    def write(results: "Callable[[], Iterator[Result]]") -> None:
        if json_to:
            _write(json_to, (result.to_json() for result in results()))
        if csv_to:
            _write(csv_to, _csv(results()))

    outcomes = _measure(paths, options, workers, [json_to, csv_to], plot, write)
    measured = [outcome.result for outcome in outcomes if outcome.result]
    if measured and STDOUT not in (json_to, csv_to):
        print("\n".join(table(measured)))
    failed = _list_failures(outcomes)
    off = tolerance is not None and any(
        abs(result.offset_frames) > tolerance or result.sureness == "none" for result in measured
    )
    raise typer.Exit(ERROR if failed else OUT_OF_SYNC if off else DONE)


@app.command(rich_help_panel=MEASURE)
def correct(
    path: In,
    out: Out,
    offset: Annotated[int | None, typer.Option(help="move by this many frames, whatever is measured")] = None,
    min_confidence: Annotated[
        float | None, typer.Option(help="least confidence to act on; by default that from which the model is sure")
    ] = None,
    checkpoint: Checkpoint = "small",
    vshift: Vshift = 15,
    device: Device = "auto",
) -> None:
    """Write a copy whose sound is moved into sync: packets are copied bit for bit, only their times change."""
    from fractions import Fraction

    import syncnet_lib
    from syncnet_lib import files
    from syncnet_lib.measurement.result import words
    from syncnet_lib.media import remux
    from syncnet_lib.media.clock import FRAME_MS

    files.check_new(out)

    def measured(video: Path) -> "Result":
        return syncnet_lib.measure(video, checkpoint, vshift=vshift, device=device, progress=True)

    if offset is None:
        before = measured(path)
        print(f"{path}: {before.verdict} (confidence {before.confidence:.3g} {before.meaning})")
        _refuse_unsure(before, min_confidence)
        offset = before.offset_frames
    exact = remux.move_sound(path, out, Fraction(offset * FRAME_MS, 1000))
    form = (
        "all packets bit for bit the same" if exact else "packets not re-encoded, framed as this container wants them"
    )
    print(f"{out}: sound moved by {offset * FRAME_MS:+d} ms, {form}")
    try:
        after = measured(out)
    except InputError as error:
        print(f"{out}: cannot be measured again: {error.cause}")
        return
    print(f"{out}: measured again: {words(after.offset_frames)} (confidence {after.confidence:.3g} {after.meaning})")
    if after.offset_frames:
        raise typer.Exit(OUT_OF_SYNC)


def _refuse_unsure(result: "Result", min_confidence: float | None) -> None:
    """Stop where moving the sound by one number would not be known to help."""
    from syncnet_lib.measurement.timeline import JUMP

    cure = "look at it, and give --offset N to move it all the same"
    offsets = [segment.offset_frames for segment in result.segments]
    if max(offsets) - min(offsets) >= JUMP:
        raise InputError(result.path, f"sync changes within it ({min(offsets):+d} to {max(offsets):+d} frames)", cure)
    if min_confidence is None and result.sureness != "sure":
        raise InputError(result.path, f"unsure (confidence {result.confidence:.3g}); nothing is written", cure)
    if min_confidence is not None and result.confidence < min_confidence:
        cause = f"confidence {result.confidence:.3g} is below {min_confidence:g}; nothing is written"
        raise InputError(result.path, cause, cure)


@app.command(rich_help_panel=MEASURE)
def render(path: In, out: Out, checkpoint: Checkpoint = "small", vshift: Vshift = 15, device: Device = "auto") -> None:
    """Draw faces, who speaks, the offset and the running confidence on a copy of the video."""
    from syncnet_lib import files
    from syncnet_lib.measurement import analyse, checkpoints, overlay, verdict

    files.check_new(out)
    model, info = checkpoints.load(checkpoint, device)
    settings = analyse.settings_for(model, vshift, None, cropped=False)
    found = analyse.analyse(path, model, settings, str(model.mfcc_mean.device), progress=True)
    result = verdict.judge(path, found, info, settings)
    overlay.render(path, out, found, result)
    print("\n".join(table([result])))


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
    """
    from syncnet_lib.measurement import batch

    # Published figures were computed in fp32; what fewer bits would add to their last digits is not the video's.
    options = batch.Options(checkpoint, device, 15, "zero", cropped, "fp32")

    def write(results: "Callable[[], Iterator[Result]]") -> None:
        rows = [row for result in results() for row in _lse(result)]
        if rows and rows[0]["model"] != "v2":
            note = f"note: {checkpoint} is not the released model: these figures do not compare with published LSE"
            print(note, file=sys.stderr)
        if rows:
            rows.append({**rows[0], "path": f"mean of {len(rows)}", "track": None, **_means(rows, "lse_d", "lse_c")})
        if json_to:
            _write(json_to, map(json.dumps, rows))
        if csv_to:
            _write(csv_to, [_csv_line(LSE_COLUMNS), *(_csv_line(list(row.values())) for row in rows)])
        if STDOUT not in (json_to, csv_to):
            shown = [[f"{row['lse_d']:.3f}", f"{row['lse_c']:.3f}"] for row in rows]
            cells = [[row["path"], "" if row["track"] is None else str(row["track"])] for row in rows]
            pairs = [[*name, *figures] for name, figures in zip(cells, shown, strict=True)]
            print("\n".join(_columns([["file", "track", "LSE-D", "LSE-C"], *pairs], right={2, 3})))

    outcomes = _measure(paths, options, workers, [json_to, csv_to], None, write)
    raise typer.Exit(ERROR if _list_failures(outcomes) else DONE)


@app.command(rich_help_panel=MEASURE)
def convert(
    path: Annotated[Path, typer.Argument(help="a checkpoint, e.g. syncnet_v2.model as released")],
    out: Annotated[Path, typer.Argument(help="a new .safetensors file")],
) -> None:
    """Write a checkpoint as safetensors; nothing in the old file is executed."""
    from syncnet_lib import files
    from syncnet_lib.model import checkpoint

    files.check_new(out)
    checkpoint.convert(path, out)
    print(f"{out}: {path.name} as safetensors")


def _lse(result: "Result") -> list[dict[str, Any]]:
    """A row a face track."""
    model = {"model": result.model.name, "checkpoint": result.model.checkpoint}
    return [
        {"path": result.path, "track": track.track, "lse_d": track.min_distance, "lse_c": track.confidence, **model}
        for track in result.tracks
    ]


def _means(rows: Sequence[dict[str, Any]], *names: str) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in names}


def _measure(
    names: Sequence[str],
    options: "Options",
    workers: int | None,
    targets: Sequence[Path | None],
    plot: Path | None,
    write: "Callable[[Callable[[], Iterator[Result]]], None]",
) -> "list[Outcome]":
    """Measure all videos.

    Args:
        names: files, folders, patterns.
        options: what to measure them with.
        workers: processes; None for one a core where there are several videos.
        targets: the output files; the journal lies beside the first.
        plot: folder of pictures.
        write: called with what gives the results in the order of the names, to make the output files.

    Returns:
        Outcomes in the order of the names, without the confidence of single windows.
    """
    from syncnet_lib import files, parallel
    from syncnet_lib.measurement import batch

    outputs = [target for target in targets if target and target != STDOUT]
    for target in outputs:
        files.check_new(target)
    paths, outcomes = batch.expand(names, options.cropped)
    order = {path: place for place, path in enumerate(paths)}
    with batch.Journal(outputs[0] if outputs else None) as journal:
        if plot and not len(journal):
            files.check_new(plot)
        if workers is None:
            workers = parallel.cores() if len(paths) > 1 else 0
        try:
            for outcome in batch.run(paths, options, workers, journal):
                if plot and outcome.result:
                    _plot(outcome.result, plot, paths)
                outcomes.append(outcome.brief())
        except KeyboardInterrupt:
            kept = f"; the {len(journal)} that are done are kept: give the same command again" if outputs else ""
            print(f"stopped{kept}", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        outcomes.sort(key=lambda outcome: order.get(outcome.path, -1))
        write(lambda: (journal.result(outcome.path) for outcome in outcomes if outcome.result))
        journal.remove()
    return outcomes


def _write(target: Path, lines: "Iterable[str]") -> None:
    """Lines to a file that is whole or absent, or to stdout."""
    from syncnet_lib import files

    if target == STDOUT:
        for line in lines:
            print(line)
        return
    with files.atomic(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"{line}\n" for line in lines)


def _csv(results: "Iterable[Result]") -> "Iterator[str]":
    """A header and a row a face track."""
    yield _csv_line(CSV_COLUMNS)
    for result in results:
        of_video = [getattr(result, name) for name in CSV_COLUMNS[:6]]
        for track in result.tracks:
            own = [getattr(track, name.removeprefix("track_") or name) for name in CSV_COLUMNS[7:-1]]
            yield _csv_line([*of_video, track.track, *own, "; ".join(result.warnings)])


def _csv_line(values: Sequence[Any]) -> str:
    import csv
    import io

    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()


def table(results: "Sequence[Result]") -> list[str]:
    """Results for people: the verdict on each video, its face tracks where there are several, and its warnings."""
    rows = [["file", "track", "seconds", "frames", "ms", "verdict", "confidence"]]
    notes: dict[int, list[str]] = {}
    for result in results:
        start, end = min(track.start_s for track in result.tracks), max(track.end_s for track in result.tracks)
        sure = f"{result.confidence:.3g} {result.meaning}"
        rows.append([result.path, "all", *_span(start, end), *_signed(result), result.verdict, sure])
        for track in result.tracks if len(result.tracks) > 1 else ():
            speaks = "speaks" if track.speaking else "does not speak"
            span = _span(track.start_s, track.end_s)
            rows.append(["", str(track.track), *span, *_signed(track), speaks, f"{track.confidence:.3g}"])
        notes[len(rows) - 1] = [f"  note: {warning}" for warning in result.warnings]
    lines = _columns(rows, right={2, 3, 4})
    return [line for n, row in enumerate(lines) for line in (row, *notes.get(n, []))]


def _span(start: float, end: float) -> list[str]:
    return [f"{start:.1f}-{end:.1f}"]


def _signed(result: "Result | TrackResult") -> list[str]:
    """Offset in frames and milliseconds, with its sign."""
    return [f"{value:+d}" if value else "0" for value in (result.offset_frames, result.offset_ms)]


def _columns(rows: Sequence[Sequence[str]], right: set[int]) -> list[str]:
    """Rows as aligned text; the columns in `right` are numbers."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if n in right else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _list_failures(outcomes: "Sequence[Outcome]") -> bool:
    """Say on stderr which videos failed and why; whether any did."""
    failed = [outcome for outcome in outcomes if outcome.error]
    if len(outcomes) > 1 and failed:
        print(f"{len(failed)} of {len(outcomes)} failed:", file=sys.stderr)
    for outcome in failed:
        print(f"error: {outcome.path}: {outcome.error}", file=sys.stderr)
    return bool(failed)


def _plot(result: "Result", folder: Path, paths: Sequence[Path]) -> None:
    """A picture of a result, named by its video and, where others have that name too, by its place in the list."""
    from syncnet_lib import files
    from syncnet_lib.plots import page
    from syncnet_lib.plots.verdicts import measurement

    path = Path(result.path)
    alike = sum(other.stem == path.stem for other in paths) > 1
    name = f"{path.stem}-{paths.index(path)}.png" if alike else f"{path.stem}.png"
    files.write_bytes(folder / name, page.png(measurement(result.to_dict(), result.verdict)))


experiment.register(app, WORKSPACE)


def main() -> None:
    """Run the command; what a user did wrong is one line on stderr."""
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(ERROR) from None
    except BrokenPipeError:  # `syncnet ... | head`: whoever read has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(DONE) from None


if __name__ == "__main__":
    main()
