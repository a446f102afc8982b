"""Batches of face and expression pairs (spec TDGAN 6.1).

Order, pairing, crop and flip are pure functions of the seed, the epoch and the index of the pair.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tdgan_jax.data.examples import Examples
from tdgan_jax.data.feeds import ALL_ROWS, num_batches, shuffled_batches
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

    @property
    def other_parts(self) -> dict[str, Examples]:
        """The faces."""
        return {"faces": self.faces}

    @property
    def checksum(self) -> str:
        """Nothing is computed from the pictures."""
        return ""

    def save(self, folder: Path) -> None:
        """Nothing needs to be kept."""

    def pictures(self) -> dict[str, tuple[Sequence[np.ndarray], Sequence[str]]]:
        """None."""
        return {}


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
