"""The examples of a run, loaded and divided as its configuration says."""

import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tdgan_jax.configuration import Config
from tdgan_jax.data.crops import training_crop
from tdgan_jax.data.examples import (
    Examples,
    in_memory,
    load_examples,
    with_compact_identities,
    with_expression,
    with_transform,
)
from tdgan_jax.data.folds import assert_disjoint, fold_name
from tdgan_jax.data.images import Augmentation, resize_exactly, resize_shorter_side
from tdgan_jax.data.loading import (
    load_labelled,
    load_test_examples,
    open_prepared,
    test_transform,
    training_transform,
)
from tdgan_jax.data.pipeline import Feed, PairFeed, check_feed
from tdgan_jax.data.splits import check_number_of_folds, splits_of, validation_split
from tdgan_jax.errors import UserError
from tdgan_jax.families.ifgan.average_feed import AverageFaceFeed
from tdgan_jax.families.ifgan.feed import average_face_feed

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
    """

    feed: Feed
    validation: Examples | None
    test: Examples
    crop: "CropSettings | None" = None

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Names of the classes in the model's order."""
        return self.feed.expressions.expression_names

    @property
    def identity_names(self) -> tuple[str, ...]:
        """Names of the people that the family tells apart; empty without a face branch."""
        return self.feed.identity_names

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

        It changes with the images of each part, their order, labels and subjects, and with the
        average faces of IF-GAN. No image is decoded.
        """
        feed = self.feed
        parts = {"training": feed.expressions, "validation": self.validation, "test": self.test}
        total = hashlib.sha256()
        if isinstance(feed, PairFeed):
            parts["faces"] = feed.faces
        if isinstance(feed, AverageFaceFeed):
            total.update(feed.average_faces.checksum.encode())
        for name, part in parts.items():
            if part is not None:
                total.update(f"{name} {part.expression_names} {part.identity_names}\n".encode())
                pictures = part.files if part.digests is None else part.digests
                columns = (part.files, pictures, part.groups, part.expressions, part.identities)
                for row in zip(*(column.tolist() for column in columns), strict=True):
                    total.update(f"{row}\n".encode())
        return total.hexdigest()[:16]


def load_training_data(config: Config, cache: Path | None = None) -> TrainingData:
    """Loads what a run trains and is chosen and tested on.

    No subject of a fold stands in two parts. No image of a validation or test subject is among the
    faces where faces and expressions are of one dataset, nor in an average face.

    Args:
        config: A configuration; with folds, one that names a fold.
        cache: A run folder that may hold average faces of these images.

    Raises:
        UserError: If a dataset is not prepared, lacks the labels that its branch needs, or has a
            subject in two parts.
        UsageError: If the configuration asks for something impossible.
    """
    source = config.data.expressions
    split = splits_of(config).test
    if config.data.num_folds:
        builder = open_prepared(config, source.dataset, source.builder_config)
        check_number_of_folds(source.dataset, builder.info.splits, config.data.num_folds)
    crop = training_crop(config)
    fit, validation = _load_expressions(config)
    test = load_test_examples(config, source.dataset, source.builder_config, split)
    if test.expression_names != fit.expression_names:
        raise UserError(
            f"the test split's classes {test.expression_names} are not those of the training "
            f"split {fit.expression_names}"
        )
    if config.family == "ifgan":
        feed: Feed = average_face_feed(config, fit, cache)
    else:
        feed = _pair_feed(config, fit, validation, test)
    data = TrainingData(feed, validation, test, crop)
    if config.data.num_folds:
        assert_disjoint(data.subjects)
    return data


def _pair_feed(
    config: Config, fit: Examples, validation: Examples | None, test: Examples
) -> PairFeed:
    feed = PairFeed(
        faces=_load_faces(config, validation, test),
        expressions=_in_memory_of_feed(config, fit),
        image_size_px=config.model.image_size_px,
        batch_size=config.training.batch_size,
        seed=config.seed,
        pairing=config.data.pairing,
        augmentation=Augmentation(**config.data.augmentation.to_dict()),
        augment_faces=config.data.augment_faces,
        pad_last_batch=config.data.pad_last_batch,
        num_workers=config.data.num_workers,
    )
    check_feed(feed)
    return feed


def load_fold_subjects(config: Config) -> dict[str, list[str]]:
    """Reads who stands in which fold of the expressions' dataset.

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


def faces_on_disk(config: Config, validation: Examples | None = None) -> Examples:
    """The faces of the people whom the face branch learns to tell apart; their images stay on disk.

    Args:
        config: A configuration with a face branch.
        validation: Examples that choose the model, whose people are left out where the faces are
            of the training folds.

    Raises:
        UserError: If the dataset is not prepared or has no identities.
    """
    source = config.data.faces
    resize = resize_shorter_side if config.data.augment_faces else resize_exactly
    transform = partial(
        resize, size_px=config.model.image_size_px, channels=config.model.image_channels
    )
    builder = open_prepared(config, source.dataset, source.builder_config)
    split = splits_of(config).train if source.follow_folds else source.split
    faces = load_examples(builder, split, transform)
    if source.follow_folds and validation is not None:
        faces = faces.select(np.flatnonzero(~np.isin(faces.groups, validation.groups)))
    faces = with_compact_identities(faces)
    if not len(faces.files):
        raise UserError(f"dataset {source.dataset} has no identities; the face branch needs them")
    if source.num_identities:
        kept = np.flatnonzero(faces.identities < source.num_identities)
        faces = with_compact_identities(faces.select(kept))
    return faces


def _load_faces(config: Config, validation: Examples | None, test: Examples) -> Examples:
    source = config.data.faces
    faces = faces_on_disk(config, validation)
    if source.dataset == config.data.expressions.dataset:
        check_faces_apart(faces, validation, test)
    return _in_memory_of_feed(config, faces)


def _in_memory_of_feed(config: Config, examples: Examples) -> Examples:
    data = config.data
    return in_memory(examples, limit_bytes=data.memory_limit_bytes, num_workers=data.num_workers)


def check_faces_apart(faces: Examples, validation: Examples | None, test: Examples) -> None:
    """Makes sure that the face branch sees nobody whom the model is chosen or tested on.

    Args:
        faces: Examples of the face branch.
        validation: Examples of the same dataset that choose the model, if any.
        test: Examples of the same dataset that test it.

    Raises:
        UserError: Names a subject that stands on both sides, and the cure.
    """
    for part, examples in (("validation", validation), ("test", test)):
        shared = set() if examples is None else set(faces.groups) & set(examples.groups)
        if shared:
            raise UserError(
                f"subject {min(shared)} of the {part} part is among the faces that the face branch "
                "learns from; give another data.faces.split or dataset, or with folds "
                "data.faces.follow_folds=true and an empty data.faces.split"
            )


def _load_expressions(config: Config) -> tuple[Examples, Examples | None]:
    """The examples to fit, still on disk, and those to choose the model by."""
    source = config.data.expressions
    splits = splits_of(config)
    load = partial(load_labelled, config, source.dataset, source.builder_config)
    fit = load(splits.train, training_transform(config))
    validation = None
    # The validation part is looked at as the test split is, not enlarged for cropping.
    if splits.validation is not None:
        validation = load(splits.validation, test_transform(config))
    elif config.data.validation == "subjects":
        kept, held_out = validation_split(
            fit, fraction=config.data.validation_fraction, seed=VALIDATION_SEED
        )
        validation = with_transform(fit.select(held_out), test_transform(config))
        fit = fit.select(kept)
    limit = config.data.memory_limit_bytes
    if validation is not None:
        validation = in_memory(validation, limit_bytes=limit)
    return fit, validation
