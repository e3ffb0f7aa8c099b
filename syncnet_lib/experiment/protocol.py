"""The evaluation as papers do it: what is new in the videos is never mixed, and intervals are over talkers."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from syncnet_lib.experiment import evaluate
from syncnet_lib.experiment.settings import EvaluateSettings
from syncnet_lib.experiment.statistics import bootstrap
from syncnet_lib.model import scoring
from syncnet_lib.model.networks import SyncNet


def groups(
    models: Mapping[str, SyncNet],
    data: Path,
    table: pd.DataFrame,
    results: evaluate.Results,
    settings: EvaluateSettings,
) -> dict[str, evaluate.Results]:
    """The held-out clips by what is new in them, never mixed: clips of talkers of the training, and other talkers.

    Args:
        models: by name.
        data: the working folder.
        table: of `evaluate.held_out`.
        results: of `evaluate.compare` on all of it.
        settings: what to search.

    Returns:
        By name of the test; `results` itself where there is one test only.
    """
    named = table.dropna(subset="offset").groupby("test")
    if len(named) == 1:
        return {name: results for name, _ in named}
    return {name: evaluate.compare(models, data / "clips", part, settings) for name, part in named}


def by_the_book(tests: Mapping[str, evaluate.Results], talkers: Mapping[str, str]) -> pd.DataFrame:
    """What papers report, with intervals of 95 % by bootstrap over talkers; over clips where there is one talker.

    Args:
        tests: of `groups`, and further ones.
        talkers: by clip_id; a clip without is one of its own.

    Returns:
        A row for each `test`, `model` ("aperture" learns nothing) and `windows` ("all", "speech", and "all, another's
        sound", which must fail): for each of `scoring.CLIP_FRAMES` and `clip` a dict of `mean`, `low`, `high` or NaN;
        `auc`, `clips`, `talkers`.
    """
    rows = []
    for test, results in tests.items():
        kinds = [(name, table, "all") for name, table in results.verdicts.items()]
        kinds += [(name, table, "all, another's sound") for name, table in results.swapped.items() if len(table)]
        kinds += [(name, results.verdicts[name], "speech") for name in results.swapped]
        for name, table, windows in kinds:
            people = table.clip_id.map(talkers).fillna(table.clip_id)
            people_or_clips = list(people) if people.nunique() > 1 else None
            columns = {str(frames): f"{frames}{' speech' * (windows == 'speech')}" for frames in scoring.CLIP_FRAMES}
            columns |= {"clip": "right"} if windows != "speech" else {}
            known = {key: column for key, column in columns.items() if column in table and table[column].notna().any()}
            shares = {
                key: bootstrap(table[column].to_numpy(float), groups=people_or_clips) for key, column in known.items()
            }
            auc = results.metrics[name].get("auc") if windows == "all" else None
            about = {"test": test, "model": name, "windows": windows}
            rows.append({**about, **shares, "auc": auc, "clips": len(table), "talkers": people.nunique()})
    order = ["test", "model", "windows", *map(str, scoring.CLIP_FRAMES), "clip", "auc", "clips", "talkers"]
    return pd.DataFrame(rows).reindex(columns=order)
