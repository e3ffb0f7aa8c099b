"""params.yaml becomes flat, validated parameters, a set a stage; the only module that knows where the project is."""

import difflib
import importlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from pydantic import Field
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from syncnet_lib import parallel
from syncnet_lib.errors import InputError
from syncnet_lib.paths import ROOT
from syncnet_lib.settings import Settings


class CommonSettings(Settings):
    """What every stage may use."""

    seed: int = Field(0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int | Literal["auto"] = "auto"
    scheduler: str = ""


SECTIONS = {
    "common": "experiment.config.CommonSettings",
    "corpus": "dataset.sources.CorpusSettings",
    "extract": "dataset.extract.ExtractSettings",
    "pairs": "dataset.splits.PairsSettings",
    "train": "training.settings.TrainSettings",
    "filter": "training.filtering.FilterSettings",
    "evaluate": "experiment.evaluate.EvaluateSettings",
}
"""Section of params.yaml -> module.class that describes it. Named, not imported: most of them import torch."""

STAGES = {
    "corpus": "corpus",
    "extract": "extract",
    "pairs": "pairs",
    "train": "train",
    "filter": "filter",
    "retrain": "train",
    "evaluate": "evaluate",
    "report": None,
}
"""Stage -> its section of params.yaml, in the order in which they run; `common` belongs to all."""

PROFILED = ("pairs", "train", "filter", "evaluate")
"""Sections that a profile may change. The corpus and its clips are the same for all: choosing another training
must not extract a thousand videos again."""


class Parameters(NamedTuple):
    """params.yaml, read and valid.

    Args:
        profile: the chosen profile.
        sections: section -> name -> value, with the profile's values laid over.
    """

    profile: str
    sections: dict[str, dict[str, Any]]


def settings_class(section: str) -> type[Settings]:
    """The class that describes a section of params.yaml; importing its module may take seconds."""
    module, name = SECTIONS[section].rsplit(".", 1)
    return cast(type[Settings], getattr(importlib.import_module(f"syncnet_lib.{module}"), name))


def stage_settings(stage: str, path: Path = ROOT / "params.yaml") -> dict[str, Any]:
    """The flat parameters of a stage: those of `common` and of its section, every value present.

    Args:
        stage: one of `STAGES`.
        path: the parameters file. The first stage checks all of its sections, so that a slip in `evaluate` is found
            before an hour of training; the others only their own, which saves them importing every module.

    Raises:
        InputError: no such stage; an unreadable file; an unknown section, key or profile; a bad value.
    """
    if stage not in STAGES:
        raise InputError(f"stage {stage}", "unknown", _did_you_mean(stage, STAGES))
    section = STAGES[stage]
    own = ["common", *([section] if section else [])]
    sections = read(path, tuple(SECTIONS) if stage == next(iter(STAGES)) else own).sections
    values = {name: value for each in own for name, value in sections[each].items()}
    if values["workers"] == "auto":
        values["workers"] = parallel.cores()
    return values


def read(path: Path, sections: Collection[str] = tuple(SECTIONS)) -> Parameters:
    """Read and check a parameters file.

    Values of `profiles.<profile>.<section>` win over those of `<section>`. YAML is read as DVC reads it (1.2), where
    `1e-4` is a number and `no` is a word.

    Args:
        path: the file.
        sections: those whose values are checked and returned; names of sections and profiles are always checked.

    Raises:
        InputError: as for `stage_settings`.
    """
    where = path.name
    content = load_yaml(path)
    profile = content.pop("profile", "default")
    profiles = content.pop("profiles", None) or {}
    if not isinstance(profiles, Mapping):
        raise InputError(f"{where}: profiles", "must map profile names to sections", "indent the profiles under it")
    for section, values in content.items():
        if section not in SECTIONS:
            raise InputError(f"{where}: {section}", "unknown section", _did_you_mean(section, SECTIONS))
        _need_mapping(values, f"{where}: {section}")
    known = {"default": None, **profiles}
    if profile not in known:
        raise InputError(f"{where}: profile", f"unknown profile {profile!r}", f"use one of {', '.join(known)}")
    base = {name: _values(name, content, {}, f"{where}: {name}") for name in sections}  # before any profile is blamed
    for name, overlay in profiles.items():
        # Every profile is checked, chosen or not: otherwise its slip waits for the day on which it is chosen.
        _check_overlay(content, overlay, sections, f"{where}: profiles.{name}")
    chosen = profiles.get(profile) or {}
    overlaid = {name: _values(name, content, chosen, f"{where}: {name}") for name in sections if name in chosen}
    return Parameters(profile, base | overlaid)


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML file whose top level is a mapping, as plain values.

    Raises:
        InputError: no such file, not YAML, or not a mapping.
    """
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(path, str(error.strerror), "restore it, e.g. with git checkout") from None
    except MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(path, f"not YAML{line}: {error.problem}", "correct that line") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(path, f"not YAML: {error}", "write it as UTF-8 YAML") from None
    return _need_mapping(content, str(path))


def _values(section: str, base: Mapping[str, Any], overlay: Mapping[str, Any], where: str) -> dict[str, Any]:
    merged = {**(base.get(section) or {}), **(overlay.get(section) or {})}
    return settings_class(section).parse(merged, where).model_dump()


def _check_overlay(base: Mapping[str, Any], overlay: Any, sections: Collection[str], where: str) -> None:
    for section, values in _need_mapping(overlay, where).items():
        if section not in PROFILED:
            cause = "is the same for all profiles" if section in SECTIONS else "unknown section"
            raise InputError(f"{where}.{section}", cause, f"a profile may change {', '.join(PROFILED)}")
        _need_mapping(values, f"{where}.{section}")
        if section in sections:
            _values(section, base, overlay, f"{where}.{section}")


def _need_mapping(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(where, f"must map names to values, is {value!r}", "write `name: value` lines under it")
    return value


def _did_you_mean(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"
