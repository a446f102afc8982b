"""The section of the report about valence and arousal, and the graph between labels.

`runs` maps a short name to the files of its run.
"""

from collections.abc import Mapping
from html import escape
from typing import Any

from tdgan_jax.families.titles import recogniser_title
from tdgan_jax.reports import page
from tdgan_jax.reports.affect_figures import answers_figure, circumplex_figure
from tdgan_jax.reports.measurement_figures import share_figure
from tdgan_jax.reports.recognition_sections import number_html
from tdgan_jax.runs.folder import (
    AFFECT_FILE,
    BEGINNING_FILE,
    PICTURES_FOLDER,
    RunFiles,
    recognisers,
)
from tdgan_jax.runs.small_files import read_if_there

DIMENSIONS = ("valence", "arousal")
FIGURES = {
    "ccc": "Concordance (CCC)",
    "rmse": "RMSE",
    "pearson": "Pearson",
    "sign_agreement": "Same sign",
}


def affect_section(runs: Mapping[str, RunFiles]) -> str:
    """Figures, circumplex and scattered answers; empty where no run knows of affect."""
    rows = [
        row
        for run_name, run in runs.items()
        for row in _rows(run_name if len(runs) > 1 else "", run.result)
    ]
    cards = [
        card
        for index, (run_name, run) in enumerate(runs.items())
        for card in _drawn(index, run_name if len(runs) > 1 else "", run)
    ]
    graphs = [
        _graph_card(index, run_name if len(runs) > 1 else "", run)
        for index, (run_name, run) in enumerate(runs.items())
    ]
    if not rows and not cards:
        return ""
    heads = [part for title in FIGURES.values() for part in (title, "95 % interval")]
    parts = [page.table(["", *heads, "Images"], rows)] if rows else []
    if cards:
        lead = (
            "Dots: answers for test images, coloured by the labelled expression. Rings: the mean "
            "label of an expression. The circle has the radius 1."
        )
        parts += [page.lead(lead), page.grid(cards, "wide")]
    else:
        parts.append(page.missing("No circumplex; tdgan-jax report RUN --pictures draws it."))
    if shown := [card for card in graphs if card]:
        parts.append(
            page.lead(
                "The adjacency: a label in each row, its neighbours in the columns. Between two "
                "expressions there is no edge."
            )
        )
        parts.append(page.grid(shown, "wide"))
    return "".join(parts)


def _rows(run_name: str, result: Mapping[str, Any] | None) -> list[list[str]]:
    rows = []
    for recogniser, figures in recognisers(result).items():
        for dimension in DIMENSIONS:
            of_one = (figures.get("affect") or {}).get(dimension)
            if of_one is None:
                continue
            note = f'<span class="note">{escape(run_name or recogniser_title(recogniser))}</span>'
            cells = [
                number_html(value)
                for name in FIGURES
                for value in (of_one.get(name), of_one.get(f"{name}_interval"))
            ]
            count = number_html(of_one.get("num_examples"))
            rows.append([f"{dimension.capitalize()}{note}", *cells, count])
    return rows


def _drawn(index: int, run_name: str, run: RunFiles) -> list[str]:
    known = read_if_there(run.path / PICTURES_FOLDER / AFFECT_FILE, "affect")
    if known is None:
        return []
    prefix = f"{escape(run_name)}: " if run_name else ""
    names = known["expression_names"]
    cards = [
        page.card(
            f"{prefix}circumplex",
            page.names_legend(names),
            circumplex_figure(
                f"circumplex-{index}",
                known["answers"],
                known["expressions"],
                known["labelled"],
                "Valence and arousal of test images, as the model answers",
            ),
        )
    ]
    for column, dimension in enumerate(DIMENSIONS):
        labels, answers = ([row[column] for row in known[key]] for key in ("labelled", "answers"))
        if any(label is not None for label in labels):
            figure = answers_figure(
                f"{dimension}-{index}",
                labels,
                answers,
                f"Answers over labels of the {dimension}",
                colour=column,
            )
            cards.append(page.card(f"{prefix}{dimension}", figure))
    return cards


def _graph_card(index: int, run_name: str, run: RunFiles) -> str:
    known = read_if_there(run.path / BEGINNING_FILE, "beginning") or {}
    if not known.keys() >= {"adjacency", "nodes", "correlations_of"}:
        return ""
    title = f"Graph between labels, from: {known['correlations_of']}"
    nodes = known["nodes"]
    figure = share_figure(f"graph-{index}", known["adjacency"], nodes, nodes, title)
    return page.card(escape(f"{run_name}: {title}" if run_name else title), figure)
