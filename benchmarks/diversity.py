"""Whether diversity helps: ensembles and branches of several runs on their own test images.

    python -m benchmarks.diversity runs/esr_plain/seed_0 runs/esr_acting/seed_0

Runs of ESR or MA-Net that were tested on the same images; each is compared with the first one.
Prints JSON, see `measure`.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measuring import print_measurement
from tdgan_jax.data.loading import load_test_examples
from tdgan_jax.data.splits import splits_of
from tdgan_jax.errors import UserError
from tdgan_jax.evaluation.intervals import bootstrap_ratio
from tdgan_jax.evaluation.metrics import recognition_metrics
from tdgan_jax.evaluation.recognition import predict_answers
from tdgan_jax.exchange.selected_runs import open_selected_run
from tdgan_jax.steps.parallel import make_mesh


class RunAnswers(NamedTuple):
    """What a run answers of N labelled test images.

    Attributes:
        scores: Float `[N, E]` of each recogniser: the ensemble, then its branches.
        labels: Integers `[N]`.
        files: Names of the images, `[N]`.
        names: The E classes.
    """

    scores: dict[str, np.ndarray]
    labels: np.ndarray
    files: np.ndarray
    names: Sequence[str]


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Figures of each run, and its difference from the first; see `compare`.

    Raises:
        UserError: If the runs were tested on different images, or one is no run.
    """
    return compare({str(run): _tested(run, args.data_dir) for run in dict.fromkeys(args.runs)})


def compare(tested: Mapping[str, RunAnswers]) -> dict[str, Any]:
    """Figures of each run, and its difference from the first.

    Args:
        tested: By run what it answers.

    Returns:
        By run: `accuracy` of each recogniser, `mean_class_accuracy` of the first (the ensemble),
        and `disagreement`, the share of images on which two of the others answer differently, mean
        over all pairs. Of every run but the first `difference`: of the ensemble's accuracy, with
        the ends of its 95 % interval, resampled over the images.

    Raises:
        UserError: If the images or their labels differ, or a run has no branches.
    """
    result: dict[str, Any] = {}
    first, of_first = next(iter(tested.items()))
    right_of_first = None
    for run, (scores, labels, files, names) in tested.items():
        same = np.array_equal(files, of_first.files) and np.array_equal(labels, of_first.labels)
        if not same:
            raise UserError(f"{run} was tested on other images or labels than {first}")
        ensemble, *branches = scores
        if len(branches) < 2:
            raise UserError(f"{run} has no branches to compare; give runs of ESR or MA-Net")
        right = {name: values.argmax(axis=1) == labels for name, values in scores.items()}
        pairs = combinations([scores[name].argmax(axis=1) for name in branches], 2)
        result[run] = {
            "accuracy": {name: float(values.mean()) for name, values in right.items()},
            "mean_class_accuracy": recognition_metrics(labels, scores[ensemble], names)[
                "mean_class_accuracy"
            ],
            "disagreement": float(np.mean([(one != other).mean() for one, other in pairs])),
        }
        if right_of_first is None:
            right_of_first = right[ensemble]
        else:
            difference = right[ensemble].astype(float) - right_of_first
            interval = bootstrap_ratio(difference, np.ones(len(difference)))
            result[run]["difference"] = [float(difference.mean()), *interval]
    return result


def _tested(folder: Path, data_dir: str) -> RunAnswers:
    mesh = make_mesh()
    run = open_selected_run(folder, data_dir=data_dir, mesh=mesh)
    source = run.config.data.expressions
    examples = load_test_examples(
        run.config, source.dataset, source.builder_config, splits_of(run.config).test
    )
    answers = predict_answers(
        run.program.eval_step,
        run.program.training.recognisers,
        run.parameters,
        examples,
        batch_size=run.config.evaluation.batch_size,
        mesh=mesh,
    )
    labels = np.asarray(examples.expressions)
    known = labels >= 0
    return RunAnswers(
        {name: np.asarray(answer.scores)[known] for name, answer in answers.items()},
        labels[known],
        np.asarray(examples.files)[known],
        run.expression_names,
    )


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = argparse.ArgumentParser(description="Compares ensembles with and without diversity.")
    made.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs")
    made.add_argument("--data-dir", default="", help="prepared datasets (default: as trained)")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the figures as JSON.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 impossible here, 2 wrong use.
    """
    args = parser().parse_args(arguments)
    return print_measurement("diversity.py", lambda: measure(args))


if __name__ == "__main__":
    sys.exit(main())
