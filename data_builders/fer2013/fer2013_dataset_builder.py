"""Builder of FER-2013: an expression dataset without identities.

Reads either layout in which the set is handed out, the folders of images or the csv file, and
removes the training images that occur among the test images. The README beside this file has the
counts, the known flaws and how they are dealt with.
"""

import csv
import io
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast
from zipfile import BadZipFile

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from tdgan_jax.data.image_files import BadImage, GrayImage, encode_gray, read_gray
from tdgan_jax.data.source_builder import SourceBuilder
from tdgan_jax.data.source_tree import SourceTree
from tdgan_jax.errors import UserError
from tdgan_jax.expressions import BASIC_EXPRESSIONS, FER2013_CODES, canonical_name

SIZE_PX = (48, 48)
REMOVED_DUPLICATES = "removed_duplicates.csv"

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


class Photograph(NamedTuple):
    """One image of the source."""

    file: str
    split: str
    expression: str
    image: GrayImage


class Builder(SourceBuilder):
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

    @property
    def variant(self) -> Config:
        """The configuration of this builder."""
        return cast(Config, self.builder_config)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(SIZE_PX[1], SIZE_PX[0], 1), encoding_format="png"
                    ),
                    "expression": tfds.features.ClassLabel(names=BASIC_EXPRESSIONS),
                    "file": tfds.features.Text(),
                    "duplicated_in_train": tfds.features.Scalar(
                        np.bool_,
                        doc="Test image that the owner's training images hold too, removed from "
                        "`train` or not. False for every training example.",
                    ),
                }
            ),
            homepage="https://www.kaggle.com/datasets/msambare/fer2013",
            metadata=self.notes,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        with self.open_source(dl_manager) as tree:
            photographs = self._read(tree)
        files_in_train: defaultdict[str, set[str]] = defaultdict(set)
        for photograph in photographs:
            if photograph.split == "train":
                files_in_train[photograph.image.digest].add(photograph.file)
        duplicated = {
            photograph.file
            for photograph in photographs
            if photograph.split != "train" and photograph.image.digest in files_in_train
        }
        self.notes["test_images_duplicated_in_train"] = len(duplicated)
        self.notes["removed_from_train"] = 0
        if self.variant.drop_duplicates:
            removed = self._list_removed(photographs, duplicated)
            photographs = [item for item in photographs if item.file not in removed]
        self.check_not_empty(len(photographs))
        splits = {
            split: [item for item in photographs if item.split == split]
            for split in self.variant.counts
        }
        # Of a partial source only those splits are made that have images.
        return {
            split: self._generate_examples(items, duplicated)
            for split, items in splits.items()
            if items
        }

    def _generate_examples(
        self, photographs: Iterable[Photograph], duplicated: set[str]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for photograph in photographs:
            yield (
                photograph.file,
                {
                    "image": photograph.image.png,
                    "expression": photograph.expression,
                    "file": photograph.file,
                    "duplicated_in_train": photograph.file in duplicated,
                },
            )

    def _read(self, tree: SourceTree) -> list[Photograph]:
        # All images are held as PNG (75 MB for the full set): duplicates need one look at all.
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
            return self._read_table(tree, tables[0].string)
        return self._read_folders(tree, folders)

    def _read_folders(self, tree: SourceTree, matches: list[Any]) -> list[Photograph]:
        listed = [
            (match, self._split_of_file(match), _basic_expression(match["spelling"]))
            for match in matches
        ]
        self._check_counts(Counter((split, expression) for _, split, expression in listed))
        photographs = []
        for match, split, expression in self.progress(listed, description=self.title):
            image = self.try_file(
                match.string,
                lambda name=match.string: read_gray(tree.read(name), size_px=SIZE_PX),
            )
            if image is not None:
                photographs.append(Photograph(match["path"], split, expression, image))
        return photographs

    def _read_table(self, tree: SourceTree, name: str) -> list[Photograph]:
        counts: Counter[tuple[str, str]] = Counter()
        photographs = []
        for line, row in self._rows(tree, name):
            where = f"{name} line {line}"
            labels = self.try_file(where, lambda row=row: self._labels_of_row(row))
            if labels is None:
                continue
            counts[labels] += 1
            image = self.try_file(where, lambda row=row: _image_of_row(row["pixels"]))
            if image is not None:
                file = f"{name.rpartition('/')[2]}#{line}"
                photographs.append(Photograph(file, *labels, image))
        self._check_counts(counts)
        return photographs

    def _rows(self, tree: SourceTree, name: str) -> Iterator[tuple[int, dict[str, str | None]]]:
        try:
            with tree.open(name) as file:
                text = io.TextIOWrapper(file, encoding="utf-8", newline="")
                rows = csv.DictReader(text, skipinitialspace=True)
                missing = {"emotion", "pixels", "Usage"} - set(rows.fieldnames or ())
                if missing:
                    raise UserError(f"{name} lacks the column {min(missing)} in its first line")
                total = sum(sum(counts) for counts in self.variant.counts.values())
                for row in self.progress(rows, description=self.title, total=total):
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

    def _check_counts(self, found: Mapping[tuple[str, str], int]) -> None:
        self.check_counts(
            {f"{split}/{expression}": count for (split, expression), count in found.items()},
            {
                config.name: {
                    f"{split}/{expression}": count
                    for split, counts in config.counts.items()
                    for expression, count in zip(BASIC_EXPRESSIONS, counts, strict=True)
                }
                for config in self.BUILDER_CONFIGS
            },
        )

    def _list_removed(self, photographs: list[Photograph], duplicated: set[str]) -> set[str]:
        tests: defaultdict[str, list[Photograph]] = defaultdict(list)
        for photograph in photographs:
            if photograph.file in duplicated:
                tests[photograph.image.digest].append(photograph)
        removed = set()
        for photograph in photographs:
            if photograph.split != "train":
                continue
            for test in tests.get(photograph.image.digest, ()):
                removed.add(photograph.file)
                self.append_to_list(
                    REMOVED_DUPLICATES,
                    {
                        "removed_file": photograph.file,
                        "removed_expression": photograph.expression,
                        "test_file": test.file,
                        "test_expression": test.expression,
                    },
                )
        self.notes["removed_from_train"] = len(removed)
        return removed


def _basic_expression(spelling: str) -> str:
    name = canonical_name(spelling)
    if name not in BASIC_EXPRESSIONS:
        raise UserError(f"the class folder {spelling!r} is none of FER-2013's seven expressions")
    return name


def _image_of_row(pixels: str | None) -> GrayImage:
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
    return encode_gray(Image.fromarray(array.astype(np.uint8).reshape(height, width)))
