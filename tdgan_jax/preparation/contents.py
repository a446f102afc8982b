"""What a prepared dataset holds."""

from collections import Counter
from typing import Any, cast

import tensorflow_datasets as tfds


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
    # Images stay encoded: only the labels matter here.
    decoders: dict[str, Any] = {
        name: tfds.decode.SkipDecoding()
        for name, feature in cast(Any, builder.info.features).items()
        if isinstance(feature, tfds.features.Image)
    }
    names = {-1: "-1", **dict(enumerate(label_names(builder)[label]))}
    open_split = cast(Any, builder).as_data_source
    return {
        split: Counter(
            names[int(example[label])] for example in open_split(split, decoders=decoders)
        )
        for split in builder.info.splits
    }
