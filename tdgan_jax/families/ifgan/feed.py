"""What IF-GAN trains on: its own images, those of other datasets, and the average faces."""

from collections.abc import Iterator
from pathlib import Path

from tdgan_jax.configuration import Config
from tdgan_jax.data.examples import (
    Examples,
    in_memory,
    joined,
)
from tdgan_jax.data.images import SQUARE_MARGIN
from tdgan_jax.data.loading import square_transform
from tdgan_jax.families.family import Parts
from tdgan_jax.families.ifgan.average_feed import AverageFaceFeed, check_average_face_feed
from tdgan_jax.families.ifgan.average_identity import (
    AVERAGE_FACES_FILE,
    average_faces,
    check_complete,
)
from tdgan_jax.families.other_datasets import (
    load_additional_datasets,
    load_whole_datasets,
    named_datasets,
)


def average_face_feed(config: Config, parts: Parts, cache: Path | None) -> AverageFaceFeed:
    """Makes the source of a run's batches.

    Args:
        config: An IF-GAN configuration.
        parts: The labelled images of its own dataset.
        cache: A run folder that may hold average faces of these images.

    Raises:
        UserError: If another dataset is not prepared or lacks a class.
        UsageError: If the configuration asks for something impossible.
    """
    data, size = config.data, config.model.image_size_px
    fit = parts.fit
    others = load_additional_datasets(config, parts, square_transform(config))
    expressions = in_memory(
        joined(fit, others) if others else fit,
        limit_bytes=data.memory_limit_bytes,
        num_workers=data.num_workers,
    )
    if data.average_identity_datasets:
        first, *rest = load_whole_datasets(
            config, data.average_identity_datasets, fit, square_transform(config)
        )
        averaged = joined(first, rest)
    else:
        averaged = fit if others and not data.average_additional_datasets else expressions
    loaded_px = round(size * SQUARE_MARGIN)
    faces = average_faces(
        averaged,
        image_shape=(loaded_px, loaded_px, config.model.image_channels),
        cached=None if cache is None else cache / AVERAGE_FACES_FILE,
    )
    check_complete(faces, expressions)
    feed = AverageFaceFeed(
        expressions=expressions,
        average_faces=faces,
        image_size_px=size,
        batch_size=config.training.batch_size,
        seed=config.seed,
        rotation_degrees=data.rotation_degrees,
        rotation=data.rotation,
        target_crop=data.target_crop,
        pad_last_batch=data.pad_last_batch,
        num_workers=data.num_workers,
    )
    check_average_face_feed(feed)
    return feed


def examples_read(config: Config, dataset: str, examples: Examples) -> Iterator[Examples]:
    """Images of the additional datasets and of the average faces; see `Family.examples_read`."""
    for field in ("additional_training_datasets", "average_identity_datasets"):
        yield from named_datasets(
            config, config.data[field], dataset, examples, square_transform(config)
        )
