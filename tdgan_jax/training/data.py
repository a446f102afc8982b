"""The examples of a run, loaded and divided as its configuration says."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tdgan_jax.configuration import Config
from tdgan_jax.data.crops import training_crop
from tdgan_jax.data.examples import (
    Examples,
    in_memory,
    load_examples,
    with_expression,
    with_transform,
)
from tdgan_jax.data.feeds import Feed
from tdgan_jax.data.folds import assert_disjoint, fold_name
from tdgan_jax.data.loading import (
    learns_votes,
    load_labelled,
    load_test_examples,
    open_prepared,
    test_transform,
)
from tdgan_jax.data.splits import check_number_of_folds, splits_of, validation_split
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.families.family import Names, Parts
from tdgan_jax.families.known import family_named
from tdgan_jax.printing import printable

if TYPE_CHECKING:
    from tdgan_jax.faces.alignment import CropSettings

VALIDATION_SEED = 0


class TrainingData(NamedTuple):
    """Everything that a run reads.

    Attributes:
        feed: Source of the training batches.
        validation: What the model is chosen on, transformed as for the test; None without one.
        test: The test split.
        crop: How the faces of the expression images were cut out; None: as their owner gives them.
        num_unlabelled: Images of the training split that teach nothing and are left out, such as
            those whose raters do not agree.
    """

    feed: Feed
    validation: Examples | None
    test: Examples
    crop: "CropSettings | None" = None
    num_unlabelled: int = 0

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Names of the classes in the model's order."""
        return self.feed.expressions.expression_names

    @property
    def identity_names(self) -> tuple[str, ...]:
        """Names of the identities of the face branch; empty without one."""
        return self.feed.identity_names

    @property
    def names(self) -> Names:
        """The people and expressions of the model."""
        return Names(self.identity_names, self.expression_names)

    @property
    def subjects(self) -> dict[str, list[str]]:
        """Who stands in which part: `training`, `validation` if there is one, and `test`."""
        parts = {"training": self.feed.expressions, "validation": self.validation}
        parts["test"] = self.test
        return {
            name: sorted(map(str, set(part.groups)))
            for name, part in parts.items()
            if part is not None
        }

    @property
    def fingerprint(self) -> str:
        """Tells what a run reads from anything else, 16 hexadecimal digits.

        It changes with the images of each part, their order, labels and subjects, and with what
        the feed has computed from pictures. No image is decoded.
        """
        feed = self.feed
        parts = {"training": feed.expressions, "validation": self.validation, "test": self.test}
        total = hashlib.sha256(feed.checksum.encode())
        for name, part in (parts | feed.other_parts).items():
            if part is not None:
                total.update(f"{name} {part.expression_names} {part.identity_names}\n".encode())
                pictures = part.files if part.digests is None else part.digests
                columns = (part.files, pictures, part.groups, part.expressions, part.identities)
                for row in zip(*(column.tolist() for column in columns), strict=True):
                    total.update(f"{row}\n".encode())
                for numbers in (part.votes, part.other_votes, part.affect):
                    if numbers is not None:
                        total.update(numbers.astype("<f4").tobytes())
        return total.hexdigest()[:16]


def load_training_data(config: Config, cache: Path | None = None) -> TrainingData:
    """Loads what a run trains and is chosen and tested on.

    No subject of a fold stands in two parts.

    Args:
        config: A configuration; with folds, one that names a fold.
        cache: A run folder that may hold what the feed has computed before.

    Raises:
        UserError: If a dataset is not prepared, lacks the labels that its branch needs, or has a
            subject in two parts.
        UsageError: If the configuration asks for something impossible, or the test split holds
            images of the training split.
    """
    source = config.data.expressions
    split = splits_of(config).test
    if config.data.num_folds:
        builder = open_prepared(config, source.dataset, source.builder_config)
        check_number_of_folds(source.dataset, builder.info.splits, config.data.num_folds)
    crop = training_crop(config)
    fit, validation, num_unlabelled = _load_expressions(config)
    test = load_test_examples(config, source.dataset, source.builder_config, split)
    if test.expression_names != fit.expression_names:
        raise UserError(
            f"the test split's classes {test.expression_names} are not those of the training "
            f"split {fit.expression_names}"
        )
    if not config.data.num_folds:
        _check_splits_apart(config, (fit, validation), test)
    feed = family_named(config.family).feed(config, Parts(fit, validation, test), cache)
    data = TrainingData(feed, validation, test, crop, num_unlabelled)
    if config.data.num_folds:
        assert_disjoint(data.subjects)
    return data


def _check_splits_apart(config: Config, taught: Sequence[Examples | None], test: Examples) -> None:
    """Refuses a test split that holds images that train or choose the model."""

    def images(examples: Examples) -> Iterator[tuple[str, str]]:
        return zip(map(str, examples.files), map(str, examples.groups), strict=True)

    known = chain.from_iterable(images(part) for part in taught if part is not None)
    if shared := set(images(test)).intersection(known):
        source = config.data.expressions
        raise UsageError(
            f"{len(shared)} of the {len(test.files)} test images are training images too, such as "
            f"{printable(min(shared)[0])}: data.expressions.train_split={source.train_split!r} and "
            f"test_split={source.test_split!r} overlap; choose splits without a common image"
        )


def load_validation(config: Config) -> Examples:
    """The images that a run was validated on, on disk, as they are stored.

    Raises:
        UserError: If a dataset is not prepared, or the run validated on none.
    """
    validation = _expressions_on_disk(config)[1]
    if validation is None:
        raise UserError("the run kept no images for its validation (data.validation=none)")
    return with_transform(validation, np.asarray)


def load_fold_subjects(config: Config) -> dict[str, list[str]]:
    """Lists the subjects of each fold of the expressions' dataset.

    Args:
        config: A configuration with folds.

    Returns:
        By the name of a fold the subjects of its labelled images, sorted.

    Raises:
        UserError: If the dataset is not prepared, has another number of folds, or has a subject
            in two of them.
    """
    source = config.data.expressions
    builder = open_prepared(config, source.dataset, source.builder_config)
    check_number_of_folds(source.dataset, builder.info.splits, config.data.num_folds)
    subjects = {}
    for name in map(fold_name, range(config.data.num_folds)):
        examples = with_expression(load_examples(builder, name, test_transform(config)))
        subjects[name] = sorted(map(str, set(examples.groups)))
    assert_disjoint(subjects)
    return subjects


def _load_expressions(config: Config) -> tuple[Examples, Examples | None, int]:
    """As `_expressions_on_disk`, those to choose the model by in memory."""
    fit, validation, num_unlabelled = _expressions_on_disk(config)
    if validation is not None:
        validation = in_memory(validation, limit_bytes=config.data.memory_limit_bytes)
    return fit, validation, num_unlabelled


def _expressions_on_disk(config: Config) -> tuple[Examples, Examples | None, int]:
    """The examples to fit, those to choose the model by, and how many are neither.

    The last ones are images of the training split without a label.
    """
    source = config.data.expressions
    splits = splits_of(config)
    load = partial(load_labelled, config, source.dataset, source.builder_config)
    # Votes teach where no expression has the majority, too; figures are of known expressions.
    transform = family_named(config.family).transform(config)
    fit = load(splits.train, transform, any_label=learns_votes(config))
    builder = open_prepared(config, source.dataset, source.builder_config)
    num_unlabelled = builder.info.splits[splits.train].num_examples - len(fit.files)
    validation = None
    # The validation part is looked at as the test split is, not enlarged for cropping.
    if splits.validation is not None:
        validation = load(splits.validation, test_transform(config))
    elif config.data.validation == "subjects":
        kept, held_out = validation_split(
            fit, fraction=config.data.validation_fraction, seed=VALIDATION_SEED
        )
        validation = with_expression(fit.select(held_out))
        validation = with_transform(validation, test_transform(config))
        fit = fit.select(kept)
    return fit, validation, num_unlabelled
