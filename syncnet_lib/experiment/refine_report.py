"""What the points of the study of the refinement say together."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from syncnet_lib.experiment.refine_study import CORPORA, LENGTHS, VARIANTS
from syncnet_lib.experiment.statistics import bootstrap_crossed

NONE = "No figures are there yet: dvc repro studies/dvc.yaml:refine_study."
"""What a study without points concludes."""


def summarise(found: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """The figures of the study for JSON.

    Args:
        found: settings and figures of the points; clean clips are those of share 0.

    Returns:
        `noise`: of the synthetic corpus, by share: `precision`, `recall`, `rejected`, `repaired_within_1` (means over
        the seeds of the last round), `repair_error_ms` (median), `rounds` (precision and recall of each), `k5` and
        `k15` by variant (a mean over the test clips for each seed), `after_k5` and `after_k15` (the same of networks
        trained on what each round repaired, a list a round; a seed whose rounds settled early stays at its last), and
        `gain5`: of refined, repaired and clean over noisy with intervals over clips and seeds; and the same under the
        name of each other corpus.
    """
    corpora_found: dict[str, Any] = {}
    for corpus in CORPORA:
        own = [(settings, figures) for settings, figures in found if settings["corpus"] == corpus]
        clean = {settings["seed"]: figures for settings, figures in own if settings["share"] == 0}
        by_share: dict[str, Any] = {}
        for share in sorted({settings["share"] for settings, _ in own}):
            parts = {settings["seed"]: figures for settings, figures in own if settings["share"] == share}
            by_share[str(share)] = _of_share(parts, clean)
        if by_share:
            corpora_found[corpus] = {"noise": by_share}
    first = corpora_found.pop(next(iter(CORPORA)), {"noise": {}})
    return {**first, **corpora_found}


def _of_share(parts: Mapping[int, dict[str, Any]], clean: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    seeds = sorted(parts)
    last = [parts[seed]["rounds"][-1] for seed in seeds]
    errors = [error for each in last for error in each["repair_error_ms"]]
    found: dict[str, Any] = {
        name: round(float(np.mean([each[name] for each in last])), 4) for name in ("precision", "recall", "rejected")
    }
    moved = [each["repaired_within_1"] for each in last if each["repaired_within_1"] is not None]
    found["repaired_within_1"] = round(float(np.mean(moved)), 4) if moved else None
    found["repair_error_ms"] = float(np.median(errors)) if errors else None
    found["rounds"] = [
        [{name: round(each[name], 4) for name in ("precision", "recall")} for each in parts[seed]["rounds"]]
        for seed in seeds
    ]
    found["seeds"] = seeds
    for key in (f"k{frames}" for frames in LENGTHS):
        shares = {name: np.array([parts[seed][key][name] for seed in seeds]) for name in VARIANTS}
        both = [seed for seed in seeds if seed in clean]
        if both:
            shares["clean"] = np.array([clean[seed][key]["noisy"] for seed in both])
        found[key] = {name: values.mean(axis=1).round(4).tolist() for name, values in shares.items()}
        chains = [parts[seed].get(f"after_{key}", []) for seed in seeds]
        found[f"after_{key}"] = [
            [round(float(np.mean(chain[min(number, len(chain) - 1)])), 4) for chain in chains]
            for number in range(max(map(len, chains)))
        ]
        # Against the same seeds: of the clean clips there may be fewer.
        noisy = {name: shares["noisy"][[seeds.index(seed) for seed in both]] for name in ("clean",)}
        found[key.replace("k", "gain")] = {
            name: {
                end: round(value, 4)
                for end, value in bootstrap_crossed(values - noisy.get(name, shares["noisy"])).items()
            }
            for name, values in shares.items()
            if name != "noisy"
        }
    return found


def table(summary: Mapping[str, Any]) -> pd.DataFrame:
    """The summary as a table: a row a corpus and share, means over the seeds with their deviation.

    Args:
        summary: of `summarise`.
    """
    rows = {}
    for corpus, share, each in _shares(summary):
        accuracies = {
            f"K={frames} {name}": f"{np.mean(values):.1%} ± {np.std(values):.1%}"
            for frames in LENGTHS
            for name, values in _chain(each, f"k{frames}").items()
        }
        moved = each["repaired_within_1"]
        rows[corpus, share] = {
            "precision": f"{each['precision']:.3f}",
            "recall": f"{each['recall']:.3f}",
            "repaired within ±1": "" if moved is None else f"{moved:.1%}",
            "seeds": len(each["seeds"]),
            **accuracies,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["corpus", "noise"])


def _chain(each: Mapping[str, Any], key: str) -> dict[str, list[float]]:
    """By what was trained on, in the order of the loop: noisy, after each round, the last one's two, clean."""
    of = dict(each[key])
    clean = {"clean": of.pop("clean")} if "clean" in of else {}
    rounds = {f"round {number}": values for number, values in enumerate(each.get(f"after_{key}", [])[:-1], 1)}
    return {"noisy": of.pop("noisy"), **rounds, **of, **clean}


def _shares(summary: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    named = {"synthetic": summary, **{name: summary[name] for name in CORPORA if name in summary}}
    for corpus, content in named.items():
        for share, each in content["noise"].items():
            yield corpus, share, each


def conclude(summary: Mapping[str, Any]) -> str:
    """The study's conclusion in words, out of the figures.

    Args:
        summary: of `summarise`.
    """
    told = []
    for corpus, share, each in _shares(summary):
        if float(share) == 0:
            told.append(f"{corpus} without noise: {each['rejected']:.1%} of the clips are rejected.")
            continue
        gain = each["gain5"]
        best = max(gain["refined"]["mean"], gain["repaired"]["mean"])
        clean = gain["clean"]["mean"] if "clean" in gain else None
        if clean is None:
            part = "clean clips not measured"
        else:
            part = f"{best / clean:.0%} of what clean clips would gain" if clean > 0 else "where clean clips gain none"
        told.append(
            f"{corpus} with {float(share):.0%} noise: kept clips are genuine to {each['precision']:.1%}, "
            f"{each['recall']:.1%} of the genuine are kept, {each['repaired_within_1']:.0%} of the off-sync ones "
            f"are moved to within a frame (median error {each['repair_error_ms'] or 0:.0f} ms); at K = 5 refined "
            f"clips gain {gain['refined']['mean']:+.1%} ({gain['refined']['low']:+.1%} to "
            f"{gain['refined']['high']:+.1%}), repaired ones {gain['repaired']['mean']:+.1%}, {part}."
        )
    return " ".join(told) or NONE


def claims(summary: Mapping[str, Any]) -> dict[str, bool]:
    """What the loop is asked for, and whether it holds, by corpus.

    Args:
        summary: of `summarise`.
    """
    found = {}
    for corpus, share, each in _shares(summary):
        gain = {name: value["mean"] for name, value in each["gain5"].items()}
        if share == "0.3":
            found[f"{corpus}, 30 % noise: precision at least 0.97 at a recall of at least 0.90"] = (
                each["precision"] >= 0.97 and each["recall"] >= 0.9
            )
            if "clean" in gain:
                found[f"{corpus}, 30 % noise: refined clips give back half of what clean ones would"] = (
                    gain["refined"] >= gain["clean"] / 2 > 0
                )
            found[f"{corpus}, 30 % noise: 95 % of the off-sync clips moved to within a frame, median error 10 ms"] = (
                each["repaired_within_1"] >= 0.95 and each["repair_error_ms"] <= 10
            )
        elif share == "0.0":
            found[f"{corpus}, no noise: fewer than 3 % rejected"] = each["rejected"] < 0.03
        elif share == "0.6":
            found[f"{corpus}, 60 % noise: it still helps"] = each["gain5"]["refined"]["low"] > 0
    return found
