"""Evaluates what a run folder holds, without training."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from tdgan_jax.checkpoints import Checkpoints
from tdgan_jax.configuration import Config
from tdgan_jax.data.examples import Examples
from tdgan_jax.data.training_data import load_test_examples
from tdgan_jax.errors import UserError
from tdgan_jax.evaluation.recognition import predict_logits, recognition_figures
from tdgan_jax.run_folder import CHECKPOINTS_FOLDER, read_run
from tdgan_jax.steps.families import make_family
from tdgan_jax.steps.parallel import make_mesh, parallel_eval_step, replicated_shapes


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
    stored = read_run(folder).config
    if stored is None:
        raise UserError(f"{folder} holds no config.json; give the folder of a run")
    config: Config = ConfigDict(stored)
    if data_dir:
        config.data.directory = data_dir
    selection = config.evaluation.selection
    checkpoints = Checkpoints(folder / CHECKPOINTS_FOLDER, read_only=True)
    progress = checkpoints.best_progress(selection)
    expression_names = tuple(progress["expression_names"])
    family = make_family(config, tuple(progress["identity_names"]), expression_names)
    mesh = make_mesh()
    shapes = jax.eval_shape(family.init_state, jax.random.key(0)).parameters
    parameters = checkpoints.restore_best(selection, replicated_shapes(shapes, mesh))

    source = config.data.expressions
    name, builder_config = source.dataset, source.builder_config
    if dataset is not None:
        name, _, builder_config = dataset.partition("/")
    default_split = "test" if dataset is not None else source.test_split
    examples = load_test_examples(config, name, builder_config, split or default_split)
    examples = with_labels_of_the_model(examples, expression_names)

    logits = predict_logits(
        parallel_eval_step(family.eval_step, mesh),
        family.recognisers,
        parameters,
        examples,
        batch_size=config.evaluation.batch_size,
        mesh=mesh,
    )
    return recognition_figures(logits, examples, expression_names)


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
