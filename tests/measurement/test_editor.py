"""Markers for editing systems, read back by the package that writes them."""

import os
import sys
from pathlib import Path
from urllib.parse import unquote_to_bytes

import opentimelineio as otio
import pytest

from syncnet_lib import extras
from syncnet_lib.errors import InputError, shown
from syncnet_lib.measurement import compliance, editor, standard
from tests.measurement.test_standard import result

R37 = standard.STANDARDS["ebu-r37"]
VIDEO = Path("/films/video.mp4")
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
    timeline = otio.adapters.read_from_string(editor.markers(edited(), VIDEO, "otio"), "otio_json")
    (clip,) = timeline.find_clips()
    assert clip.media_reference.target_url == "file:///films/video.mp4"
    assert otio.opentime.to_timecode(clip.source_range.start_time) == "01:00:00:00"
    assert clip.source_range.duration.to_seconds() == 60
    assert [(each.color, each.name.split(",")[0]) for each in clip.markers] == [("GREEN", "+5 ms"), ("RED", "-200 ms")]
    assert clip.markers[1].marked_range.start_time.to_timecode() == "01:00:30:00"


@pytest.mark.parametrize("rate", [25.0, 23.976, 50.0])
def test_an_edl_has_a_comment_a_segment(rate):
    lines = editor.markers(edited(rate), VIDEO, "edl").splitlines()
    assert [line.split()[2:4] for line in lines if line.startswith("* LOC")] == [
        ["01:00:00:00", "GREEN"],
        ["01:00:30:00", "RED"],
    ]


@pytest.mark.parametrize("name", [b"a\xff #%.mp4", "b/ü\n?.mp4".encode()])
def test_a_link_leads_to_the_file_whatever_its_name(tmp_path, name):
    """In both formats, and as a URL: the bytes of a name that are no text have no other form there."""
    video = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    video.parent.mkdir(exist_ok=True)
    video.write_bytes(b"a video")
    found = edited().model_copy(update={"path": shown(video)})
    timeline = otio.adapters.read_from_string(editor.markers(found, video, "otio"), "otio_json")
    (clip,) = timeline.find_clips()
    lines = editor.markers(found, video, "edl").splitlines()
    (link,) = (line.removeprefix("* FROM CLIP: ") for line in lines if line.startswith("* FROM CLIP: "))
    assert all(line[:5] in ("TITLE", "001  ") or line[:1] in ("*", "") for line in lines), "a name with a line feed"
    for url in (clip.media_reference.target_url, link):
        assert url.isascii()
        scheme, _, path = url.partition("://")
        assert scheme == "file"
        assert Path(os.fsdecode(unquote_to_bytes(path))).read_bytes() == b"a video"


def test_pictures_that_no_time_code_counts():
    with pytest.raises(InputError, match=r"12\.5 pictures a second, which no time code counts; give --markers csv"):
        editor.markers(edited(12.5), VIDEO, "edl")


def test_a_missing_package_is_named_with_its_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentimelineio", None)
    with pytest.raises(InputError, match=r'not installed; pip install "syncnet_lib\[otio\]"'), extras.needed("otio"):
        import opentimelineio  # noqa: F401
