"""Evaluates what a run folder holds, without training."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from tdgan_jax.checkpoints import Checkpoints
from tdgan_jax.configuration import Config
from tdgan_jax.data.examples import Examples
from tdgan_jax.data.folds import fold_name
from tdgan_jax.data.splits import splits_of
from tdgan_jax.data.training_data import load_test_examples
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.evaluation.metrics import cross_validation_summary
from tdgan_jax.evaluation.recognition import predict_logits, recognition_figures
from tdgan_jax.run_folder import CHECKPOINTS_FOLDER, read_run
from tdgan_jax.steps.parallel import make_mesh, replicated_shapes
from tdgan_jax.steps.program import Program, make_program


def evaluate_run(
    folder: Path, *, dataset: str | None = None, split: str | None = None, data_dir: str = ""
) -> dict[str, dict[str, Any]]:
    """Figures of a run's selected parameters.

    Args:
        folder: A run folder with at least one finished epoch.
        dataset: Another prepared dataset as `name` or `name/config`; the run's own by default.
        split: A split of it; the run's test split by default, `test` for another dataset.
        data_dir: Where prepared datasets are kept; the run's setting if empty.

    Returns:
        Recogniser to figures, as in `result.json`.

    Raises:
        UserError: If the folder holds no such run, or the dataset's classes are other ones.
    """
    return _evaluate(folder, dataset, split, data_dir, None)[0]


def evaluate_folds(
    folder: Path, *, dataset: str | None = None, split: str | None = None, data_dir: str = ""
) -> dict[str, Any]:
    """Figures of a cross-validation: each fold's selected parameters on its own test part.

    Args:
        folder: The folder of a cross-validation; each fold has at least one finished epoch.
        dataset: Another prepared dataset for all folds; then `pooled` counts its images once for
            each fold.
        split: A split of that dataset, `test` by default.
        data_dir: Where prepared datasets are kept; the run's setting if empty.

    Returns:
        `cross_validation_summary` of the folds.

    Raises:
        UserError: If a fold holds no such run, or the dataset's classes are other ones.
        UsageError: If a split of the folds' own dataset is named: most of it trained most folds.
    """
    if split is not None and dataset is None:
        raise UsageError(
            f"each fold of {folder} is evaluated on its own test part; leave --split out, or give "
            "the folder of one fold"
        )
    config = read_run(folder).config
    if config is None:
        raise UserError(f"{folder} holds no config.json; give the folder of a cross-validation")
    program, figures = None, {}
    for name in map(fold_name, range(config["data"]["num_folds"])):
        figures[name], program = _evaluate(folder / name, dataset, split, data_dir, program)
    return cross_validation_summary(figures)


def _evaluate(
    folder: Path, dataset: str | None, split: str | None, data_dir: str, program: Program | None
) -> tuple[dict[str, dict[str, Any]], Program]:
    """Figures of a run and its compiled functions: the given ones if they fit."""
    stored = read_run(folder).config
    if stored is None:
        raise UserError(f"{folder} holds no config.json; give the folder of a run")
    config: Config = ConfigDict(stored)
    if data_dir:
        config.data.directory = data_dir
    selection = config.evaluation.selection
    checkpoints = Checkpoints(folder / CHECKPOINTS_FOLDER, read_only=True)
    progress = checkpoints.best_progress(selection)
    identity_names = tuple(progress["identity_names"])
    expression_names = tuple(progress["expression_names"])
    if program is None or not program.fits(identity_names, expression_names):
        program = make_program(config, make_mesh(), identity_names, expression_names)
    shapes = jax.eval_shape(program.init_state, jax.random.key(0)).parameters
    parameters = checkpoints.restore_best(selection, replicated_shapes(shapes, program.mesh))

    source = config.data.expressions
    if dataset is not None:
        name, _, builder_config = dataset.partition("/")
        split = split or "test"
    else:
        name, builder_config = source.dataset, source.builder_config
        split = split or splits_of(config).test
    examples = load_test_examples(config, name, builder_config, split)
    examples = with_labels_of_the_model(examples, expression_names)

    logits = predict_logits(
        program.eval_step,
        program.family.recognisers,
        parameters,
        examples,
        batch_size=config.evaluation.batch_size,
        mesh=program.mesh,
    )
    return recognition_figures(logits, examples, expression_names), program


def with_labels_of_the_model(examples: Examples, names: tuple[str, ...]) -> Examples:
    """Renumbers a dataset's classes by name, in the order of the model.

    Raises:
        UserError: If the dataset has a class that the model does not know.
    """
    unknown = [name for name in examples.expression_names if name not in names]
    if unknown:
        raise UserError(
            f"the model does not know {', '.join(unknown)}; its classes are {', '.join(names)}"
        )
    order = np.array([names.index(name) for name in examples.expression_names], np.int32)
    return examples._replace(expressions=order[examples.expressions], expression_names=tuple(names))
