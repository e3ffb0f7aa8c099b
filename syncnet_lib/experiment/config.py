"""params.yaml becomes flat, validated parameters, a set a stage; the only module that knows where the project is."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from syncnet_lib import parallel
from syncnet_lib.dataset.pairs_settings import PairsSettings
from syncnet_lib.dataset.settings import CorpusSettings, ExtractSettings
from syncnet_lib.errors import InputError
from syncnet_lib.experiment.settings import CommonSettings, EvaluateSettings
from syncnet_lib.paths import ROOT
from syncnet_lib.settings import Settings
from syncnet_lib.training.settings import FilterSettings, TrainSettings

SECTIONS: dict[str, type[Settings]] = {
    "common": CommonSettings,
    "corpus": CorpusSettings,
    "extract": ExtractSettings,
    "pairs": PairsSettings,
    "train": TrainSettings,
    "filter": FilterSettings,
    "evaluate": EvaluateSettings,
}
"""Section of params.yaml -> the class that describes it."""

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


def stage_settings(stage: str, path: Path = ROOT / "params.yaml") -> dict[str, Any]:
    """The flat parameters of a stage: those of `common` and of its section, every value present.

    Args:
        stage: one of `STAGES`.
        path: the parameters file; all of it is checked, so that a slip in `evaluate` is found before training.

    Raises:
        InputError: no such stage; an unreadable file; an unknown section, key or profile; a bad value.
    """
    if stage not in STAGES:
        raise InputError(f"stage {stage}", "unknown", _did_you_mean(stage, STAGES))
    section = STAGES[stage]
    own = ["common", *([section] if section else [])]
    sections = read(path).sections
    values = {name: value for each in own for name, value in sections[each].items()}
    if values["workers"] == "auto":
        values["workers"] = parallel.cores()
    return values


def read(path: Path) -> Parameters:
    """Read and check a parameters file.

    Values of `profiles.<profile>.<section>` win over those of `<section>`. YAML is read as DVC reads it (1.2), where
    `1e-4` is a number and `no` is a word.

    Args:
        path: the file.

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
    base = {name: _values(name, content, {}, f"{where}: {name}") for name in SECTIONS}  # before any profile is blamed
    for name, overlay in profiles.items():
        # Every profile is checked, chosen or not: otherwise its slip waits for the day on which it is chosen.
        _check_overlay(content, overlay, f"{where}: profiles.{name}")
    chosen = profiles.get(profile) or {}
    overlaid = {name: _values(name, content, chosen, f"{where}: {name}") for name in SECTIONS if name in chosen}
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
    return SECTIONS[section].parse(merged, where).model_dump()


def _check_overlay(base: Mapping[str, Any], overlay: Any, where: str) -> None:
    for section, values in _need_mapping(overlay, where).items():
        if section not in PROFILED:
            cause = "is the same for all profiles" if section in SECTIONS else "unknown section"
            raise InputError(f"{where}.{section}", cause, f"a profile may change {', '.join(PROFILED)}")
        _need_mapping(values, f"{where}.{section}")
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
