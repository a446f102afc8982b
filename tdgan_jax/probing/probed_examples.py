"""The examples of a prepared dataset with everything that a probe may be asked about."""

import hashlib
import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from tdgan_jax.configuration import Config
from tdgan_jax.data.builders import open_dataset
from tdgan_jax.data.examples import Examples, in_memory, known_subjects, load_examples
from tdgan_jax.data.loading import load_test_examples, test_transform
from tdgan_jax.data.picture_files import picture_suffixes
from tdgan_jax.probing.disentanglement import Labels
from tdgan_jax.probing.divisions import independent_groups


class ProbedExamples(NamedTuple):
    """Examples that probes are fitted on and tested with.

    Attributes:
        parts: The fit part, if there is one, and the test part.
        labels: Of all their examples, in this order.
    """

    parts: tuple[Examples, ...]
    labels: Labels

    @property
    def test(self) -> Examples:
        """The test part."""
        return self.parts[-1]


def load_probed_examples(
    config: Config,
    dataset: str,
    *,
    fit_split: str,
    test_split: str,
    with_unlabelled: bool = False,
) -> ProbedExamples:
    """Loads examples as the models of a configuration see them.

    Args:
        config: Of the model: size, colour and transform of the images, folder of the datasets.
        dataset: A prepared dataset as `name` or `name/config`.
        fit_split: TFDS split that probes of expression and factors are fitted on; empty: they are
            cross-validated within the test split.
        test_split: TFDS split of people whom the models have not learned from.
        with_unlabelled: Whether the test part holds its images without a known expression too.

    Raises:
        UserError: If the dataset is not prepared or a split is unknown or without expressions.
    """
    name, _, builder_config = dataset.partition("/")
    splits = [split for split in (fit_split, test_split) if split]
    parts = tuple(load_test_examples(config, name, builder_config, split) for split in splits)
    builder = open_dataset(name, builder_config or None, config.data.directory or None)
    if with_unlabelled:
        everything = load_examples(builder, test_split, test_transform(config))
        limit = config.data.memory_limit_bytes
        parts = (*parts[:-1], in_memory(everything, limit_bytes=limit))
    files = np.concatenate([part.files for part in parts])
    subjects = np.concatenate([part.groups for part in parts])
    factors, factor_names = load_factors(builder, "+".join(splits), files)
    is_test = np.repeat(np.arange(len(parts)) == len(parts) - 1, [len(p.files) for p in parts])
    labels = Labels(
        expressions=np.concatenate([part.expressions for part in parts]),
        identities=np.concatenate([part.identities for part in parts]),
        subjects=subjects,
        recordings=recordings(files, subjects, [image for part in parts for image in part.images]),
        is_test=is_test,
        factors=factors,
        factor_names=factor_names,
    )
    return ProbedExamples(parts, labels)


def recordings(
    files: Sequence[str] | np.ndarray,
    subjects: Sequence[str] | np.ndarray,
    images: Sequence[np.ndarray],
) -> np.ndarray:
    """Joins what must not be divided: frames of a sequence, and copies of a picture.

    Files of one person whose names differ in their last number alone are taken for frames of one
    sequence. Where the person is unknown a number says nothing: `happiness/0001.png` and
    `happiness/0002.png` are a class, no sequence.

    Args:
        files: `[N]` names.
        subjects: `[N]` the person, or the hash of the picture where unknown.
        images: `[N]` pictures.

    Returns:
        int `[N]`, equal within a recording.
    """
    sequences = [
        f"{subject} {_without_number(str(file))}" if is_known else f"{index}"
        for index, (file, subject, is_known) in enumerate(
            zip(files, subjects, known_subjects(np.asarray(subjects)), strict=True)
        )
    ]
    copies = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    return independent_groups(sequences, copies)


def _without_number(file: str) -> str:
    stem, suffix = os.path.splitext(file)
    # `subject01.happy` has no suffix of an image.
    return re.sub(r"\d+$", "", stem if suffix.lower() in picture_suffixes() else file)


def load_factors(builder: Any, split: str, files: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """What a dataset's pictures were drawn from, if it says.

    Args:
        builder: A prepared TFDS builder; its metadata name the factors in `factor_names`.
        split: A TFDS split that holds the files.
        files: `[N]` names of the wanted pictures.

    Returns:
        float32 `[N, F]` and the F names; F is 0 for pictures that were not drawn.
    """
    if "factors" not in builder.info.features:
        return np.zeros((len(files), 0), np.float32), ()
    source = builder.as_data_source(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    rows = {row["file"].decode(): row["factors"] for row in (source[i] for i in range(len(source)))}
    return np.stack([rows[str(file)] for file in files]), tuple(
        builder.info.metadata["factor_names"]
    )
