"""Runs recognisers over examples and turns their answers into figures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from tdgan_jax.data.examples import Examples, has_subjects
from tdgan_jax.data.feeds import evaluation_batches
from tdgan_jax.evaluation.affect import affect_figures
from tdgan_jax.evaluation.intervals import interval_fields, subject_counts
from tdgan_jax.evaluation.metrics import recognition_metrics
from tdgan_jax.steps.parallel import on_host, rows_of_this_process, shard_batch
from tdgan_jax.steps.state import Answers

EvalStep = Callable[[Any, Any], dict[str, Answers]]


def predict_answers(
    eval_step: EvalStep,
    recognisers: Sequence[str],
    parameters: Any,
    examples: Examples,
    *,
    batch_size: int,
    mesh: Mesh,
    progress_title: str | None = None,
) -> dict[str, Answers]:
    """Answers of every example, each counted once for any batch size, devices and processes.

    Args:
        eval_step: A compiled `parallel_eval_step`.
        recognisers: Names in the order of the result; compiled calls sort theirs.
        parameters: Parameters on the mesh.
        examples: Examples of one image shape.
        batch_size: Images a call; rounded up to a multiple of the number of devices.
        mesh: The devices.
        progress_title: What to write before a progress bar on stderr, which shows after two
            seconds; None for no bar.

    Returns:
        Recogniser to answers, numpy arrays with a row an example.
    """
    batch_size = -(-batch_size // mesh.size) * mesh.size
    parts: list[dict[str, Answers]] = []
    with tqdm(
        total=len(examples.files),
        desc=progress_title,
        unit=" images",
        delay=2,
        leave=False,
        disable=progress_title is None,
    ) as bar:
        rows = rows_of_this_process(batch_size, mesh)
        for images, count in evaluation_batches(examples, batch_size, rows):
            answers = on_host(eval_step(parameters, shard_batch(images, mesh)))
            parts.append({name: _rows(values, slice(count)) for name, values in answers.items()})
            bar.update(count)
    return {name: _joined([part[name] for part in parts]) for name in recognisers}


def _rows(answers: Answers, rows: Any) -> Answers:
    return Answers(*(None if column is None else column[rows] for column in answers))


def _joined(parts: Sequence[Answers]) -> Answers:
    columns = zip(*parts, strict=True)
    return Answers(*(None if c[0] is None else np.concatenate(c) for c in columns))


def recognition_figures(
    answers: Mapping[str, Answers], examples: Examples, label_names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Figures of each recogniser, as `result.json` holds them.

    Beside those of `recognition_metrics`: `accuracy_interval`, a bootstrap over subjects where all
    are known, else over images; and then `per_subject`, `{name: [right, all]}`. Where the dataset
    knows which test images equal training images, `without_duplicates` repeats the figures without
    them.

    Args:
        answers: Recogniser to answers of N examples.
        examples: The N examples.
        label_names: Names of the classes in the order of the scores.
    """
    figures = {name: _figures(values, examples, label_names) for name, values in answers.items()}
    duplicated = examples.duplicated_in_train
    if duplicated is not None and duplicated.any() and not duplicated.all():
        kept = np.flatnonzero(~duplicated)
        for name, values in answers.items():
            figures[name]["without_duplicates"] = _figures(
                _rows(values, kept), examples.select(kept), label_names
            )
    return figures


def _figures(answers: Answers, examples: Examples, label_names: Sequence[str]) -> dict[str, Any]:
    labels = examples.expressions
    figures = recognition_metrics(labels, answers.scores, label_names, answers.probabilities)
    if answers.affect is not None and examples.affect is not None:
        figures["affect"] = affect_figures(
            examples.affect,
            answers.affect,
            examples.groups,
            unit="subject" if has_subjects(examples) else "image",
        )
    correct = answers.scores.argmax(axis=1) == labels
    by_subject = has_subjects(examples)
    figures["accuracy_interval"] = interval_fields(
        correct, examples.groups, unit="subject" if by_subject else "image"
    )
    if by_subject:
        figures["per_subject"] = subject_counts(correct, examples.groups)
    return figures
