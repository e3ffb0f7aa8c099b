"""The segments of a video as markers in the files of editing systems: OTIO, and EDL (CMX 3600) with LOC comments.

By OpenTimelineIO, which the extra `otio` installs: a timeline of one clip, the whole video, on its own time code.
"""

from collections.abc import Mapping
from pathlib import Path

import opentimelineio as otio
from opentimelineio.opentime import RationalTime, TimeRange, from_seconds, from_timecode

from syncnet_lib.errors import InputError, printable
from syncnet_lib.measurement import report
from syncnet_lib.measurement.result import Compliance, Result

ADAPTERS = {"edl": "cmx_3600", "otio": "otio_json"}
"""Suffix to the name that the package has for what writes it."""
COLOURS: Mapping[Compliance | None, str] = {
    "pass": otio.schema.MarkerColor.GREEN,
    "fail": otio.schema.MarkerColor.RED,
    "cannot be told": otio.schema.MarkerColor.YELLOW,
    None: otio.schema.MarkerColor.CYAN,
}
SAME = 0.01
"""Pictures a second by which a rate of six digits may differ from that of a time code."""


def markers(result: Result, video: Path, kind: str) -> str:
    """The text of a file.

    Args:
        result: of the video.
        video: its file, which the link leads to whatever bytes its name has; `result.path` is how it is shown.
        kind: one of `ADAPTERS`.

    Raises:
        InputError: no time code counts the pictures of the video.
    """
    rate = RationalTime.nearest_smpte_timecode_rate(result.frame_rate)
    if abs(rate - result.frame_rate) > SAME:
        cause = f"has {result.frame_rate:g} pictures a second, which no time code counts"
        raise InputError(result.path, cause, "give --markers csv")
    found = report.events(result)
    first = found[0].segment
    start = from_timecode(first.start_timecode, rate) - from_seconds(first.start_s, rate).round()
    whole = TimeRange(start, from_seconds(found[-1].segment.end_s, rate).round())
    name = printable(Path(result.path).name, "_")  # a line of an EDL
    source = otio.schema.ExternalReference(video.absolute().as_uri(), whole)
    clip = otio.schema.Clip(name, source, whole)
    for event in found:
        begin = from_timecode(event.segment.start_timecode, rate)
        span = TimeRange(begin, from_timecode(event.segment.end_timecode, rate) - begin)
        said = f"{event.segment.offset_ms:+.0f} ms, {event.says}"
        clip.markers.append(otio.schema.Marker(said, span, color=COLOURS[event.segment.compliance]))
    track = otio.schema.Track("video", [clip], kind=otio.schema.TrackKind.Video)
    timeline = otio.schema.Timeline(name, global_start_time=start)
    timeline.tracks.append(track)
    text: str = otio.adapters.write_to_string(timeline, ADAPTERS[kind], **({"rate": rate} if kind == "edl" else {}))
    return text
