"""Average-identity faces: the mean image of each expression, IF-GAN's targets (spec IF-GAN 9).

They are made from training images alone and kept in the run folder with a checksum of these.
"""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tdgan_jax.data.examples import Examples
from tdgan_jax.errors import UserError
from tdgan_jax.files import MAX_PICTURE_BYTES, read_file, write_atomically

AVERAGE_FACES_FILE = "average_faces.npz"  # in the run folder
NO_FACE = 128  # gray, for a class without images; nothing is ever drawn after it


class AverageFaces(NamedTuple):
    """The mean images of the classes.

    Attributes:
        images: uint8 `[C, L, L, channels]`.
        counts: int64 `[C]`, images of each mean.
        names: Names of the classes, in the order of the images.
        checksum: Of the pictures, their labels and the images' shape; equal ones mean equal images.
    """

    images: np.ndarray
    counts: np.ndarray
    names: tuple[str, ...]
    checksum: str


def average_faces(
    examples: Examples, *, image_shape: tuple[int, int, int], cached: Path | None = None
) -> AverageFaces:
    """The pixel mean of each class.

    Args:
        examples: Training images, uint8; they are looked at only if the cache does not serve.
        image_shape: Their shape `(L, L, channels)`.
        cached: A file of `save_average_faces`; one of other pictures is left aside.

    Returns:
        The means, rounded; a class without images is gray.
    """
    checksum = pictures_checksum(examples, image_shape)
    known = None if cached is None else read_average_faces(cached)
    if known is not None and known.checksum == checksum:
        return known
    sums = np.zeros((len(examples.expression_names), *image_shape), np.int64)
    for index, label in enumerate(examples.expressions):
        sums[label] += examples.images[index]
    counts = np.bincount(examples.expressions, minlength=len(sums))
    means = np.rint(sums / np.maximum(counts, 1).reshape(-1, 1, 1, 1)).astype(np.uint8)
    means[counts == 0] = NO_FACE
    return AverageFaces(means, counts, examples.expression_names, checksum)


def check_complete(faces: AverageFaces, examples: Examples) -> None:
    """Makes sure that every class that is trained has a face.

    Raises:
        UserError: Names a class without one.
    """
    for label in np.unique(examples.expressions):
        if not faces.counts[label]:
            raise UserError(
                f"no average face of {faces.names[label]!r}: the datasets that "
                "data.average_identity_datasets names have no such image; name others, or none to "
                "take the training images"
            )


def pictures_checksum(examples: Examples, image_shape: tuple[int, int, int]) -> str:
    """Hash of the encoded pictures with their labels, and of the shape they are brought to."""
    pictures = examples.files if examples.digests is None else examples.digests
    total = hashlib.sha256(f"{image_shape} {examples.expression_names}\n".encode())
    for picture, label in zip(pictures, examples.expressions, strict=True):
        total.update(f"{picture} {label}\n".encode())
    return total.hexdigest()


def save_average_faces(faces: AverageFaces, path: Path) -> None:
    """Writes the faces, so that they need not be made again.

    Raises:
        UserError: If they cannot be written.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **faces._replace(names=np.array(faces.names))._asdict())
    write_atomically(path, buffer.getvalue())


def read_average_faces(path: Path) -> AverageFaces | None:
    """Reads what `save_average_faces` wrote; None if it is missing or damaged."""
    try:
        with np.load(
            io.BytesIO(read_file(path, limit_bytes=MAX_PICTURE_BYTES)), allow_pickle=False
        ) as stored:
            fields = {name: stored[name] for name in AverageFaces._fields}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return AverageFaces(
        fields["images"],
        fields["counts"],
        tuple(map(str, fields["names"])),
        str(fields["checksum"]),
    )
