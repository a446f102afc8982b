"""Runs recognisers over examples and turns their logits into figures."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from tdgan_jax.data.examples import Examples, has_subjects
from tdgan_jax.data.pipeline import evaluation_batches
from tdgan_jax.evaluation.intervals import interval_fields, subject_counts
from tdgan_jax.evaluation.metrics import recognition_metrics
from tdgan_jax.steps.parallel import on_host, own_rows, shard_batch

EvalStep = Callable[[Any, Any], dict[str, jax.Array]]


def predict_logits(
    eval_step: EvalStep,
    recognisers: Sequence[str],
    parameters: Any,
    examples: Examples,
    *,
    batch_size: int,
    mesh: Mesh,
    progress_title: str | None = None,
) -> dict[str, np.ndarray]:
    """Logits of every example, each counted once for any batch size, devices and processes.

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
        Recogniser to logits float32 `[len(examples), classes]`.
    """
    batch_size = -(-batch_size // mesh.size) * mesh.size
    parts: list[dict[str, np.ndarray]] = []
    with tqdm(
        total=len(examples.files),
        desc=progress_title,
        unit=" images",
        delay=2,
        leave=False,
        disable=progress_title is None,
    ) as bar:
        rows = own_rows(batch_size, mesh)
        for images, count in evaluation_batches(examples, batch_size, rows):
            logits = on_host(eval_step(parameters, shard_batch(images, mesh)))
            parts.append({name: values[:count] for name, values in logits.items()})
            bar.update(count)
    return {name: np.concatenate([part[name] for part in parts]) for name in recognisers}


def recognition_figures(
    logits: dict[str, np.ndarray], examples: Examples, label_names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Figures of each recogniser, as `result.json` holds them.

    Beside those of `recognition_metrics`: `accuracy_interval`, a bootstrap over subjects where all
    are known, else over images; and then `per_subject`, `{name: [right, all]}`. Where the dataset
    knows which test images equal training images, `without_duplicates` repeats the figures without
    them.

    Args:
        logits: Recogniser to logits `[N, classes]`.
        examples: The N examples.
        label_names: Names of the classes in the logits' order.
    """
    figures = {name: _figures(values, examples, label_names) for name, values in logits.items()}
    duplicated = examples.duplicated_in_train
    if duplicated is not None and duplicated.any() and not duplicated.all():
        kept = np.flatnonzero(~duplicated)
        for name, values in logits.items():
            figures[name]["without_duplicates"] = _figures(
                values[kept], examples.select(kept), label_names
            )
    return figures


def _figures(logits: np.ndarray, examples: Examples, label_names: Sequence[str]) -> dict[str, Any]:
    figures = recognition_metrics(examples.expressions, logits, label_names)
    correct = logits.argmax(axis=1) == examples.expressions
    by_subject = has_subjects(examples)
    figures["accuracy_interval"] = interval_fields(
        correct, examples.groups, unit="subject" if by_subject else "image"
    )
    if by_subject:
        figures["per_subject"] = subject_counts(correct, examples.groups)
    return figures
