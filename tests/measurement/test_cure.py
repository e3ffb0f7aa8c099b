"""From a measurement to a cure: segments, drift, and the ratios that have a name."""

from fractions import Fraction

import pytest

from syncnet_lib.errors import InputError
from syncnet_lib.measurement import conversion, finding
from syncnet_lib.measurement.cure import cure
from syncnet_lib.measurement.result import Drift
from syncnet_lib.media.resound import Piece
from tests.measurement.test_standard import result


def drift(ppm: float, around: float = 50.0, start_frames: float = 0.0) -> Drift:
    slope = ppm / 1e6 * 25
    return Drift(
        frames_per_minute=60 * slope, ppm=ppm, ppm_low=ppm - around, ppm_high=ppm + around, start_s=0, end_s=600,
        start_frames=start_frames, end_frames=start_frames + 600 * slope,
    )  # fmt: skip


def test_a_constant_offset_is_one_shift():
    found, said = cure(result(-203.0))
    assert found.pieces == (Piece(0.0, -0.203),)
    assert found.stretch == 1
    assert said == "sound moved by -203 ms"


def test_each_segment_is_moved_by_its_own():
    found, said = cure(result(0.0, segments=(5.0, -200.0)))
    assert found.pieces == (Piece(0.0, 0.005), Piece(30.0, -0.2))
    assert said == "sound moved by +5 ms from 0.0 s, -200 ms from 30.0 s"


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
    found, said = cure(result(0.0, drift=line))
    if named:
        assert found.stretch == Fraction(named.split(" or ")[0])
        assert f"made {named.split(' or ')[0]} times as long" in said
        assert ("cannot be told apart" in said) == (" or " in named)
    else:
        assert float(found.stretch) == pytest.approx(1 / (1 - ppm / 1e6), abs=1e-6)


def test_the_advice_names_the_same_speed():
    with pytest.raises(InputError, match=r"atempo=0\.960000 OUT"):
        finding.check_curable(result(0.0, drift=drift(39_800, 300)), None)


@pytest.mark.parametrize("ppm", [-1500.0, 300.0, 40_000.0])
def test_a_drifting_sound_is_put_under_its_pictures(ppm):
    line = drift(ppm, start_frames=3.0)
    found, _ = cure(result(0.0, drift=line))
    for time in (0.0, 300.0, 600.0):
        heard = time - (3.0 / 25 + ppm / 1e6 * time)
        assert heard * float(found.stretch) + found.pieces[0].delay == pytest.approx(time, abs=1e-3)
