"""Sections of the report that show what `tdgan-jax report --pictures` has drawn into run folders.

`runs` maps a short name to the files of its run.
"""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tdgan_jax.families.titles import recogniser_title
from tdgan_jax.files import read_file
from tdgan_jax.reports import page
from tdgan_jax.reports.drawing import NUM_COLOURS
from tdgan_jax.reports.measurement_figures import scatter_figure
from tdgan_jax.runs.folder import (
    ERRORS_FILE,
    FEATURES_FILE,
    INTERPOLATION_FILE,
    PICTURES_FOLDER,
    RunFiles,
)
from tdgan_jax.runs.small_files import read_if_there

_COMMAND = "tdgan-jax report RUN --pictures"
_FEATURE_TITLES = {
    "expression": "Expression feature",
    "face": "Face feature",
    "random": "A random encoder",
}


def features_section(runs: Mapping[str, RunFiles]) -> str:
    """Maps of the feature spaces, each coloured by expression and by person."""
    parts = []
    for index, (run_name, run) in enumerate(runs.items()):
        known = _read(run, FEATURES_FILE, "features")
        if known is None:
            continue
        if len(runs) > 1:
            parts.append(f"<h3>{escape(run_name)}</h3>")
        cards = [
            card
            for feature, places in known["maps"].items()
            for card in _feature_cards(f"map-{index}-{feature}", feature, places, known)
        ]
        parts.append(page.grid(cards, "wide"))
    if not parts:
        return page.missing(f"No maps of the features; {_COMMAND} draws them.")
    lead = (
        "Test images, placed so that neighbours have similar features (t-SNE). Where colours "
        "gather, the feature tells them apart. Distances between far groups mean nothing."
    )
    return page.lead(lead) + "".join(parts)


def _feature_cards(
    name: str, feature: str, places: Sequence[Sequence[float]], known: Mapping[str, Any]
) -> list[str]:
    title = _FEATURE_TITLES.get(feature, feature)
    names, expressions = known["expression_names"], known["expressions"]
    cards = [
        page.card(
            escape(f"{title}, by expression"),
            page.names_legend(names),
            scatter_figure(f"{name}-expression", places, expressions, f"{title} by expression"),
        )
    ]
    people = known["people"]
    if people:
        # More colours than these cannot be told apart; all others stay pale.
        shown = sorted(person for person, _ in Counter(people).most_common(NUM_COLOURS))
        classes = [shown.index(person) if person in shown else None for person in people]
        cards.append(
            page.card(
                escape(f"{title}, by person"),
                page.names_legend(shown),
                scatter_figure(f"{name}-person", places, classes, f"{title} by person"),
            )
        )
    return cards


def errors_section(runs: Mapping[str, RunFiles]) -> str:
    """The answers that were wrong though the model was sure of them, with their images."""
    parts = []
    for run_name, run in runs.items():
        known = _read(run, ERRORS_FILE, "errors")
        if known is None:
            continue
        if len(runs) > 1:
            parts.append(f"<h3>{escape(run_name)}</h3>")
        cards = [
            page.card(
                f"{escape(error['answer'])}, {error['confidence']:.2f}",
                page.image(base64.b64decode(error["png"]), "image/png", error["file"]),
                f"<p>is {escape(error['truth'])}; <code>{escape(error['file'])}</code></p>",
                kind="small",
            )
            for error in known["errors"]
        ]
        title = recogniser_title(known["recogniser"]).lower()
        parts.append(page.lead(f"What the {title} answered, and what the label says."))
        parts.append(page.grid(cards, "small") if cards else page.missing("No error."))
    return "".join(parts) or page.missing(f"No errors shown; {_COMMAND} draws them.")


def interpolation_section(runs: Mapping[str, RunFiles]) -> str:
    """Strips from one expression to another; empty for runs without a generator."""
    cards = []
    for run_name, run in runs.items():
        path = run.path / PICTURES_FOLDER / INTERPOLATION_FILE
        if path.is_file():
            image = page.image(read_file(path), "image/png", f"Interpolation, {run_name}")
            # As wide as it is: shrunk to a phone's width its faces would be specks.
            cards.append(page.card(escape(run_name), page.scrolled(image)))
    if not cards:
        return page.missing(f"No interpolation; {_COMMAND} draws it for runs with a generator.")
    lead = (
        "The face that is kept, the picture where the expression starts, what the generator draws "
        "between, the picture where it ends. On a narrow screen it can be pushed sideways."
    )
    return page.lead(lead) + "".join(cards)


def _read(run: RunFiles, file: str, kind: str) -> dict[str, Any] | None:
    return read_if_there(run.path / PICTURES_FOLDER / file, kind)
