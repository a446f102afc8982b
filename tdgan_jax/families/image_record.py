"""What stands alike in the records of the systems that learn from single images.

As everything that a record names, these import what they call when they are called.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tdgan_jax.configuration import Config
from tdgan_jax.families.family import Parts

if TYPE_CHECKING:
    from tdgan_jax.data.examples import Examples, Transform
    from tdgan_jax.data.feeds import Feed


def image_transform(config: Config) -> "Transform":
    """`Family.transform`: as `data.training_transform` says."""
    from tdgan_jax.data.loading import training_transform

    return training_transform(config)


def plain_image_feed(config: Config, parts: Parts, cache: Path | None) -> "Feed":
    """`Family.feed`: every image once an epoch."""
    from tdgan_jax.families.image_feeds import image_feed

    del cache
    return image_feed(config, parts)


def other_examples_read(config: Config, dataset: str, examples: "Examples") -> "Iterable[Examples]":
    """`Family.examples_read`: those of `data.additional_training_datasets`."""
    from tdgan_jax.families.image_feeds import examples_read

    return examples_read(config, dataset, examples)
