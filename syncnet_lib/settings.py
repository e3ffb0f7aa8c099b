"""What every settings class shares: typed, frozen, and no key that it does not know."""

import difflib
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from syncnet_lib.errors import InputError


class Settings(BaseModel):
    """Base of the settings of a stage; the class lives in the module that it configures."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str) -> Self:
        """Validate plain values, e.g. a section of params.yaml.

        Args:
            values: parameter names to values.
            where: what to call the source in an error, e.g. ``params.yaml: train``.

        Raises:
            InputError: an unknown name (the nearest known one is offered), or a value of a wrong type or range.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            if first["type"] == "extra_forbidden":
                near = difflib.get_close_matches(name, cls.model_fields, n=1)
                cure = f"did you mean {near[0]}?" if near else f"known are {', '.join(cls.model_fields)}"
                raise InputError(f"{where}.{name}", "unknown parameter", cure) from None
            if first["type"] == "missing":
                raise InputError(f"{where}.{name}", "parameter is missing", "add it") from None
            if not name:  # of several values together
                raise InputError(where, first["msg"].removeprefix("Value error, "), "correct one of them") from None
            cause = f"{first['msg']}, got {first['input']!r} ({type(first['input']).__name__})"
            raise InputError(f"{where}.{name}", cause, "correct the value") from None

    @classmethod
    def pick(cls, namespace: Mapping[str, Any]) -> Self:
        """The settings whose values stand in a notebook's parameters cell.

        Args:
            namespace: the notebook's ``globals()``; only names of this class are read.
        """
        return cls.parse({name: namespace[name] for name in cls.model_fields if name in namespace}, "parameters cell")
