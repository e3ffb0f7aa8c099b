"""Rules for how far sound may be off its pictures: standards by name, files, and limits of one's own.

The rules are asymmetric, because sound that comes late is usual in nature and sound that comes early is not. Nothing
heavy is imported here: a name that is none is refused before. What a result makes of a rule, `compliance` says.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from syncnet_lib.errors import InputError
from syncnet_lib.measurement.result import Limits
from syncnet_lib.settings import Settings

STANDARDS: Mapping[str, Limits] = {
    "ebu-r37": Limits(name="EBU R37", early_ms=40, late_ms=60),
    "atsc": Limits(name="ATSC IS-191", early_ms=15, late_ms=45),
    "bt1359-detect": Limits(name="ITU-R BT.1359 detectability", early_ms=45, late_ms=125),
    "bt1359-accept": Limits(name="ITU-R BT.1359 acceptability", early_ms=90, late_ms=185),
}
"""By the name on the command line."""
SUFFIXES = (".yaml", ".yml")


class StandardFile(Settings):
    """What a file with limits of one's own says."""

    name: str = Field(min_length=1)
    """What the limits are called in results."""
    early_ms: float = Field(ge=0)
    """Milliseconds by which the sound may be ahead."""
    late_ms: float = Field(ge=0)
    """Milliseconds by which it may be behind."""


def find(name: str | None, early: float | None, late: float | None) -> Limits | None:
    """The limits that a command line asks for.

    Args:
        name: of a standard, or a YAML file with `name`, `early_ms` and `late_ms`.
        early, late: milliseconds, in place of a name.

    Returns:
        None where none are asked for.

    Raises:
        InputError: no such standard, an unusable file, or half of two limits.
    """
    if name is None and early is None and late is None:
        return None
    if name is not None and (early is not None or late is not None):
        raise InputError("--standard", "cannot be given together with --early and --late", "give one of both")
    if name is None:
        if early is None or late is None:
            missing = "--early" if early is None else "--late"
            raise InputError(missing, "is missing", "give both --early and --late, in milliseconds")
        return Limits(name=f"+{early:g}/-{late:g} ms", early_ms=early, late_ms=late)
    if name in STANDARDS:
        return STANDARDS[name]
    path = Path(name)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(name, "no such standard", f"use {', '.join(STANDARDS)} or a .yaml file")
    return _read(path)


def _read(path: Path) -> Limits:
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InputError(path, "is no YAML", "write name, early_ms and late_ms, a line each") from None
    if not isinstance(values, dict):
        raise InputError(path, "holds no limits", "write name, early_ms and late_ms, a line each")
    numbers = {name: float(value) if type(value) is int else value for name, value in values.items()}
    found = StandardFile.parse(numbers, str(path))
    return Limits(name=found.name, early_ms=found.early_ms, late_ms=found.late_ms)
