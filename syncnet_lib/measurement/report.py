"""What was measured as a page to send: offset over time, events with picture and time code, and what measured it.

One HTML file a video, which needs nothing beside itself; an index of a batch; JUnit XML for a build server; markers
for an editing system, CSV with the columns of Premiere Pro; and who speaks when, RTTM.
"""

import base64
import csv
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import cv2

from syncnet_lib import files
from syncnet_lib.measurement import finding
from syncnet_lib.measurement.result import Compliance, Failure, Limits, Result, Segment
from syncnet_lib.media import decode
from syncnet_lib.media.clock import FPS
from syncnet_lib.model.scoring import TOLERANCE
from syncnet_lib.plots import sheet

PICTURE_WIDTH = 192
"""Pixels of a picture of an event."""
WIDTH, HEIGHT, LEFT, BOTTOM = 880, 220, 56, 28
"""Of a drawing, and its margins for labels, in its own units."""
MARKER_COLUMNS = ("Marker Name", "Description", "In", "Out", "Duration", "Marker Type")
STYLE = """
.badge { display: inline-block; padding: .1rem .6rem; border-radius: 1rem; font-weight: 600; color: #fff; }
.pass { background: #2a7d3f; } .fail { background: #c02f41; } .told { background: #8a6d1a; }
svg { width: 100%; min-width: 34rem; height: auto; display: block; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; } svg .grid { stroke: var(--line); }
svg .band { fill: var(--accent); opacity: .12; } svg .point { fill: var(--accent); }
svg .line { stroke: #d1495b; stroke-width: 3; fill: none; } svg .curve { stroke: var(--accent); fill: none; }
td img { padding: 0; border-radius: .25rem; width: 9rem; } td.words, th.words { white-space: normal; text-align: left; }
th[role=button] { cursor: pointer; text-decoration: underline dotted; }
"""
SORT = """
for (const [column, head] of document.querySelectorAll('th[role=button]').entries()) {
  const sort = () => {
    const body = document.querySelector('tbody'), down = head.ariaSort === 'ascending';
    const key = row => row.cells[column].dataset.key ?? row.cells[column].textContent;
    const compare = (a, b) => (isNaN(a) || isNaN(b) || a === '' || b === '') ? a.localeCompare(b) : a - b;
    const rows = [...body.rows].sort((a, b) => compare(key(a), key(b)) * (down ? -1 : 1));
    for (const other of document.querySelectorAll('th[role=button]')) other.ariaSort = null;
    head.ariaSort = down ? 'descending' : 'ascending';
    body.append(...rows);
  };
  head.onclick = sort;
  head.onkeydown = event => { if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); sort(); } };
}
"""


@dataclass(frozen=True)
class Event:
    """A stretch of a video of which something is said."""

    segment: Segment
    says: str
    picture: bytes = b""


def pattern(result: Result) -> str:
    """The name of what the offset does over time."""
    if result.sureness != "sure":
        return "cannot be told"
    if finding.significant(result.drift):
        return "drift"
    if finding.jumps(result.segments):
        return "changes with edits"
    return "constant"


def events(result: Result) -> list[Event]:
    """The segments of a video, each with what it says."""
    if result.sureness != "sure":
        return [Event(segment, result.verdict) for segment in result.segments]
    return [Event(each, finding.words(each.offset_frames, each.offset_ms)) for each in result.segments]


def write_page(path: Path, out: Path, result: Result) -> None:
    """Write the page of a video.

    Args:
        path: the video, from which the pictures come.
        out: an HTML file.
        result: of it.
    """
    found = events(result)
    wanted = [min(each.segment.start_s + 1, (each.segment.start_s + each.segment.end_s) / 2) for each in found]
    shown = _pictures(path, [int(time * FPS) for time in wanted])
    pictured = [Event(each.segment, each.says, picture) for each, picture in zip(found, shown, strict=True)]
    files.write_bytes(out, video_page(result, pictured).encode())


def video_page(result: Result, found: Sequence[Event]) -> str:
    """The page of a video as HTML."""
    name = Path(result.path).name
    low, high = result.offset_interval_ms
    facts = [
        ("offset", f"{result.offset_ms:+.1f} ms, 95 % interval {low:+.1f} to {high:+.1f} ms"),
        ("in pictures", f"{result.offset_file_frames:+.2f} at {result.frame_rate:g} a second"),
        ("confidence", f"{result.confidence:.3g}, {result.meaning}"),
        ("pattern", pattern(result)),
        ("speech", finding.covered(result)),
    ]
    if not finding.is_answer(result):
        facts = [(key, f"({value})" if key in ("offset", "in pictures") else value) for key, value in facts]
    if result.limits is not None:
        facts.append((result.limits.name, f"+{result.limits.early_ms:g} to -{result.limits.late_ms:g} ms"))
    if drift := finding.significant(result.drift):
        facts.append(("drift", f"{drift.ppm:+.0f} ppm ({drift.ppm_low:+.0f} to {drift.ppm_high:+.0f})"))
    body = [
        f"<h1>{html.escape(name)}</h1>",
        f'<p class="lead">{_badge(result.compliance)} {html.escape(result.verdict)}</p>',
        '<div class="wide"><table><tbody>',
        *(f"<tr><th>{html.escape(key)}</th><td class=words>{html.escape(value)}</td></tr>" for key, value in facts),
        "</tbody></table></div>",
        "<h2>Over time</h2>",
        f"<figure>{_offsets(result)}</figure><figure>{_confidences(result)}</figure>",
        "<h2>Events</h2>",
        _event_table(found),
        "<h2>Faces</h2>",
        _table(
            ("track", "from s", "to s", "speaks", "ms", "confidence"),
            [
                (each.track, f"{each.start_s:.1f}", f"{each.end_s:.1f}", "yes" if each.speaking else "no",
                 f"{each.offset_ms:+.0f}", f"{each.confidence:.3g}")
                for each in result.tracks
            ],
        ),
        "<h2>Measured with</h2>",
        _table(
            ("what", "value"),
            [
                ("network", f"{result.model.name}, checkpoint {result.model.checkpoint}"),
                ("SHA-256", result.model.sha256),
                ("sure from", "unknown" if result.model.threshold is None else f"{result.model.threshold:.3g}"),
                ("pictures", f"{result.frames_used} of {result.frames_in_file} decoded"),
                *((key.replace("_", " "), value) for key, value in result.settings.items() if value != ""),
            ],
        ),
    ]  # fmt: skip
    if result.warnings:
        notes = "".join(f"<li>{html.escape(each)}</li>" for each in result.warnings)
        body += ["<h2>Notes</h2>", f"<ul>{notes}</ul>"]
    return sheet.document(f"{name}: {result.verdict}", "".join(body), STYLE)


def index_page(outcomes: Iterable[tuple[Result | Failure, str]]) -> str:
    """The index of a batch: a row a video with the name of its page, sortable by each column."""
    head = ("file", "verdict", "standard", "ms", "±", "confidence", "pattern", "speech judged")
    rows = []
    for outcome, name in outcomes:
        cells: list[tuple[str, str | float]]
        if isinstance(outcome, Failure):
            cells = [(outcome.path, ""), (outcome.error, ""), ("error", ""), *[("", "")] * 5]
            link = html.escape(Path(outcome.path).name)
        else:
            low, high = outcome.offset_interval_ms
            answer = finding.is_answer(outcome)
            covered = outcome.coverage
            ms = f"{outcome.offset_ms:+.0f}" if answer else f"({outcome.offset_ms:+.0f})"
            cells = [
                (outcome.path, ""), (outcome.verdict, ""), (outcome.compliance or "", ""), (ms, outcome.offset_ms),
                (f"{(high - low) / 2:.0f}", ""), (f"{outcome.confidence:.3g}", ""), (pattern(outcome), ""),
                (f"{covered.judged_s:.1f} of {covered.speech_s:.1f} s", covered.judged_s),
            ]  # fmt: skip
            link = f'<a href="{html.escape(name)}">{html.escape(Path(outcome.path).name)}</a>'
        first, second, *rest = cells
        other = "".join(f"<td{_key(key)}>{html.escape(str(text))}</td>" for text, key in rest)
        rows.append(f"<tr><td{_key(first[0])}>{link}</td><td class=words>{html.escape(second[0])}</td>{other}</tr>")
    heads = "".join(
        f'<th role=button tabindex=0 class="{"words" if n == 1 else ""}">{each}</th>' for n, each in enumerate(head)
    )
    table = f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    title = f"Sound against lips: {len(rows)} videos"
    return sheet.document(title, f"<h1>{title}</h1>{table}<script>{SORT}</script>", STYLE)


def junit(outcomes: Iterable[Result | Failure], limits: Limits | None) -> bytes:
    """JUnit XML: a test a video, which fails where its standard does, or where it is sure and out of sync."""
    suite = ElementTree.Element("testsuite", name=f"syncnet {limits.name if limits else 'in sync'}")
    counts = {"failure": 0, "error": 0, "skipped": 0}
    tests = 0
    for outcome in outcomes:
        tests += 1
        case = ElementTree.SubElement(suite, "testcase", classname="syncnet", name=outcome.path)
        if isinstance(outcome, Failure):
            kind, said = "error", outcome.error
        else:
            gate = finding.gate(outcome, TOLERANCE)
            held = finding.GATES[outcome.compliance] if outcome.compliance else gate
            kind, said = {"in": "", "out": "failure", "unsure": "skipped"}[held], outcome.verdict
        if kind:
            counts[kind] += 1
            ElementTree.SubElement(case, kind, message=said)
    numbers = {"tests": tests, "failures": counts["failure"], "errors": counts["error"], "skipped": counts["skipped"]}
    for key, number in numbers.items():
        suite.set(key, str(number))
    return ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)


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


def _pictures(path: Path, frames: Sequence[int]) -> list[bytes]:
    """JPEGs of frames in ascending order; empty where the video has none."""
    if path.is_dir():
        return [b""] * len(frames)
    found = []
    waiting = list(frames)
    for number, picture in enumerate(decode.pictures(path)):
        while waiting and number == waiting[0]:
            waiting.pop(0)
            pixels = picture.rgb
            size = PICTURE_WIDTH, max(1, round(PICTURE_WIDTH * pixels.shape[0] / pixels.shape[1]))
            small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
            found.append(cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1].tobytes())
        if not waiting:
            break
    return found + [b""] * len(waiting)


def _badge(compliance: Compliance | None) -> str:
    if compliance is None:
        return ""
    kind = "told" if compliance == "cannot be told" else compliance
    return f'<span class="badge {kind}">{compliance}</span>'


def _key(value: object) -> str:
    return "" if value == "" else f' data-key="{html.escape(str(value))}"'


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    heads = "".join(f"<th>{html.escape(each)}</th>" for each in head)
    lines = ("".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _event_table(found: Sequence[Event]) -> str:
    rows = []
    for event in found:
        each = event.segment
        source = base64.b64encode(event.picture).decode()
        picture = (
            f'<img alt="picture near {each.start_timecode}" src="data:image/jpeg;base64,{source}">' if source else ""
        )
        low, high = each.offset_interval_ms
        offset = f"{each.offset_ms:+.0f} ({low:+.0f} to {high:+.0f})"
        cells = (f"{each.start_timecode}<br>{each.end_timecode}", offset, f"{each.confidence:.3g}")
        plain = "".join(f"<td>{cell}</td>" for cell in (picture, *cells, _badge(each.compliance)))
        rows.append(f"<tr>{plain}<td class=words>{html.escape(event.says)}</td></tr>")
    heads = "".join(f"<th>{each}</th>" for each in ("picture", "from, to", "ms (95 %)", "confidence", "standard"))
    head = f"<thead><tr>{heads}<th class=words>what</th></tr></thead>"
    return f'<div class="wide"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'


class _Axes:
    """A drawing of values over the seconds of a video, as SVG."""

    def __init__(self, seconds: float, values: Sequence[float], unit: str, says: str) -> None:
        low, high = min(values), max(values)
        room = max((high - low) * 0.1, 1e-3)
        self._seconds, self._low, self._high = max(seconds, 0.1), low - room * (low < 0), high + room
        self._parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(says)}">']
        for share in (0.0, 0.5, 1.0):
            value, time = self._low + share * (self._high - self._low), share * self._seconds
            y = self.y(value)
            self._parts.append(f'<line class=grid x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
            self._parts.append(
                f'<text x="{LEFT - 6}" y="{y + (12 if share == 1 else 0):.1f}" text-anchor="end">{value:.3g}</text>'
            )
            anchor = ("start", "middle", "end")[round(2 * share)]
            self._parts.append(
                f'<text x="{self.x(time):.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{time:.1f} s</text>'
            )
        self._parts.append(f'<text x="{LEFT + 6}" y="14">{html.escape(unit)}</text>')

    def x(self, seconds: float) -> float:
        """Where an instant lies."""
        return LEFT + (WIDTH - LEFT) * min(max(seconds / self._seconds, 0), 1)

    def y(self, value: float) -> float:
        """Where a value lies."""
        share = (value - self._low) / (self._high - self._low)
        return (HEIGHT - BOTTOM) * (1 - min(max(share, 0), 1))

    def add(self, part: str) -> None:
        """Draw something."""
        self._parts.append(part)

    def __str__(self) -> str:
        return "".join(self._parts) + "</svg>"


def _offsets(result: Result) -> str:
    """Offsets over time: of each 4 s, of each segment, and the limits of the standard."""
    limits = result.limits
    edges = [] if limits is None else [limits.early_ms, -limits.late_ms]
    values = [*(each.offset_ms for each in result.segments), *(each.offset_ms for each in result.points), *edges, 0.0]
    axes = _Axes(_end(result), values, "ms, above 0: the sound is ahead", f"offset over time: {pattern(result)}")
    if limits is not None:
        top, bottom = axes.y(limits.early_ms), axes.y(-limits.late_ms)
        axes.add(f'<rect class=band x="{LEFT}" width="{WIDTH - LEFT}" y="{top:.1f}" height="{bottom - top:.1f}"/>')
    most = max((each.confidence for each in result.points), default=1.0)
    for each in result.points:
        opacity = 0.2 + 0.8 * max(each.confidence, 0) / max(most, 1e-9)
        place = f'cx="{axes.x(each.time_s):.1f}" cy="{axes.y(each.offset_ms):.1f}"'
        axes.add(f'<circle class=point r="3.5" {place} opacity="{opacity:.2f}"/>')
    for segment in result.segments:
        y = axes.y(segment.offset_ms)
        axes.add(f'<path class=line d="M{axes.x(segment.start_s):.1f} {y:.1f}H{axes.x(segment.end_s):.1f}"/>')
    return str(axes)


def _confidences(result: Result) -> str:
    """Confidence of each 4 s over time, or of each segment where the video is too short for that."""
    points = [(each.time_s, each.confidence) for each in result.points]
    points = points or [(time, each.confidence) for each in result.segments for time in (each.start_s, each.end_s)]
    axes = _Axes(_end(result), [0.0, *(value for _, value in points)], "confidence", "confidence over time")
    line = " ".join(f"{axes.x(time):.1f},{axes.y(value):.1f}" for time, value in points)
    axes.add(f'<polyline class=curve points="{line}"/>')
    return str(axes)


def _end(result: Result) -> float:
    return max([*(track.end_s for track in result.tracks), *(each.end_s for each in result.segments)])
