"""Builder of FER+: FER-2013's photographs with the votes of ten raters each.

Reads the owner's folders with a `label.csv` in each, or `fer2013new.csv` with either the folders
or FER-2013's own csv file. The README beside this file has the counts and the rules.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple, cast

import numpy as np
import tensorflow_datasets as tfds

from tdgan_jax.data.image_files import BadImage
from tdgan_jax.data.votes import majority_labels
from tdgan_jax.errors import UserError
from tdgan_jax.expressions import EXPRESSIONS, FERPLUS_COLUMNS, FERPLUS_RATERS
from tdgan_jax.preparation.fer2013_photographs import (
    SIZE_PX,
    TABLE,
    Fer2013Photographs,
    table_rows,
    usage_of,
)
from tdgan_jax.preparation.listing import ListedImage
from tdgan_jax.preparation.source_tree import SourceTree
from tdgan_jax.preparation.tables import read_lines

_FOLDER_OF_PART = {
    "Training": "FER2013Train",
    "PublicTest": "FER2013Valid",
    "PrivateTest": "FER2013Test",
}
_SPELLING = {folder.casefold(): folder for folder in _FOLDER_OF_PART.values()}
_FOLDER = "|".join(_FOLDER_OF_PART.values())
_OTHER = FERPLUS_COLUMNS[len(EXPRESSIONS) :]
# Where the votes for each expression, in the order of EXPRESSIONS, stand in the owner's rows.
_ORDER = tuple(FERPLUS_COLUMNS.index(name) for name in EXPRESSIONS)
# The column for what is no face is named NF.
_VOTE_COLUMNS = (*FERPLUS_COLUMNS[:-1], "NF")
_EXPECTED = (
    "FER2013Train/label.csv with FER2013Train/fer0000000.png, FER2013Valid/..., FER2013Test/...; "
    "or fer2013new.csv with fer2013.csv"
)
# All images, then those with a majority, in the order of EXPRESSIONS.
_COUNTS = {
    "FER2013Train": (28558, (3136, 536, 116, 7284, 3022, 2098, 8733, 120)),
    "FER2013Valid": (3579, (411, 60, 25, 862, 348, 289, 1180, 16)),
    "FER2013Test": (3573, (394, 86, 16, 892, 382, 269, 1083, 15)),
}


@dataclass
class Config(tfds.core.BuilderConfig):
    """Which parts of FER+ to build.

    Attributes:
        splits: The split that holds each of the owner's parts; others are left out.
    """

    splits: Mapping[str, str] = field(default_factory=dict)


class _Votes(NamedTuple):
    """What the raters said of an image: its part and name, and the ten votes in their order."""

    folder: str
    file: str
    votes: tuple[float, ...]
    position: int | None = None


class Builder(Fer2013Photographs):
    """Builds `ferplus` from the owner's folders, or from `fer2013new.csv` and the photographs."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [
        Config(
            name="full",
            description="28,558 + 3,579 + 3,573 images: train, validation and test.",
            splits={
                "FER2013Train": "train",
                "FER2013Valid": "validation",
                "FER2013Test": "test",
            },
        ),
        Config(
            name="without_test",
            description="28,558 + 3,579 images: train, and FER2013Valid as test.",
            splits={"FER2013Train": "train", "FER2013Valid": "test"},
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "The votes (fer2013new.csv) are at https://github.com/microsoft/FERPlus; the photographs\n"
        "are FER-2013's (fer2013.csv), a free download after signing in at Kaggle:\n"
        "https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-"
        "recognition-challenge"
    )
    HOMEPAGE = "https://github.com/microsoft/FERPlus"
    HAS_VOTES = True
    OTHER_VOTES = _OTHER
    DOCUMENTED = {
        config.name: {
            name: count
            for folder, split in config.splits.items()
            for name, count in (
                (split, _COUNTS[folder][0]),
                *zip(
                    (f"{split}/{expression}" for expression in EXPRESSIONS),
                    _COUNTS[folder][1],
                    strict=True,
                ),
            )
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
    def expression_names(self) -> tuple[str, ...]:
        """The eight expressions."""
        return EXPRESSIONS

    def list_images(self, tree: SourceTree) -> list[ListedImage]:
        """Lists the images that raters have seen; an expression is what most of them saw."""
        tables = tree.matches(rf"(?P<folder>{_FOLDER})/label\.csv")
        new_table = tree.matches(r"fer2013new\.csv")
        self.check_layout(tree, [*tables, *new_table], _EXPECTED)
        if tables:
            rated = [
                row
                for table in tables
                for row in self._rows_of_folder(
                    tree, table.string, _SPELLING[table["folder"].casefold()]
                )
            ]
        else:
            rated = list(self._rows_of_new_table(tree, new_table[0].string))
        rated = [row for row in rated if row.folder in self.variant.splits]
        pixels = tree.matches(TABLE)
        if rated and rated[0].position is not None:
            return self._labelled(rated, [pixels[0].string] * len(rated))
        return self._with_files(tree, rated)

    def _rows_of_folder(self, tree: SourceTree, table: str, folder: str) -> Iterator[_Votes]:
        """Reads a `label.csv`: file, box and ten votes in each line, without names of columns."""
        for line, row in read_lines(functools.partial(tree.open, table), table):
            rated = self.try_file(f"{table} line {line}", lambda row=row: _rated(row, folder))
            if rated is not None:
                yield rated

    def _rows_of_new_table(self, tree: SourceTree, table: str) -> Iterator[_Votes]:
        """Reads `fer2013new.csv`, whose lines are those of `fer2013.csv`."""
        columns = ("Usage", "Image name", *_VOTE_COLUMNS)
        lines = table_rows(tree, table, columns)
        pixels = tree.matches(TABLE)
        if not pixels:
            for line, row in lines:
                yield from self._rated_line(table, line, row, None)
            return
        photographs = table_rows(tree, pixels[0].string, ("Usage", "pixels"))
        for (line, row), photograph in zip_longest(lines, photographs, fillvalue=(0, {})):
            usages = [(one.get("Usage") or "").strip() for one in (row, photograph[1])]
            if usages[0] != usages[1]:
                raise UserError(
                    f"{table} and {pixels[0].string} are not of the same photographs: line "
                    f"{line or photograph[0]} has the Usage {usages[0]!r} in the one and "
                    f"{usages[1]!r} in the other"
                )
            yield from self._rated_line(table, line, row, photograph[0])

    def _rated_line(
        self, table: str, line: int, row: dict[str, str], position: int | None
    ) -> Iterator[_Votes]:
        """What a line of `fer2013new.csv` says; nothing where it names no image."""
        file = (row["Image name"] or "").strip()
        if not file:
            return
        rated = self.try_file(
            f"{table} line {line}",
            lambda: _Votes(
                _FOLDER_OF_PART[usage_of(row)],
                file,
                _numbers([row[column] or "" for column in _VOTE_COLUMNS]),
                position,
            ),
        )
        if rated is not None:
            yield rated

    def _with_files(self, tree: SourceTree, rated: Sequence[_Votes]) -> list[ListedImage]:
        """Finds the image files of what raters have seen."""
        found = tree.matches(rf"(?P<folder>{_FOLDER})/(?P<file>fer\d+\.png)")
        names = {
            (_SPELLING[match["folder"].casefold()], match["file"].lower()): match.string
            for match in found
        }
        if not names:
            raise UserError(
                f"{tree.path} holds the votes, but not the photographs: put fer2013.csv beside "
                "them, or the folders FER2013Train and others with files such as fer0000000.png "
                "(files named Training_<n>.jpg do not say which votes are theirs)"
            )
        there = [row for row in rated if (row.folder, row.file.lower()) in names]
        if not self.partial:
            for row in rated:
                if (row.folder, row.file.lower()) not in names:
                    self.bad_file(f"{row.folder}/{row.file}", "the file is missing")
        return self._labelled(there, [names[row.folder, row.file.lower()] for row in there])

    def _labelled(self, rated: Sequence[_Votes], names: Sequence[str]) -> list[ListedImage]:
        votes = np.array([row.votes for row in rated], np.float32).reshape(-1, len(FERPLUS_COLUMNS))
        for_expressions, other = votes[:, _ORDER], votes[:, len(EXPRESSIONS) :]
        return [
            ListedImage(
                file=f"{row.folder}/{row.file}",
                name=name,
                split=self.variant.splits[row.folder],
                expression=None if label < 0 else EXPRESSIONS[label],
                position=row.position,
                votes=tuple(for_each),
                other_votes=tuple(for_none),
            )
            for row, name, label, for_each, for_none in zip(
                rated,
                names,
                majority_labels(for_expressions, other).tolist(),
                for_expressions.tolist(),
                other.tolist(),
                strict=True,
            )
        ]


def _rated(row: Sequence[str], folder: str) -> _Votes:
    if len(row) != 2 + len(FERPLUS_COLUMNS):
        raise BadImage(f"{len(row)} values instead of {2 + len(FERPLUS_COLUMNS)}")
    file, box, *votes = row
    if [int(number) for number in re.findall(r"-?\d+", box)] != [0, 0, *SIZE_PX]:
        raise BadImage(f"the box {box!r} is not the whole photograph, (0, 0, 48, 48)")
    return _Votes(folder, file.strip(), _numbers(votes))


def _numbers(votes: Sequence[str]) -> tuple[float, ...]:
    if not all(vote.strip().isdecimal() for vote in votes):
        raise BadImage(f"the votes {', '.join(votes)} are not whole numbers")
    if any(float(vote) > FERPLUS_RATERS for vote in votes):
        raise BadImage(
            f"the votes {', '.join(votes)} are more than those of {FERPLUS_RATERS} raters"
        )
    return tuple(float(vote) for vote in votes)
