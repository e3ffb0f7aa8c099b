"""The report: pages that need nothing beside themselves, an index, JUnit XML, markers, and what is advised."""

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from syncnet_lib.measurement import batch, charts, compliance, pages, report, standard
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
    pages.write_page(Path(edited.path), out, edited)
    page = out.read_text()
    found = parsed(page)
    assert len(found.loads) == 2
    assert all(source.startswith("data:image/jpeg;base64,/9j/") for source in found.loads)
    assert found.names.count("circle") == 6
    late = "−200 ms (−204 to −196)"
    for text in (
        "film &amp; more.mp4",
        "EBU R37",
        "changes with edits",
        late,
        ">fail<",
        ">pass<",
        "allows 60 ms",
        ">−200 to +5 ms<",
    ):
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
    assert name in pages.video_page(found, [b""] * len(found.segments))


def test_the_index_has_a_row_a_video_and_escapes_names():
    found = pages.index_page([(compliance.held_against(result(5.0), R37), "1-video.html"), (FAILED, "2-broken.html")])
    assert parsed(found).loads == ["1-video.html"]
    assert "<b>" not in found
    assert "&lt;i&gt;" in found
    assert found.count("<tr>") == 3
    assert "<h1>1 of 2 videos cannot be told, none fails EBU R37</h1>" in found


@pytest.mark.parametrize(
    ("offsets", "limits", "title"),
    [
        ([5.0, 5.0], None, "All 2 videos are in sync"),
        ([5.0, 300.0], None, "1 of 2 videos is out of sync"),
        ([300.0, 300.0], R37, "2 of 2 videos fail EBU R37"),
        ([5.0], R37, "The video meets EBU R37"),
        ([300.0], None, "The video is out of sync"),
    ],
)
def test_an_index_has_its_finding_as_title_and_the_worst_first(offsets, limits, title):
    found = [result(each).model_copy(update={"path": f"{each:g}.mp4"}) for each in offsets]
    held = [compliance.held_against(each, limits) if limits else each for each in found]
    page = pages.index_page((each, "page.html") for each in held)
    assert f"<h1>{title}</h1>" in page
    order = [page.index(f">{each:g}.mp4<") for each in sorted(offsets, reverse=True)]
    assert order == sorted(order)


@pytest.mark.parametrize("ms", [0.2, 12.0, -35.0])
def test_a_small_offset_is_drawn_small(ms):
    drawn = charts.offsets(result(ms))
    (y,) = {float(each) for each in re.findall(r'class="line in" x1="[^"]*" y1="([^"]*)"', drawn)}
    assert y == pytest.approx(charts.HEIGHT * (0.5 - ms / (2 * charts.LEAST_SPAN)), abs=0.1)
    assert "±1 frame" in drawn


def test_what_is_not_sure_claims_nothing_and_says_what_to_do():
    unsure = result(-60.0, "doubtful").model_copy(update={"verdict": "not sure: give a longer stretch"})
    page = pages.video_page(unsure, [b""])
    for text in (
        f"<h1>{pages.UNSURE}</h1>",
        "Not sure: give a longer stretch",
        "syncnet render video.mp4",
        "(−60.0 ms)",
    ):
        assert text in page
    assert "syncnet correct" not in page


@pytest.mark.parametrize(
    ("found", "command"),
    [
        (result(5.0), None),
        (result(-200.0), "syncnet correct 'a b.mp4' 'a b.synced.mp4'"),
        (result(0.0, segments=(5.0, -200.0)), "syncnet correct 'a b.mp4' 'a b.synced.mp4'"),
        (result(5.0, drift=drift(1000)), "syncnet correct 'a b.mp4' 'a b.synced.mp4'"),
        (result(-200.0).model_copy(update={"settings": {"audio_track": 2}}), ""),
    ],
)
def test_the_cure_of_what_is_sure_is_a_command(found, command):
    told = report.advice(found.model_copy(update={"path": "a b.mp4"}))
    assert (told and told.command) == command


def test_which_side_of_a_limit_an_offset_is_on_is_seen():
    held = compliance.held_against(result(40.3), R37)
    assert report.headline(held) == "Audio is 40.3 ms ahead: EBU R37 allows 40 ms"
    assert report.events(held)[0].gate == "out"


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
    assert rows[1]["Description"] == "audio is 200 ms behind: EBU R37 allows 60 ms"
    assert rows[0]["In"] == edited.segments[0].start_timecode


def test_a_video_that_is_gone_keeps_its_page(tmp_path):
    batch.write_pages([(tmp_path / "gone.mp4", tmp_path / "page.html", result(-300.0))])
    page = (tmp_path / "page.html").read_text()
    assert "no pictures: " in page
    assert "gone.mp4" in page
    assert "Audio is 300 ms behind" in page


def test_who_speaks_is_rttm():
    assert report.rttm(result(5.0)) == "SPEAKER video 1 0.000 60.000 <NA> <NA> face0 <NA> <NA>\n"
