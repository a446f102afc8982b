"""The plain image feed of a configuration, for the systems that learn from single images."""

from collections.abc import Iterator

import numpy as np

from tdgan_jax.configuration import Config
from tdgan_jax.data.augmentation import parse_augmentations
from tdgan_jax.data.examples import Examples, in_memory, joined
from tdgan_jax.data.image_feed import ImageFeed, check_image_feed, with_targets
from tdgan_jax.data.loading import training_transform
from tdgan_jax.expressions import FERPLUS_RATERS
from tdgan_jax.families.family import Parts
from tdgan_jax.families.other_datasets import load_additional_datasets, named_datasets


def image_feed(config: Config, parts: Parts, **sampling: object) -> ImageFeed:
    """Makes the source of a run's batches.

    Args:
        config: A configuration whose `data` section has the fields of the plain classifier.
        parts: The labelled examples.
        **sampling: Fields of `ImageFeed` that say which examples an epoch shows; all by default.

    Raises:
        UserError: If the examples lack the targets that are asked for.
        UsageError: If the configuration asks for something impossible.
    """
    data = config.data
    others = load_additional_datasets(config, parts, training_transform(config))
    fit = joined(parts.fit, [_with_votes(other) for other in others]) if others else parts.fit
    taught = with_targets(fit, data.targets, drop_single_votes=data.drop_single_votes)
    feed = ImageFeed(
        expressions=in_memory(
            taught,
            limit_bytes=data.memory_limit_bytes,
            num_workers=data.num_workers,
        ),
        image_size_px=config.model.image_size_px,
        batch_size=config.training.batch_size,
        seed=config.seed,
        augmentations=parse_augmentations(data.augmentations),
        targets=data.targets,
        drop_single_votes=data.drop_single_votes,
        pad_last_batch=data.pad_last_batch,
        num_workers=data.num_workers,
        **sampling,  # pyright: ignore[reportArgumentType]
    )
    check_image_feed(feed)
    return feed


def _with_votes(examples: Examples) -> Examples:
    """Examples whose one label counts as if all raters had given it."""
    if examples.votes is not None:
        return examples
    one_hot = np.eye(len(examples.expression_names), dtype=np.float32)[examples.expressions]
    return examples._replace(votes=FERPLUS_RATERS * one_hot)


def examples_read(config: Config, dataset: str, examples: Examples) -> Iterator[Examples]:
    """Images of the additional datasets; see `Family.examples_read`."""
    names = config.data.additional_training_datasets
    yield from named_datasets(config, names, dataset, examples, training_transform(config))
