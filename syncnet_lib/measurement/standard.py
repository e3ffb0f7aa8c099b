"""Rules for how far sound may be off its pictures, and what a measurement says about them.

The rules are asymmetric, because sound that comes late is usual in nature and sound that comes early is not. What
decides is the measured offset where that is sure; where a limit lies within its interval the result says so, because
another stretch of the same video may as well fall on the other side.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from pydantic import Field

from syncnet_lib.errors import InputError
from syncnet_lib.measurement.result import Compliance, Limits, Result, Segment
from syncnet_lib.media.clock import FRAME_MS
from syncnet_lib.settings import Settings

STANDARDS: Mapping[str, Limits] = {
    "ebu-r37": Limits(name="EBU R37", early_ms=40, late_ms=60),
    "atsc": Limits(name="ATSC IS-191", early_ms=15, late_ms=45),
    "bt1359-detect": Limits(name="ITU-R BT.1359 detectability", early_ms=45, late_ms=125),
    "bt1359-accept": Limits(name="ITU-R BT.1359 acceptability", early_ms=90, late_ms=185),
}
"""By the name on the command line."""
SUFFIXES = (".yaml", ".yml")
WORST: Sequence[Compliance] = ("fail", "cannot be told", "pass")
"""What a whole is where its parts differ: the first of these that occurs."""


class StandardFile(Settings):
    """What a file with limits of one's own says."""

    name: str = Field(min_length=1)
    """What the limits are called in results."""
    early_ms: float = Field(ge=0)
    """Milliseconds by which the sound may be ahead."""
    late_ms: float = Field(ge=0)
    """Milliseconds by which it may be behind."""


def find(name: str | None, early: float | None, late: float | None) -> Limits | None:
    """The limits that a command line asks for.

    Args:
        name: of a standard, or a YAML file with `name`, `early_ms` and `late_ms`.
        early, late: milliseconds, in place of a name.

    Returns:
        None where none are asked for.

    Raises:
        InputError: no such standard, an unusable file, or half of two limits.
    """
    if name is None and early is None and late is None:
        return None
    if name is not None and (early is not None or late is not None):
        raise InputError("--standard", "cannot be given together with --early and --late", "give one of both")
    if name is None:
        if early is None or late is None:
            missing = "--early" if early is None else "--late"
            raise InputError(missing, "is missing", "give both --early and --late, in milliseconds")
        return Limits(name=f"+{early:g}/-{late:g} ms", early_ms=early, late_ms=late)
    if name in STANDARDS:
        return STANDARDS[name]
    path = Path(name)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(name, "no such standard", f"use {', '.join(STANDARDS)} or a .yaml file")
    return _read(path)


def _read(path: Path) -> Limits:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InputError(path, "is no YAML", "write name, early_ms and late_ms, a line each") from None
    if not isinstance(values, dict):
        raise InputError(path, "holds no limits", "write name, early_ms and late_ms, a line each")
    numbers = {name: float(value) if type(value) is int else value for name, value in values.items()}
    found = StandardFile.parse(numbers, str(path))
    return Limits(name=found.name, early_ms=found.early_ms, late_ms=found.late_ms)


def held_against(result: Result, limits: Limits) -> Result:
    """A result with what a standard says about the whole and about each segment."""
    from syncnet_lib.measurement import finding  # needs numpy, and a standard is looked up before anything heavy

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
    from syncnet_lib.measurement import finding  # needs numpy, and a standard is looked up before anything heavy

    drift = finding.significant(result.drift)
    if drift is None:
        return (segment.offset_ms,)
    times = (max(segment.start_s, drift.start_s), min(segment.end_s, drift.end_s))
    if times[0] >= times[1]:
        return (segment.offset_ms,)
    slope = (drift.end_frames - drift.start_frames) / (drift.end_s - drift.start_s)
    return tuple(FRAME_MS * (drift.start_frames + slope * (time - drift.start_s)) for time in times)


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
