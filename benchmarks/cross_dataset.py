"""Evaluates trained runs on other datasets than their own: a matrix of accuracies.

    python benchmarks/cross_dataset.py RUN RUN --datasets fer2013:test yale_faces:fold_0+fold_1

A dataset is `NAME[/CONFIG][:SPLIT]`, split `test` if none is given. Labels are compared by name:
where model and dataset have different classes, both are reduced to those that they share, and the
cell says how many these are. A run's own dataset is evaluated as any other; which cell that is, the
table marks, as it marks cells with images of people whom the run was trained or chosen on.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tdgan_jax.errors import UserError
from tdgan_jax.evaluation.metrics import chance_warning
from tdgan_jax.evaluation.runs import evaluate_run
from tdgan_jax.files import write_json
from tdgan_jax.runs.folder import read_run

OWN = "(own) "


def evaluated(folder: Path, dataset: str, data_dir: str) -> dict[str, Any]:
    """Figures of a run's first recogniser on a dataset.

    Args:
        folder: A run folder.
        dataset: `NAME[/CONFIG][:SPLIT]`.
        data_dir: Where prepared datasets are kept; the run's setting if empty.

    Returns:
        The figures, with `recogniser` and `own`, whether the run was trained on that dataset.
    """
    name, _, split = dataset.partition(":")
    figures = evaluate_run(folder, dataset=name, split=split or "test", data_dir=data_dir)
    recogniser = next(iter(figures))
    source = (read_run(folder).config or {})["data"]["expressions"]
    own = name.partition("/")[0] == source["dataset"]
    return figures[recogniser] | {"recogniser": recogniser, "own": own}


def table(cells: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Markdown: one row a run, one column a dataset.

    Args:
        cells: By run and dataset what `evaluated` gives.
    """
    datasets = list(next(iter(cells.values())))
    lines = [["trained", *datasets], ["---"] * (len(datasets) + 1)]
    lines += [[run, *map(_cell, row.values())] for run, row in cells.items()]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _cell(figures: Mapping[str, Any]) -> str:
    interval = figures["accuracy_interval"]
    ends = f" ({interval['low']:.3f} to {interval['high']:.3f})" if interval else ""
    classes = f"{len(figures['labels'])} classes, {figures['num_examples']} images"
    mark = ", near chance" if chance_warning(figures) else ""
    if figures.get("holds_training_images"):
        mark += f", {figures['num_training_images']} of them known from training"
    return f"{OWN if figures['own'] else ''}{figures['accuracy']:.3f}{ends}; {classes}{mark}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluates each run on each dataset and prints the matrix.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 the work failed, 2 wrong use.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--datasets", nargs="+", required=True, metavar="NAME[/CONFIG][:SPLIT]")
    parser.add_argument("--data-dir", default="", help="prepared datasets; default: the runs' own")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="also write all figures")
    args = parser.parse_args(arguments)

    cells: dict[str, dict[str, dict[str, Any]]] = {}
    try:
        for run in args.runs:
            row = cells.setdefault(str(run), {})
            for dataset in args.datasets:
                print(f"{run} on {dataset}", file=sys.stderr, flush=True)
                row[dataset] = evaluated(run, dataset, args.data_dir)
        if args.out is not None:
            write_json(args.out, cells)
    except UserError as error:
        print(f"cross_dataset.py: {error}", file=sys.stderr)
        return error.exit_code
    print(table(cells))
    return 0


if __name__ == "__main__":
    sys.exit(main())
