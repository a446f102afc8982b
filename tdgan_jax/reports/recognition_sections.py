"""Sections of the report about recognition: figures, yardsticks, confusion matrices.

`runs` maps a short name to the files of its run; a run's place in it is its colour in the curves.
"""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from tdgan_jax.evaluation.metrics import chance_warning, majority_answer
from tdgan_jax.families.titles import recogniser_title
from tdgan_jax.reports import page
from tdgan_jax.runs.folder import RunFiles, recognisers

SELECTIONS = {
    "last": "last epoch",
    "validation": "validation part of the training data",
    "test": "test split",
}
FIGURE_TITLES = {
    "accuracy": "Accuracy",
    "accuracy_interval": "95 % interval",
    "mean_class_accuracy": "Mean class accuracy",
    "macro_f1": "Macro F1",
    "cross_entropy": "Cross-entropy",
    "expected_calibration_error": "Calibration error",
    "num_examples": "Images",
}
SUMMARY_FIGURES = ("accuracy", "mean_class_accuracy", "macro_f1")


def recogniser_names(results: Iterable[Mapping[str, Any] | None]) -> list[str]:
    """The recognisers that occur, in the order of their first appearance."""
    return list(dict.fromkeys(name for result in results for name in recognisers(result)))


def latest_figures(run: RunFiles) -> tuple[dict[str, dict[str, Any]], str]:
    """A run's figures and where they come from: `result.json` or the last evaluation logged."""
    if run.result is not None:
        return recognisers(run.result), ""
    for record in reversed(run.metrics):
        for split in ("validation", "test"):
            if figures := recognisers(record.get("evaluation", {}).get(split)):
                return figures, f"{split} split after epoch {record['epoch']}, run not finished"
    return {}, ""


def results_section(runs: Mapping[str, RunFiles], *, warn: bool = True) -> str:
    """Figures of the finished runs, with what they were chosen on and what to compare with.

    Args:
        runs: Run folders.
        warn: Whether to mark runs that are no better than the most frequent class.
    """
    finished = {name: run for name, run in runs.items() if run.result is not None}
    parts = [
        page.missing(f"{name}: no result.json yet, the run has not finished.")
        for name in runs
        if name not in finished
    ]
    if finished:
        if len(runs) == 1:
            parts.append(_headlines(finished))
        if warn:
            for name, run in finished.items():
                parts += chance_warnings(name, recognisers(run.result))
        parts.append(_figures_table(finished, alone=len(runs) == 1))
        parts.append(_selection_table(finished, alone=len(runs) == 1))
    return "".join(parts)


def _headlines(runs: Mapping[str, RunFiles]) -> str:
    ((_, run),) = runs.items()
    assert run.result is not None
    cards = []
    for name, figures in recognisers(run.result).items():
        cards.append(
            page.card(
                escape(recogniser_title(name)),
                f'<p class="figure">{number_html(figures["accuracy"])} <small>accuracy</small></p>',
                interval_html(figures),
                f"<p>mean class accuracy {number_html(figures.get('mean_class_accuracy'))}, "
                f"macro F1 {number_html(figures.get('macro_f1'))}, "
                f"{number_html(figures.get('num_examples'))} images</p>",
                kind="headline",
            )
        )
    if rows := _yardsticks(run.result):
        cards.append(page.card("Accuracy beside yardsticks", page.bars(rows)))
    chosen = chosen_on_html(run.result)
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


def chance_warnings(run_name: str, figures_by_name: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A warning for each recogniser that is hardly better than its most frequent class."""
    texts = {name: chance_warning(figures) for name, figures in figures_by_name.items()}
    return [
        page.warning(f"{run_name}, {recogniser_title(name).lower()}: {text}")
        for name, text in texts.items()
        if text is not None
    ]


def _figures_table(runs: Mapping[str, RunFiles], alone: bool) -> str:
    results = [run.result for run in runs.values()]
    shown = {
        key: title
        for key, title in FIGURE_TITLES.items()
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
            chosen = (
                []
                if alone
                else [chosen_on_html(result, short=True), number_html(result.get("epoch"))]
            )
            rows.append([head, *(number_html(figures.get(key)) for key in shown), *chosen])
            if rest := figures.get("without_duplicates"):
                note = '<span class="note">without test images that also stand in training</span>'
                cells = (number_html(rest.get(key)) for key in shown)
                rows.append(
                    [head + note if alone else f"{escape(run_name)}{note}", *cells, *chosen]
                )
    heads = [] if alone else ["Model chosen on", "Epoch"]
    first = "Recogniser" if alone else "Run"
    body = page.table([first, *shown.values(), *heads], rows)
    body += f'<p class="note">{escape(interval_note(results))}</p>'
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
        [escape(name), *(number_html(by_run[run_name].get(name)) for run_name in runs)]
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
            head = escape(selection_text(selection).capitalize())
            if selection == "test":
                head += f'<span class="note">{page.badge("optimistic", caution=True)}</span>'
            if selection == result.get("selected_on"):
                head += f'<span class="note">{page.badge("configured")}</span>'
            if not alone:
                head = f'{escape(run_name)}<span class="note">{head}</span>'
            cells = [
                number_html(recognisers(figures).get(name, {}).get(key))
                for name in names
                for key in SUMMARY_FIGURES
            ]
            rows.append([head, number_html(figures.get("epoch")), *cells])
    if not rows:
        return ""
    heads = [
        f'{FIGURE_TITLES[key]}<span class="note">{escape(recogniser_title(name).lower())}</span>'
        for name in names
        for key in SUMMARY_FIGURES
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


def chosen_on_html(result: Mapping[str, Any], short: bool = False) -> str:
    """A badge that says what a result's epoch was chosen on."""
    selection = result.get("selected_on")
    if selection is None:
        return "not recorded"
    text = str(selection) if short else selection_text(selection)
    if selection == "test":
        return page.badge(f"{text}, optimistic", caution=True)
    return page.badge(text)


def interval_html(figures: Mapping[str, Any]) -> str:
    """The interval of an accuracy below its headline; empty without one."""
    interval = figures.get("accuracy_interval")
    if interval is None:
        return ""
    return (
        f"<p>{number_html(interval)} ({interval['confidence']:.0%}, bootstrap over "
        f"{interval['num_units']:,} {escape(interval['unit'])}s)</p>"
    )


def interval_note(results: Iterable[Mapping[str, Any] | None]) -> str:
    """How the intervals of some results were computed; empty without any."""
    intervals = [
        figures.get("accuracy_interval")
        for result in results
        for figures in recognisers(result).values()
    ]
    kinds = dict.fromkeys(
        f"{interval['num_resamples']:,} resamples of {interval['num_units']:,} {interval['unit']}s"
        for interval in intervals
        if interval is not None
    )
    if not kinds:
        return ""
    return (
        f"Interval: percentile bootstrap, {', '.join(kinds)}. It holds what another choice of test "
        "people or images could change, not what another seed would."
    )


def selection_text(selection: str) -> str:
    """What a selection looks at, in words."""
    return SELECTIONS.get(selection, str(selection))


def number_html(value: Any) -> str:
    """A figure with three decimals, an interval, a count with separators, or a dash."""
    if isinstance(value, Mapping):
        return f"{value['low']:.3f} to {value['high']:.3f}"
    if isinstance(value, float):
        return f"{value:.3f}"
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else escape(str(value))
