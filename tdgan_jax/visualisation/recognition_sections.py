"""Sections of the report about recognition: figures, yardsticks, folds, confusion matrices.

`runs` maps a short name to the files of its run; a run's place in it is its colour in the curves.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from tdgan_jax.run_folder import RunFiles, recognisers
from tdgan_jax.visualisation import page
from tdgan_jax.visualisation.figures import confusion_figure

SELECTIONS = {
    "last": "last epoch",
    "validation": "validation part of the training data",
    "test": "test split",
}
_TITLES = {
    "expression_module": "Expression module",
    "expression_discriminator": "Expression discriminator",
    "classifier": "Classifier",
}
_FIGURES = {
    "accuracy": "Accuracy",
    "mean_class_accuracy": "Mean class accuracy",
    "macro_f1": "Macro F1",
    "cross_entropy": "Cross-entropy",
    "expected_calibration_error": "Calibration error",
    "num_examples": "Images",
}
_SUMMARY = ("accuracy", "mean_class_accuracy", "macro_f1")


def recogniser_title(name: str) -> str:
    """The name of a recogniser as the report writes it."""
    return _TITLES.get(name, name.replace("_", " ").capitalize())


def recogniser_names(results: Iterable[Mapping[str, Any] | None]) -> list[str]:
    """The recognisers that occur, in the order of their first appearance."""
    return list(dict.fromkeys(name for result in results for name in recognisers(result)))


def majority_answer(figures: Mapping[str, Any]) -> tuple[str, float] | None:
    """The most frequent class and the accuracy of always answering it."""
    counts = [sum(row) for row in figures.get("confusion_matrix") or []]
    if not sum(counts):
        return None
    most = max(counts)
    return figures["labels"][counts.index(most)], most / sum(counts)


def latest_figures(run: RunFiles) -> tuple[dict[str, dict[str, Any]], str]:
    """A run's figures and where they come from: `result.json` or the last evaluation logged."""
    if run.result is not None:
        return recognisers(run.result), ""
    for record in reversed(run.metrics):
        for split in ("validation", "test"):
            if figures := recognisers(record.get("evaluation", {}).get(split)):
                return figures, f"{split} split after epoch {record['epoch']}, run not finished"
    return {}, ""


def results_section(runs: Mapping[str, RunFiles]) -> str:
    """Figures of the finished runs, with what they were chosen on and what to compare with."""
    finished = {name: run for name, run in runs.items() if run.result is not None}
    parts = [
        page.missing(f"{name}: no result.json yet, the run has not finished.")
        for name in runs
        if name not in finished
    ]
    if finished:
        if len(runs) == 1:
            parts.append(_headlines(finished))
        parts += _warnings(finished)
        parts.append(_figures_table(finished, alone=len(runs) == 1))
        parts.append(_selection_table(finished, alone=len(runs) == 1))
    return "".join(parts)


def cross_validation_section(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    """Tables of `cross_validation.json`: each fold, mean, standard deviation, pooled value."""
    parts = [
        page.lead(
            "A fold's figures come from the part it was not trained on. “Pooled” takes the test "
            "images of all folds as one set; the deviation is that between folds."
        )
    ]
    for run_name, summary in summaries.items():
        for name, figures in summary.items():
            if not isinstance(figures, dict) or "accuracy" not in figures:
                continue
            title = recogniser_title(name)
            parts.append(
                f"<h3>{escape(title if len(summaries) == 1 else f'{run_name}: {title}')}</h3>"
            )
            parts.append(_folds_table(summary.get("folds"), figures))
    return "".join(parts)


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
                    _classes_table(figures),
                )
            )
    if not cards:
        return page.missing("No evaluation yet.")
    explanation = (
        "A row is a true class, a column an answer. Large: percent of the row. Small: images."
    )
    return page.lead(explanation) + page.grid(cards, "wide")


def _headlines(runs: Mapping[str, RunFiles]) -> str:
    ((_, run),) = runs.items()
    assert run.result is not None
    cards = []
    for name, figures in recognisers(run.result).items():
        cards.append(
            page.card(
                escape(recogniser_title(name)),
                f'<p class="figure">{_number(figures["accuracy"])} <small>accuracy</small></p>',
                f"<p>mean class accuracy {_number(figures.get('mean_class_accuracy'))}, "
                f"macro F1 {_number(figures.get('macro_f1'))}, "
                f"{_number(figures.get('num_examples'))} images</p>",
                kind="headline",
            )
        )
    if rows := _yardsticks(run.result):
        cards.append(page.card("Accuracy beside yardsticks", page.bars(rows)))
    chosen = _chosen_on(run.result)
    return f'<p style="margin-top: 10px">Model chosen on: {chosen}</p>' + page.grid(cards, "top")


def _yardsticks(result: Mapping[str, Any]) -> list[tuple[str, float, bool]]:
    """(name, accuracy, whether it is the run's own), the best first."""
    rows = [
        (recogniser_title(name), figures["accuracy"], True)
        for name, figures in recognisers(result).items()
    ]
    for name, value in (result.get("yardsticks") or {}).items():
        accuracy = value.get("accuracy") if isinstance(value, dict) else value
        if isinstance(accuracy, int | float):
            rows.append((name.replace("_", " ").capitalize(), accuracy, False))
    for figures in recognisers(result).values():
        if majority := majority_answer(figures):
            rows.append((f"Always answering “{majority[0]}”", majority[1], False))
            break
    return sorted(rows, key=lambda row: -row[1])


def _warnings(runs: Mapping[str, RunFiles]) -> list[str]:
    texts = []
    for run_name, run in runs.items():
        for name, figures in recognisers(run.result).items():
            majority = majority_answer(figures)
            if majority and figures["accuracy"] <= majority[1]:
                texts.append(
                    f"{run_name}: the {recogniser_title(name).lower()} ({figures['accuracy']:.3f}) "
                    f"is no better than always answering “{majority[0]}” ({majority[1]:.3f}). "
                    "Too little training, or is the order of the labels wrong?"
                )
    return [page.warning(text) for text in texts]


def _figures_table(runs: Mapping[str, RunFiles], alone: bool) -> str:
    results = [run.result for run in runs.values()]
    shown = {
        key: title
        for key, title in _FIGURES.items()
        if any(key in figures for result in results for figures in recognisers(result).values())
    }
    rows = []
    for recogniser in recogniser_names(results):
        title = recogniser_title(recogniser)
        for index, (run_name, run) in enumerate(runs.items()):
            result = run.result or {}
            figures = recognisers(result).get(recogniser)
            if figures is None:
                continue
            note = f'<span class="note">{escape(title)}</span>'
            head = escape(title) if alone else f"{page.swatch(index)} {escape(run_name)}{note}"
            chosen = [] if alone else [_chosen_on(result, short=True), _number(result.get("epoch"))]
            rows.append([head, *(_number(figures.get(key)) for key in shown), *chosen])
            if rest := figures.get("without_duplicates"):
                note = '<span class="note">without test images that also stand in training</span>'
                cells = (_number(rest.get(key)) for key in shown)
                rows.append(
                    [head + note if alone else f"{escape(run_name)}{note}", *cells, *chosen]
                )
    heads = [] if alone else ["Model chosen on", "Epoch"]
    first = "Recogniser" if alone else "Run"
    body = page.table([first, *shown.values(), *heads], rows)
    if alone:
        return body
    return body + _yardsticks_table(runs)


def _yardsticks_table(runs: Mapping[str, RunFiles]) -> str:
    by_run = {
        run_name: {name: value for name, value, own in _yardsticks(run.result or {}) if not own}
        for run_name, run in runs.items()
    }
    names = list(dict.fromkeys(name for rows in by_run.values() for name in rows))
    if not names:
        return ""
    rows = [
        [escape(name), *(_number(by_run[run_name].get(name)) for run_name in runs)]
        for name in names
    ]
    return "<h3>Yardsticks: accuracy</h3>" + page.table(["", *map(escape, runs)], rows)


def _selection_table(runs: Mapping[str, RunFiles], alone: bool) -> str:
    names = recogniser_names(
        figures
        for run in runs.values()
        for figures in ((run.result or {}).get("by_selection") or {}).values()
    )
    rows = []
    for run_name, run in runs.items():
        result = run.result or {}
        for selection, figures in (result.get("by_selection") or {}).items():
            head = escape(_selection_text(selection).capitalize())
            if selection == "test":
                head += f'<span class="note">{page.badge("optimistic", caution=True)}</span>'
            if selection == result.get("selected_on"):
                head += f'<span class="note">{page.badge("configured")}</span>'
            if not alone:
                head = f'{escape(run_name)}<span class="note">{head}</span>'
            cells = [
                _number(recognisers(figures).get(name, {}).get(key))
                for name in names
                for key in _SUMMARY
            ]
            rows.append([head, _number(figures.get("epoch")), *cells])
    if not rows:
        return ""
    heads = [
        f'{_FIGURES[key]}<span class="note">{escape(recogniser_title(name).lower())}</span>'
        for name in names
        for key in _SUMMARY
    ]
    explanation = (
        "The figures of “test split” are optimistic: chosen on the test split that they are "
        "measured on."
    )
    return (
        "<h3>The same training, by what the epoch was chosen on</h3>"
        + page.lead(explanation)
        + page.table(["Chosen on", "Epoch", *heads], rows)
    )


def _folds_table(folds: Sequence[str] | None, figures: Mapping[str, Any]) -> str:
    shown = [key for key in _SUMMARY if isinstance(figures.get(key), dict)]
    values = {key: _first(figures[key], "per_fold", "values", "folds") or [] for key in shown}
    count = max((len(column) for column in values.values()), default=0)
    names = list(folds or (f"fold_{index}" for index in range(count)))
    rows = [
        [escape(str(name)), *(_number(_at(values[key], index)) for key in shown)]
        for index, name in enumerate(names)
    ]
    for title, *keys in (
        ("Mean", "mean"),
        ("Standard deviation", "standard_deviation", "std"),
        ("Pooled", "pooled"),
    ):
        rows.append(
            [f"<strong>{title}</strong>"]
            + [f"<strong>{_number(_first(figures[key], *keys))}</strong>" for key in shown]
        )
    return page.table(["Fold", *(_FIGURES[key] for key in shown)], rows)


def _classes_table(figures: Mapping[str, Any]) -> str:
    per_class = figures.get("per_class") or {}
    rows = [
        [
            escape(name),
            _number(values.get("precision")),
            _number(values.get("recall")),
            _number(values.get("num_examples")),
        ]
        for name, values in per_class.items()
    ]
    if not rows:
        return ""
    return page.details(
        "Precision and recall of each class",
        page.table(["Class", "Precision", "Recall", "Images"], rows),
    )


def _chosen_on(result: Mapping[str, Any], short: bool = False) -> str:
    selection = result.get("selected_on")
    if selection is None:
        return "not recorded"
    text = str(selection) if short else _selection_text(selection)
    if selection == "test":
        return page.badge(f"{text}, optimistic", caution=True)
    return page.badge(text)


def _selection_text(selection: str) -> str:
    return SELECTIONS.get(selection, str(selection))


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else escape(str(value))


def _first(values: Mapping[str, Any], *keys: str) -> Any:
    return next((values[key] for key in keys if key in values), None)


def _at(values: Sequence[Any], index: int) -> Any:
    return values[index] if index < len(values) else None
