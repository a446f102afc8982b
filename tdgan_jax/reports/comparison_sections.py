"""The section of the report about how configurations compare: spread and paired differences.

Runs whose configurations differ in the seed and the fold alone are repetitions of one training.
"""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from tdgan_jax.evaluation.comparisons import (
    Difference,
    fold_test_over_train,
    paired_difference,
    subject_difference,
)
from tdgan_jax.families.titles import recogniser_title
from tdgan_jax.reports import page
from tdgan_jax.reports.recognition_sections import number_html
from tdgan_jax.runs.folder import RunFiles, recognisers


class Repetitions(NamedTuple):
    """The finished trainings of one configuration.

    Attributes:
        name: Names of their runs, in words.
        recogniser: The recogniser that is compared: the first one, which chose the epochs.
        accuracy: Of each training, by its seed and fold.
        per_subject: Its answers by subject where there is one training alone, else None.
        unit: What tells the trainings apart: "seed", "fold" or "seed and fold".
        test_over_train: Test images over training images of a fold; 0 where there is one division.
    """

    name: str
    recogniser: str
    accuracy: dict[str, float]
    per_subject: Mapping[str, Sequence[int]] | None
    unit: str
    test_over_train: float


def comparison_section(runs: Mapping[str, RunFiles]) -> str:
    """Mean, deviation and best of each configuration, and its paired difference from the first."""
    groups = repetitions(runs)
    if not groups:
        return page.missing("No run has finished yet.")
    parts = [
        page.lead(
            "Runs that differ in seed or fold alone are repetitions of one training. A difference "
            "is formed pair by pair, over the same seeds, folds or test people; where its interval "
            "holds 0, these runs do not tell which one is better."
        ),
        page.table(
            ["Configuration", "Recogniser", "Trainings", "Mean accuracy", "Deviation", "Best"],
            [_spread_row(group) for group in groups],
        ),
    ]
    first, *others = groups
    if others:
        rows = [_difference_row(first, other) for other in others]
        heads = ["Less that of the first", "Difference", "95 % interval", "Pairs"]
        parts.append("<h3>Paired differences in accuracy</h3>")
        if any(group.test_over_train for group in groups):
            parts.append(
                page.lead(
                    "Folds share most of their training images; intervals over them are widened "
                    "for that (Nadeau and Bengio 2003, corrected resampled t-test)."
                )
            )
        parts.append(page.table(heads, rows))
    return "".join(parts)


def repetitions(runs: Mapping[str, RunFiles]) -> list[Repetitions]:
    """Joins runs to configurations, in the order of their first run; unfinished ones are left out.

    A cross-validation counts as the trainings of its folds.
    """
    members: dict[str, list[str]] = {}
    for name, run in runs.items():
        if run.result is not None or run.cross_validation is not None:
            members.setdefault(_key(name, run.config), []).append(name)
    return [_joined({name: runs[name] for name in names}) for names in members.values()]


def _key(name: str, config: Mapping[str, Any] | None) -> str:
    if config is None:
        return name
    rest = {key: value for key, value in config.items() if key != "seed"}
    if "data" in rest:
        rest["data"] = {key: value for key, value in rest["data"].items() if key != "fold"}
    return json.dumps(rest, sort_keys=True)


def _joined(runs: Mapping[str, RunFiles]) -> Repetitions:
    accuracy: dict[str, float] = {}
    seeds, folds = set(), set()
    recogniser, per_subject, data = "", None, {}
    for run in runs.values():
        config, joined = run.config or {}, run.cross_validation
        data = config.get("data", {})
        figures = recognisers(joined or run.result)
        recogniser = next(iter(figures))
        main = figures[recogniser]
        if joined is not None:
            values = dict(zip(joined["folds"], main["accuracy"]["per_fold"], strict=True))
            per_subject = main["pooled"].get("per_subject")
        else:
            values = {f"fold_{data.get('fold', -1)}": main["accuracy"]}
            per_subject = main.get("per_subject")
        seeds.add(config.get("seed"))
        folds |= set(values)
        accuracy |= {f"seed {config.get('seed')}, {fold}": value for fold, value in values.items()}
    kinds = [kind for kind, names in (("seed", seeds), ("fold", folds)) if len(names) > 1]
    return Repetitions(
        ", ".join(runs),
        recogniser,
        accuracy,
        per_subject if len(runs) == 1 else None,
        " and ".join(kinds) or "seed",
        fold_test_over_train(data) if len(folds) > 1 else 0.0,
    )


def compared(first: Repetitions, other: Repetitions) -> Difference | None:
    """Over seeds or folds where both have two in common, otherwise over the test people."""
    found = paired_difference(
        first.accuracy,
        other.accuracy,
        unit=other.unit,
        test_over_train=max(first.test_over_train, other.test_over_train),
    )
    if found is not None and found.num_pairs > 1:
        return found
    if first.per_subject is not None and other.per_subject is not None:
        return subject_difference(first.per_subject, other.per_subject) or found
    return found


def _spread_row(group: Repetitions) -> list[str]:
    values = list(group.accuracy.values())
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return [
        escape(group.name),
        escape(recogniser_title(group.recogniser)),
        f"{len(values)}",
        number_html(float(np.mean(values))),
        number_html(deviation),
        number_html(max(values)) if len(values) > 1 else "–",
    ]


def _difference_row(first: Repetitions, other: Repetitions) -> list[str]:
    found = compared(first, other)
    if found is None:
        return [escape(other.name), "–", "–", "no seed, fold or test people in common"]
    interval = "–" if found.low is None else f"{found.low:+.3f} to {found.high:+.3f}"
    pairs = f"{found.num_pairs} {found.unit}{'' if found.num_pairs == 1 else 's'}"
    return [escape(other.name), f"{found.mean:+.3f}", interval, pairs]
