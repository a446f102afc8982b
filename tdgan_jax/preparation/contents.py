"""What a prepared dataset holds."""

from collections import Counter
from typing import Any, cast

import tensorflow_datasets as tfds

from tdgan_jax.data.label_columns import read_columns


def label_names(builder: tfds.core.DatasetBuilder) -> dict[str, tuple[str, ...]]:
    """Gives the names behind the class numbers of a dataset.

    Args:
        builder: A prepared dataset.

    Returns:
        For each label (`expression`, `identity`) its class names in the order of their numbers.
    """
    return {
        name: tuple(feature.names)
        for name, feature in cast(Any, builder.info.features).items()
        if isinstance(feature, tfds.features.ClassLabel)
    }


def class_counts(builder: tfds.core.DatasetBuilder, label: str) -> dict[str, Counter[str]]:
    """Counts the examples of each class in a prepared dataset.

    Args:
        builder: A prepared dataset.
        label: One of the keys of `label_names`.

    Returns:
        For each split the number of examples by class name; `-1` counts the unlabelled ones.
    """
    names = {-1: "-1", **dict(enumerate(label_names(builder)[label]))}
    numbers = {
        split: getattr(read_columns(builder, split), label).tolist()
        for split in builder.info.splits
    }
    return {split: Counter(names[number] for number in found) for split, found in numbers.items()}
