"""Whether a run is to be evaluated on people or pictures that it was trained or chosen on."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tdgan_jax.configuration import Config
from tdgan_jax.data.examples import Examples
from tdgan_jax.data.loading import learns_votes, load_labelled, test_transform
from tdgan_jax.data.splits import splits_of
from tdgan_jax.errors import UserError
from tdgan_jax.families.known import family_named


def is_own_test(config: Config, dataset: str, builder_config: str, split: str) -> bool:
    """Says whether a split is what the run itself was tested on, apart from its training."""
    source = config.data.expressions
    own = (source.dataset, source.builder_config, splits_of(config).test)
    return (dataset, builder_config, split) == own


def num_training_images(config: Config, examples: Examples, dataset: str) -> int:
    """Counts images of people, or copies of pictures, that a run was trained or chosen on.

    Only what the run reads of the same dataset is looked at, in any of its builder configurations:
    names of subjects mean nothing to another one. Labels are read, no image is decoded.

    Args:
        config: The configuration of the run.
        examples: What it is to be evaluated on.
        dataset: Name of their dataset.

    Raises:
        UserError: If a builder configuration of the dataset that the run reads is not prepared.
    """
    known = np.zeros(len(examples.files), bool)
    for part in _parts_read(config, examples, dataset):
        known |= np.isin(examples.groups, part.groups)
        if examples.digests is not None and part.digests is not None:
            known |= np.isin(examples.digests, part.digests)
    return int(known.sum())


def check_unseen(config: Config, examples: Examples, dataset: str, split: str) -> None:
    """Refuses a split of a dataset (`name` or `name/config`) of people whom a run knows.

    Raises:
        UserError: If the run was trained or chosen on some of them.
    """
    name, _, builder_config = dataset.partition("/")
    if is_own_test(config, name, builder_config, split):
        return
    if count := num_training_images(config, examples, name):
        raise UserError(
            f"{count} of the {len(examples.files)} images of {dataset}, split {split!r}, show "
            f"people or pictures that the run {config.name} was trained or chosen on; name a split "
            "of others"
        )


def _parts_read(config: Config, examples: Examples, dataset: str) -> Iterator[Examples]:
    data: Any = config.data
    source, splits = data.expressions, splits_of(config)
    if source.dataset == dataset:
        for split in filter(None, (splits.train, splits.validation)):
            yield load_labelled(
                config,
                dataset,
                source.builder_config,
                split,
                test_transform(config),
                any_label=learns_votes(config),
            )
    yield from family_named(config.family).examples_read(config, dataset, examples)
