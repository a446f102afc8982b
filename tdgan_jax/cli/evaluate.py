"""`tdgan-jax evaluate`: recomputes the figures of a run from its checkpoint."""

import argparse
import json
from pathlib import Path
from typing import Any


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
        help="folder of a finished run, or of a cross-validation",
    )
    parser.add_argument(
        "--dataset",
        metavar="NAME[/CONFIG]",
        help="a prepared dataset (default: that of the training)",
    )
    parser.add_argument("--split", default=None, help="its split (default: the run's test split)")
    parser.add_argument("--data-dir", default="", help="where prepared datasets are kept")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def run(args: argparse.Namespace) -> int:
    """Prints a table, or JSON, with the figures of each recogniser."""
    from tdgan_jax.cli.train import use_compilation_cache
    from tdgan_jax.evaluation.runs import evaluate_folds, evaluate_run
    from tdgan_jax.run_folder import read_run

    use_compilation_cache()
    has_folds = bool(read_run(args.run_folder).folds)
    figures = (evaluate_folds if has_folds else evaluate_run)(
        args.run_folder, dataset=args.dataset, split=args.split, data_dir=args.data_dir
    )
    if args.json:
        print(json.dumps(figures))
    else:
        print(folds_table(figures) if has_folds else table(figures))
    return 0


def table(figures: dict[str, dict[str, Any]]) -> str:
    """The figures as text, one row a recogniser."""
    columns = ("accuracy", "mean_class_accuracy", "macro_f1", "num_examples")
    lines = ["".join(f"{name:>24s}" for name in ("recogniser", *columns))]
    for name, values in figures.items():
        cells = [
            f"{values[c]:24d}" if c == "num_examples" else f"{values[c]:24.4f}" for c in columns
        ]
        lines.append(f"{name:>24s}" + "".join(cells))
    return "\n".join(lines)


def folds_table(summary: dict[str, Any]) -> str:
    """The figures of a cross-validation as text, a block a recogniser, one row a fold."""
    from tdgan_jax.run_folder import recognisers

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
