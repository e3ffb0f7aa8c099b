"""Packages that only some commands need, which `pip install .` leaves out."""

from collections.abc import Iterator
from contextlib import contextmanager

from syncnet_lib.errors import InputError


@contextmanager
def needed(extra: str) -> Iterator[None]:
    """Say in a line which extra has a package that is missing in here.

    Args:
        extra: of pyproject.toml.

    Raises:
        InputError: a package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if str(error.name).startswith("syncnet_lib"):
            raise
        cure = f'pip install "syncnet_lib[{extra}]"'
        raise InputError(str(error.name), "this package is not installed", cure) from None
