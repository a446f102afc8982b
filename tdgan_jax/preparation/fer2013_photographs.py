"""What FER-2013 and FER+ share: the same photographs, 48x48 gray, as files or lines of one csv."""

import functools
from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

import numpy as np
from PIL import Image

from tdgan_jax.data.equal_pictures import empty_pictures, gray_pictures, nearly_equal
from tdgan_jax.data.image_files import BadImage, encode_png
from tdgan_jax.errors import UserError
from tdgan_jax.preparation.division import Division, owners_splits
from tdgan_jax.preparation.image_builder import ImageBuilder, ReadImages
from tdgan_jax.preparation.image_workers import Reading
from tdgan_jax.preparation.listing import ListedImage
from tdgan_jax.preparation.source_tree import SourceTree
from tdgan_jax.preparation.tables import read_header, read_rows

SIZE_PX = (48, 48)
TABLE = r"(?:fer2013|icml_face_data)\.csv"
"""The names of the csv file that holds the photographs as pixel values."""

PARTS = ("Training", "PublicTest", "PrivateTest")
"""The three parts as the column `Usage` of the csv file names them."""

EMPTY_PICTURES = "empty_pictures.csv"


class Fer2013Photographs(ImageBuilder, skip_registration=True):
    """A builder of these photographs; a subclass knows where their labels are.

    Pictures that show nothing are left out. Training pictures that a test part holds too, equal
    except for an encoder's noise, are removed and listed.
    """

    # The same picture occurs in several encodings; as PNG equal pictures are equal files.
    READING = Reading(channels=1, size_px=SIZE_PX, keep_encoding=False)
    HAS_SUBJECTS: ClassVar[bool] = False
    HAS_TEST_SPLIT: ClassVar[bool] = True

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits in order, those of the training images first."""
        raise NotImplementedError

    @property
    def keeps_copies(self) -> bool:
        """Whether training images that are also test images, and empty ones, are kept."""
        return False

    def divide(self, read: ReadImages) -> Division:
        """Keeps the owner's splits without empty pictures and training copies of test pictures."""
        pictures = gray_pictures(self.encoded_images(range(len(read.listed))))
        empty = [] if self.keeps_copies else empty_pictures(pictures).tolist()
        is_train = np.array([image.split == "train" for image in read.listed])
        train, tests = np.flatnonzero(is_train), np.flatnonzero(~is_train)
        division = owners_splits(
            *read,
            drop_copies=not self.keeps_copies,
            nearly_equal=[
                (int(train[i]), int(tests[j]))
                for i, j in nearly_equal(pictures[train], pictures[tests])
            ],
            left_out=empty,
            progress=self.comparing,
        )
        found = division.positions
        rows = [
            {
                "file": read.listed[position].file,
                "split": read.listed[position].split,
                "expression": read.listed[position].expression or "",
            }
            for position in empty
        ]
        return division._replace(
            positions={split: found[split] for split in self.split_names if split in found},
            notes={"empty_pictures": len(empty), **division.notes},
            tables={EMPTY_PICTURES: rows, **division.tables},
        )

    def files(
        self, tree: SourceTree, listed: Sequence[ListedImage]
    ) -> Iterator[tuple[ListedImage, bytes]]:
        """Reads image files, or the pixels of the csv file in one pass."""
        by_line = {}
        for image in listed:
            if image.position is None:
                yield from super().files(tree, [image])
            else:
                by_line[image.position] = image
        if not by_line:
            return
        name = next(iter(by_line.values())).name
        for line, row in table_rows(tree, name, ("pixels",)):
            if line in by_line:
                data = self.try_file(
                    f"{name} line {line}", lambda row=row: _image_of_pixels(row["pixels"])
                )
                if data is not None:
                    yield by_line[line], data


def table_rows(
    tree: SourceTree, name: str, columns: Collection[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Reads a csv file line by line.

    Args:
        tree: The source.
        name: The csv file.
        columns: Those that it must have.

    Yields:
        The number of the line in the file, and its values by column.

    Raises:
        UserError: If a column is missing, or the file cannot be read to its end.
    """
    opened, title = functools.partial(tree.open, name), f"{name} in {tree.path}"
    missing = set(columns) - set(read_header(opened, title, columns).columns)
    if missing:
        raise UserError(f"{name} lacks the column {min(missing)} in its first line")
    yield from read_rows(opened, title, columns)


def usage_of(row: dict[str, str]) -> str:
    """The part of the set that a line of the csv file belongs to.

    Args:
        row: Its values by column.

    Returns:
        One of `PARTS`.

    Raises:
        BadImage: If the column `Usage` names none of them.
    """
    usage = (row["Usage"] or "").strip()
    if usage not in PARTS:
        raise BadImage(f"Usage is {usage!r}, not one of {', '.join(PARTS)}")
    return usage


def _image_of_pixels(pixels: str | None) -> bytes:
    width, height = SIZE_PX
    values = (pixels or "").split()
    if len(values) != width * height:
        raise BadImage(f"{len(values)} pixels instead of {width}x{height}")
    try:
        array = np.array(values, dtype=np.int64)
    except ValueError as error:
        raise BadImage(f"not a pixel value ({error})") from error
    if array.min() < 0 or array.max() > 255:
        raise BadImage("a pixel value outside 0 to 255")
    return encode_png(Image.fromarray(array.astype(np.uint8).reshape(height, width)))
