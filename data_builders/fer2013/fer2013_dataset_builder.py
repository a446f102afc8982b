"""Builder of FER-2013: an expression dataset without identities.

Reads either layout in which the set is handed out, the folders of images or the csv file, and
removes the training images that occur among the test images. The README beside this file has the
counts, the known flaws and how they are dealt with.
"""

import csv
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from zipfile import BadZipFile

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from tdgan_jax.data.image_files import BadImage, encode_png
from tdgan_jax.errors import UserError
from tdgan_jax.expressions import BASIC_EXPRESSIONS, FER2013_CODES, canonical_name
from tdgan_jax.preparation.division import Division, owners_splits
from tdgan_jax.preparation.image_builder import ImageBuilder, ReadImages
from tdgan_jax.preparation.image_workers import Reading
from tdgan_jax.preparation.listing import ListedImage, listed_image
from tdgan_jax.preparation.source_tree import SourceTree

SIZE_PX = (48, 48)

_FULL_SPLITS = {
    "Training": "train",
    "PublicTest": "public_test",
    "PrivateTest": "private_test",
}
_SUBSET_SPLITS = {"Training": "train", "PublicTest": "test", "PrivateTest": "test"}
# Images per expression, in the order of BASIC_EXPRESSIONS.
_FULL_COUNTS = {
    "train": (3171, 4097, 436, 7215, 4830, 3995, 4965),
    "public_test": (415, 496, 56, 895, 653, 467, 607),
    "private_test": (416, 528, 55, 879, 594, 491, 626),
}
_SUBSET_COUNTS = {
    "train": (1344, 1729, 436, 3064, 1990, 1684, 2024),
    "test": (352, 429, 45, 775, 551, 385, 531),
}


@dataclass
class Config(tfds.core.BuilderConfig):
    """Which part of FER-2013 to build.

    Attributes:
        splits: The split that holds each of the owner's three parts.
        counts: Documented images of each split, per expression.
        drop_duplicates: Whether training images that are also test images are removed.
    """

    splits: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    drop_duplicates: bool = True


class Builder(ImageBuilder):
    """Builds `fer2013` from the image folders or from `fer2013.csv`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [
        Config(
            name="full",
            description="All 28,709 + 3,589 + 3,589 images; duplicates removed from train.",
            splits=_FULL_SPLITS,
            counts=_FULL_COUNTS,
        ),
        Config(
            name="subset",
            description="12,271 + 3,068 images (RAF-DB's sizes); duplicates removed from train.",
            splits=_SUBSET_SPLITS,
            counts=_SUBSET_COUNTS,
        ),
        Config(
            name="full_raw",
            description="As `full`, with the training images that are also test images.",
            splits=_FULL_SPLITS,
            counts=_FULL_COUNTS,
            drop_duplicates=False,
        ),
        Config(
            name="subset_raw",
            description="As `subset`, with the training images that are also test images.",
            splits=_SUBSET_SPLITS,
            counts=_SUBSET_COUNTS,
            drop_duplicates=False,
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "FER-2013 is a free download after signing in at Kaggle: the image folders from\n"
        "https://www.kaggle.com/datasets/msambare/fer2013, or fer2013.csv from\n"
        "https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-"
        "recognition-challenge"
    )

    HOMEPAGE = "https://www.kaggle.com/datasets/msambare/fer2013"
    # The same picture occurs in several encodings; as PNG equal pictures are equal files.
    READING = Reading(channels=1, size_px=SIZE_PX, keep_encoding=False)
    HAS_SUBJECTS = False
    HAS_TEST_SPLIT = True
    DOCUMENTED = {
        config.name: {
            f"{split}/{expression}": count
            for split, counts in config.counts.items()
            for expression, count in zip(BASIC_EXPRESSIONS, counts, strict=True)
        }
        for config in BUILDER_CONFIGS
    }

    @property
    def variant(self) -> Config:
        """The configuration of this builder."""
        return cast(Config, self.builder_config)

    @property
    def expression_names(self) -> tuple[str, ...]:
        """The seven expressions."""
        return BASIC_EXPRESSIONS

    def divide(self, read: ReadImages) -> Division:
        """Keeps the owner's splits; the raw configurations keep the duplicates, too."""
        division = owners_splits(
            *read, drop_copies=self.variant.drop_duplicates, progress=self.comparing
        )
        found = division.positions
        in_order = {split: found[split] for split in self.variant.counts if split in found}
        return division._replace(positions=in_order)

    def list_images(self, tree: SourceTree) -> list[ListedImage]:
        """Lists the image folders or the lines of the csv file."""
        folders = tree.matches(r"(?P<folder>train|test)/(?P<spelling>[^/]+)/[^/]+\.(?:jpe?g|png)")
        tables = tree.matches(r"(?:fer2013|icml_face_data)\.csv")
        self.check_layout(
            tree, [*folders, *tables], "train/<class>/Training_<n>.jpg and test/..., or fer2013.csv"
        )
        if folders and tables:
            raise UserError(
                f"{tree.path} holds both {folders[0].string} and {tables[0].string}; "
                "give the image folders or the csv file as the source"
            )
        if tables:
            return self._list_table(tree, tables[0].string)
        return [
            listed_image(
                match,
                split=self._split_of_file(match),
                expression=_basic_expression(match["spelling"]),
            )
            for match in folders
        ]

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
        for line, row in self._rows(tree, name):
            if line in by_line:
                data = self.try_file(
                    f"{name} line {line}", lambda row=row: _image_of_row(row["pixels"])
                )
                if data is not None:
                    yield by_line[line], data

    def _list_table(self, tree: SourceTree, name: str) -> list[ListedImage]:
        listed = []
        for line, row in self._rows(tree, name):
            labels = self.try_file(f"{name} line {line}", lambda row=row: self._labels_of_row(row))
            if labels is not None:
                file = f"{name.rpartition('/')[2]}#{line}"
                listed.append(ListedImage(file, name, *labels, position=line))
        return listed

    def _rows(self, tree: SourceTree, name: str) -> Iterator[tuple[int, dict[str, str | None]]]:
        try:
            with tree.open(name) as file:
                text = io.TextIOWrapper(file, encoding="utf-8", newline="")
                rows = csv.DictReader(text, skipinitialspace=True)
                missing = {"emotion", "pixels", "Usage"} - set(rows.fieldnames or ())
                if missing:
                    raise UserError(f"{name} lacks the column {min(missing)} in its first line")
                for row in rows:
                    yield rows.line_num, row
        except (OSError, EOFError, UnicodeDecodeError, csv.Error, BadZipFile, zlib.error) as error:
            raise UserError(f"{name} in {tree.path} cannot be read to its end ({error})") from error

    def _split_of_file(self, match: Any) -> str:
        in_train = match["folder"].lower() == "train"
        part = match["path"].rpartition("/")[2].partition("_")[0]
        if part in _FULL_SPLITS and (part == "Training") != in_train:
            raise UserError(f"{match.string}: a {part} file in the folder {match['folder']}")
        if in_train:
            return "train"
        if part not in _FULL_SPLITS and "test" not in self.variant.counts:
            raise UserError(
                f"{match.string}: test files of {self.title} are named PublicTest_<n> or "
                "PrivateTest_<n>"
            )
        return self.variant.splits.get(part, "test")

    def _labels_of_row(self, row: Mapping[str, str | None]) -> tuple[str, str]:
        usage, code = (row["Usage"] or "").strip(), (row["emotion"] or "").strip()
        if usage not in _FULL_SPLITS:
            raise BadImage(f"Usage is {usage!r}, not one of {', '.join(_FULL_SPLITS)}")
        if not code.isdecimal() or int(code) not in FER2013_CODES:
            raise BadImage(f"emotion is {code!r}, not a number from 0 to 6")
        return self.variant.splits[usage], FER2013_CODES[int(code)]


def _basic_expression(spelling: str) -> str:
    name = canonical_name(spelling)
    if name not in BASIC_EXPRESSIONS:
        raise UserError(f"the class folder {spelling!r} is none of FER-2013's seven expressions")
    return name


def _image_of_row(pixels: str | None) -> bytes:
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
