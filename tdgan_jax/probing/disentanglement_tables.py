"""Markdown tables of disentanglement measurements, several seeds of a configuration side by side.

A measurement is what `benchmarks/disentanglement.py` stores of a run: `configuration`, `accuracy`
(of the first recogniser), `matrix` and `summary` (see `disentanglement`), and `transfer`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Measurement = Mapping[str, Any]
FEATURES = ("expression", "face", "generated", "generated_pixels", "random", "pixels")
PROBED = (
    ("expression", "linear"),
    ("expression", "mlp"),
    ("identity", "linear"),
    ("identity", "mlp"),
)
SUMMARY = (
    "information_gap",
    "random_information_gap",
    "two_branch_information_gap",
    "identity_leakage",
    "generated_information_gap",
    "generated_identity_leakage",
)
SHARES = ("expression_right", "identity_right", "both_right")
ERRORS = ("face_reconstruction_error", "expression_reconstruction_error")


def disentanglement_tables(measurements: Sequence[Measurement]) -> str:
    """All tables: summary, probes, transfer, factors.

    Args:
        measurements: At least one; those of one configuration are its seeds.
    """
    groups: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        groups.setdefault(measurement["configuration"], []).append(measurement)
    sections = [
        "Mean and standard deviation over the seeds; with one seed the figure alone.",
        "## Summary\n\n" + summary_table(groups),
        "## Accuracy of probes\n\n" + probe_table(groups),
    ]
    transfers = {
        name: [seed for seed in seeds if seed["transfer"] is not None]
        for name, seeds in groups.items()
    }
    if any(transfers.values()):
        sections.append("## Transfer\n\n" + transfer_table(transfers))
    if any(seed["matrix"]["expression"]["factors"] for seed in measurements):
        by_kind = factor_table(groups, factors_by_kind)
        sections.append("## Factors by kind: mean R², negative ones counted as 0\n\n" + by_kind)
        sections.append("## Every factor: R²\n\n" + factor_table(groups, dict))
    return "\n\n".join(sections) + "\n"


def summary_table(groups: Mapping[str, Sequence[Measurement]]) -> str:
    """One row a configuration, with those numbers of `disentanglement.summary` that are known."""
    known = [
        key
        for key in SUMMARY
        if any(seed["summary"].get(key) is not None for seeds in groups.values() for seed in seeds)
    ]
    header = ["configuration", "seeds", "accuracy on its own test", *map(_spoken, known)]
    rows = []
    for name, seeds in groups.items():
        cells = [name, str(len(seeds)), spread(seed["accuracy"] for seed in seeds)]
        rows.append(cells + [spread(seed["summary"].get(key) for seed in seeds) for key in known])
    return _table(header, rows)


def probe_table(groups: Mapping[str, Sequence[Measurement]]) -> str:
    """One row a feature: expression and identity by both probes, and chance."""
    header = ["configuration", "feature", *(f"{label}, {kind}" for label, kind in PROBED)]
    rows = []
    for name, seeds in groups.items():
        for feature in _present(seeds):
            rows.append([name, _spoken(feature), *_figures(seeds, feature, "accuracy")])
        rows.append([name, "(chance)", *_figures(seeds, "expression", "chance")])
    return _table(header, rows)


def transfer_table(groups: Mapping[str, Sequence[Measurement]]) -> str:
    """One row a generator, the trivial ones too, and what the judges reach on real images."""
    columns = (*SHARES, *ERRORS, "expression_right_by_own")
    header = ["configuration", "generator", *map(_spoken, columns)]
    rows = []
    for name, seeds in groups.items():
        if not seeds:
            continue
        for generator in ("generator", "copy_face", "copy_expression"):
            of_it = [seed["transfer"][generator] for seed in seeds]
            cells = [spread(judged.get(key) for judged in of_it) for key in columns]
            rows.append([name, _spoken(generator), *cells])
        judges = [seed["transfer"]["judge_accuracy"] for seed in seeds]
        right = [spread(judge[label] for judge in judges) for label in ("expression", "identity")]
        rows.append([name, "(judges on real images)", *right, "", "", "", ""])
    return _table(header, rows)


def factor_table(
    groups: Mapping[str, Sequence[Measurement]],
    reduced: Callable[[Mapping[str, float | None]], Mapping[str, float | None]],
) -> str:
    """One row a factor, one column a configuration and feature.

    Args:
        groups: Measurements by configuration; those without factors are left out.
        reduced: What is done with the factors of a feature before.
    """
    columns = {}
    for name, seeds in groups.items():
        for feature in _present(seeds):
            factors = [reduced(seed["matrix"][feature]["factors"]) for seed in seeds]
            if all(factors):
                columns[f"{name}: {_spoken(feature)}"] = factors
    header = ["factor", *columns]
    names = list(dict.fromkeys(name for seeds in columns.values() for name in seeds[0]))
    return _table(
        header,
        [
            [name, *(spread(seed.get(name) for seed in seeds) for seeds in columns.values())]
            for name in names
        ],
    )


def factors_by_kind(factors: Mapping[str, float | None]) -> dict[str, float | None]:
    """Means of R^2 over the factors whose names begin alike, `expression/...`; at least 0 each."""
    kinds: dict[str, list[float]] = {}
    for name, explained in factors.items():
        if explained is not None:
            kinds.setdefault(name.partition("/")[0], []).append(max(explained, 0.0))
    return {kind: float(np.mean(values)) for kind, values in kinds.items()}


def spread(values: Iterable[float | None]) -> str:
    """Mean and standard deviation (n - 1) with three digits; a dash where nothing is known."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = f"{np.mean(known):.3f}"
    return mean if len(known) == 1 else f"{mean} ± {np.std(known, ddof=1):.3f}"


def _present(seeds: Sequence[Measurement]) -> list[str]:
    return [name for name in FEATURES if all(name in seed["matrix"] for seed in seeds)]


def _figures(seeds: Sequence[Measurement], feature: str, figure: str) -> list[str]:
    """One figure of the four probes of a feature; a dash where a label is not known."""
    cells = []
    for label, kind in PROBED:
        probes = [seed["matrix"][feature][label] for seed in seeds]
        cells.append(spread(None if probe is None else probe[kind][figure] for probe in probes))
    return cells


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
