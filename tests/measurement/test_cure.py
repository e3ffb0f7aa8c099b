"""From a measurement to a cure: segments, drift, and the ratios that have a name."""

from fractions import Fraction

import pytest

from syncnet_lib.measurement import conversion
from syncnet_lib.measurement.cure import became, cure, record, words
from syncnet_lib.measurement.result import Drift
from syncnet_lib.media.correction import Copy, Cure, Piece
from tests.measurement.test_standard import result


def drift(ppm: float, around: float = 50.0, start_frames: float = 0.0) -> Drift:
    slope = ppm / 1e6 * 25
    return Drift(
        frames_per_minute=60 * slope, ppm=ppm, ppm_low=ppm - around, ppm_high=ppm + around, start_s=0, end_s=600,
        start_frames=start_frames, end_frames=start_frames + 600 * slope,
    )  # fmt: skip


def test_a_constant_offset_is_one_shift():
    found = cure(result(-203.0))
    assert found == Cure.shift(Fraction(-203, 1000))
    assert words(found, None, samples=False) == "sound moved by -203 ms"


def test_each_segment_is_moved_by_its_own():
    found = cure(result(0.0, segments=(5.0, -200.0)))
    assert found.pieces == (Piece(Fraction(0), Fraction(5, 1000)), Piece(Fraction(30), Fraction(-200, 1000)))
    assert words(found, None, samples=False) == "sound moved by +5 ms from 0.0 s, -200 ms from 30.0 s"


@pytest.mark.parametrize(
    ("ppm", "around", "named"),
    [
        (40_000, 100, "25/24"),
        (39_800, 300, "25/24"),
        (40_400, 700, "25/24 or 1001/960"),
        (1e6 / 1001, 50, "1001/1000"),
        (-1000, 50, "1000/1001"),
        (300, 50, ""),
        (38_400, 300, ""),
    ],
)
def test_conversions_that_an_interval_leaves_are_named(ppm, around, named):
    line = drift(ppm, around)
    assert conversion.named(line) == named
    found = cure(result(0.0, drift=line))
    if named:
        assert found.stretch == Fraction(named.split(" or ")[0])
        ratio = named.split(" or ")[0]
        assert f"sound made {ratio} times as long" in words(found, line, samples=True)
        said = words(found, line, samples=False)
        assert f"pictures shown {ratio} times as fast" in said
        assert "sound as it was" in said
        assert ("cannot be told apart" in said) == (" or " in named)
    else:
        assert float(found.stretch) == pytest.approx(1 / (1 - ppm / 1e6), abs=1e-6)


def test_the_two_kinds_of_correction_are_told_apart():
    done = Cure((Piece(Fraction(0), Fraction(-1, 10)),), Fraction(25, 24))
    stamps, samples = record(done, Copy(True, ()), []), record(done, None, ["stream 3"])
    assert (stamps["by"], stamps["speed"]) == ("time stamps", {"of": "pictures", "ratio": "25/24"})
    assert (samples["by"], samples["speed"]) == ("samples", {"of": "sound", "ratio": "24/25"})
    assert stamps["packets_kept"]
    assert not samples["packets_kept"]
    assert samples["left_out"] == ["stream 3"]
    assert became(None).startswith("by samples; decoded")


def test_what_is_left_out_and_put_in_is_said():
    said = became(Copy(True, (), cut=Fraction(1, 4), filled=Fraction(3, 10), holes=Fraction(1)))
    assert said.startswith("by time stamps; ")
    assert "bit for bit the same; 0.25 s of sound left out at edits; 0.30 s of silence put in at edits; 1.00 s" in said


@pytest.mark.parametrize("ppm", [-1500.0, 300.0, 40_000.0])
def test_a_drifting_sound_is_put_under_its_pictures(ppm):
    line = drift(ppm, start_frames=3.0)
    found = cure(result(0.0, drift=line))
    for time in (0.0, 300.0, 600.0):
        heard = time - (3.0 / 25 + ppm / 1e6 * time)
        assert heard * float(found.stretch) + found.pieces[0].delay == pytest.approx(time, abs=1e-3)
