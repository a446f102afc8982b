"""Sections of the report about what was measured beside accuracy: calibration, disentanglement.

`runs` maps a short name to the files of its run.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tdgan_jax.families.titles import recogniser_title
from tdgan_jax.probing.disentanglement_tables import factors_by_kind
from tdgan_jax.reports import page
from tdgan_jax.reports.measurement_figures import calibration_figure, share_figure
from tdgan_jax.reports.recognition_sections import latest_figures, number_html
from tdgan_jax.runs.folder import DISENTANGLEMENT_FILE, RunFiles
from tdgan_jax.runs.small_files import read_if_there

_SUMMARY_TITLES = {
    "information_gap": "Information gap of the expression feature",
    "random_information_gap": "The same of a random encoder",
    "two_branch_information_gap": "Information gap over both branches",
    "identity_leakage": "Identity leakage",
    "generated_information_gap": "Information gap of the drawn face",
    "generated_identity_leakage": "Share of the input's identity in the drawn face",
}
_SHARES = ("expression_right", "identity_right", "both_right")


def calibration_section(runs: Mapping[str, RunFiles]) -> str:
    """A calibration diagram a recogniser, with the error that sums it up."""
    cards = []
    for index, (run_name, run) in enumerate(runs.items()):
        for name, figures in latest_figures(run)[0].items():
            if not figures.get("calibration_bins"):
                continue
            title = recogniser_title(name)
            error = number_html(figures["expected_calibration_error"])
            cards.append(
                page.card(
                    escape(title if len(runs) == 1 else f"{run_name}: {title}"),
                    f"<p>expected calibration error {error}</p>",
                    calibration_figure(
                        f"calibration-{index}-{name}",
                        figures["calibration_bins"],
                        f"Accuracy over confidence of the {title.lower()} of {run_name}",
                        colour=len(cards) if len(runs) == 1 else index,
                    ),
                )
            )
    if not cards:
        return page.missing("No evaluation with confidences yet.")
    lead = (
        "How often answers of a confidence are right; the larger a dot, the more images. Below the "
        "dotted line the model is too sure of itself."
    )
    return page.lead(lead) + page.grid(cards, "wide")


def disentanglement_section(runs: Mapping[str, RunFiles]) -> str:
    """What probes read out of the frozen features; says how to measure it where it is missing."""
    measured, missing = {}, []
    for name, run in runs.items():
        path = run.path / DISENTANGLEMENT_FILE
        if (figures := read_if_there(path, "disentanglement")) is not None:
            measured[name] = figures
        else:
            missing.append(name)
    parts = []
    if measured:
        parts.append(
            page.lead(
                "Accuracy of probes on frozen features, people unseen in the training of the "
                "networks. A random encoder tells people apart too: what counts is the comparison, "
                "at matched accuracy of the expression."
            )
        )
        cards = [_matrix_card(index, *item) for index, item in enumerate(measured.items())]
        parts.append(page.grid(cards, "wide"))
        parts.append(_summary_table(measured))
        parts.append(_transfer_table(measured))
        parts += [_factors_table(name, measurement) for name, measurement in measured.items()]
    if missing:
        command = "python benchmarks/disentanglement.py --runs RUN"
        names = ", ".join(missing)
        parts.append(page.missing(f"{names}: not measured; {command} measures it."))
    return "".join(parts)


def _matrix_card(index: int, run_name: str, measurement: Mapping[str, Any]) -> str:
    matrix = measurement["matrix"]
    kinds = list(factors_by_kind(matrix["expression"]["factors"]))
    columns = ["expression (linear)", "expression (MLP)", "identity (linear)", "identity (MLP)"]
    shares = [
        [
            *(
                _probed(feature, label, kind)
                for label in ("expression", "identity")
                for kind in _KINDS
            ),
            *factors_by_kind(feature["factors"]).values(),
        ]
        for feature in matrix.values()
    ]
    first = next(iter(matrix.values()))
    chance = [
        _probed(first, label, kind, "chance")
        for label in ("expression", "identity")
        for kind in _KINDS
    ]
    return page.card(
        escape(run_name),
        f"<p>{escape(measurement['settings']['dataset'][0])}</p>",
        share_figure(
            f"probes-{index}",
            [*shares, [*chance, *(0.0 for _ in kinds)]],
            [*(name.replace("_", " ") for name in matrix), "(chance)"],
            [*columns, *(f"{kind} factors" for kind in kinds)],
            f"Accuracy of probes on the features of {run_name}",
        ),
        "<p>Rows: features. Factors: mean explained variance of what was drawn.</p>"
        if kinds
        else "",
        "<p>Generated: the drawn face as the same random encoder sees it that saw the input for "
        "“random”; pixels: both without any network, 16x16.</p>"
        if "generated" in matrix
        else "",
    )


_KINDS = ("linear", "mlp")


def _probed(
    feature: Mapping[str, Any], label: str, kind: str, figure: str = "accuracy"
) -> float | None:
    return None if feature[label] is None else feature[label][kind][figure]


def _summary_table(measured: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [
            escape(title),
            *(number_html(measurement["summary"].get(key)) for measurement in measured.values()),
        ]
        for key, title in _SUMMARY_TITLES.items()
        if any(measurement["summary"].get(key) is not None for measurement in measured.values())
    ]
    accuracy = [number_html(measurement["accuracy"]) for measurement in measured.values()]
    rows.insert(0, ["Accuracy on its own test", *accuracy])
    heads = ["Value"] if len(measured) == 1 else [escape(name) for name in measured]
    return "<h3>In one number</h3>" + page.table(["", *heads], rows)


def _transfer_table(measured: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, measurement in measured.items():
        transfer = measurement.get("transfer") or {}
        for generator in ("generator", "copy_face", "copy_expression"):
            if generator in transfer:
                cells = [number_html(transfer[generator][share]) for share in _SHARES]
                note = f'<span class="note">{escape(name)}</span>' if len(measured) > 1 else ""
                rows.append([escape(generator.replace("_", " ")) + note, *cells])
    if not rows:
        return ""
    heads: Sequence[str] = ["Generator", *(share.replace("_", " ") for share in _SHARES)]
    return (
        "<h3>Expressions put on faces, judged by other networks</h3>"
        + page.lead("Share of the pairs of a face and the expression of another person.")
        + page.table(heads, rows)
    )


def _factors_table(run_name: str, measurement: Mapping[str, Any]) -> str:
    matrix = measurement["matrix"]
    factors = matrix["expression"]["factors"]
    if not factors:
        return ""
    rows = [
        [escape(factor), *(number_html(feature["factors"][factor]) for feature in matrix.values())]
        for factor in factors
    ]
    return page.details(
        f"Every drawn factor, explained variance: {run_name}",
        page.table(["Factor", *map(escape, matrix)], rows),
    )
