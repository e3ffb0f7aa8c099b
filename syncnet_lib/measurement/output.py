"""Results for scripts: JSON, a line a video, and CSV, a row a face track; each file is whole or absent."""

import contextlib
import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from syncnet_lib import files
from syncnet_lib.failures import writing
from syncnet_lib.measurement.result import Failure, Result, Segment

if TYPE_CHECKING:
    from syncnet_lib.measurement.reference import ReferenceOffset

STDOUT = Path("-")
OF_VIDEO = ("path", "offset_frames", "offset_ms", "confidence", "sureness", "min_distance")
INTERVAL = ("offset_low_ms", "offset_high_ms")
OF_TRACK = ("shot", "start_s", "end_s", "speaking", "offset_frames", "offset_ms", "confidence", "min_distance")
COLUMNS = (
    *(*OF_VIDEO, *INTERVAL, "track", "shot", "start_s", "end_s", "speaking"),
    *("audio_track", "speech_s", "judged_s", "unjudged", "standard", "compliance", "segments"),
    *("track_offset_frames", "track_offset_ms", "track_confidence", "track_min_distance", "warnings", "verdict"),
    "error",
)
REFERENCE_COLUMNS = (
    *("path", "reference", "sure", "offset_samples", "offset_ms", "agreeing", "blocks", "standard", "compliance"),
    *("verdict", "error"),
)
"""Of a comparison of sound with sound."""


def write_json(target: Path, lines: Iterable[str]) -> None:
    """Write lines of JSON.

    Args:
        target: a file, or STDOUT.
        lines: without their line ends.
    """
    with _opened(target) as file:
        file.writelines(f"{line}\n" for line in lines)


def write_csv(target: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table as CSV.

    Args:
        target: a file, or STDOUT.
        columns: in their order; what a row lacks stays empty.
        rows: by the names of the columns.
    """
    with _opened(target) as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def rows(outcome: Result | Failure) -> Iterator[dict[str, Any]]:
    """The rows of a video under COLUMNS: one a face track, or one that says why it could not be measured."""
    if isinstance(outcome, Failure):
        yield {"path": outcome.path, "error": outcome.error}
        return
    video = {name: getattr(outcome, name) for name in OF_VIDEO}
    video |= dict(zip(INTERVAL, outcome.offset_interval_ms, strict=True))
    video["audio_track"] = outcome.settings.get("audio_track", "")
    covered = outcome.coverage
    rest = "; ".join(f"{each.reason} {each.seconds:g} s" for each in covered.unjudged)
    video |= {"speech_s": covered.speech_s, "judged_s": covered.judged_s, "unjudged": rest}
    if outcome.limits is not None:
        video |= {"standard": outcome.limits.name, "compliance": outcome.compliance}
    video["segments"] = "; ".join(map(_segment, outcome.segments))
    said = {"warnings": "; ".join(outcome.warnings), "verdict": outcome.verdict}
    for track in outcome.tracks:
        own = {name: getattr(track, name) for name in OF_TRACK}
        named = {f"track_{name}" if name in OF_VIDEO else name: value for name, value in own.items()}
        yield {**video, "track": track.track, **named, **said}


def _segment(segment: Segment) -> str:
    span = f"{segment.start_timecode}-{segment.end_timecode} {segment.offset_ms:+.0f} ms"
    return span if segment.compliance is None else f"{span} {segment.compliance}"


def reference_row(outcome: "ReferenceOffset | Failure") -> dict[str, Any]:
    """The row of a comparison under REFERENCE_COLUMNS."""
    if isinstance(outcome, Failure):
        return {"path": outcome.path, "error": outcome.error}
    row = {name: getattr(outcome, name, None) for name in REFERENCE_COLUMNS[:-1]}
    return row | {"standard": outcome.limits.name if outcome.limits else None}


@contextlib.contextmanager
def _opened(target: Path) -> Iterator[IO[str]]:
    """A file that is whole or absent, or stdout."""
    if target == STDOUT:
        yield sys.stdout
        return
    with writing(target), files.atomic(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        yield file
