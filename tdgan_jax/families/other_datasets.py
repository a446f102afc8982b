"""Images of other datasets that train beside a configuration's own."""

from collections.abc import Iterator

import numpy as np

from tdgan_jax.configuration import Config
from tdgan_jax.data.examples import Examples, Transform, with_classes
from tdgan_jax.data.loading import load_labelled, open_prepared
from tdgan_jax.errors import UsageError


def load_whole_datasets(
    config: Config, names: str, fit: Examples, transform: Transform
) -> list[Examples]:
    """All images of other datasets whose class is one of this training's.

    Of a set without folds the owner's training split is taken alone. Its images are one group: who
    they show is of no account here.

    Args:
        config: The configuration.
        names: Datasets as `NAME` or `NAME/CONFIG`, separated by commas.
        fit: The training's own images.
        transform: Applied to every image when it is read.

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
        examples = load_labelled(config, name, builder_config, split, transform)
        examples = with_classes(examples, fit.expression_names)
        loaded.append(examples._replace(groups=np.full(len(examples.files), f"all of {text}")))
    return loaded


def named_datasets(
    config: Config, names: str, dataset: str, fit: Examples, transform: Transform
) -> Iterator[Examples]:
    """Those of `load_whole_datasets` that are of one dataset."""
    for text in map(str.strip, names.split(",")):
        if text.partition("/")[0] == dataset:
            yield from load_whole_datasets(config, text, fit, transform)
