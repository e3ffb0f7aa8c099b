"""A folder of videos into one to train from: what is in sync, what could be brought into sync, and the rest by reason.

The result holds `kept/` (links to what is in sync as it is), `corrected/` (copies whose sound was moved, and measured
again), `kept.csv` with a row for each of both, and `rejected.csv`. Names below the folder stay. The originals are only
read. Measurements are kept in a journal, so that the same command goes on after an interruption; copies, which take
milliseconds, are written anew, since an original or a setting may have changed; the tables come last: where they are,
the folder is finished.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from syncnet_lib import files
from syncnet_lib.errors import InputError, shown
from syncnet_lib.failures import explained
from syncnet_lib.measurement import batch, finding, inputs, output
from syncnet_lib.measurement.batch import Options, Outcome
from syncnet_lib.measurement.journal import Journal
from syncnet_lib.measurement.report import failed
from syncnet_lib.measurement.result import Failure, Result
from syncnet_lib.media.correction import Cure

KEPT, CORRECTED = "kept", "corrected"
KEPT_COLUMNS = ("path", "file", "was_ms", "was_low_ms", "was_high_ms", "moved_ms", "now_ms", "confidence")
"""Names below the folder and below the result; milliseconds measured, moved, and measured now."""
REJECTED_COLUMNS = ("path", "kind", "reason", "offset_ms", "confidence")
Kind = Literal["cannot be measured", "not sure", "edits or drift", "cannot be copied", "not cured"]
"""Of a rejection, to count and to sort by."""
HOLDS_ALL = ".mkv"
"""Container of a copy where that of the original keeps no such start of the sound."""


@dataclass(frozen=True)
class Counts:
    """How many videos became what; the rejected ones by their kind."""

    kept: int
    corrected: int
    rejected: Mapping[str, int]


def clean(folder: Path, out: Path, options: Options, max_offset: int, workers: int | None) -> Counts:
    """Sort the videos of a folder.

    Args:
        folder: searched with all folders in it; hidden ones are left out.
        out: a new folder, or one that an interrupted run has left.
        options: what to measure with.
        max_offset: frames to either side within which a video, or a corrected copy, is kept.
        workers: processes; None for one a core.

    Raises:
        InputError: no videos, `out` is there already and finished or not of this command, or lies inside of `folder`.
    """
    if not folder.is_dir():
        raise InputError(folder, "is no folder", "give a folder of videos")
    videos, failed = inputs.expand([str(folder)], cropped=False)
    if failed:
        raise failed[0]
    if out.resolve().is_relative_to(folder.resolve()):
        raise InputError(out, "lies within the folder that is cleaned", "give another one")
    table = out / "kept.csv"
    if table.exists():
        raise InputError(out, "is finished already", "give another folder or remove it")
    if not _left(out):
        files.check_new(out)
    for name in (KEPT, CORRECTED):
        (out / name).mkdir(parents=True, exist_ok=True)
        for place in (out / name).rglob("*"):
            if place.is_dir():
                files.sweep(place)
        files.sweep(out / name)
    with Journal(table) as journal:
        found = {outcome.path: _brief(outcome) for outcome in batch.run(videos, options, workers, journal)}
        sorted_out = _Sorted(folder, out, max_offset)
        for video in videos:
            sorted_out.take(video, found[shown(video)])
        sorted_out.correct(workers)
        copies = list(sorted_out.copies)
        again = batch.run(copies, options, workers, journal)
        measured = {outcome.path: _brief(outcome) for outcome in again} if copies else {}
        for copy in copies:
            sorted_out.confirm(copy, measured[shown(copy)])
        sorted_out.tidy()
        output.write_csv(out / "rejected.csv", REJECTED_COLUMNS, sorted_out.rejected)
        output.write_csv(table, KEPT_COLUMNS, sorted_out.kept)
        journal.remove()
    corrected = sum(str(row["file"]).startswith(f"{CORRECTED}/") for row in sorted_out.kept)
    kinds = Counter(str(row["kind"]) for row in sorted_out.rejected)
    return Counts(len(sorted_out.kept) - corrected, corrected, kinds)


def _left(out: Path) -> bool:
    """Whether an interrupted run has left a folder."""
    return (out / ".kept.csv.journal").is_file()


def _brief(outcome: Outcome) -> Outcome:
    return outcome.brief() if isinstance(outcome, Result) else outcome


class _Sorted:
    """Videos by what becomes of them.

    Attributes:
        kept, rejected: rows of the tables.
        wanted: videos whose sound is to be moved, and what was found in them.
        copies: corrected copies to be measured again, and the original and what was found in it.
    """

    def __init__(self, folder: Path, out: Path, max_offset: int) -> None:
        self._folder, self._out, self._max = folder, out, max_offset
        self.kept: list[dict[str, str | float]] = []
        self.rejected: list[dict[str, str | float]] = []
        self.wanted: dict[Path, Result] = {}
        self.copies: dict[Path, tuple[Path, Result]] = {}

    def take(self, video: Path, outcome: Outcome) -> None:
        """Keep, correct or reject a video."""
        name = video.relative_to(self._folder)
        if isinstance(outcome, Failure):
            self._reject(video, "cannot be measured", failed(outcome))
        elif (gate := finding.gate(outcome, self._max)) == "in":
            target = self._out / KEPT / name
            if not target.exists():
                files.link(video, target)
            self._keep(video, target, outcome, 0, outcome)
        elif gate == "unsure":
            self._reject(video, "not sure", outcome.verdict, outcome)
        elif why := finding.uneven(outcome):
            self._reject(video, "edits or drift", f"{why}: syncnet correct may cure it", outcome)
        else:
            self.wanted[video] = outcome

    def correct(self, workers: int | None) -> None:
        """Write the corrected copies, in another container where that of the original does not hold them.

        Raises:
            InputError: the disk is full or cannot be written, which is no video's fault.
        """
        made: dict[Path, Path] = {}
        told: dict[Path, InputError] = {}
        for suffix in ("", HOLDS_ALL):
            moves: list[batch.Move] = []
            for video in self.wanted.keys() - made.keys():
                target = self._out / CORRECTED / video.relative_to(self._folder)
                copy = target.with_name(target.name + suffix)
                copy.parent.mkdir(parents=True, exist_ok=True)
                files.remove(copy)
                moves.append(batch.Move(video, copy, Cure.shift(Fraction(_delay_ms(self.wanted[video]), 1000))))
            for move, done in batch.move_sounds(moves, workers):
                if isinstance(done, OSError) and not isinstance(done, TimeoutError):
                    raise explained(done, move.out) from done
                if isinstance(done, Exception):
                    told[move.path] = explained(done, move.path)
                else:
                    made[move.path] = move.out
        for video, found in self.wanted.items():
            if video in made:
                self.copies[made[video]] = video, found
            else:
                self._reject(video, "cannot be copied", told[video].cause, found)

    def confirm(self, copy: Path, outcome: Outcome) -> None:
        """Keep a corrected copy that is in sync now, reject it otherwise."""
        video, before = self.copies[copy]
        if isinstance(outcome, Result) and finding.gate(outcome, self._max) == "in":
            self._keep(video, copy, before, _delay_ms(before), outcome)
            return
        files.remove(copy)
        said = failed(outcome) if isinstance(outcome, Failure) else outcome.verdict
        self._reject(video, "not cured", f"the corrected copy measured: {said}", before)

    def tidy(self) -> None:
        """Remove what an interrupted run with other settings has put in its place."""
        listed = {self._out / str(row["file"]) for row in self.kept}
        for path in [*_files(self._out / KEPT), *_files(self._out / CORRECTED)]:
            if path not in listed:
                files.remove(path)

    def _keep(self, video: Path, target: Path, before: Result, moved: int, now: Result) -> None:
        interval = zip(("was_low_ms", "was_high_ms"), before.offset_interval_ms, strict=True)
        self.kept.append(
            {
                "path": shown(video.relative_to(self._folder)),
                "file": shown(target.relative_to(self._out)),
                "was_ms": before.offset_ms,
                **dict(interval),
                "moved_ms": moved,
                "now_ms": now.offset_ms,
                "confidence": now.confidence,
            }
        )

    def _reject(self, video: Path, kind: Kind, reason: str, found: Result | None = None) -> None:
        name = shown(video.relative_to(self._folder))
        row: dict[str, str | float] = {"path": name, "kind": kind, "reason": reason}
        self.rejected.append(
            row if found is None else row | {"offset_ms": found.offset_ms, "confidence": found.confidence}
        )


def _delay_ms(found: Result) -> int:
    return round(found.offset_ms)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if not path.is_dir())


def spoken(counts: Counts, out: Path) -> Sequence[str]:
    """What a run has made, a line each."""
    kinds = sorted(counts.rejected.items(), key=lambda each: -each[1])
    of_which = f" ({', '.join(f'{count} {kind}' for kind, count in kinds)})" if kinds else ""
    return (
        f"{counts.kept} kept as they are: {out / KEPT}",
        f"{counts.corrected} corrected and measured again: {out / CORRECTED}",
        f"{sum(counts.rejected.values())} rejected{of_which}, each with the reason: {out / 'rejected.csv'}",
    )
