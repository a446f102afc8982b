"""What TDGAN trains on: faces with names, and images with expressions."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from tdgan_jax.configuration import Config
from tdgan_jax.data.examples import (
    Examples,
    in_memory,
    load_examples,
    with_compact_identities,
)
from tdgan_jax.data.images import Augmentation, resize_exactly, resize_shorter_side
from tdgan_jax.data.loading import open_prepared
from tdgan_jax.data.splits import splits_of
from tdgan_jax.errors import UserError
from tdgan_jax.families.family import Parts
from tdgan_jax.families.tdgan.pair_feed import PairFeed, check_feed


def pair_feed(config: Config, parts: Parts) -> PairFeed:
    """Makes the source of a run's batches.

    No image of a validation or test subject is among the faces where faces and expressions are of
    one dataset.

    Args:
        config: A TDGAN configuration; with folds, one that names a fold.
        parts: The labelled examples of the expressions' dataset.

    Raises:
        UserError: If the faces' dataset is not prepared, has no identities, or shows a subject whom
            the model is chosen or tested on.
        UsageError: If the configuration asks for something impossible.
    """
    faces = faces_on_disk(config, parts.validation)
    if config.data.faces.dataset == config.data.expressions.dataset:
        check_faces_apart(faces, parts.validation, parts.test)
    keep = partial(
        in_memory, limit_bytes=config.data.memory_limit_bytes, num_workers=config.data.num_workers
    )
    feed = PairFeed(
        faces=keep(faces),
        expressions=keep(parts.fit),
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


def examples_read(config: Config, dataset: str, examples: Examples) -> Iterator[Examples]:
    """The faces, where they are of a dataset; see `Family.examples_read`."""
    del examples
    if config.data.faces.dataset == dataset:
        yield faces_on_disk(config)


def faces_on_disk(config: Config, validation: Examples | None = None) -> Examples:
    """The faces of the people whom the face branch learns to tell apart; their images stay on disk.

    Args:
        config: A configuration with a face branch.
        validation: Examples that choose the model, whose people are left out where the faces are
            those of the people who train.

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


def check_faces_apart(faces: Examples, validation: Examples | None, test: Examples) -> None:
    """Makes sure that the face branch sees no subject on whom the model is chosen or tested on.

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
                "learns from; give another data.faces.split or dataset, or "
                "data.faces.follow_folds=true and an empty data.faces.split"
            )
