"""Standards: asymmetric limits, what is not sure, segments and drift, and limits that cannot be used."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncnet_lib.errors import InputError
from syncnet_lib.measurement import compliance, standard
from syncnet_lib.measurement.output import rows
from syncnet_lib.measurement.result import Coverage, Drift, ModelInfo, Result, Segment, TrackResult

INFO = ModelInfo(name="small", checkpoint="test", sha256="0", threshold=0.25)


def result(ms: float, sureness: str = "sure", segments: tuple[float, ...] = (), drift: Drift | None = None) -> Result:
    """A measured video of a minute; segments of equal length."""
    offsets = segments or (ms,)
    span = 60 / len(offsets)
    interval = (ms - 4, ms + 4)
    common = {"offset_frames": round(ms / 40), "offset_ms": ms, "offset_interval_ms": interval, "confidence": 0.4}
    track = TrackResult(
        track=0, shot=0, start_s=0, end_s=60, speaking=True, min_distance=0.9, frame_confidence=[], **common
    )
    parts = [
        Segment(
            start_s=n * span, end_s=(n + 1) * span, start_timecode="00:00:00:00", end_timecode="00:01:00:00",
            offset_frames=round(each / 40), offset_ms=each, offset_interval_ms=(each - 4, each + 4), confidence=0.4,
        )
        for n, each in enumerate(offsets)
    ]  # fmt: skip
    return Result(
        path="video.mp4", offset_file_frames=ms / 40, frame_rate=25, sureness=sureness, verdict="", min_distance=0.9,
        mean_distances=[], frames_used=1500, frames_in_file=1500, tracks=[track], segments=parts, drift=drift,
        coverage=Coverage(speech_s=50, judged_s=50, unjudged=[]), model=INFO, settings={}, warnings=[], **common,
    )  # fmt: skip


@pytest.mark.parametrize("name", standard.STANDARDS)
@pytest.mark.parametrize("inside", [-5.0, 5.0])
def test_each_boundary_is_where_the_standard_says(name, inside):
    limits = standard.STANDARDS[name]
    wanted = "pass" if inside < 0 else "fail"
    for ms in (limits.early_ms + inside, -limits.late_ms - inside):
        held = compliance.held_against(result(ms), limits)
        assert (held.compliance, held.segments[0].compliance) == (wanted, wanted)
        assert not held.warnings


def test_a_limit_within_the_interval_is_said():
    held = compliance.held_against(result(38.0), standard.STANDARDS["ebu-r37"])
    assert held.compliance == "pass"
    assert held.warnings == ["EBU R37: a limit lies within the interval of the offset"]


@given(st.floats(-600, 600), st.sampled_from(["doubtful", "none", "unknown"]))
def test_what_is_not_sure_neither_passes_nor_fails(ms, sureness):
    held = compliance.held_against(result(ms, sureness), standard.STANDARDS["atsc"])
    assert held.compliance == held.segments[0].compliance == "cannot be told"


def test_every_segment_must_pass():
    held = compliance.held_against(result(0.0, segments=(5.0, -200.0)), standard.STANDARDS["ebu-r37"])
    assert held.compliance == "fail"
    assert [each.compliance for each in held.segments] == ["pass", "fail"]
    (row,) = rows(held)
    assert row["standard"] == "EBU R37"
    assert row["compliance"] == "fail"
    assert row["segments"].endswith("-200 ms fail")


def test_a_drift_fails_where_it_leaves_the_limits():
    line = {"ppm_low": 400, "ppm_high": 600, "start_s": 0, "end_s": 60}
    drift = Drift(frames_per_minute=3, ppm=500, start_frames=-1.5, end_frames=1.5, **line)
    assert compliance.held_against(result(0.0, drift=drift), standard.STANDARDS["ebu-r37"]).compliance == "fail"
    assert compliance.held_against(result(0.0, drift=drift), standard.STANDARDS["bt1359-accept"]).compliance == "pass"


def test_limits_of_ones_own(tmp_path):
    assert standard.find(None, None, None) is None
    assert standard.find(None, 20.0, 40.0).late_ms == 40
    path = tmp_path / "house.yaml"
    path.write_text("name: our house\nearly_ms: 20\nlate_ms: 40\n")
    found = standard.find(str(path), None, None)
    assert (found.name, found.early_ms, found.late_ms) == ("our house", 20, 40)


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("r37", None, None), "no such standard"),
        (("atsc", 20.0, 40.0), "together"),
        ((None, 20.0, None), "--late: is missing"),
        (("none.yaml", None, None), "cannot be read"),
    ],
)
def test_what_is_no_standard_is_one_line(arguments, cause):
    with pytest.raises(InputError, match=cause):
        standard.find(*arguments)


@pytest.mark.parametrize("text", ["[", "3", "name: x\nearly_ms: -1\nlate_ms: 2\n", "name: x\nearly: 1\nlate_ms: 2\n"])
def test_a_broken_file_of_limits_is_named(text, tmp_path: Path):
    path = tmp_path / "house.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"house\.yaml"):
        standard.find(str(path), None, None)
