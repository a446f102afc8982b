"""Evaluates what a run folder holds, without training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tdgan_jax.data.crops import check_dataset_crop
from tdgan_jax.data.examples import Examples, renumbered, with_expression
from tdgan_jax.data.folds import fold_name
from tdgan_jax.data.loading import load_test_examples
from tdgan_jax.data.splits import splits_of
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.evaluation.metrics import cross_validation_summary
from tdgan_jax.evaluation.recognition import predict_answers, recognition_figures
from tdgan_jax.evaluation.training_images import is_own_test, num_training_images
from tdgan_jax.exchange.selected_runs import open_selected_run, read_config
from tdgan_jax.families.program import Program
from tdgan_jax.families.recogniser import of_classes
from tdgan_jax.printing import printable
from tdgan_jax.runs.folder import is_run_folder
from tdgan_jax.steps.parallel import make_mesh


def evaluate_run(
    folder: Path,
    *,
    dataset: str | None = None,
    split: str | None = None,
    data_dir: str = "",
    allow_different_crops: bool = False,
    show_progress: bool = False,
) -> dict[str, dict[str, Any]]:
    """Figures of a run's selected parameters.

    Where a dataset has other classes than the model, both are reduced to those that they share by
    name: examples of other classes are left out, and the model cannot answer other classes.

    Args:
        folder: A run folder with at least one finished epoch.
        dataset: Another prepared dataset as `name` or `name/config`; the run's own by default.
        split: A split of it; the run's test split by default, `test` for another dataset.
        data_dir: Where prepared datasets are kept; the run's setting if empty.
        allow_different_crops: Also evaluates on faces that are cut out otherwise than those that
            the model was trained on.
        show_progress: Whether to show a progress bar on stderr.

    Returns:
        Recogniser to figures, as in `result.json`; with `left_out`, the names of the classes that
        only the `model` or only the `dataset` has, if there are any; and with
        `holds_training_images` (true) and `num_training_images` where images show whom the run was
        trained or chosen on.

    Raises:
        UserError: If the folder holds no such run, the dataset shares fewer than two classes with
            it, or its faces are cut out otherwise.
    """
    figures, _ = _evaluate(
        folder, dataset, split, data_dir, allow_different_crops, None, show_progress
    )
    return figures


def evaluate_folds(
    folder: Path,
    *,
    dataset: str | None = None,
    split: str | None = None,
    data_dir: str = "",
    allow_different_crops: bool = False,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Figures of a cross-validation: each fold's selected parameters on its own test part.

    Args:
        folder: The folder of a cross-validation; each fold has at least one finished epoch.
        dataset: Another prepared dataset for all folds; then `pooled` counts its images once for
            each fold.
        split: A split of that dataset, `test` by default.
        data_dir: Where prepared datasets are kept; the run's setting if empty.
        allow_different_crops: Also evaluates on faces that are cut out otherwise than those that
            the model was trained on.
        show_progress: Whether to show a progress bar on stderr.

    Returns:
        `cross_validation_summary` of the folds.

    Raises:
        UserError: If a fold holds no such run, the dataset shares fewer than two classes with it,
            or its faces are cut out otherwise.
        UsageError: If the folds' own dataset or a split of it is named: most of it trained most
            folds.
    """
    config = read_config(folder)
    own = config.data.expressions.dataset
    if (split is not None and dataset is None) or (dataset or "").partition("/")[0] == own:
        raise UsageError(
            f"each fold of {folder} is evaluated on its own test part; leave --dataset and --split "
            "out, or give the folder of one fold"
        )
    names = [fold_name(number) for number in range(config.data.num_folds)]
    if missing := [name for name in names if not is_run_folder(folder / name)]:
        raise UserError(
            f"{printable(folder)}: {', '.join(missing)} not yet trained; train with "
            "--config.data.fold=-1 for all folds, or give the folder of one fold"
        )
    program, figures = None, {}
    for name in names:
        figures[name], program = _evaluate(
            folder / name, dataset, split, data_dir, allow_different_crops, program, show_progress
        )
    return cross_validation_summary(figures)


def _evaluate(
    folder: Path,
    dataset: str | None,
    split: str | None,
    data_dir: str,
    allow_different_crops: bool,
    program: Program | None,
    show_progress: bool,
) -> tuple[dict[str, dict[str, Any]], Program]:
    """Figures of a run and its compiled functions: the given ones if they fit."""
    run = open_selected_run(folder, data_dir=data_dir, mesh=make_mesh(), program=program)
    config, program = run.config, run.program
    source = config.data.expressions
    if dataset is not None:
        name, _, builder_config = dataset.partition("/")
        split = split or "test"
    else:
        name, builder_config = source.dataset, source.builder_config
        split = split or splits_of(config).test
    check_dataset_crop(
        run.crop,
        config,
        name,
        builder_config,
        override="" if allow_different_crops else "--allow-different-crops",
    )
    examples = load_test_examples(config, name, builder_config, split)
    shared = shared_classes(examples, run.expression_names)

    answers = predict_answers(
        program.eval_step,
        program.training.recognisers,
        run.parameters,
        shared.examples,
        batch_size=config.evaluation.batch_size,
        mesh=program.mesh,
        progress_title=folder.name if show_progress else None,
    )
    answers = {name: of_classes(values, shared.columns) for name, values in answers.items()}
    figures = recognition_figures(answers, shared.examples, shared.examples.expression_names)
    remarks: dict[str, Any] = {}
    if any(shared.left_out.values()):
        remarks["left_out"] = shared.left_out
    if not is_own_test(config, name, builder_config, split):
        known = num_training_images(config, shared.examples, name)
        if known:
            remarks |= {"holds_training_images": True, "num_training_images": known}
    return {name: values | remarks for name, values in figures.items()}, program


class SharedClasses(NamedTuple):
    """What a dataset and a model have in common.

    Attributes:
        examples: Those of the shared classes, which are numbered in the order of the model.
        columns: Places of the shared classes in the model's logits.
        left_out: Names of the other classes: those of the `model` and those of the `dataset`.
    """

    examples: Examples
    columns: list[int]
    left_out: dict[str, list[str]]


def shared_classes(examples: Examples, names: Sequence[str]) -> SharedClasses:
    """Reduces a dataset's examples to the classes that a model knows, compared by name.

    Args:
        examples: Examples with known expressions.
        names: The model's classes in the order of its logits.

    Raises:
        UserError: If fewer than two classes are shared.
    """
    theirs = examples.expression_names
    columns = [index for index, name in enumerate(names) if name in theirs]
    if len(columns) < 2:
        raise UserError(
            f"the dataset's classes ({', '.join(theirs)}) and the model's ({', '.join(names)}) "
            "have fewer than two names in common"
        )
    shared = tuple(names[column] for column in columns)
    kept = renumbered(examples, shared)
    if (kept.expressions < 0).any():
        kept = with_expression(kept)
    left_out = {
        "model": [name for name in names if name not in shared],
        "dataset": [name for name in theirs if name not in shared],
    }
    return SharedClasses(kept, columns, left_out)
