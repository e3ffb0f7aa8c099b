"""Markers for editing systems, read back by the package that writes them."""

import sys

import opentimelineio as otio
import pytest

from syncnet_lib import extras
from syncnet_lib.errors import InputError
from syncnet_lib.measurement import compliance, editor, standard
from tests.measurement.test_standard import result

R37 = standard.STANDARDS["ebu-r37"]
SPANS = [("01:00:00:00", "01:00:30:00"), ("01:00:30:00", "01:01:00:00")]


def edited(rate: float = 25.0):
    """A video that is in sync for half a minute, and late for another; its time code begins at an hour."""
    found = compliance.held_against(result(0.0, segments=(5.0, -200.0)), R37)
    segments = [
        segment.model_copy(update={"start_timecode": start, "end_timecode": end})
        for segment, (start, end) in zip(found.segments, SPANS, strict=True)
    ]
    return found.model_copy(update={"segments": segments, "frame_rate": rate})


def test_a_timeline_has_a_marker_a_segment():
    timeline = otio.adapters.read_from_string(editor.markers(edited(), "otio"), "otio_json")
    (clip,) = timeline.find_clips()
    assert clip.media_reference.target_url.endswith("/video.mp4")
    assert otio.opentime.to_timecode(clip.source_range.start_time) == "01:00:00:00"
    assert clip.source_range.duration.to_seconds() == 60
    assert [(each.color, each.name.split(",")[0]) for each in clip.markers] == [("GREEN", "+5 ms"), ("RED", "-200 ms")]
    assert clip.markers[1].marked_range.start_time.to_timecode() == "01:00:30:00"


@pytest.mark.parametrize("rate", [25.0, 23.976, 50.0])
def test_an_edl_has_a_comment_a_segment(rate):
    lines = editor.markers(edited(rate), "edl").splitlines()
    assert [line.split()[2:4] for line in lines if line.startswith("* LOC")] == [
        ["01:00:00:00", "GREEN"],
        ["01:00:30:00", "RED"],
    ]


def test_pictures_that_no_time_code_counts():
    with pytest.raises(InputError, match=r"12\.5 pictures a second, which no time code counts; give --markers csv"):
        editor.markers(edited(12.5), "edl")


def test_a_missing_package_is_named_with_its_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentimelineio", None)
    with pytest.raises(InputError, match=r'not installed; pip install "syncnet_lib\[otio\]"'), extras.needed("otio"):
        import opentimelineio  # noqa: F401
