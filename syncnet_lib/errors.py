"""The one error a user is meant to read."""

import os
from pathlib import Path


class InputError(Exception):
    """Something the user gave cannot be used: which thing, why, and what to do about it.

    Args:
        where: the file, folder or parameter that is at fault.
        cause: what is wrong with it.
        cure: what the user can do.
    """

    def __init__(self, where: str | Path, cause: str, cure: str = "") -> None:
        self.where, self.cause, self.cure = shown(where), cause, cure
        # All three go to the base class so that the error survives pickling between processes.
        super().__init__(self.where, cause, cure)

    def __str__(self) -> str:
        text = f"{self.where}: {self.cause}" + (f"; {self.cure}" if self.cure else "")
        return " ".join(text.split())


def shown(path: str | Path) -> str:
    """A path as text that can be printed, and stored as JSON: bytes of a name that are no UTF-8 become \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def printable(text: str, instead: str = "") -> str:
    """Text without control characters and the like, which a file's name may have.

    Args:
        text: any.
        instead: what stands for each of them.
    """
    return "".join(each if each.isprintable() else instead for each in text)
