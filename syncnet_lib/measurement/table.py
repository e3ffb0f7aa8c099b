"""Results for people: tables that fit a terminal, and plain text where the output is none."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from syncnet_lib.measurement import finding
from syncnet_lib.measurement.reference import ReferenceOffset
from syncnet_lib.measurement.result import Compliance, Result, Segment, Sureness, TrackResult

COLOURS: dict[Sureness, str] = {"sure": "green", "doubtful": "yellow", "none": "yellow", "unknown": "yellow"}
COMPLIANCE_COLOURS: dict[Compliance, str] = {"pass": "green", "fail": "red", "cannot be told": "yellow"}
WORTH_A_LINE = 1.0
"""Seconds of speech that were not judged from which a batch says so; a video by itself always does."""
WIDE = 10_000
"""Columns of what is no terminal: nothing is wrapped there, so that a line stays a line for `grep`."""


def results(found: Iterable[Result]) -> Table:
    """The verdict on each video with its notes, and its face tracks and segments where there are several; a column more
    where the results were held against a standard."""
    found = list(found)
    limits = next((result.limits for result in found if result.limits is not None), None)
    table = _table()
    table.add_column("file", overflow="fold", min_width=8)
    for name in ("seconds", "frames", "ms", "confidence"):
        table.add_column(name, justify="right", no_wrap=True)
    if limits is not None:
        table.add_column(limits.name, no_wrap=True)
    table.add_column("verdict", min_width=24)
    for result in found:
        start, end = min(track.start_s for track in result.tracks), max(track.end_s for track in result.tracks)
        confidence = f"{result.confidence:.3g}"
        verdict = Text(result.verdict, COLOURS[result.sureness])
        held = _held(result)
        told = result.sureness in ("sure", "unknown")
        answer = result.sureness == "unknown" or finding.is_answer(result)
        offset = _offset(result, answer)
        table.add_row(Text(result.path), _span(start, end), *offset, confidence, *held, verdict)
        blank = [""] * len(held)
        for track in result.tracks if len(result.tracks) > 1 else ():
            speaks = "speaks" if track.speaking else "does not speak"
            cells = _span(track.start_s, track.end_s), *_offset(track, answer), f"{track.confidence:.3g}"
            table.add_row(Text(f"  track {track.track}"), *cells, *blank, speaks, style="dim")
        for segment in result.segments if len(result.segments) > 1 else ():
            span = f"{segment.start_timecode}-{segment.end_timecode}"
            cells = _span(segment.start_s, segment.end_s), *_offset(segment, told), f"{segment.confidence:.3g}"
            table.add_row("  segment", *cells, *_held(segment), span)
        alone = len(found) == 1 or result.coverage.left_s >= WORTH_A_LINE
        for note in [*([finding.covered(result)] if alone else []), *result.warnings]:
            table.add_row("", "", "", "", "", *blank, Text(f"note: {note}"), style="dim")
    return table


def references(found: Iterable[ReferenceOffset]) -> Table:
    """The offset of each sound against its reference."""
    found = list(found)
    limits = next((each.limits for each in found if each.limits is not None), None)
    table = _table()
    table.add_column("file", overflow="fold", min_width=8)
    for name in ("samples", "ms"):
        table.add_column(name, justify="right", no_wrap=True)
    if limits is not None:
        table.add_column(limits.name, no_wrap=True)
    table.add_column("verdict", min_width=24)
    for each in found:
        values = [f"{each.offset_samples:+d}", f"{each.offset_ms:+.2f}"]
        values = values if each.sure else [f"({value})" for value in values]
        verdict = Text(each.verdict, COLOURS["sure" if each.sure else "none"])
        table.add_row(Text(each.path), *values, *_held(each), verdict)
    return table


def scores(rows: Iterable[Mapping[str, Any]]) -> Table:
    """LSE-D and LSE-C of each face track, and their means."""
    table = _table()
    table.add_column("file", overflow="fold")
    for name in ("track", "LSE-D", "LSE-C"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        track = "" if row["track"] is None else str(row["track"])
        table.add_row(Text(row["path"]), track, f"{row['lse_d']:.3f}", f"{row['lse_c']:.3f}")
    return table


def show(table: Table) -> None:
    """Print a table to stdout."""
    console = Console(file=sys.stdout)
    if console.is_terminal:
        console.print(table)
        return
    plain = Console(file=sys.stdout, width=WIDE, no_color=True)
    with plain.capture() as capture:
        plain.print(table)
    print("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False, header_style="bold")


def _span(start: float, end: float) -> str:
    return f"{start:.1f}-{end:.1f}"


def _held(found: Result | Segment | ReferenceOffset) -> list[Text]:
    """The cell of the standard, where there is one."""
    return [] if found.compliance is None else [Text(found.compliance, COMPLIANCE_COLOURS[found.compliance])]


def _offset(found: Result | TrackResult | Segment, answer: bool) -> Sequence[str]:
    """Signed offset in frames, and in milliseconds with half its interval; in brackets where it is no answer."""
    ms = round(found.offset_ms)
    spread = max(1, round((found.offset_interval_ms[1] - found.offset_interval_ms[0]) / 2))
    values = [f"{value:+d}" if value else "0" for value in (found.offset_frames, ms)]
    values[1] += f" ±{spread}"
    return values if answer else [f"({value})" for value in values]
