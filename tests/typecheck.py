"""The checker of types and shapes in a test run: every call into the library checks its annotations."""

from typing import Any, Self

import numpy as np
from beartype import BeartypeConf, FrozenDict, beartype

check = beartype(
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
