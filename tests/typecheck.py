"""The checker of types and shapes in a test run: every call into the library checks its annotations."""

import functools
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from beartype import BeartypeConf, FrozenDict, beartype

_beartype = beartype(
    conf=BeartypeConf(
        hint_overrides=FrozenDict(
            {
                int: int | np.integer,  # numbers out of arrays and tables are numpy's
                float: float | np.floating | int | np.integer,  # and an int is a float, as for mypy
                Self: Any,  # each method is decorated alone, outside of its class
            }
        )
    )
)


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that checks its annotations. The check is made at the first call: each process of a test run imports
    the whole library, 4.0 s with all checks and 2.1 s without, and calls a part of it."""
    made: list[Callable[..., Any]] = []

    @functools.wraps(function)
    def checked(*arguments: Any, **named: Any) -> Any:
        if not made:
            made.append(_beartype(function))
        return made[0](*arguments, **named)

    return checked
