"""What was measured, as others read it: the finding and what to do, in words; JUnit XML for a build server; markers for
an editing system, CSV with the columns of Premiere Pro; and who speaks when, RTTM. `pages` makes pages of it.
"""

import csv
import io
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from syncnet_lib.errors import printable
from syncnet_lib.measurement import finding
from syncnet_lib.measurement.result import Compliance, Failure, Limits, Result, Segment
from syncnet_lib.model.scoring import TOLERANCE

MARKER_COLUMNS = ("Marker Name", "Description", "In", "Out", "Duration", "Marker Type")
LABELS: dict[finding.Gate, str] = {"in": "in sync", "out": "out of sync", "unsure": "cannot be told"}
"""What a gate makes of a video where no standard was asked for."""
PARTS = ("start", "end", "sample", "audio_track", "channel", "audio")
"""Settings of a measurement that `syncnet correct` does not have."""

Pattern = Literal["constant", "changes with edits", "drift", "cannot be told"]


@dataclass(frozen=True)
class Event:
    """A stretch of a video of which something is said."""

    segment: Segment
    says: str
    gate: finding.Gate


@dataclass(frozen=True)
class Advice:
    """What to do about a finding: why, and a command, "" where there is none."""

    text: str
    command: str = ""


def pattern(result: Result) -> Pattern:
    """The name of what the offset does over time."""
    if result.sureness != "sure":
        return "cannot be told"
    if finding.significant(result.drift):
        return "drift"
    if finding.jumps(result.segments):
        return "changes with edits"
    return "constant"


def gate(result: Result) -> finding.Gate:
    """What the standard makes of a video, or, where none was asked for, whether it is in sync within a frame."""
    return finding.GATES[result.compliance] if result.compliance else finding.gate(result, TOLERANCE)


def label(result: Result) -> str:
    """The same in words."""
    return result.compliance or LABELS[gate(result)]


def headline(result: Result) -> str:
    """The finding as a title: with what a standard allows where the offset alone answers, else the verdict."""
    if result.limits is None or result.compliance is None or not finding.is_answer(result):
        return _capital(result.verdict)
    return _capital(_held(result.offset_ms, result.compliance, result.limits))


def failed(failure: Failure) -> str:
    """Why a video could not be measured, and what to do."""
    return _capital("; ".join(filter(None, (failure.error, failure.cure))))


def events(result: Result) -> list[Event]:
    """The segments of a video, each with what it says."""
    if result.sureness != "sure":
        return [Event(each, result.verdict, "unsure") for each in result.segments]
    return [Event(each, _says(result, each), _gate(result, each)) for each in result.segments]


def advice(result: Result) -> Advice | None:
    """What to do next; None where there is nothing to be done."""
    name = shlex.quote(result.path)
    copy = Path(result.path)
    target = shlex.quote(str(copy.with_name(f"{copy.stem}.synced{copy.suffix}")))
    if result.sureness != "sure":
        text = "Figures in brackets are the best guess, and no answer. To look yourself, at faces and confidence:"
        drawn = shlex.quote(str(copy.with_name(f"{copy.stem}.drawn.mp4")))
        return Advice(text, f"syncnet render {name} {drawn}")
    if gate(result) == "in":
        return None
    if any(result.settings.get(each) for each in PARTS):
        return Advice("A part of the video was judged, or a sound of its own: measure it whole before it is corrected.")
    command = f"syncnet correct {name} {target}"
    if pattern(result) == "constant":
        way = "later" if result.offset_ms > 0 else "earlier"
        text = f"Move the sound by {abs(round(result.offset_ms))} ms, {way}; nothing is encoded again:"
        return Advice(text, command)
    edits = pattern(result) == "changes with edits"
    what = "Move each part of the sound by its own offset" if edits else "Show the pictures at the speed of the sound"
    other = "" if edits else ", and changes the speed of the sound instead"
    return Advice(f"{what}; nothing is encoded again (--samples encodes the sound again{other}):", command)


def junit(outcomes: Iterable[Result | Failure], limits: Limits | None) -> bytes:
    """JUnit XML: a test a video, which fails where its standard does, or where it is sure and out of sync."""
    suite = ElementTree.Element("testsuite", name=f"syncnet {limits.name if limits else 'in sync'}")
    counts = {"failure": 0, "error": 0, "skipped": 0}
    tests = 0
    for outcome in outcomes:
        tests += 1
        case = ElementTree.SubElement(suite, "testcase", classname="syncnet", name=_xml(outcome.path))
        if isinstance(outcome, Failure):
            kind, said = "error", failed(outcome)
        else:
            kind, said = {"in": "", "out": "failure", "unsure": "skipped"}[gate(outcome)], headline(outcome)
        if kind:
            counts[kind] += 1
            ElementTree.SubElement(case, kind, message=_xml(said))
    numbers = {"tests": tests, "failures": counts["failure"], "errors": counts["error"], "skipped": counts["skipped"]}
    for key, number in numbers.items():
        suite.set(key, str(number))
    return ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)


def _xml(text: str) -> str:
    """Text without what XML 1.0 has no way to write."""
    return printable(text, "\N{REPLACEMENT CHARACTER}")


def markers(result: Result) -> str:
    """The segments of a video as markers for an editing system, CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(MARKER_COLUMNS)
    for event in events(result):
        each = event.segment
        name = each.compliance or f"{each.offset_ms:+.0f} ms"
        seconds = f"{each.end_s - each.start_s:.2f}"
        writer.writerow([name, event.says, each.start_timecode, each.end_timecode, seconds, "Comment"])
    return text.getvalue()


def rttm(result: Result) -> str:
    """Who speaks when, by face track (NIST RTTM): times of the face, since a track is judged as a whole."""
    name = "_".join(Path(result.path).stem.split())
    lines = (
        f"SPEAKER {name} 1 {each.start_s:.3f} {each.end_s - each.start_s:.3f} <NA> <NA> face{each.track} <NA> <NA>\n"
        for each in result.tracks
        if each.speaking
    )
    return "".join(lines)


def _says(result: Result, segment: Segment) -> str:
    if line := finding.line(result, segment):
        (_, first), (_, last) = line
        return f"the sound drifts from {first:+.0f} to {last:+.0f} ms"
    if result.limits is not None and segment.compliance is not None:
        return _held(segment.offset_ms, segment.compliance, result.limits)
    return finding.words(segment.offset_frames, segment.offset_ms)


def _held(ms: float, compliance: Compliance, limits: Limits) -> str:
    """An offset beside what a standard allows."""
    side, allowed = ("ahead", limits.early_ms) if ms > 0 else ("behind", limits.late_ms)
    digits = 1 if abs(abs(ms) - allowed) < 1 else 0  # which side of the limit it is on is seen in the figures
    said = f"audio is {abs(ms):.{digits}f} ms {side}"
    return f"{said}, within {limits.name}" if compliance == "pass" else f"{said}: {limits.name} allows {allowed:g} ms"


def _gate(result: Result, segment: Segment) -> finding.Gate:
    if segment.compliance:
        return finding.GATES[segment.compliance]
    if finding.significant(result.drift):
        return finding.gate(result, TOLERANCE)
    return "in" if abs(segment.offset_frames) <= TOLERANCE else "out"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
