"""Which examples train, which ones choose the model, and which ones test it."""

import warnings
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np

from tdgan_jax.configuration import Config
from tdgan_jax.data.examples import Examples
from tdgan_jax.data.folds import fold_name
from tdgan_jax.errors import UsageError, UserError

VALIDATIONS = ("subjects", "next_fold", "none")
ALL_FOLDS = -1


class Splits(NamedTuple):
    """TFDS split expressions of the three parts of a run.

    Attributes:
        train: What is learned from, the validation part included where that is cut out of it.
        validation: A split of its own; None where there is none, or none of its own.
        test: What the figures of the result are measured on.
    """

    train: str
    validation: str | None
    test: str


def check_protocol(config: Config) -> None:
    """Refuses splits, folds and validation that contradict each other.

    Raises:
        UsageError: Names the fields.
    """
    data = config.data
    if data.validation not in VALIDATIONS:
        raise UsageError(f"data.validation is {data.validation!r}; known: {', '.join(VALIDATIONS)}")
    if data.validation == "none" and config.evaluation.selection == "validation":
        raise UsageError(
            "data.validation=none leaves nothing to choose the model by but the test split; set "
            "evaluation.selection=test, whose figures are optimistic, or =last, which takes the "
            "parameters of the last epoch"
        )
    least = 3 if data.validation == "next_fold" else 2
    if data.validation == "next_fold" or data.num_folds:
        if data.num_folds < least:
            raise UsageError(
                f"data.validation={data.validation} needs data.num_folds of at least {least}, "
                f"got {data.num_folds}"
            )
        if data.expressions.train_split or data.expressions.test_split:
            raise UsageError(
                "data.num_folds takes the folds as splits: data.expressions.train_split and "
                "test_split must be empty"
            )
    if not ALL_FOLDS <= data.fold < data.num_folds:
        raise UsageError(
            f"data.fold={data.fold} is not one of the {data.num_folds} folds; they count from 0, "
            "-1 means all"
        )
    if "faces" in data and data.faces.follow_folds:
        _check_following_faces(data)


def _check_following_faces(data: Any) -> None:
    faces, expressions = data.faces, data.expressions
    same = (faces.dataset, faces.builder_config) == (
        expressions.dataset,
        expressions.builder_config,
    )
    if not same:
        raise UsageError(
            "data.faces.follow_folds is for faces and expressions of the same dataset and "
            "builder_config: it takes the images of the people who train"
        )
    if faces.split:
        raise UsageError(
            f"data.faces.follow_folds takes the training people: data.faces.split must be empty, "
            f"got {faces.split!r}"
        )


def splits_of(config: Config) -> Splits:
    """The splits that a configuration names, or those of its fold.

    Test fold k leaves the other folds to training (TDGAN's 9/1); with
    `data.validation = "next_fold"` fold k + 1 validates, fold 0 after the last one, and the rest
    trains (IF-GAN's 8/1/1).

    Args:
        config: A configuration; with folds, one that names a fold.

    Raises:
        UsageError: If it has folds and names none.
    """
    data = config.data
    if not data.get("num_folds"):  # the field is younger than the first runs
        return Splits(data.expressions.train_split, None, data.expressions.test_split)
    if data.fold == ALL_FOLDS:
        raise UsageError("data.fold is -1, all folds; a single run needs one of them")
    validation = (data.fold + 1) % data.num_folds if data.validation == "next_fold" else None
    train = [fold for fold in range(data.num_folds) if fold not in (data.fold, validation)]
    return Splits(
        train="+".join(map(fold_name, train)),
        validation=None if validation is None else fold_name(validation),
        test=fold_name(data.fold),
    )


def check_number_of_folds(dataset: str, splits: Collection[str], num_folds: int) -> None:
    """Refuses a dataset that is divided into another number of folds.

    Args:
        dataset: Its name.
        splits: Names of its splits.
        num_folds: `data.num_folds`.

    Raises:
        UserError: If the folds are not those; the message names both numbers.
    """
    present = {split for split in splits if split.startswith("fold_")}
    if not present:
        raise UserError(
            f"dataset {dataset} has no folds (its splits: {', '.join(splits)}); a dataset has them "
            "when the subjects of its images are known"
        )
    if present != {fold_name(fold) for fold in range(num_folds)}:
        raise UserError(
            f"dataset {dataset} has {len(present)} folds, data.num_folds is {num_folds}; add "
            f"--config.data.num_folds={len(present)}"
        )


def with_fold(config: Config, fold: int) -> Config:
    """The same configuration for another fold."""
    changed = config.copy_and_resolve_references()
    changed.data.fold = fold
    return changed


def validation_split(
    examples: Examples, *, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts a validation part out of training examples, whole groups at a time.

    Groups are subjects, or identical pictures where subjects are unknown. The classes keep their
    shares as far as the groups allow (scikit-learn's `StratifiedGroupKFold`).

    Args:
        examples: The examples; those without an expression are divided like a class of their own.
        fraction: Share of the validation part, in (0, 0.5]; the nearest 1/n is taken.
        seed: Seed of the division; it does not follow the seed of a training, so that several
            trainings are compared on the same part.

    Returns:
        Positions of the examples to fit and of those to validate on.

    Raises:
        UsageError: If the fraction is out of range or there are too few groups or images.
    """
    # A second to import, which a refused configuration need not wait.
    from sklearn.model_selection import StratifiedGroupKFold

    if not 0 < fraction <= 0.5:
        raise UsageError(f"data.validation_fraction must be in (0, 0.5], got {fraction}")
    parts = round(1 / fraction)
    num_groups = len(np.unique(examples.groups))
    if num_groups < parts:
        raise UsageError(
            f"data.validation_fraction={fraction} needs {parts} subjects, "
            f"the training split has {num_groups}"
        )
    largest_class = np.unique(examples.expressions, return_counts=True)[1].max()
    if largest_class < parts:
        raise UsageError(
            f"data.validation_fraction={fraction} needs {parts} images of a class, "
            f"the largest class of the training split has {largest_class}"
        )
    splitter = StratifiedGroupKFold(n_splits=parts, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Classes with fewer images than parts may be absent from the validation part.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        fit, validation = next(
            splitter.split(np.zeros(len(examples.groups)), examples.expressions, examples.groups)
        )
    return fit, validation
