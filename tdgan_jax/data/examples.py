"""Splits of prepared datasets as examples ready for the pipeline.

Labels are read at once. Images are decoded, converted and resized when they are asked for, or
all together by `in_memory` where they fit.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from tdgan_jax.errors import UserError
from tdgan_jax.processes.membership import several

Transform = Callable[[np.ndarray], np.ndarray]

UNLABELLED = -1
_HASH = re.compile("[0-9a-f]{64}")  # a group without a subject


class Examples(NamedTuple):
    """Some examples of one dataset, in the order of their file names.

    Attributes:
        images: uint8 `[H, W, C]` each, transformed.
        expressions: int32 `[N]` into `expression_names`; -1 where unknown.
        expression_names: Names in the dataset's order; empty without expressions.
        identities: int32 `[N]` into `identity_names`; -1 where unknown.
        identity_names: Names of the identities that occur.
        groups: `[N]` text; examples of one group never stand on both sides of a split: the
            subject where it is known, else the hash of the encoded picture.
        files: `[N]` text.
        duplicated_in_train: bool `[N]`, test images that equal training images; None if the
            dataset does not say.
        digests: `[N]` text, the hash of the encoded picture; None for images from elsewhere.
        votes: float32 `[N, C]`, raters' votes for each of the expressions; None without any.
        affect: float32 `[N, 2]`, valence and arousal in [-1, 1], NaN where unknown; None without.
    """

    images: Sequence[np.ndarray]
    expressions: np.ndarray
    expression_names: tuple[str, ...]
    identities: np.ndarray
    identity_names: tuple[str, ...]
    groups: np.ndarray
    files: np.ndarray
    duplicated_in_train: np.ndarray | None
    digests: np.ndarray | None = None
    votes: np.ndarray | None = None
    affect: np.ndarray | None = None

    def select(self, indices: np.ndarray) -> "Examples":
        """The examples at some positions."""
        images = self.images
        chosen: Sequence[np.ndarray]
        if isinstance(images, LazyImages | RememberedImages):
            chosen = images.select(indices)
        else:
            chosen = [images[i] for i in indices]
        return self._replace(
            images=chosen,
            expressions=self.expressions[indices],
            identities=self.identities[indices],
            groups=self.groups[indices],
            files=self.files[indices],
            duplicated_in_train=None
            if self.duplicated_in_train is None
            else self.duplicated_in_train[indices],
            digests=None if self.digests is None else self.digests[indices],
            votes=None if self.votes is None else self.votes[indices],
            affect=None if self.affect is None else self.affect[indices],
        )


class LazyImages(Sequence):
    """Images that are decoded and transformed when they are asked for."""

    def __init__(self, source: Any, positions: np.ndarray, transform: Transform):
        """Takes a TFDS data source, the positions of the images in it, and their transform."""
        self.source = source
        self.positions = positions
        self.transform = transform

    def __len__(self) -> int:
        """Number of images."""
        return len(self.positions)

    def __getitem__(self, index: Any) -> Any:
        """The transformed image, uint8 `[H, W, C]`."""
        return self.transform(self.source[int(self.positions[index])]["image"])

    def select(self, indices: np.ndarray) -> "LazyImages":
        """The images at some positions, none of them read."""
        return LazyImages(self.source, self.positions[indices], self.transform)


class RememberedImages(Sequence):
    """Images that are read when they are first asked for, and kept in this process from then on."""

    def __init__(
        self,
        images: Sequence[np.ndarray],
        positions: np.ndarray | None = None,
        known: dict[int, np.ndarray] | None = None,
    ):
        """Takes images; of a selection also their positions and what is known already."""
        self.images = images
        self.positions = np.arange(len(images)) if positions is None else positions
        self.known = {} if known is None else known

    def __len__(self) -> int:
        """Number of images."""
        return len(self.positions)

    def __getitem__(self, index: Any) -> Any:
        """The image, uint8 `[H, W, C]`."""
        position = int(self.positions[index])
        if position not in self.known:
            self.known[position] = self.images[position]
        return self.known[position]

    def select(self, indices: np.ndarray) -> "RememberedImages":
        """The images at some positions, none of them read; what is known is shared."""
        return RememberedImages(self.images, self.positions[indices], self.known)


def load_examples(builder: Any, split: str, transform: Transform) -> Examples:
    """Reads the labels of one split of a prepared dataset; the images stay on disk.

    Args:
        builder: A prepared builder (`data.builders.open_dataset`).
        split: A TFDS split expression.
        transform: Applied to every image when it is read.

    Returns:
        The examples, sorted by file name, so that the record order of the dataset changes nothing.

    Raises:
        UserError: If the split is unknown or empty.
    """
    skipped = {"image": tfds.decode.SkipDecoding()}
    try:
        encoded: Any = builder.as_data_source(split=split, decoders=skipped)
    except ValueError as error:
        known = ", ".join(builder.info.splits)
        raise UserError(f"dataset {builder.name} has no split {split!r}; known: {known}") from error
    if not len(encoded):
        raise UserError(f"dataset {builder.name}: split {split!r} is empty")
    rows = [_labels_and_group(encoded[i]) for i in range(len(encoded))]
    files = np.array([_text(row.get("file", f"{i:09d}")) for i, row in enumerate(rows)])
    order = np.argsort(files, kind="stable")
    expressions, expression_names = _labels(builder, rows, "expression")
    identities, identity_names = _labels(builder, rows, "identity")
    duplicated = None
    if "duplicated_in_train" in rows[0]:
        duplicated = np.array([bool(row["duplicated_in_train"]) for row in rows])[order]
    return Examples(
        images=LazyImages(builder.as_data_source(split=split), order, transform),
        expressions=expressions[order],
        expression_names=expression_names,
        identities=identities[order],
        identity_names=identity_names,
        groups=np.array([row["group"] for row in rows])[order],
        files=files[order],
        duplicated_in_train=duplicated,
        digests=np.array([row["digest"] for row in rows])[order],
    )


def in_memory(examples: Examples, *, limit_bytes: int, num_workers: int = 0) -> Examples:
    """Decodes and transforms all images now, if they fit; otherwise they stay on disk.

    One of several processes keeps each image when it first needs it: those of other processes'
    rows it does not decode. Where its worker processes read them, which are new ones in each epoch,
    nothing is kept: what they know would be lost with them, and stand in memory once a worker.

    Args:
        examples: Examples on disk.
        limit_bytes: The most that may be kept.
        num_workers: Worker processes that will read the images; 0: they are read in this one.
    """
    images = examples.images
    if not len(images) or images[0].nbytes * len(images) > limit_bytes:
        return examples
    if several():
        return examples if num_workers else examples._replace(images=RememberedImages(images))
    with ThreadPoolExecutor() as pool:
        return examples._replace(images=list(pool.map(images.__getitem__, range(len(images)))))


class JoinedImages(Sequence):
    """The images of several examples, one after the other, still read when they are asked for."""

    def __init__(self, parts: Sequence[Sequence[np.ndarray]]):
        """Takes the sequences."""
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        """Number of images."""
        return int(self.ends[-1])

    def __getitem__(self, index: Any) -> Any:
        """The image, uint8 `[H, W, C]`."""
        part = int(np.searchsorted(self.ends, index, side="right"))
        start = self.ends[part - 1] if part else 0
        return self.parts[part][int(index) - int(start)]


def joined(first: Examples, others: Sequence[Examples]) -> Examples:
    """Examples one after the other, with the class names of the first; identities are dropped.

    Args:
        first: Examples whose classes the result has.
        others: Examples whose classes are numbered in the same way.
    """
    parts = [first, *others]

    def all_of(field: str) -> np.ndarray:
        return np.concatenate([getattr(part, field) for part in parts])

    return first._replace(
        images=JoinedImages([part.images for part in parts]),
        expressions=all_of("expressions"),
        identities=np.full(sum(len(part.files) for part in parts), UNLABELLED, np.int32),
        identity_names=(),
        groups=all_of("groups"),
        files=all_of("files"),
        duplicated_in_train=None,
        digests=all_of("digests"),
    )


def with_classes(examples: Examples, names: Sequence[str]) -> Examples:
    """Those examples whose class is among some names, numbered in the order of these."""
    number = {name: index for index, name in enumerate(names)}
    table = np.array([number.get(name, UNLABELLED) for name in examples.expression_names], np.int32)
    numbered = np.where(examples.expressions == UNLABELLED, UNLABELLED, table[examples.expressions])
    renamed = examples._replace(
        expressions=numbered.astype(np.int32), expression_names=tuple(names)
    )
    return with_expression(renamed)


def _labels_and_group(row: dict[str, Any]) -> dict[str, Any]:
    """A record with its image's hash in its place; the subject, or that hash, as its group."""
    labels = {name: value for name, value in row.items() if name not in ("image", "factors")}
    subject = _text(row.get("subject", ""))
    labels["digest"] = hashlib.sha256(row["image"]).hexdigest()
    labels["group"] = subject or labels["digest"]
    return labels


def has_subjects(examples: Examples) -> bool:
    """Whether every group is a subject, none the hash of a picture."""
    return bool(known_subjects(examples.groups).all())


def known_subjects(groups: np.ndarray) -> np.ndarray:
    """Which groups are subjects and not the hash of a picture, bool `[N]`."""
    return np.array([_HASH.fullmatch(str(group)) is None for group in groups], bool)


def _labels(builder: Any, rows: Sequence[Any], feature: str) -> tuple[np.ndarray, tuple[str, ...]]:
    if feature not in builder.info.features:
        return np.full(len(rows), UNLABELLED, np.int32), ()
    names = tuple(builder.info.features[feature].names)
    return np.array([row[feature] for row in rows], np.int32), names


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def with_transform(examples: Examples, transform: Transform) -> Examples:
    """The same examples on disk, read with another transform."""
    images = examples.images
    if not isinstance(images, LazyImages):
        raise TypeError("the images are in memory, already transformed")
    return examples._replace(images=LazyImages(images.source, images.positions, transform))


def with_expression(examples: Examples) -> Examples:
    """Those examples whose expression is known."""
    return examples.select(np.flatnonzero(examples.expressions != UNLABELLED))


def with_compact_identities(examples: Examples) -> Examples:
    """Those examples whose identity is known, the identities renumbered 0 to K - 1."""
    known = examples.select(np.flatnonzero(examples.identities != UNLABELLED))
    present, compact = np.unique(known.identities, return_inverse=True)
    return known._replace(
        identities=compact.astype(np.int32),
        identity_names=tuple(examples.identity_names[i] for i in present),
    )
