"""Splits of prepared datasets as examples ready for the pipeline.

Labels are read at once. Images are decoded, converted and resized when they are asked for, or
all together by `in_memory` where they fit.
"""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from tdgan_jax.data.label_columns import UNLABELLED, LabelColumns, read_columns
from tdgan_jax.data.lazy_images import JoinedImages, LazyImages, RememberedImages, Transform
from tdgan_jax.errors import UserError
from tdgan_jax.processes.membership import several

_COLUMNS = (
    *("expressions", "identities", "groups", "files", "duplicated_in_train", "digests"),
    *("votes", "affect", "other_votes"),
)
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
        other_votes: float32 `[N, K]`, raters' votes for what is none of the expressions (unknown,
            not a face, a class that was left out); None without any.
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
    other_votes: np.ndarray | None = None

    def select(self, indices: np.ndarray) -> "Examples":
        """The examples at some positions."""
        images = self.images
        chosen: Sequence[np.ndarray]
        if isinstance(images, LazyImages | RememberedImages):
            chosen = images.select(indices)
        else:
            chosen = [images[i] for i in indices]
        columns = {name: getattr(self, name) for name in _COLUMNS}
        return self._replace(
            images=chosen,
            **{name: None if c is None else c[indices] for name, c in columns.items()},
        )


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
    try:
        columns = read_columns(builder, split)
        images: Any = builder.as_data_source(split=split)
    except ValueError as error:
        known = ", ".join(builder.info.splits)
        raise UserError(f"dataset {builder.name} has no split {split!r}; known: {known}") from error
    count = len(columns.digest)
    if not count:
        raise UserError(f"dataset {builder.name}: split {split!r} is empty")
    files = columns.file
    if files is None:
        files = np.array([b"%09d" % i for i in range(count)])
    # The order of UTF-8 is that of its characters.
    order = np.argsort(files, kind="stable")
    columns = LabelColumns._make(None if column is None else column[order] for column in columns)
    expressions, expression_names = _labels(builder, columns, "expression")
    identities, identity_names = _labels(builder, columns, "identity")
    digests = _hexadecimal(columns.digest)
    groups = digests
    if columns.subject is not None:
        groups = np.where(columns.subject == b"", digests, _texts(columns.subject))
    return Examples(
        images=LazyImages(images, order, transform),
        expressions=expressions,
        expression_names=expression_names,
        identities=identities,
        identity_names=identity_names,
        groups=groups,
        files=_texts(files[order]),
        duplicated_in_train=columns.duplicated_in_train,
        digests=digests,
        votes=columns.expression_votes,
        affect=columns.affect,
        other_votes=columns.other_votes,
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
        votes=_joined_columns(parts, "votes", 0),
        affect=_joined_columns(parts, "affect", np.nan),
        other_votes=_joined_columns(parts, "other_votes", 0),
    )


def _joined_columns(parts: Sequence[Examples], field: str, unknown: float) -> np.ndarray | None:
    """One below the other; where a part has nothing, or fewer columns, stands `unknown`."""
    known = [getattr(part, field) for part in parts if getattr(part, field) is not None]
    if not known:
        return None
    width = max(values.shape[1] for values in known)
    blocks = [np.full((len(part.files), width), unknown, np.float32) for part in parts]
    for part, block in zip(parts, blocks, strict=True):
        values = getattr(part, field)
        if values is not None:
            block[:, : values.shape[1]] = values
    return np.concatenate(blocks)


def renumbered(examples: Examples, names: Sequence[str]) -> Examples:
    """The same examples with their classes numbered in the order of some names.

    Args:
        examples: The examples.
        names: Classes. An example of another one becomes unlabelled, and votes for another one
            become votes for none of the expressions.
    """
    number = {name: index for index, name in enumerate(names)}
    table = np.array([number.get(name, UNLABELLED) for name in examples.expression_names], np.int32)
    # -1 finds the last row: what is unknown stays so.
    table = np.append(table, np.int32(UNLABELLED))
    changed = examples._replace(
        expressions=table[examples.expressions], expression_names=tuple(names)
    )
    if examples.votes is None:
        return changed
    votes = np.zeros((len(examples.files), len(names)), np.float32)
    kept = np.flatnonzero(table[:-1] != UNLABELLED)
    votes[:, table[kept]] = examples.votes[:, kept]
    left_out = examples.votes[:, np.flatnonzero(table[:-1] == UNLABELLED)]
    parts = [left_out] if examples.other_votes is None else [examples.other_votes, left_out]
    other = np.concatenate(parts, axis=1)
    return changed._replace(votes=votes, other_votes=other if other.shape[1] else None)


def with_classes(examples: Examples, names: Sequence[str]) -> Examples:
    """Those examples whose class is among some names, numbered in the order of these."""
    return with_expression(renumbered(examples, names))


def has_subjects(examples: Examples) -> bool:
    """Whether every group is a subject, none the hash of a picture."""
    return bool(known_subjects(examples.groups).all())


def known_subjects(groups: np.ndarray) -> np.ndarray:
    """Which groups are subjects and not the hash of a picture, bool `[N]`."""
    return np.array([_HASH.fullmatch(str(group)) is None for group in groups], bool)


def _labels(
    builder: Any, columns: LabelColumns, feature: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    numbers = getattr(columns, feature)
    if numbers is None:
        return np.full(len(columns.digest), UNLABELLED, np.int32), ()
    return numbers.astype(np.int32), tuple(builder.info.features[feature].names)


def _hexadecimal(digests: np.ndarray) -> np.ndarray:
    width = 2 * digests.shape[1]
    return np.frombuffer(digests.tobytes().hex().encode(), f"S{width}").astype(f"U{width}")


def _texts(utf8: np.ndarray) -> np.ndarray:
    if utf8.dtype.itemsize and utf8.view(np.uint8).max() < 128:
        return utf8.astype(str)  # ASCII, at once
    return np.char.decode(utf8, "utf-8")


def with_transform(examples: Examples, transform: Transform) -> Examples:
    """The same examples on disk, read with another transform."""
    images = examples.images
    if not isinstance(images, LazyImages):
        raise TypeError("the images are in memory, already transformed")
    return examples._replace(images=LazyImages(images.source, images.positions, transform))


def with_expression(examples: Examples) -> Examples:
    """Those examples whose expression is known."""
    return examples.select(np.flatnonzero(examples.expressions != UNLABELLED))


def labelled(examples: Examples) -> Examples:
    """Those examples that teach something: an expression, votes for one, or an affect."""
    known = examples.expressions != UNLABELLED
    if examples.votes is not None:
        known |= examples.votes.sum(axis=1) > 0
    if examples.affect is not None:
        known |= ~np.isnan(examples.affect).all(axis=1)
    return examples.select(np.flatnonzero(known))


def with_compact_identities(examples: Examples) -> Examples:
    """Those examples whose identity is known, the identities renumbered 0 to K - 1."""
    known = examples.select(np.flatnonzero(examples.identities != UNLABELLED))
    present, compact = np.unique(known.identities, return_inverse=True)
    return known._replace(
        identities=compact.astype(np.int32),
        identity_names=tuple(examples.identity_names[i] for i in present),
    )
