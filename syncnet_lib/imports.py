"""The import graph of this package, read from its sources: what depends on what, kept nowhere by hand.

What a DVC stage depends on, what a training's state is keyed by and what the drawing of the rooms shows are all derived
from it.
"""

import ast
import functools
import hashlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
"""Folder of the package."""


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of the package: its name below the package ("media.decode", "cli") to its file."""
    files = sorted(PACKAGE.rglob("*.py"))
    named = {".".join(file.relative_to(PACKAGE).with_suffix("").parts): file for file in files}
    return {name.removesuffix(".__init__"): file for name, file in named.items()}


def imported(source: str) -> set[str]:
    """Modules of this package that a text imports, anywhere in it, also for type checking only.

    Args:
        source: Python.

    Returns:
        Names as in `modules`; "__init__" for the package itself.
    """
    known = modules()
    found = set()
    for node in _statements(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {_module(f"{node.module}.{alias.name}", known) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {_module(alias.name, known) for alias in node.names}
    return found - {""}


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Every statement, of any depth; not the expressions in them, which are most of a tree and import nothing."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            todo += getattr(node, part, ())


def _module(dotted: str, known: Iterable[str]) -> str:
    """The module that a dotted name is in; "" where that is not of this package."""
    parts = dotted.split(".")
    if parts[0] != PACKAGE.name:
        return ""
    below = [".".join(parts[1:end]) for end in range(len(parts), 1, -1)]
    return next((name for name in below if name in known), "__init__")


@functools.cache
def _imports_of(name: str) -> frozenset[str]:
    return frozenset(imported(modules()[name].read_text(encoding="utf-8")) - {name})


def graph() -> dict[str, frozenset[str]]:
    """Each module of the package and those that it imports."""
    return {name: _imports_of(name) for name in modules()}


def closure(names: Iterable[str], without: Collection[str] = ()) -> set[str]:
    """These modules and all that they import, directly or not.

    Args:
        names: as in `modules`.
        without: modules that are left out, with what is imported by way of them only.
    """
    found: set[str] = set()
    todo = set(names).difference(without)
    while todo:
        found |= todo
        todo = set().union(*map(_imports_of, todo)).difference(found, without)
    return found


def room(name: str) -> str:
    """The room (sub-package) of a module; "" for those on the ground floor."""
    return name.partition(".")[0] if "." in name or (PACKAGE / name).is_dir() else ""


def digest(names: Iterable[str], without: Collection[str] = ()) -> str:
    """SHA-256, in hexadecimal, of the sources of these modules and of all that they import.

    Args:
        names, without: as for `closure`.
    """
    known = modules()
    sources = b"".join(known[name].read_bytes() for name in sorted(closure(names, without)))
    return hashlib.sha256(sources).hexdigest()
