"""The section of the report about confusions: matrices, precision and recall of each class.

`runs` maps a short name to the files of its run.
"""

from collections.abc import Mapping
from html import escape
from typing import Any

from tdgan_jax.families.titles import recogniser_title
from tdgan_jax.reports import page
from tdgan_jax.reports.figures import confusion_figure
from tdgan_jax.reports.recognition_sections import latest_figures, number_html
from tdgan_jax.runs.folder import RunFiles


def confusion_section(runs: Mapping[str, RunFiles]) -> str:
    """A confusion matrix and the figures of each class, a card a recogniser."""
    cards = []
    for index, (run_name, run) in enumerate(runs.items()):
        figures_by_name, source = latest_figures(run)
        for name, figures in figures_by_name.items():
            if not figures.get("confusion_matrix"):
                continue
            title = recogniser_title(name)
            cards.append(
                page.card(
                    escape(title if len(runs) == 1 else f"{run_name}: {title}"),
                    f"<p>{escape(source)}</p>" if source else "",
                    confusion_figure(
                        f"confusion-{index}-{name}",
                        figures["confusion_matrix"],
                        figures["labels"],
                        f"Confusion matrix of the {title.lower()} of {run_name}",
                    ),
                    classes_table(figures),
                )
            )
    if not cards:
        return page.missing("No evaluation yet.")
    explanation = (
        "A row is a true class, a column an answer. Large: percent of the row. Small: images."
    )
    return page.lead(explanation) + page.grid(cards, "wide")


def classes_table(figures: Mapping[str, Any]) -> str:
    """Precision and recall of each class, folded away; empty without them."""
    per_class = figures.get("per_class") or {}
    rows = [
        [
            escape(name),
            number_html(values.get("precision")),
            number_html(values.get("recall")),
            number_html(values.get("num_examples")),
        ]
        for name, values in per_class.items()
    ]
    if not rows:
        return ""
    return page.details(
        "Precision and recall of each class",
        page.table(["Class", "Precision", "Recall", "Images"], rows),
    )
