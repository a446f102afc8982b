"""Sections of the report that draw `metrics.jsonl`: losses over steps, accuracy over epochs.

`runs` maps a short name to the files of its run; a run's place in it is its colour. One run: a
curve a loss or recogniser. Several runs: a figure a loss or recogniser, a curve a run.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tdgan_jax.evaluation.metrics import majority_answer
from tdgan_jax.families.titles import loss_title, loss_titles, recogniser_title
from tdgan_jax.reports import page
from tdgan_jax.reports.figures import Level, Series, curve_figure, finite_points
from tdgan_jax.runs.folder import RunFiles, recognisers

_BATCH_ACCURACY = "Accuracy on training batches"


def loss_group(name: str) -> str:
    """The heading below which the curve of a name of `metrics.jsonl` stands."""
    return _BATCH_ACCURACY if name.endswith("_accuracy") else loss_title(name)


def losses_section(runs: Mapping[str, RunFiles]) -> str:
    """Loss curves in groups."""
    parts = [
        page.missing(f"{name}: no metrics.jsonl yet, nothing was logged.")
        for name, run in runs.items()
        if not run.metrics
    ]
    names = dict.fromkeys(
        name for run in runs.values() for record in run.metrics for name in record.get("losses", {})
    )
    if not names:
        return "".join(parts)
    parts.insert(0, page.lead("Line: running mean. Faint: every logged step."))
    groups = (*loss_titles(), _BATCH_ACCURACY)
    if len(runs) == 1:
        (run,) = runs.values()
        cards = [
            _group_card(run, group, list(names)) for group in (*loss_titles(), _BATCH_ACCURACY)
        ]
        return "".join(parts) + page.grid([card for card in cards if card], "wide")
    for group in groups:
        members = [name for name in names if loss_group(name) == group]
        if members:
            cards = [_loss_card(runs, name) for name in members]
            parts.append(f"<h3>{group}</h3>{page.grid(cards, 'wide')}")
    return "".join(parts)


def accuracy_section(runs: Mapping[str, RunFiles]) -> str:
    """Accuracy of each recogniser over the epochs, a figure a split."""
    cards = []
    for (split, title), curves in _accuracy_curves(runs).items():
        level = _majority_level(runs, split)
        values = [level.value] if level else []
        values += [float(y.max()) for _, y in map(finite_points, curves) if len(y)]
        figure_html = curve_figure(
            f"accuracy-{len(cards)}",
            curves,
            x_label="epoch (from 0)",
            y_label="accuracy",
            description=f"Accuracy over the epochs, {title}",
            y_range=(0.0, min(1.0, 1.15 * max(values, default=1.0)) or 1.0),
            level=level,
        )
        legend_html = page.legend(curves, level.label if level else "")
        cards.append(page.card(escape(title), legend_html, figure_html))
    if not cards:
        return page.missing("No evaluation is logged yet; there is one at the end of each epoch.")
    return page.grid(cards, "wide")


def _accuracy_curves(runs: Mapping[str, RunFiles]) -> dict[tuple[str, str], list[Series]]:
    """The curves of each figure, by (split, title)."""
    figures: dict[tuple[str, str], list[Series]] = {}
    several = len(runs) > 1
    for index, (run_name, run) in enumerate(runs.items()):
        for (recogniser, split), (epochs, values) in _accuracies(run).items():
            name = recogniser_title(recogniser)
            title = f"{name}, {split} split" if several else f"{split} split".capitalize()
            curves = figures.setdefault((split, title), [])
            label, colour = (run_name, index) if several else (name, len(curves))
            curves.append(Series(label, epochs, values, colour))
    return figures


def _group_card(run: RunFiles, group: str, names: Sequence[str]) -> str:
    members = [name for name in names if loss_group(name) == group]
    curves = [
        _loss_series(run, name, name.replace("_", " "), index) for index, name in enumerate(members)
    ]
    return _curves_card(group, group, curves, group == _BATCH_ACCURACY) if curves else ""


def _loss_card(runs: Mapping[str, RunFiles], name: str) -> str:
    curves = [
        _loss_series(run, name, run_name, index)
        for index, (run_name, run) in enumerate(runs.items())
    ]
    present = [curve for curve in curves if curve.x]
    is_accuracy = loss_group(name) == _BATCH_ACCURACY
    return _curves_card(name.replace("_", " ").capitalize(), name, present, is_accuracy)


def _curves_card(title: str, name: str, curves: Sequence[Series], is_accuracy: bool) -> str:
    identifier = "loss-" + "".join(letter if letter.isalnum() else "-" for letter in name).lower()
    figure_html = curve_figure(
        identifier,
        curves,
        x_label="step",
        y_label="accuracy" if is_accuracy else "loss",
        y_range=(0.0, 1.0) if is_accuracy else None,
        description=f"{title} over the steps",
        smooth=True,
    )
    return page.card(escape(title), page.legend(curves, smooth=True), figure_html)


def _loss_series(run: RunFiles, name: str, label: str, colour: int) -> Series:
    points = [
        (record["step"], record["losses"][name])
        for record in run.metrics
        if name in record.get("losses", {})
    ]
    steps, values = zip(*points, strict=True) if points else ((), ())
    return Series(label=label, x=steps, y=values, colour=colour)


def _accuracies(run: RunFiles) -> dict[tuple[str, str], tuple[list[int], list[Any]]]:
    """Epochs and accuracies by (recogniser, split)."""
    found: dict[tuple[str, str], tuple[list[int], list[Any]]] = {}
    for record in run.metrics:
        for split, evaluation in record.get("evaluation", {}).items():
            for name, figures in recognisers(evaluation).items():
                epochs, values = found.setdefault((name, split), ([], []))
                epochs.append(record["epoch"])
                values.append(figures["accuracy"])
    return found


def _majority_level(runs: Mapping[str, RunFiles], split: str) -> Level | None:
    """The accuracy of always answering a split's most frequent class, if all runs agree on it."""
    answers = {
        majority_answer(figures)
        for run in runs.values()
        for record in run.metrics
        for figures in recognisers(record.get("evaluation", {}).get(split)).values()
    }
    if len(answers) != 1:
        return None
    (answer,) = answers
    if answer is None:
        return None
    label, value = answer
    return Level(f"always answering “{label}” ({value:.2f})", value)
