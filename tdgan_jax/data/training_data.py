"""The examples of a run, loaded and divided as its configuration says."""

from functools import partial
from typing import NamedTuple

from tdgan_jax.configuration import Config
from tdgan_jax.data.builders import open_dataset
from tdgan_jax.data.examples import (
    Examples,
    Transform,
    in_memory,
    load_examples,
    with_compact_identities,
    with_expression,
    with_transform,
)
from tdgan_jax.data.images import centre_crop, resize_exactly, resize_shorter_side
from tdgan_jax.data.pipeline import PairFeed, check_feed
from tdgan_jax.data.splits import validation_split
from tdgan_jax.errors import UsageError, UserError

TEST_TRANSFORMS = ("resize", "centre_crop")
VALIDATION_SEED = 0


class TrainingData(NamedTuple):
    """Everything that a run reads.

    Attributes:
        feed: Source of the training batches.
        validation: Held-out part of the training split, transformed as for the test.
        test: The test split.
    """

    feed: PairFeed
    validation: Examples
    test: Examples

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Names of the classes in the model's order."""
        return self.feed.expressions.expression_names

    @property
    def identity_names(self) -> tuple[str, ...]:
        """Names of the people of the face branch in the face discriminator's order."""
        return self.feed.faces.identity_names


def test_transform(config: Config) -> Transform:
    """The transform of evaluated images, to uint8 `[S, S, C]`.

    Raises:
        UsageError: If the configuration names none of the known ones.
    """
    size, channels = config.model.image_size_px, config.model.image_channels
    if config.data.test_transform == "resize":
        return partial(resize_exactly, size_px=size, channels=channels)
    if config.data.test_transform == "centre_crop":
        return lambda image: centre_crop(resize_shorter_side(image, size, channels), size)
    raise UsageError(
        f"data.test_transform is {config.data.test_transform!r}; "
        f"known: {', '.join(TEST_TRANSFORMS)}"
    )


def load_test_examples(config: Config, dataset: str, builder_config: str, split: str) -> Examples:
    """Loads labelled examples of any prepared dataset as this configuration's models see them.

    Args:
        config: The configuration of the model.
        dataset: Name of a prepared dataset.
        builder_config: Its builder configuration; empty for the first one.
        split: A TFDS split expression.

    Raises:
        UserError: If the dataset is not prepared, or no expression is known in the split.
    """
    builder = open_dataset(dataset, builder_config or None, config.data.directory or None)
    examples = with_expression(load_examples(builder, split, test_transform(config)))
    if not len(examples.files):
        raise UserError(f"dataset {dataset}: split {split!r} has no image with a known expression")
    return in_memory(examples, limit_bytes=config.data.memory_limit_bytes)


def load_training_data(config: Config) -> TrainingData:
    """Loads faces, expressions and test images.

    Raises:
        UserError: If a dataset is not prepared or lacks the labels that its branch needs.
        UsageError: If the configuration asks for something impossible.
    """
    fit, validation = _load_expressions(config)
    source = config.data.expressions
    test = load_test_examples(config, source.dataset, source.builder_config, source.test_split)
    if test.expression_names != fit.expression_names:
        raise UserError(
            f"the test split's classes {test.expression_names} are not those of the training "
            f"split {fit.expression_names}"
        )
    feed = PairFeed(
        faces=_load_faces(config),
        expressions=fit,
        image_size_px=config.model.image_size_px,
        batch_size=config.training.batch_size,
        seed=config.seed,
        pairing=config.data.pairing,
        augment_faces=config.data.augment_faces,
        pad_last_batch=config.data.pad_last_batch,
        num_workers=config.data.num_workers,
    )
    check_feed(feed)
    return TrainingData(feed, validation, test)


def _load_faces(config: Config) -> Examples:
    source = config.data.faces
    resize = resize_shorter_side if config.data.augment_faces else resize_exactly
    transform = partial(
        resize, size_px=config.model.image_size_px, channels=config.model.image_channels
    )
    builder = open_dataset(
        source.dataset, source.builder_config or None, config.data.directory or None
    )
    faces = with_compact_identities(load_examples(builder, source.split, transform))
    if not len(faces.files):
        raise UserError(f"dataset {source.dataset} has no identities; the face branch needs them")
    return in_memory(faces, limit_bytes=config.data.memory_limit_bytes)


def _load_expressions(config: Config) -> tuple[Examples, Examples]:
    source = config.data.expressions
    builder = open_dataset(
        source.dataset, source.builder_config or None, config.data.directory or None
    )
    enlarge = partial(
        resize_shorter_side,
        size_px=config.model.image_size_px,
        channels=config.model.image_channels,
    )
    examples = with_expression(load_examples(builder, source.train_split, enlarge))
    if not len(examples.files):
        raise UserError(f"dataset {source.dataset} has no expressions to learn from")
    fit, held_out = validation_split(
        examples, fraction=config.data.validation_fraction, seed=VALIDATION_SEED
    )
    limit = config.data.memory_limit_bytes
    # The validation part is looked at as the test split is, not enlarged for cropping.
    validation = with_transform(examples.select(held_out), test_transform(config))
    return (
        in_memory(examples.select(fit), limit_bytes=limit),
        in_memory(validation, limit_bytes=limit),
    )
