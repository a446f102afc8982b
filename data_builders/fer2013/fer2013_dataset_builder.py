"""Builder of FER-2013: an expression dataset without identities.

Reads either layout in which the set is handed out, the folders of images or the csv file. The
README beside this file has the counts, the known flaws and how they are dealt with.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import cast

import tensorflow_datasets as tfds

from tdgan_jax.data.image_files import BadImage
from tdgan_jax.errors import UserError
from tdgan_jax.expressions import BASIC_EXPRESSIONS, FER2013_CODES, canonical_name
from tdgan_jax.preparation.fer2013_photographs import (
    PARTS,
    TABLE,
    Fer2013Photographs,
    table_rows,
    usage_of,
)
from tdgan_jax.preparation.listing import ListedImage, listed_image
from tdgan_jax.preparation.source_tree import SourceTree

_PART_OF_FOLDER = {
    "train": "Training",
    "public_test": "PublicTest",
    "validation": "PublicTest",
    "private_test": "PrivateTest",
}
_FOLDER = "|".join((*_PART_OF_FOLDER, "test"))
_EXPECTED = (
    "train/<class>/Training_<n>.jpg with public_test/... and private_test/... (or test/...), "
    "or fer2013.csv"
)
# Images per expression, in the order of BASIC_EXPRESSIONS.
_COUNTS = {
    "Training": (3171, 4097, 436, 7215, 4830, 3995, 4965),
    "PublicTest": (415, 496, 56, 895, 653, 467, 607),
    "PrivateTest": (416, 528, 55, 879, 594, 491, 626),
}
_ALL = {"Training": "train", "PublicTest": "public_test", "PrivateTest": "private_test"}


@dataclass
class Config(tfds.core.BuilderConfig):
    """Which part of FER-2013 to build.

    Attributes:
        splits: The split that holds each of the owner's parts; others are left out.
        keeps_copies: Whether training images that are also test images, and empty ones, stay.
    """

    splits: Mapping[str, str] = field(default_factory=dict)
    keeps_copies: bool = False


class Builder(Fer2013Photographs):
    """Builds `fer2013` from the image folders or from `fer2013.csv`."""

    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {
        "2.0.0": "Nearly equal pictures count as equal; empty ones are left out; no more subset.",
        "1.0.0": "First release.",
    }
    BUILDER_CONFIGS = [
        Config(
            name="full",
            description="28,709 + 3,589 + 3,589 images; test images removed from train.",
            splits=_ALL,
        ),
        Config(
            name="without_private_test",
            description="28,709 + 3,589 images: train, and the public test as test.",
            splits={"Training": "train", "PublicTest": "test"},
        ),
        Config(
            name="full_raw",
            description="As `full`, with empty images and training images that are test images.",
            splits=_ALL,
            keeps_copies=True,
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "FER-2013 is a free download after signing in at Kaggle: the image folders from\n"
        "https://www.kaggle.com/datasets/msambare/fer2013, or fer2013.csv from\n"
        "https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-"
        "recognition-challenge"
    )
    HOMEPAGE = "https://www.kaggle.com/datasets/msambare/fer2013"
    DOCUMENTED = {
        config.name: {
            f"{split}/{expression}": count
            for part, split in config.splits.items()
            for expression, count in zip(BASIC_EXPRESSIONS, _COUNTS[part], strict=True)
        }
        for config in BUILDER_CONFIGS
    }

    @property
    def variant(self) -> Config:
        """The configuration of this builder."""
        return cast(Config, self.builder_config)

    @property
    def split_names(self) -> tuple[str, ...]:
        """As the configuration says."""
        return tuple(self.variant.splits.values())

    @property
    def keeps_copies(self) -> bool:
        """As the configuration says."""
        return self.variant.keeps_copies

    @property
    def expression_names(self) -> tuple[str, ...]:
        """The seven expressions."""
        return BASIC_EXPRESSIONS

    def list_images(self, tree: SourceTree) -> list[ListedImage]:
        """Lists the image folders or the lines of the csv file."""
        folders = tree.matches(rf"(?P<folder>{_FOLDER})/(?P<spelling>[^/]+)/[^/]+\.(?:jpe?g|png)")
        tables = tree.matches(TABLE)
        self.check_layout(tree, [*folders, *tables], _EXPECTED)
        if folders and tables:
            raise UserError(
                f"{tree.path} holds both {folders[0].string} and {tables[0].string}; "
                "give the image folders or the csv file as the source"
            )
        if tables:
            return self._list_table(tree, tables[0].string)
        named = {match["folder"].lower() for match in folders}
        parts = {match: _part_of_file(match, named) for match in folders}
        return [
            listed_image(
                match,
                split=self.variant.splits[part],
                expression=_basic_expression(match["spelling"]),
            )
            for match, part in parts.items()
            if part in self.variant.splits
        ]

    def _list_table(self, tree: SourceTree, name: str) -> list[ListedImage]:
        listed = []
        for line, row in table_rows(tree, name, ("emotion", "pixels", "Usage")):
            labels = self.try_file(f"{name} line {line}", lambda row=row: _labels_of_row(row))
            if labels is not None and labels[0] in self.variant.splits:
                part, expression = labels
                file = f"{name.rpartition('/')[2]}#{line}"
                split = self.variant.splits[part]
                listed.append(ListedImage(file, name, split, expression, position=line))
        return listed


def _part_of_file(match: re.Match[str], folders: Collection[str]) -> str:
    """Which of the owner's parts a file of the image folders belongs to."""
    folder = match["folder"].lower()
    named = match["path"].rpartition("/")[2].partition("_")[0]
    part = _PART_OF_FOLDER.get(folder)
    if part is None:
        if named in PARTS and named != "Training":
            return named
        if named not in PARTS and not {"public_test", "validation"}.isdisjoint(folders):
            return "PrivateTest"
    if named in PARTS and named != part:
        raise UserError(f"{match.string}: a {named} file in the folder {match['folder']}")
    if part is None:
        raise UserError(
            f"{match.string}: test files of FER-2013 are named PublicTest_<n> or PrivateTest_<n>, "
            "or stand in folders public_test and private_test"
        )
    return part


def _basic_expression(spelling: str) -> str:
    name = canonical_name(spelling)
    if name not in BASIC_EXPRESSIONS:
        raise UserError(f"the class folder {spelling!r} is none of FER-2013's seven expressions")
    return name


def _labels_of_row(row: dict[str, str]) -> tuple[str, str]:
    part, code = usage_of(row), (row["emotion"] or "").strip()
    if not code.isdecimal() or int(code) not in FER2013_CODES:
        raise BadImage(f"emotion is {code!r}, not a number from 0 to 6")
    return part, FER2013_CODES[int(code)]
