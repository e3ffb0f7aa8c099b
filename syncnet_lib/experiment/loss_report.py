"""What the points of the study of the losses say together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from syncnet_lib.experiment.loss_study import LOSSES, MAIN

NONE = "No figures are there yet: dvc repro studies/dvc.yaml:loss_study."
"""What a study without points concludes."""


def summarise(found: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """The figures of the study for JSON.

    Args:
        found: settings and figures of the points.

    Returns:
        `losses`: by name `k5`, `k15` and `left_chance_at_step` (a value a seed), `by_frames` (mean over the seeds) and
        `curve` (step, mean and deviation over the seeds of the validation AUC).
    """
    losses = {}
    for name in LOSSES:
        parts = [figures for settings, figures in found if settings["loss"] == name]
        if parts:
            auc = np.array([[row[2] for row in each["curve"]] for each in parts])
            steps = [row[0] for row in parts[0]["curve"]]
            losses[name] = {
                **{key: [round(float(np.mean(each[key])), 4) for each in parts] for key in ("k5", "k15")},
                "left_chance_at_step": [each["left_chance_at_step"] for each in parts],
                "by_frames": {
                    frames: round(float(np.mean([each["by_frames"][frames] for each in parts])), 4)
                    for frames in parts[0]["by_frames"]
                },
                "curve": [
                    [step, round(float(mean), 4), round(float(spread), 4)]
                    for step, mean, spread in zip(steps, auc.mean(axis=0), auc.std(axis=0), strict=True)
                ],
            }
    return {"losses": losses}


def table(summary: Mapping[str, Any]) -> pd.DataFrame:
    """The summary as a table, a row a loss.

    Args:
        summary: of `summarise`.
    """
    rows = {}
    for name, each in summary["losses"].items():
        steps = ["never" if step is None else str(step) for step in each["left_chance_at_step"]]
        rows[name] = {
            "leaves chance at step": ", ".join(steps),
            "K=5": f"{np.mean(each['k5']):.1%} ± {np.std(each['k5']):.1%}",
            "K=15": f"{np.mean(each['k15']):.1%} ± {np.std(each['k15']):.1%}",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("loss")


def conclude(summary: Mapping[str, Any]) -> str:
    """The study's conclusion in words, out of the figures.

    Args:
        summary: of `summarise`.
    """
    losses = summary["losses"]
    if not set(MAIN) & set(losses):
        return NONE
    stuck = [name for name, each in losses.items() if None in each["left_chance_at_step"]]
    main = {name: float(np.mean(losses[name]["k15"])) for name in MAIN if name in losses}
    best = max(main, key=lambda name: main[name])
    binary = {name: float(np.mean(each["k15"])) for name, each in losses.items() if name.startswith("binary")}
    told = f"Of the losses {best} is best at K = 15 ({main[best]:.1%})."
    if binary:
        top, least = max(binary, key=lambda name: binary[name]), min(binary, key=lambda name: binary[name])
        told += (
            f" Binary classification of pairs reaches from {binary[least]:.1%} ({least}) to {binary[top]:.1%} ({top})."
        )
    if stuck:
        return f"{told} In at least one of the seeds these do not leave chance: {', '.join(stuck)}."
    return f"{told} All losses leave chance with every seed."


def what_helps(summary: Mapping[str, Any]) -> str:
    """How each change of binary classification compares with it as it is, in words.

    Args:
        summary: of `summarise`.
    """
    if MAIN[0] not in summary["losses"]:
        return ""
    plain, *others = [name for name in summary["losses"] if name.startswith("binary")]
    base = np.array(summary["losses"][plain]["k15"])
    told = []
    for name in others:
        change = np.array(summary["losses"][name]["k15"]) - base
        told.append(f"{name} {change.mean():+.1%} ± {change.std():.1%}")
    return f"At K = 15, against {plain} as it is ({base.mean():.1%}): {', '.join(told)}."


def by_length(summary: Mapping[str, Any]) -> pd.DataFrame:
    """Accuracy by the length of a stretch in frames, a row a loss (%).

    Args:
        summary: of `summarise`.
    """
    rows = {name: each["by_frames"] for name, each in summary["losses"].items()}
    return (100 * pd.DataFrame.from_dict(rows, orient="index")).round(1)
