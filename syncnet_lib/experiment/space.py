"""What a sweep tries of each parameter, and the trials that are made of it."""

import itertools
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from syncnet_lib.errors import InputError

LOGARITHMIC = 10
"""Ratio of the ends of a range from which it is drawn from on a logarithmic scale."""
DIGITS = 3
"""Significant digits of a drawn number: its trial has a name that can be read, and typed again."""

Trial = dict[str, Any]


@dataclass(frozen=True)
class Range:
    """Numbers to draw from; whole ones where both ends are.

    Attributes:
        low, high: the ends, both included.
    """

    low: float
    high: float

    @property
    def logarithmic(self) -> bool:
        """Whether the range spans so much that its logarithm is what is drawn."""
        return self.low > 0 and self.high / self.low >= LOGARITHMIC

    @property
    def whole(self) -> bool:
        """Whether numbers drawn from it are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def number(self, drawn: float) -> float:
        """A drawn number as it is tried."""
        return round(drawn) if self.whole else float(f"{drawn:.{DIGITS}g}")


Values = Mapping[str, list[Any] | Range]
"""What is tried of each parameter."""


def values_of(arguments: Iterable[str]) -> dict[str, list[Any] | Range]:
    """Values to try, from words such as ``lr=1e-3,3e-3`` or ``lr=1e-4..1e-2``, read as params.yaml is read.

    Raises:
        InputError: not of that form, a range that is none, or a name given twice.
    """
    reader = YAML(typ="safe")
    values: dict[str, list[Any] | Range] = {}
    for word in arguments:
        name, _, text = word.partition("=")
        if not name or not text or name in values:
            cure = "write name=value,value or name=low..high"
            raise InputError(word, "names no new parameter and its values", cure)
        low, dots, high = text.partition("..")
        if dots:
            ends = reader.load(low), reader.load(high)
            if not all(isinstance(end, int | float) for end in ends) or not ends[0] < ends[1]:
                raise InputError(word, "is no range of numbers", "write name=low..high")
            values[name] = Range(*ends)
        else:
            values[name] = [reader.load(part) for part in text.split(",")]
    return values


def combinations(values: Values) -> list[Trial]:
    """Every combination of one value a parameter, the last parameter changing fastest.

    Raises:
        InputError: a range, of which there are endless many.
    """
    listed = {name: tried for name, tried in values.items() if not isinstance(tried, Range)}
    for name in values.keys() - listed.keys():
        raise InputError(name, "is a range, whose values cannot all be tried", "add --random N or --search N")
    return [dict(zip(listed, chosen, strict=True)) for chosen in itertools.product(*listed.values())]


def draws(values: Values, count: int, seed: int) -> list[Trial]:
    """Random trials, each parameter drawn on its own; fewer than `count` where there are no more that differ."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, Trial] = {}
    for _ in range(10 * count):
        trial = {name: _draw(tried, rng) for name, tried in values.items()}
        drawn.setdefault(json.dumps(trial), trial)
    return list(drawn.values())[:count]


def _draw(tried: list[Any] | Range, rng: np.random.Generator) -> Any:
    if not isinstance(tried, Range):
        return tried[rng.integers(len(tried))]
    if tried.logarithmic:
        return tried.number(math.exp(rng.uniform(math.log(tried.low), math.log(tried.high))))
    return tried.number(rng.uniform(tried.low, tried.high))
