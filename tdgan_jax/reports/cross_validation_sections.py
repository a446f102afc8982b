"""The section of the report about cross-validations: what their folds give together.

`summaries` maps a short name to the content of a `cross_validation.json`.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tdgan_jax.families.titles import recogniser_title
from tdgan_jax.reports import page
from tdgan_jax.reports.confusion_sections import classes_table
from tdgan_jax.reports.figures import confusion_figure
from tdgan_jax.reports.recognition_sections import (
    FIGURE_TITLES,
    SUMMARY_FIGURES,
    chance_warnings,
    chosen_on_html,
    interval_html,
    number_html,
    selection_text,
)
from tdgan_jax.runs.folder import recognisers

_VALIDATION_RULES = {
    "subjects": "some of the training subjects validate",
    "next_fold": "the fold after the test fold validates",
    "none": "all other folds train, none validates",
}


def cross_validation_section(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    """Mean, deviation and pooled figures, each fold, pooled confusion, who stood in which fold."""
    parts = [
        page.lead(
            "A fold's figures come from the part it was not trained on. “Pooled” takes the test "
            "images of all folds as one set; the deviation is that between folds. Folds share most "
            "of their training images: neither it nor the interval over the test people holds what "
            "other training people would change (Nadeau and Bengio 2003)."
        )
    ]
    for index, (run_name, summary) in enumerate(summaries.items()):
        if len(summaries) > 1:
            parts.append(f"<h3>{escape(run_name)}</h3>")
        parts.append(_headlines(summary))
        pooled = {name: figures["pooled"] for name, figures in recognisers(summary).items()}
        parts += chance_warnings(run_name, pooled)
        for name, figures in recognisers(summary).items():
            parts.append(f"<h3>{escape(recogniser_title(name))}</h3>")
            parts.append(_folds_table(summary["folds"], figures))
        parts.append(_selections_table(summary))
        parts.append(_confusion_cards(f"pooled-{index}", run_name, pooled))
        parts.append(_subjects_table(summary.get("subjects") or {}))
    return "".join(parts)


def _headlines(summary: Mapping[str, Any]) -> str:
    cards = []
    for name, figures in recognisers(summary).items():
        accuracy = figures["accuracy"]
        cards.append(
            page.card(
                escape(recogniser_title(name)),
                f'<p class="figure">{number_html(accuracy["mean"])} '
                f"<small>± {number_html(accuracy['standard_deviation'])} accuracy, "
                f"{len(summary['folds'])} folds</small></p>",
                f"<p>pooled {number_html(accuracy['pooled'])} of "
                f"{number_html(figures['pooled']['num_examples'])} images</p>",
                interval_html(figures["pooled"]),
                kind="headline",
            )
        )
    facts = [f"Models chosen on: {chosen_on_html(summary)}"]
    if rule := _VALIDATION_RULES.get(summary.get("validation", "")):
        facts.append(escape(rule))
    if summary.get("subjects_disjoint"):
        facts.append("no subject stands in two parts of a fold, or in the test parts of two folds")
    return f'<p style="margin-top: 10px">{"; ".join(facts)}.</p>' + page.grid(cards, "top")


def _folds_table(folds: Sequence[str], figures: Mapping[str, Any]) -> str:
    rows = [
        [escape(name), *(number_html(figures[key]["per_fold"][index]) for key in SUMMARY_FIGURES)]
        for index, name in enumerate(folds)
    ]
    for title, field in (
        ("Mean", "mean"),
        ("Standard deviation", "standard_deviation"),
        ("Pooled", "pooled"),
    ):
        cells = [f"<strong>{number_html(figures[key][field])}</strong>" for key in SUMMARY_FIGURES]
        rows.append([f"<strong>{title}</strong>", *cells])
    return page.table(["Fold", *(FIGURE_TITLES[key] for key in SUMMARY_FIGURES)], rows)


def _selections_table(summary: Mapping[str, Any]) -> str:
    selections = summary.get("by_selection") or {}
    names = list(recognisers(summary))
    rows = []
    for selection, figures in selections.items():
        head = escape(selection_text(selection).capitalize())
        if selection == "test":
            head += f'<span class="note">{page.badge("optimistic", caution=True)}</span>'
        if selection == summary.get("selected_on"):
            head += f'<span class="note">{page.badge("configured")}</span>'
        cells = []
        for name in names:
            accuracy = figures[name]["accuracy"]
            cells.append(
                f"{number_html(accuracy['mean'])} ± {number_html(accuracy['standard_deviation'])}"
            )
        rows.append([head, *cells])
    if not rows:
        return ""
    heads = [escape(recogniser_title(name)) for name in names]
    return "<h3>The same trainings, by what the epochs were chosen on: accuracy</h3>" + page.table(
        ["Chosen on", *heads], rows
    )


def _confusion_cards(
    identifier: str, run_name: str, pooled: Mapping[str, Mapping[str, Any]]
) -> str:
    cards = [
        page.card(
            escape(f"{recogniser_title(name)}, all folds"),
            confusion_figure(
                f"{identifier}-{name}",
                figures["confusion_matrix"],
                figures["labels"],
                f"Confusion matrix of the {recogniser_title(name).lower()} over all folds of "
                f"{run_name}",
            ),
            classes_table(figures),
        )
        for name, figures in pooled.items()
    ]
    lead = "A row is a true class, a column an answer. Large: percent of the row. Small: images."
    return page.lead(lead) + page.grid(cards, "wide")


def _subjects_table(subjects: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    parts = list(dict.fromkeys(part for by_part in subjects.values() for part in by_part))
    rows = [
        [escape(fold), *(escape(", ".join(by_part.get(part, ()))) for part in parts)]
        for fold, by_part in subjects.items()
    ]
    if not rows:
        return ""
    heads = [escape(part.capitalize()) for part in parts]
    return page.details(
        "Subjects of each fold and part", page.table(["Fold", *heads], rows, "text")
    )
