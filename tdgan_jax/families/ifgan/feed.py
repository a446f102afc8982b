"""What IF-GAN trains on: its own images, those of other datasets, and the average faces."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tdgan_jax.configuration import Config
from tdgan_jax.data.examples import (
    Examples,
    in_memory,
    joined,
    with_classes,
)
from tdgan_jax.data.images import SQUARE_MARGIN
from tdgan_jax.data.loading import load_labelled, open_prepared, square_transform
from tdgan_jax.errors import UsageError
from tdgan_jax.families.family import Parts
from tdgan_jax.families.ifgan.average_feed import AverageFaceFeed, check_average_face_feed
from tdgan_jax.families.ifgan.average_identity import (
    AVERAGE_FACES_FILE,
    average_faces,
    check_complete,
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
    others = load_whole_datasets(config, data.additional_training_datasets, fit)
    expressions = in_memory(
        joined(fit, others) if others else fit,
        limit_bytes=data.memory_limit_bytes,
        num_workers=data.num_workers,
    )
    if data.average_identity_datasets:
        first, *rest = load_whole_datasets(config, data.average_identity_datasets, fit)
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


def load_whole_datasets(config: Config, names: str, fit: Examples) -> list[Examples]:
    """All images of other datasets whose class is one of this training's.

    Of a set without folds the owner's training split is taken alone. Its images are one group: who
    they show is of no account here.

    Args:
        config: The configuration.
        names: Datasets as `NAME` or `NAME/CONFIG`, separated by commas.
        fit: The training's own images.

    Raises:
        UsageError: If the training's own dataset is among them, whose test images would be too.
    """
    loaded = []
    for text in filter(None, (part.strip() for part in names.split(","))):
        name, _, builder_config = text.partition("/")
        if name == config.data.expressions.dataset:
            raise UsageError(
                f"{name} is the training's own dataset: as a whole it holds those who validate or "
                "test; name other datasets"
            )
        splits = open_prepared(config, name, builder_config).info.splits
        folds = [split for split in splits if split.startswith("fold_")]
        split = "+".join(sorted(folds)) or "train"
        examples = load_labelled(config, name, builder_config, split, square_transform(config))
        examples = with_classes(examples, fit.expression_names)
        loaded.append(examples._replace(groups=np.full(len(examples.files), f"all of {text}")))
    return loaded


def examples_read(config: Config, dataset: str, examples: Examples) -> Iterator[Examples]:
    """Images of the additional datasets and of the average faces; see `Family.examples_read`."""
    for field in ("additional_training_datasets", "average_identity_datasets"):
        for text in map(str.strip, config.data[field].split(",")):
            if text.partition("/")[0] == dataset:
                yield from load_whole_datasets(config, text, examples)
