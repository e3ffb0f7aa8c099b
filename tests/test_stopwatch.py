"""The stopwatch: nested phases and generators, by a clock that the test moves."""

from collections.abc import Iterator

import pytest

from syncnet_lib.stopwatch import Stopwatch


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_outer_phase_stands_still_while_an_inner_one_runs() -> None:
    clock = Clock()
    watch = Stopwatch(("outer", "inner"), clock)
    clock.now += 100  # before any phase: belongs to none
    with watch.phase("outer"):
        clock.now += 1
        with watch.phase("inner"):
            clock.now += 10
        clock.now += 2
    assert watch.seconds == {"outer": 3, "inner": 10}


def test_the_stages_of_a_chain_of_generators_are_told_apart() -> None:
    clock = Clock()
    watch = Stopwatch(("make", "change", "use"), clock)

    def made() -> Iterator[int]:
        for number in range(3):
            clock.now += 1
            yield number

    def changed(numbers: Iterator[int]) -> Iterator[int]:
        for number in numbers:
            clock.now += 10
            yield -number

    for _ in watch.each("change", changed(watch.each("make", made()))):
        with watch.phase("use"):
            clock.now += 100
    assert watch.seconds == {"make": 3, "change": 30, "use": 300}


def test_a_phase_that_fails_is_over() -> None:
    clock = Clock()
    watch = Stopwatch(("failed", "after"), clock)

    def fail() -> None:
        with watch.phase("failed"):
            clock.now += 1
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    with watch.phase("after"):
        clock.now += 2
    assert watch.seconds == {"failed": 1, "after": 2}
