"""`tdgan-jax evaluate`: recomputes the figures of a run from its checkpoint."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdgan_jax.cli.affect_lines import affect_lines
from tdgan_jax.printing import print_text

if TYPE_CHECKING:
    from tdgan_jax.runs.folder import RunFiles


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Adds the command's arguments."""
    parser = subparsers.add_parser(
        "evaluate",
        help="recompute a run's figures from its checkpoint",
        description="Recomputes the figures of result.json or cross_validation.json, or those on "
        "another dataset.",
        epilog="example: tdgan-jax evaluate runs/tdgan_synthetic/seed_0 --json",
    )
    parser.add_argument(
        "run_folder",
        type=Path,
        metavar="RUN",
        help="folder of a run, or of a cross-validation",
    )
    parser.add_argument(
        "--dataset",
        metavar="NAME[/CONFIG]",
        help="a prepared dataset (default: that of the training)",
    )
    parser.add_argument("--split", default=None, help="its split (default: the run's test split)")
    parser.add_argument("--data-dir", default="", help="where prepared datasets are kept")
    parser.add_argument(
        "--allow-different-crops",
        action="store_true",
        help="evaluate although the dataset's faces are cut out otherwise than the model's",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def run(args: argparse.Namespace) -> int:
    """Prints tables, or JSON, with the figures of each recogniser."""
    from tdgan_jax.cli.train import use_compilation_cache
    from tdgan_jax.evaluation.runs import evaluate_folds, evaluate_run
    from tdgan_jax.runs.folder import read_run
    from tdgan_jax.steps.parallel import make_cpu_devices

    use_compilation_cache()
    run = read_run(args.run_folder)
    trained_on = (read_run(run.folds[0]) if run.folds else run).environment or {}
    if trained_on.get("device_kinds") == ["cpu"]:  # as many again: the figures to the last digit
        make_cpu_devices(len(trained_on["devices"]))
    figures = (evaluate_folds if run.folds else evaluate_run)(
        args.run_folder,
        dataset=args.dataset,
        split=args.split,
        data_dir=args.data_dir,
        allow_different_crops=args.allow_different_crops,
        show_progress=not args.quiet and sys.stderr.isatty(),
    )
    if args.json:
        print_text(json.dumps(figures))
        return 0
    print_text(folds_table(figures) if run.folds else table(figures))
    if run.folds:
        figures = {name: values["pooled"] for name, values in figures.items() if name != "folds"}
    notes = [*remarks(figures, run.config or {}), *unfinished(run)]
    print_text("\n".join(["", classes_table(figures), "", *notes]))
    return 0


def unfinished(run: "RunFiles") -> list[str]:
    """A warning where a run has not been trained to its end."""
    if run.folds or run.result is not None:
        return []
    step = run.metrics[-1]["step"] if run.metrics else 0
    return [
        f"warning: this run is unfinished (step {step} is the last in its log); the command that "
        "started it finishes it"
    ]


def table(figures: dict[str, dict[str, Any]]) -> str:
    """The figures as text, one row a recogniser."""
    columns = ("accuracy", "mean_class_accuracy", "macro_f1", "expected_calibration_error")
    heads = ("recogniser", *columns[:-1], "calibration_error", "num_examples")
    lines = ["".join(f"{head:>24s}" for head in heads)]
    for name, values in figures.items():
        cells = "".join(f"{values[column]:24.4f}" for column in columns)
        lines.append(f"{name:>24s}{cells}{values['num_examples']:24d}")
    return "\n".join(lines)


def classes_table(figures: dict[str, dict[str, Any]]) -> str:
    """Precision and recall of each class, two columns a recogniser; a dash where undefined."""
    first = next(iter(figures.values()))
    lines = [f"{'':>24s}" + "".join(f"{name:>32s}" for name in figures)]
    lines.append(f"{'class':>24s}" + f"{'precision':>20s}{'recall':>12s}" * len(figures))
    for label in first["labels"]:
        cells = [
            f"{'-' if value is None else format(value, '.4f'):>{width}s}"
            for values in figures.values()
            for value, width in (
                (values["per_class"][label]["precision"], 20),
                (values["per_class"][label]["recall"], 12),
            )
        ]
        lines.append(f"{label:>24s}" + "".join(cells))
    return "\n".join(lines)


def remarks(figures: dict[str, dict[str, Any]], config: dict[str, Any]) -> list[str]:
    """Intervals, what chose the parameters, classes left out, and warnings: a line each.

    Args:
        figures: By recogniser.
        config: The configuration of the run.
    """
    from tdgan_jax.evaluation.metrics import chance_warning

    lines = []
    for name, values in figures.items():
        if interval := values.get("accuracy_interval"):
            lines.append(
                f"{name}: accuracy {values['accuracy']:.4f}, {interval['confidence']:.0%} interval "
                f"{interval['low']:.4f} to {interval['high']:.4f} (bootstrap over "
                f"{interval['num_units']} {interval['unit']}s, {interval['num_resamples']} "
                "resamples)"
            )
        lines += [f"{name}: {line}" for line in affect_lines(values)]
    selection = config.get("evaluation", {}).get("selection")
    optimistic = ", which is optimistic on that split" if selection == "test" else ""
    lines.append(f"parameters chosen on: {selection}{optimistic}")
    first = next(iter(figures.values()))
    if first.get("holds_training_images"):
        lines.append(
            f"warning: {first['num_training_images']} of the {first['num_examples']} images show "
            "people or pictures that the run was trained or chosen on"
        )
    left_out = first.get("left_out", {})
    for owner, names in left_out.items():
        if names:
            lines.append(f"left out, classes of the {owner} alone: {', '.join(names)}")
    for name, values in figures.items():
        if warning := chance_warning(values):
            lines.append(f"warning: {name}: {warning}")
    return lines


def folds_table(summary: dict[str, Any]) -> str:
    """The figures of a cross-validation as text, a block a recogniser, one row a fold."""
    from tdgan_jax.runs.folder import recognisers

    columns = ("accuracy", "mean_class_accuracy", "macro_f1")
    lines = []
    for name, figures in recognisers(summary).items():
        lines.append("".join(f"{head:>24s}" for head in (name, *columns)))
        for index, fold in enumerate(summary["folds"]):
            cells = [f"{figures[column]['per_fold'][index]:24.4f}" for column in columns]
            lines.append(f"{fold:>24s}" + "".join(cells))
        for row in ("mean", "standard_deviation", "pooled"):
            cells = [f"{figures[column][row]:24.4f}" for column in columns]
            lines.append(f"{row:>24s}" + "".join(cells))
    return "\n".join(lines)
