"""Batches of face and expression pairs for training, padded batches for evaluation.

Each family has a feed of its own; `Feed` is what the loop asks of it. The position of a run is
`(epoch, step)`: order, pairing, crop and flip are pure functions of the seed, the epoch and the
index of the pair, so that a resumed run sees what it would have seen.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import grain
import numpy as np

from tdgan_jax.data.examples import Examples
from tdgan_jax.data.images import (
    Augmentation,
    augmented,
    centre_crop,
    check_augmentation,
    random_crop_and_flip,
)
from tdgan_jax.data.padding import padded_rows, padded_weight
from tdgan_jax.errors import UsageError

PAIRINGS = ("fixed", "random")
ALL_ROWS = slice(None)


class Feed(Protocol):
    """Source of a run's training batches."""

    @property
    def expressions(self) -> Examples:
        """The images whose expressions are learned."""
        ...

    @property
    def batch_size(self) -> int:
        """Examples in a batch."""
        ...

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        ...

    @property
    def identity_names(self) -> tuple[str, ...]:
        """Names of the people that the family tells apart; empty without a face branch."""
        ...

    @property
    def contents(self) -> str:
        """What it holds, in words."""
        ...

    def batches(self, epoch: int, first_step: int = 0, rows: slice = ALL_ROWS) -> Iterator[Any]:
        """The batches of an epoch from a step on, named tuples of arrays.

        Of the N rows of a batch only those of `rows` are made: one process's part. Images of the
        others are not read.
        """
        ...


class PairBatch(NamedTuple):
    """A batch of pairs as numpy arrays.

    Attributes:
        face_image: uint8 `[N, S, S, C]`.
        face_identity: int32 `[N]`.
        expression_image: uint8 `[N, S, S, C]`.
        expression_label: int32 `[N]`.
        weight: float32 `[N]`, 0 for padding, mean 1.
        position: int32 `[N]`, 0 to N - 1.
    """

    face_image: np.ndarray
    face_identity: np.ndarray
    expression_image: np.ndarray
    expression_label: np.ndarray
    weight: np.ndarray
    position: np.ndarray


class PairFeed(NamedTuple):
    """What the training batches are made from.

    Attributes:
        faces: Examples with identities, images `[S, S, C]` or larger.
        expressions: Examples with expressions, images at least `[S, S, C]`.
        image_size_px: S.
        batch_size: N.
        seed: Seed of order, pairing and augmentation.
        pairing: `"fixed"`: pair i joins element i of the longer list with element i modulo the
            length of the shorter one, in all epochs (released program); `"random"`: the shorter
            list is shuffled for each epoch.
        augmentation: Of the expression images, besides crop and flip.
        augment_faces: Random crop and flip for faces too; else they are only cut to size.
        pad_last_batch: Keeps the last, partial batch of an epoch, padded with weight 0.
        num_workers: Worker processes; 0 loads in threads of this process.
    """

    faces: Examples
    expressions: Examples
    image_size_px: int
    batch_size: int
    seed: int
    pairing: str = "fixed"
    augmentation: Augmentation = Augmentation()
    augment_faces: bool = False
    pad_last_batch: bool = False
    num_workers: int = 0

    @property
    def num_pairs(self) -> int:
        """Pairs in an epoch: the length of the longer list (spec TDGAN 6.1)."""
        return max(len(self.faces.files), len(self.expressions.files))

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return num_batches(self.num_pairs, self.batch_size, pad_last_batch=self.pad_last_batch)

    @property
    def identity_names(self) -> tuple[str, ...]:
        """Names of the people of the face branch in the face discriminator's order."""
        return self.faces.identity_names

    @property
    def contents(self) -> str:
        """What it holds, in words."""
        return (
            f"{len(self.expressions.files)} expression images, {len(self.faces.files)} faces of "
            f"{len(self.identity_names)} people"
        )

    def batches(
        self, epoch: int, first_step: int = 0, rows: slice = ALL_ROWS
    ) -> Iterator[PairBatch]:
        """See `training_batches`."""
        return training_batches(self, epoch, first_step, rows)


def num_batches(num_examples: int, batch_size: int, *, pad_last_batch: bool) -> int:
    """Batches in an epoch of so many examples."""
    full, rest = divmod(num_examples, batch_size)
    return full + bool(rest and pad_last_batch)


def check_feed(feed: PairFeed) -> None:
    """Refuses settings that give no batches.

    Raises:
        UsageError: If the pairing is unknown, the augmentation out of range or the batch larger
            than an epoch.
    """
    check_augmentation(feed.augmentation)
    if feed.pairing not in PAIRINGS:
        raise UsageError(f"data.pairing is {feed.pairing!r}; known: {', '.join(PAIRINGS)}")
    if not feed.steps_per_epoch:
        raise UsageError(
            f"training.batch_size={feed.batch_size} is larger than the {feed.num_pairs} pairs of "
            "an epoch; choose a smaller one or set data.pad_last_batch"
        )


def pair_indices(feed: PairFeed, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Which face meets which expression image in an epoch.

    Returns:
        Face and expression indices, int64 `[num_pairs]` each.
    """
    sizes = {"face": len(feed.faces.files), "expression": len(feed.expressions.files)}
    # With equal lengths the expression list is the long one, as in the released program.
    long, short = ("face", "expression")
    if sizes["expression"] >= sizes["face"]:
        long, short = short, long
    order = np.arange(sizes[short])
    if feed.pairing == "random":
        order = np.random.default_rng([feed.seed, epoch]).permutation(order)
    indices = {long: np.arange(sizes[long]), short: np.resize(order, sizes[long])}
    return indices["face"], indices["expression"]


def training_batches(
    feed: PairFeed, epoch: int, first_step: int = 0, rows: slice = ALL_ROWS
) -> Iterator[PairBatch]:
    """The batches of one epoch from a step on, in a shuffled order of its own.

    Args:
        feed: Examples and settings.
        epoch: Epoch, from 0.
        first_step: Batches to leave out.
        rows: The rows of each batch to make.

    Yields:
        `feed.steps_per_epoch - first_step` batches.
    """
    faces, expressions = pair_indices(feed, epoch)

    def assemble(pairs: np.ndarray) -> PairBatch:
        own = padded_rows(pairs, feed.batch_size)[rows]
        loaded = [
            _load_pair(feed, epoch, int(pair), int(faces[pair]), int(expressions[pair]))
            for pair in own
        ]
        face_images, expression_images = (np.stack(images) for images in zip(*loaded, strict=True))
        return PairBatch(
            face_image=face_images,
            face_identity=feed.faces.identities[faces[own]],
            expression_image=expression_images,
            expression_label=feed.expressions.expressions[expressions[own]],
            weight=padded_weight(len(pairs), feed.batch_size)[rows],
            position=np.arange(feed.batch_size, dtype=np.int32)[rows],
        )

    return shuffled_batches(
        assemble,
        num_examples=feed.num_pairs,
        batch_size=feed.batch_size,
        pad_last_batch=feed.pad_last_batch,
        seed=feed.seed,
        epoch=epoch,
        first_step=first_step,
        num_workers=feed.num_workers,
    )


def shuffled_batches(
    assemble: Callable[[np.ndarray], Any],
    *,
    num_examples: int,
    batch_size: int,
    pad_last_batch: bool,
    seed: int,
    epoch: int,
    first_step: int,
    num_workers: int,
) -> Iterator[Any]:
    """The batches of one epoch from a step on, made some in advance.

    Args:
        assemble: Makes a batch from the indices of its examples; the last one may have fewer.
        num_examples: Examples in an epoch.
        batch_size: N.
        pad_last_batch: Keeps the last, partial batch.
        seed: With the epoch, of the order.
        epoch: Epoch, from 0.
        first_step: Batches to leave out.
        num_workers: Worker processes; 0: threads of this process.
    """
    shuffle_seed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    batches = (
        grain.MapDataset.range(num_examples)
        .shuffle(seed=shuffle_seed)
        .batch(batch_size, drop_remainder=not pad_last_batch)
        .map(assemble)
    )[first_step:]
    # Some batches ahead: enough to hide a slow one, few enough for memory.
    stream = batches.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=8))
    if num_workers:
        stream = stream.mp_prefetch(grain.MultiprocessingOptions(num_workers=num_workers))
    return iter(stream)


def _load_pair(
    feed: PairFeed, epoch: int, pair: int, face: int, expression: int
) -> tuple[np.ndarray, np.ndarray]:
    # One generator a pair and purpose: the pictures do not depend on batch or order.
    size = feed.image_size_px
    generators = np.random.SeedSequence([feed.seed, epoch, pair]).spawn(2)
    face_image = feed.faces.images[face]
    if feed.augment_faces:
        face_image = random_crop_and_flip(np.random.default_rng(generators[1]), face_image, size)
    else:
        face_image = centre_crop(face_image, size)
    expression_image = augmented(
        np.random.default_rng(generators[0]),
        feed.expressions.images[expression],
        size,
        feed.augmentation,
    )
    return face_image, expression_image


def evaluation_batches(
    examples: Examples, batch_size: int, rows: slice = ALL_ROWS
) -> Iterator[tuple[np.ndarray, int]]:
    """Every example exactly once, in order, the last batch padded.

    Args:
        examples: Examples whose images have all the same shape.
        batch_size: N.
        rows: The rows of each batch to make.

    Yields:
        Images uint8 `[N, S, S, C]`, of the rows alone, and how many of all N count; the rest is
        padding.
    """
    for start in range(0, len(examples.files), batch_size):
        present = np.arange(start, min(start + batch_size, len(examples.files)))
        own = padded_rows(present, batch_size)[rows]
        yield np.stack([examples.images[int(i)] for i in own]), len(present)
