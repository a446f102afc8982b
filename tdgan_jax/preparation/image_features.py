"""The features of a dataset of labelled images, and the examples that have them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tdgan_jax.preparation.listing import ListedImage


def image_features(
    *,
    channels: int,
    expression_names: Sequence[str] | None,
    identity_names: Sequence[str] | None,
    has_votes: bool,
    other_votes: Sequence[str],
    has_affect: bool,
    has_test_split: bool,
) -> tfds.features.FeaturesDict:
    """The features that a dataset has for what is known of its images.

    Args:
        channels: 1 (gray) or 3 (RGB).
        expression_names: The classes; empty if they are found in the source, None without any.
        identity_names: The people; empty if they are found in the source, None if unknown.
        has_votes: Whether raters voted for the expressions.
        other_votes: What else they could vote for.
        has_affect: Whether valence and arousal are known.
        has_test_split: Whether there are training and test images.

    Returns:
        The features by name, `image` first.
    """
    # Of any size: the same builder stores whole photographs and faces cut out of them.
    features: dict[str, Any] = {"image": tfds.features.Image(shape=(None, None, channels))}
    if expression_names is not None:
        # Without names for now: they are found in the source, and kept with the dataset.
        features["expression"] = tfds.features.ClassLabel(names=expression_names or None)
    if has_votes:
        features["expression_votes"] = _numbers(
            len(expression_names or ()), "Raters' votes for each expression, as they were given."
        )
    if other_votes:
        features["other_votes"] = _numbers(
            len(other_votes), f"Raters' votes for: {', '.join(other_votes)}."
        )
    if has_affect:
        features["affect"] = _numbers(2, "Valence and arousal, each in [-1, 1]; NaN where unknown.")
    if identity_names is not None:
        features["identity"] = tfds.features.ClassLabel(names=identity_names or None)
        features["subject"] = tfds.features.Text()
    features["file"] = tfds.features.Text()
    if has_test_split:
        features["duplicated_in_train"] = tfds.features.Scalar(
            np.bool_,
            doc="Test image that the owner's training images hold too, removed from `train` "
            "or not. False for every training example.",
        )
    return tfds.features.FeaturesDict(features)


def image_example(
    image: ListedImage, encoded: bytes, *, duplicated_in_train: bool
) -> dict[str, Any]:
    """Everything that is known of an image, by the names of the features.

    Args:
        image: What the builder listed.
        encoded: The JPEG or PNG file.
        duplicated_in_train: Whether it is a test image that the training images hold too.

    Returns:
        The example; a dataset takes those of the values for which it has a feature.
    """
    return {
        "image": encoded,
        "expression": -1 if image.expression is None else image.expression,
        "expression_votes": np.array(image.votes or (), np.float32),
        "other_votes": np.array(image.other_votes, np.float32),
        "affect": np.array(image.affect or (np.nan, np.nan), np.float32),
        "identity": -1 if image.identity is None else image.identity,
        "subject": image.subject,
        "file": image.file,
        "duplicated_in_train": duplicated_in_train,
    }


def _numbers(count: int, meaning: str) -> tfds.features.Tensor:
    return tfds.features.Tensor(shape=(count,), dtype=np.float32, doc=meaning)
