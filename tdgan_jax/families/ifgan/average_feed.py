"""Batches of images with the average face of their expression, for IF-GAN (spec IF-GAN 8 and 9).

Order, crop, flip and rotation are pure functions of the seed, the epoch and the index of the
example. Images are uint8 `[L, L, C]`, squares of 256/224 of the model's size S.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tdgan_jax.data.examples import Examples
from tdgan_jax.data.feeds import ALL_ROWS, num_batches, shuffled_batches
from tdgan_jax.data.images import centre_crop, rotated
from tdgan_jax.data.padding import padded_rows, padded_weight
from tdgan_jax.errors import UsageError
from tdgan_jax.families.ifgan.average_identity import (
    AVERAGE_FACES_FILE,
    AverageFaces,
    save_average_faces,
)

# Angles between minus and plus the largest one, or either of these two.
ROTATIONS = ("range", "ends")
# How the average face is cut out: at the input's place and mirrored with it, or from the middle.
TARGET_CROPS = ("as_input", "centre")


class AverageFaceBatch(NamedTuple):
    """A batch as numpy arrays.

    Attributes:
        image: uint8 `[N, S, S, C]`.
        average_image: uint8 `[N, S, S, C]`, the average face of each image's expression.
        expression_label: int32 `[N]`.
        weight: float32 `[N]`, 0 for padding, mean 1.
        position: int32 `[N]`, 0 to N - 1.
        epoch: int32 `[N]`, the epoch from 0 in each row.
    """

    image: np.ndarray
    average_image: np.ndarray
    expression_label: np.ndarray
    weight: np.ndarray
    position: np.ndarray
    epoch: np.ndarray


class AverageFaceFeed(NamedTuple):
    """What the training batches are made from.

    Attributes:
        expressions: Examples with expressions.
        average_faces: One for each class; they are content of the batches and not of the compiled
            step, so that the folds of a cross-validation share one program.
        image_size_px: S.
        batch_size: N.
        seed: Seed of order and augmentation.
        rotation_degrees: Largest angle of the inputs; the average faces stay upright.
        rotation: One of `ROTATIONS`.
        target_crop: One of `TARGET_CROPS`.
        pad_last_batch: Keeps the last, partial batch of an epoch, padded with weight 0.
        num_workers: Worker processes; 0 loads in threads of this process.
    """

    expressions: Examples
    average_faces: AverageFaces
    image_size_px: int
    batch_size: int
    seed: int
    rotation_degrees: float = 5.0
    rotation: str = "range"
    target_crop: str = "as_input"
    pad_last_batch: bool = False
    num_workers: int = 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return num_batches(
            len(self.expressions.files), self.batch_size, pad_last_batch=self.pad_last_batch
        )

    @property
    def identity_names(self) -> tuple[str, ...]:
        """Nobody: IF-GAN tells no people apart."""
        return ()

    @property
    def contents(self) -> str:
        """What it holds, in words."""
        return f"{len(self.expressions.files)} images"

    @property
    def other_parts(self) -> dict[str, Examples]:
        """None: what makes the average faces is in their checksum."""
        return {}

    @property
    def checksum(self) -> str:
        """That of the average faces."""
        return self.average_faces.checksum

    def save(self, folder: Path) -> None:
        """Writes the average faces, which other processes read."""
        save_average_faces(self.average_faces, folder / AVERAGE_FACES_FILE)

    def pictures(self) -> dict[str, tuple[Sequence[np.ndarray], Sequence[str]]]:
        """The average faces that there are."""
        faces = self.average_faces
        present = [i for i, count in enumerate(faces.counts) if count]
        tiles = [faces.images[i : i + 1].astype(np.float32) / 255 for i in present]
        return {"average_faces": (tiles, [faces.names[i] for i in present])}

    def batches(
        self, epoch: int, first_step: int = 0, rows: slice = ALL_ROWS
    ) -> Iterator[AverageFaceBatch]:
        """The batches of one epoch from a step on, in a shuffled order of its own.

        Args:
            epoch: Epoch, from 0.
            first_step: Batches to leave out.
            rows: The rows of each batch to make.
        """

        def assemble(indices: np.ndarray) -> AverageFaceBatch:
            size = self.batch_size
            own = padded_rows(indices, size)[rows]
            pairs = [augmented_pair(self, epoch, int(index)) for index in own]
            images, targets = (np.stack(each) for each in zip(*pairs, strict=True))
            return AverageFaceBatch(
                image=images,
                average_image=targets,
                expression_label=self.expressions.expressions[own],
                weight=padded_weight(len(indices), size)[rows],
                position=np.arange(size, dtype=np.int32)[rows],
                epoch=np.full(len(own), epoch, np.int32),
            )

        return shuffled_batches(
            assemble,
            num_examples=len(self.expressions.files),
            batch_size=self.batch_size,
            pad_last_batch=self.pad_last_batch,
            seed=self.seed,
            epoch=epoch,
            first_step=first_step,
            num_workers=self.num_workers,
        )


def check_average_face_feed(feed: AverageFaceFeed) -> None:
    """Refuses settings that give no batches.

    Raises:
        UsageError: If an option is unknown or the batch is larger than an epoch.
    """
    for field, known in (("rotation", ROTATIONS), ("target_crop", TARGET_CROPS)):
        value = getattr(feed, field)
        if value not in known:
            raise UsageError(f"data.{field} is {value!r}; known: {', '.join(known)}")
    if not 0 <= feed.rotation_degrees <= 45:
        raise UsageError(f"data.rotation_degrees must be in [0, 45], got {feed.rotation_degrees}")
    if not feed.steps_per_epoch:
        raise UsageError(
            f"training.batch_size={feed.batch_size} is larger than the "
            f"{len(feed.expressions.files)} images of an epoch; choose a smaller one or set "
            "data.pad_last_batch"
        )


def augmented_pair(feed: AverageFaceFeed, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """An image flipped, turned and cropped, and its target with the same flip and crop.

    Returns:
        uint8 `[S, S, C]` each.
    """
    # One generator an example: the pictures do not depend on batch or order.
    random = np.random.default_rng([feed.seed, epoch, index])
    image = feed.expressions.images[index]
    target = feed.average_faces.images[feed.expressions.expressions[index]]
    is_flipped = bool(random.integers(2))
    angle = random.uniform(-1, 1) * feed.rotation_degrees
    if feed.rotation == "ends":
        angle = feed.rotation_degrees if angle > 0 else -feed.rotation_degrees
    size = feed.image_size_px
    top, left = random.integers(image.shape[0] - size + 1, size=2)

    def cropped(pixels: np.ndarray) -> np.ndarray:
        return pixels[top : top + size, left : left + size]

    mirrored = image[:, ::-1] if is_flipped else image
    turned = rotated(mirrored, angle) if angle else mirrored
    if feed.target_crop == "centre":
        return cropped(turned), centre_crop(target, size)
    return cropped(turned), cropped(target[:, ::-1] if is_flipped else target)
