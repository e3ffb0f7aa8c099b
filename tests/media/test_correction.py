"""correction: where packets go, exactly."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncnet_lib.media import correction
from syncnet_lib.media.correction import Cure, Piece

MS = Fraction(1, 1000)
NAMED = [Fraction(25, 24), Fraction(24, 25), Fraction(1001, 1000), Fraction(1000, 1001), Fraction(1001, 960)]
milliseconds = st.integers(-10_000, 10_000).map(lambda each: each * MS)


@given(st.sampled_from([1000, 600, 12_800, 24_000, 30_000, 90_000]), st.sampled_from(NAMED), st.integers(0, 10**9))
def test_every_picture_of_a_named_speed_is_exact_or_within_its_clock(rate, stretch, time):
    tick = correction.ticks(Fraction(1, rate), stretch, Fraction(0))
    assert tick.numerator == 1
    assert tick.denominator <= correction.FINEST
    wanted = Fraction(time, rate) / stretch
    apart = abs(wanted - round(wanted / tick) * tick)
    assert apart == 0 or (apart <= tick / 2 and tick == Fraction(1, correction.USUAL))


@pytest.mark.parametrize(("rate", "base"), [(24, 12_288), (24, 90_000), (25, 12_800), (25, 90_000), (30, 15_360)])
@pytest.mark.parametrize("stretch", NAMED[:4])
def test_pictures_of_a_whole_rate_are_exact(rate, base, stretch):
    tick = correction.ticks(Fraction(1, base), stretch, Fraction(rate))
    assert (1 / (rate * stretch) / tick).denominator == 1


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(1, 20), milliseconds), max_size=4),
    milliseconds,
    st.sampled_from([Fraction(1), *NAMED]),
    st.integers(40, 120).map(lambda each: each * MS),
    milliseconds,
)
def test_sound_never_overlaps_and_lies_by_the_delay_of_a_piece(edits, first, stretch, lasts, origin):
    starts = sorted({start for start, _ in edits})
    pieces = [Piece(Fraction(0), first)]
    pieces += [Piece(Fraction(start), delay) for start, (_, delay) in zip(starts, edits, strict=False)]
    placing = correction.Placing(Cure(tuple(pieces), stretch), origin)
    count = int(30 / lasts)
    out: list[Fraction] = []
    left = Fraction(0)
    for number in range(count):
        placed = placing.place(origin + number * lasts, lasts)
        if placed is None:
            left += lasts
            continue
        assert placed.delay * stretch in [piece.delay for piece in pieces]
        begin = origin + number * lasts + placed.delay
        if out:
            gap = begin - out[-1]
            assert gap >= -lasts / 2
            assert placed.hole == (gap if gap > lasts / 2 else 0)
        out.append(begin + lasts)
    assert placing.left_out == left


@settings(max_examples=30)
@given(milliseconds, milliseconds, st.integers(40, 120).map(lambda each: each * MS), st.sampled_from(NAMED))
def test_an_edit_is_a_hole_or_a_cut_of_its_size_within_a_packet(before, after, lasts, stretch):
    start = Fraction(20)
    placing = correction.Placing(Cure((Piece(Fraction(0), before), Piece(start, after)), stretch), Fraction(0))
    holes = Fraction(0)
    for number in range(int(45 / lasts)):
        at = number * lasts
        placed = placing.place(at, lasts)
        if placed is not None:
            holes += placed.hole
            middle = (at + lasts / 2 + placed.delay) * stretch
            own = before if placed.delay * stretch == before else after
            wide = (abs(after - before) + lasts * stretch) / 2
            if own != after or before == after:
                assert middle <= start + wide + MS or before == after
            else:
                assert middle >= start - wide - MS
    size = (after - before) / stretch
    assert abs(holes - placing.left_out - size) <= lasts / 2
    assert min(holes, placing.left_out) == 0
