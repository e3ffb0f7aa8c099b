"""Drawings of a result for its page, as SVG that keeps its letters' size on a phone as on a screen.

Places along the time are shares of a drawing's width, so that only curves, which have no letters, are stretched.
"""

import html
import math
from collections.abc import Callable, Iterable, Sequence

from syncnet_lib.measurement import finding, report
from syncnet_lib.measurement.result import Result
from syncnet_lib.media.clock import FRAME_MS
from syncnet_lib.model.scoring import TOLERANCE

HEIGHT, LOW = 220, 170
"""Pixels of a drawing, and of one that stands beside another."""
LEAST_SPAN = 100.0
"""Milliseconds to either side of 0 that an offset axis shows at least: what is small looks small."""
ROOM = 1.25
"""How far an axis reaches beyond what lies on it."""
LEAST_DEPTH = 3.0
"""Span of an axis of distances, as a multiple of the threshold: what is flat looks flat."""
STRIP_MS = 200.0
"""To either side, of the strip in an index."""
CLOCK = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
"""Seconds between the labels of a time axis."""


def offsets(result: Result) -> str:
    """Offsets over time: of each 4 s, of each segment with its interval, and what is allowed."""
    early, late, name = _allowed(result)
    found = report.events(result)
    values = [*(each.offset_ms for each in result.points), *(each.segment.offset_ms for each in found)]
    values += [ms for event in found for _, ms in finding.line(result, event.segment) or ()]
    high = max([LEAST_SPAN, ROOM * early, *(ROOM * value for value in values)])
    low = min([-LEAST_SPAN, -ROOM * late, *(ROOM * value for value in values)])
    axes = _Axes(_span(result), (low, high), HEIGHT, f"offset over time: {report.pattern(result)}")
    axes.band(-late, early, name)
    axes.ticks(_steps(low, high), lambda value: f"{value:+.0f}".replace("-", "\N{MINUS SIGN}") if value else "0")
    axes.times()
    most = max((each.confidence for each in result.points), default=1.0)
    for each in result.points:
        opacity = 0.25 + 0.75 * max(each.confidence, 0) / max(most, 1e-9)
        axes.point(each.time_s, each.offset_ms, opacity)
    for event in found:
        segment = event.segment
        ends = finding.line(result, segment)
        if ends is None:
            axes.area(segment.start_s, segment.end_s, *segment.offset_interval_ms, event.gate)
            ends = (segment.start_s, segment.offset_ms), (segment.end_s, segment.offset_ms)
        axes.line(*ends, event.gate)
    return axes.drawn("Offset, ms: above 0 the sound is ahead, below 0 behind")


def confidences(result: Result) -> str:
    """Confidence of each 4 s over time, "" where the video is too short for two of them."""
    if len(result.points) < 2:
        return ""
    values = [each.confidence for each in result.points]
    threshold = result.model.threshold
    high = ROOM * max([*values, threshold or 0.0, 1e-3])
    axes = _Axes(_span(result), (0.0, high), LOW, "confidence over time")
    axes.ticks(_steps(0.0, high), lambda value: f"{value:.3g}")
    axes.times()
    if threshold is not None:
        axes.level(threshold, "sure from here")
    axes.curve((each.time_s, each.confidence) for each in result.points)
    return axes.drawn("Confidence of 4 s each")


def distances(result: Result) -> str:
    """Mean distance over the offset that is tried: a single dip is a clear answer; "" where there is no such curve."""
    known = [(n, value) for n, value in enumerate(result.mean_distances) if value is not None]
    if len(known) < 2:
        return ""
    reach = len(result.mean_distances) // 2
    curve = [(float(FRAME_MS * (result.search_centre + reach - n)), value) for n, value in reversed(known)]
    values = [value for _, value in curve]
    threshold = result.model.threshold
    middle = result.min_distance + result.confidence
    low, high = min(values), max(values)
    span = max(high - low, LEAST_DEPTH * (threshold or 0.0), 1e-3)
    low, high = low - 0.1 * span, max(high, low + span) + 0.1 * span
    axes = _Axes((curve[0][0], curve[-1][0]), (low, high), LOW, "distance over offset")
    axes.ticks(_steps(low, high), lambda value: f"{value:.3g}")
    axes.places()
    if threshold is not None:
        axes.level(middle - threshold, "sure below")
    axes.curve(curve)
    axes.point(FRAME_MS * result.offset_frames, result.min_distance, 1.0)
    return axes.drawn("Distance of lips and sound, over the offset that is tried, ms")


def strip(result: Result) -> str:
    """A small drawing of the offset of each part and of what is allowed, for a row of an index."""
    early, late, name = _allowed(result)

    def x(ms: float) -> float:
        return 50 + 50 * min(max(ms / STRIP_MS, -1), 1)

    parts = [
        f'<svg class=strip role=img aria-label="{result.offset_ms:+.0f} ms, {html.escape(name)}">',
        f'<rect class=band x="{x(-late):.1f}%" width="{x(early) - x(-late):.1f}%" y=0 height=16 />',
        '<line class=grid x1=0 x2="100%" y1=8 y2=8 /><line class=zero x1="50%" x2="50%" y1=0 y2=16 />',
    ]
    for event in report.events(result):
        segment = event.segment
        ends = finding.line(result, segment)
        low, high = segment.offset_interval_ms if ends is None else (ends[0][1], ends[1][1])
        parts.append(f'<line class="line {event.gate}" x1="{x(low):.1f}%" x2="{x(high):.1f}%" y1=8 y2=8 />')
        if ends is None:
            parts.append(f'<circle class="dot {event.gate}" cx="{x(segment.offset_ms):.1f}%" cy=8 r=4.5 />')
    return "".join(parts) + "</svg>"


def clock(seconds: float) -> str:
    """An instant as a person writes it: seconds below a minute, else m:ss or h:mm:ss."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _allowed(result: Result) -> tuple[float, float, str]:
    """Milliseconds that the sound may be ahead and behind, and by what rule."""
    if result.limits is not None:
        return result.limits.early_ms, result.limits.late_ms, result.limits.name
    return TOLERANCE * FRAME_MS, TOLERANCE * FRAME_MS, f"±{TOLERANCE} frame"


def _span(result: Result) -> tuple[float, float]:
    """First and last instant that was looked at."""
    spans = [*((each.start_s, each.end_s) for each in result.tracks)]
    spans += [(each.start_s, each.end_s) for each in result.segments]
    return min(start for start, _ in spans), max(end for _, end in spans)


def _steps(low: float, high: float) -> list[float]:
    """Three to seven round values between two."""
    raw = (high - low) / 5
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(each * size for each in (1, 2, 5, 10) if each * size >= raw)
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


class _Axes:
    """A drawing of values over something.

    Args:
        across: first and last place.
        along: lowest and highest value.
        height: pixels.
        says: what it shows, for who cannot see it.
    """

    def __init__(self, across: tuple[float, float], along: tuple[float, float], height: int, says: str) -> None:
        self._first, self._last = across[0], max(across[1], across[0] + 0.1)
        self._low, self._high, self._height = *along, height
        self._parts = [f'<svg class=chart height="{height}" role=img aria-label="{html.escape(says)}">']

    def _x(self, place: float) -> float:
        return 100 * min(max((place - self._first) / (self._last - self._first), 0), 1)

    def _y(self, value: float) -> float:
        return self._height * (1 - min(max((value - self._low) / (self._high - self._low), 0), 1))

    def ticks(self, values: Sequence[float], spoken: Callable[[float], str]) -> None:
        """Lines across at values, with their labels; that at 0 is drawn stronger."""
        for value in values:
            y = self._y(value)
            kind = "grid" if value else "zero"
            self._parts.append(f'<line class={kind} x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>')
            self._parts.append(f'<text x="-8" y="{y + 5:.1f}" text-anchor=end>{spoken(value)}</text>')

    def times(self) -> None:
        """Labels of instants below."""
        span = self._last - self._first
        step = next((each for each in CLOCK if span / each <= 6), 3600 * math.ceil(span / 3600 / 6))
        first = math.ceil(self._first / step)
        self._below((n * step, clock(n * step)) for n in range(first, math.floor(self._last / step) + 1))

    def places(self) -> None:
        """Labels of milliseconds below."""
        values = _steps(self._first, self._last)
        self._below((value, f"{value:+.0f}".replace("-", "\N{MINUS SIGN}") if value else "0") for value in values)

    def _below(self, labels: Iterable[tuple[float, str]]) -> None:
        for place, label in labels:
            x = self._x(place)
            anchor = "start" if x < 4 else "end" if x > 96 else "middle"
            self._parts.append(
                f'<line class=grid x1="{x:.2f}%" x2="{x:.2f}%" y1="{self._height}" y2="{self._height + 5}"/>'
            )
            self._parts.append(f'<text x="{x:.2f}%" y="{self._height + 20}" text-anchor={anchor}>{label}</text>')

    def band(self, low: float, high: float, name: str) -> None:
        """What is allowed."""
        top, bottom = self._y(high), self._y(low)
        self._parts.append(f'<rect class=band x="0" width="100%" y="{top:.1f}" height="{bottom - top:.1f}"/>')
        self._parts.append(
            f'<text class=name x="100%" dx="-6" y="{bottom - 6:.1f}" text-anchor=end>{html.escape(name)}</text>'
        )

    def level(self, value: float, name: str) -> None:
        """A threshold."""
        y = self._y(value)
        self._parts.append(f'<line class=level x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>')
        self._parts.append(f'<text class=name x="100%" dx="-6" y="{y - 5:.1f}" text-anchor=end>{name}</text>')

    def area(self, start: float, end: float, low: float, high: float, kind: str) -> None:
        """An interval over a stretch."""
        x, y = self._x(start), self._y(high)
        size = f'width="{self._x(end) - x:.2f}%" height="{self._y(low) - y:.1f}"'
        self._parts.append(f'<rect class="area {kind}" x="{x:.2f}%" y="{y:.1f}" {size}/>')

    def line(self, start: tuple[float, float], end: tuple[float, float], kind: str) -> None:
        """A straight line from place and value to place and value."""
        places = zip((start, end), (1, 2), strict=True)
        ends = (f'x{n}="{self._x(place):.2f}%" y{n}="{self._y(value):.1f}"' for (place, value), n in places)
        self._parts.append(f'<line class="line {kind}" {" ".join(ends)}/>')

    def point(self, place: float, value: float, opacity: float) -> None:
        """A dot."""
        at = f'cx="{self._x(place):.2f}%" cy="{self._y(value):.1f}"'
        self._parts.append(f'<circle class=point r=4 {at} opacity="{opacity:.2f}"/>')

    def curve(self, points: Iterable[tuple[float, float]]) -> None:
        """A curve through points, stretched to the width."""
        line = " ".join(f"{self._x(place):.2f},{self._y(value):.1f}" for place, value in points)
        box = f'viewBox="0 0 100 {self._height}" preserveAspectRatio=none width="100%" height="{self._height}"'
        self._parts.append(f'<svg {box}><polyline class=curve points="{line}"/></svg>')

    def drawn(self, caption: str) -> str:
        """The whole as HTML, with what its axes are."""
        return (
            f"<figure class=plot><figcaption>{html.escape(caption)}</figcaption>{''.join(self._parts)}</svg></figure>"
        )
