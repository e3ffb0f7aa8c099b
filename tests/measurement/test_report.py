"""The report: pages that need nothing beside themselves, an index, JUnit XML, and markers."""

import csv
import io
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from syncnet_lib.measurement import compliance, report, standard
from syncnet_lib.measurement.result import Failure, Point, Result
from syncnet_lib.media import encode
from syncnet_lib.media.clock import FPS, SAMPLE_RATE
from tests.measurement.test_cure import drift
from tests.measurement.test_standard import result

R37 = standard.STANDARDS["ebu-r37"]
FAILED = Failure(path="deep/<b>broken</b>.mp4", error="cannot be opened: <i>")


class Links(HTMLParser):
    """All that a page would load, and the tags that it leaves open."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.names: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]


def parsed(page: str) -> Links:
    found = Links()
    found.feed(page)
    return found


@pytest.fixture
def edited(tmp_path: Path) -> Result:
    path = tmp_path / "film & more.mp4"
    encode.write_video(path, [np.full((48, 64, 3), 90, np.uint8)] * (2 * FPS), np.zeros(2 * SAMPLE_RATE, np.int16))
    points = [Point(time_s=10.0 * n, offset_ms=5.0, confidence=0.1 * n) for n in range(6)]
    found = result(0.0, segments=(5.0, -200.0)).model_copy(update={"path": str(path), "points": points})
    early = [each.model_copy(update={"start_s": n, "end_s": n + 1.0}) for n, each in enumerate(found.segments)]
    return compliance.held_against(found.model_copy(update={"segments": early}), R37)


def test_a_page_shows_each_event_and_loads_nothing(edited, tmp_path):
    out = tmp_path / "page.html"
    report.write_page(Path(edited.path), out, edited)
    page = out.read_text()
    found = parsed(page)
    assert len(found.loads) == 2
    assert all(source.startswith("data:image/jpeg;base64,/9j/") for source in found.loads)
    assert found.names.count("circle") == 6
    for text in ("film &amp; more.mp4", "EBU R37", "changes with edits", "-200 (-204 to -196)", ">fail<", ">pass<"):
        assert text in page


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (result(5.0), "constant"),
        (result(5.0, "doubtful"), "cannot be told"),
        (result(5.0, drift=drift(1000)), "drift"),
        (result(0.0, segments=(5.0, -200.0)), "changes with edits"),
    ],
)
def test_patterns_have_names(found, name):
    assert report.pattern(found) == name
    assert name in report.video_page(found, report.events(found))


def test_the_index_has_a_row_a_video_and_escapes_names():
    found = report.index_page([(compliance.held_against(result(5.0), R37), "1-video.html"), (FAILED, "2-broken.html")])
    assert parsed(found).loads == ["1-video.html"]
    assert "<b>" not in found
    assert "&lt;i&gt;" in found
    assert found.count("<tr>") == 3


def test_junit_tells_failures_errors_and_what_cannot_be_told_apart():
    outcomes = [result(5.0), result(-300.0), result(5.0, "none"), FAILED]
    for limits in (None, R37):
        held = [
            compliance.held_against(each, R37) if limits and isinstance(each, Result) else each for each in outcomes
        ]
        suite = ElementTree.fromstring(report.junit(held, limits))
        assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
            "tests": "4", "failures": "1", "errors": "1", "skipped": "1",
        }  # fmt: skip
        assert [len(case) for case in suite] == [0, 1, 1, 1]


def test_markers_have_time_codes(edited):
    rows = list(csv.DictReader(io.StringIO(report.markers(edited))))
    assert [row["Marker Name"] for row in rows] == ["pass", "fail"]
    assert rows[1]["Description"] == "audio is 200 ms behind: advance it"
    assert rows[0]["In"] == edited.segments[0].start_timecode


def test_who_speaks_is_rttm():
    assert report.rttm(result(5.0)) == "SPEAKER video 1 0.000 60.000 <NA> <NA> face0 <NA> <NA>\n"
