"""Optuna: which trial of a sweep comes next, and which parameters decided."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from syncnet_lib.experiment.space import Range, Trial, Values

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial as Asked

Tell = Callable[[Sequence[float | None]], None]
"""Takes what the trials of a batch reached; None for one that failed."""


def propose(values: Values, objective: str, count: int, jobs: int, seed: int) -> Iterator[tuple[list[Trial], Tell]]:
    """Batches of trials, each proposed from what those before it reached (TPE).

    The same results give the same proposals: a search that is started again finds its first trials done, and goes on.

    Args:
        values: what is tried of each parameter.
        objective: what is reached, for the study's name.
        count: trials in all.
        jobs: trials a batch.
        seed: of the proposals.

    Yields:
        The trials, and where to tell what they reached before the next batch is asked for.
    """
    study = _study(objective, seed)
    for first in range(0, count, jobs):
        asked = [study.ask() for _ in range(min(jobs, count - first))]

        def tell(reached: Sequence[float | None], asked: "Sequence[Asked]" = asked) -> None:
            from optuna.trial import TrialState

            for trial, value in zip(asked, reached, strict=True):
                state = TrialState.FAIL if value is None else TrialState.COMPLETE
                study.tell(trial, value, state)

        yield [{name: _suggest(trial, name, tried) for name, tried in values.items()} for trial in asked], tell


def importance(trials: pd.DataFrame, names: Sequence[str], objective: str) -> dict[str, float]:
    """How much of the differences in an objective each parameter explains, 0-1 (fANOVA); the highest first.

    Args:
        trials: a row a trial: its values, and what it reached.
        names: of the parameters.
        objective: name of the column of what was reached; trials without are left out.

    Returns:
        Nothing where fewer than two trials, or only equal ones, say anything.
    """
    import optuna

    done = trials[trials[objective].notna()]
    varied = [name for name in names if done[name].nunique() > 1]
    if not varied or done[objective].nunique() < 2:
        return {}
    study = _study(objective, 0)
    space: dict[str, BaseDistribution] = {name: _distribution(done[name]) for name in varied}
    for row in done.to_dict("records"):
        given = {name: _plain(row[name]) for name in varied}
        study.add_trial(optuna.create_trial(params=given, distributions=space, value=float(row[objective])))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def _study(objective: str, seed: int) -> "Study":
    import optuna

    logging.getLogger("optuna").setLevel(logging.WARNING)
    return optuna.create_study(
        study_name=objective, direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed)
    )


def _suggest(trial: "Asked", name: str, tried: list[Any] | Range) -> Any:
    if not isinstance(tried, Range):
        return trial.suggest_categorical(name, tried)
    if tried.whole:
        return trial.suggest_int(name, int(tried.low), int(tried.high), log=tried.logarithmic)
    return tried.number(trial.suggest_float(name, tried.low, tried.high, log=tried.logarithmic))


def _distribution(column: pd.Series) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return FloatDistribution(float(column.min()), float(column.max()))
    return CategoricalDistribution(list(dict.fromkeys(map(_plain, column))))


def _plain(value: Any) -> Any:
    """A value of a table as Optuna takes it."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
