"""What a measurement says about a standard.

What decides is the measured offset where that is sure; where a limit lies within its interval the result says so,
because another stretch of the same video may as well fall on the other side.
"""

from collections.abc import Sequence

from syncnet_lib.measurement import finding
from syncnet_lib.measurement.result import Compliance, Limits, Result, Segment

WORST: Sequence[Compliance] = ("fail", "cannot be told", "pass")
"""What a whole is where its parts differ: the first of these that occurs."""


def held_against(result: Result, limits: Limits) -> Result:
    """A result with what a standard says about the whole and about each segment."""
    sure = result.sureness == "sure"
    segments = [
        segment.model_copy(update={"compliance": _compliance(_extent(result, segment), limits, sure)})
        for segment in result.segments
    ]
    parts = {segment.compliance for segment in segments}
    if not finding.jumps(result.segments) and finding.significant(result.drift) is None:
        parts = {_compliance((result.offset_ms,), limits, sure)}  # one offset: that of the whole is the finest
    whole = next(each for each in WORST if each in parts)
    warnings = [*result.warnings]
    if whole != "cannot be told" and (near := _near(result, limits)):
        warnings.append(f"{limits.name}: a limit lies within the interval of {near}")
    update = {"limits": limits, "compliance": whole, "segments": segments, "warnings": warnings}
    return result.model_copy(update=update)


def _extent(result: Result, segment: Segment) -> tuple[float, ...]:
    """Milliseconds at both ends of a segment on the line of a drift, or its offset."""
    line = finding.line(result, segment)
    return (segment.offset_ms,) if line is None else tuple(ms for _, ms in line)


def _compliance(offsets: Sequence[float], limits: Limits, sure: bool) -> Compliance:
    if not sure:
        return "cannot be told"
    return "pass" if all(-limits.late_ms <= ms <= limits.early_ms for ms in offsets) else "fail"


def _near(result: Result, limits: Limits) -> str:
    """The first offset, in words, whose interval holds a limit; empty where there is none."""
    parts = [(each.offset_interval_ms, f"{each.start_timecode}-{each.end_timecode}") for each in result.segments]
    for (low, high), where in parts if len(parts) > 1 else [(result.offset_interval_ms, "the offset")]:
        if low < limits.early_ms < high or low < -limits.late_ms < high:
            return where
    return ""
