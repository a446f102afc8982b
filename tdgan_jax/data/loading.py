"""Reads prepared datasets as the models of a configuration see them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tdgan_jax.configuration import Config
from tdgan_jax.data.builders import open_dataset
from tdgan_jax.data.examples import (
    Examples,
    in_memory,
    labelled,
    load_examples,
    with_expression,
)
from tdgan_jax.data.images import (
    TEST_TRANSFORMS,
    resize_exactly,
    resize_shorter_side,
    resize_square,
    transform_for_test,
)
from tdgan_jax.data.lazy_images import Transform
from tdgan_jax.errors import UsageError, UserError, unknown_name

TRAINING_TRANSFORMS = {
    "shorter_side": resize_shorter_side,
    "square": resize_square,
    "resize": resize_exactly,
}


def open_prepared(config: Config, dataset: str, builder_config: str) -> Any:
    """Opens a prepared dataset in the configuration's directory; "" stands for what is usual."""
    return open_dataset(dataset, builder_config or None, config.data.directory or None)


def learns_votes(config: Config) -> bool:
    """Whether raters' votes teach the models of a configuration, and not the class alone."""
    return config.data.get("targets", "label") != "label"


def load_labelled(
    config: Config,
    dataset: str,
    builder_config: str,
    split: str,
    transform: Transform,
    *,
    any_label: bool = False,
) -> Examples:
    """The examples of a split whose expression is known; the images stay on disk.

    Args:
        config: Says where datasets are.
        dataset: Name of a prepared dataset.
        builder_config: Its builder configuration; empty for the first one.
        split: A TFDS split expression.
        transform: Applied to every image when it is read.
        any_label: Whether examples without an expression are kept where they have votes for one,
            or an affect.

    Raises:
        UserError: If the dataset is not prepared, or nothing is known in the split.
    """
    builder = open_prepared(config, dataset, builder_config)
    examples = load_examples(builder, split, transform)
    examples = labelled(examples) if any_label else with_expression(examples)
    if not len(examples.files):
        wanted = "label" if any_label else "expression"
        raise UserError(f"dataset {dataset}: split {split!r} has no image with a known {wanted}")
    return examples


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
    examples = load_labelled(config, dataset, builder_config, split, test_transform(config))
    return in_memory(examples, limit_bytes=config.data.memory_limit_bytes)


def test_transform(config: Config) -> Transform:
    """The transform of evaluated images, to uint8 `[S, S, C]`.

    Raises:
        UsageError: If the configuration names none of the known ones.
    """
    name = config.data.test_transform
    if name not in TEST_TRANSFORMS:
        raise UsageError(f"data.test_transform is {name!r}; known: {', '.join(TEST_TRANSFORMS)}")
    return partial(
        transform_for_test,
        test_transform=name,
        size_px=config.model.image_size_px,
        channels=config.model.image_channels,
    )


def training_transform(config: Config) -> Transform:
    """The transform that `data.training_transform` names: images are cropped or changed later.

    Raises:
        UsageError: If it is unknown.
    """
    name = config.data.training_transform
    if name not in TRAINING_TRANSFORMS:
        raise unknown_name("data.training_transform", name, TRAINING_TRANSFORMS)
    return _sized(TRAINING_TRANSFORMS[name], config)


def shorter_side_transform(config: Config) -> Transform:
    """The transform of training images that keep their aspect ratio and are cropped later."""
    return _sized(resize_shorter_side, config)


def square_transform(config: Config) -> Transform:
    """The transform of training images that become squares and are cropped later."""
    return _sized(resize_square, config)


def _sized(resize: Callable[..., np.ndarray], config: Config) -> Transform:
    return partial(resize, size_px=config.model.image_size_px, channels=config.model.image_channels)
