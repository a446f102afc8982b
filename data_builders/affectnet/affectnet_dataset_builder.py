"""Builder of AffectNet, from its owner's tables or from what two programs made of them."""

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

import tensorflow_datasets as tfds

from tdgan_jax.data.picture_files import picture_suffixes
from tdgan_jax.errors import UserError
from tdgan_jax.expressions import AFFECTNET_CODES, BASIC_EXPRESSIONS, EXPRESSIONS
from tdgan_jax.preparation.annotation_pickles import (
    annotations_of_source,
    load_affectnet_annotations,
)
from tdgan_jax.preparation.image_builder import ImageBuilder
from tdgan_jax.preparation.image_workers import Reading
from tdgan_jax.preparation.listing import ListedImage
from tdgan_jax.preparation.source_tree import SourceTree
from tdgan_jax.printing import printable

from .rows import (
    NAME,
    Face,
    expression_code,
    face_of_annotation,
    face_of_name,
    face_of_row,
    table_rows,
)

LARGEST_SIDE_PX = 256
"""More than any of the papers' models looks at."""

# In the order of EXPRESSIONS.
COUNTS = {
    "train": (14090, 6378, 3803, 134415, 25459, 24882, 74874, 3750),
    "test": (500,) * len(EXPRESSIONS),
}
_FOLDERS = {"training_labeled": "train", "validation": "test"}
_TABLES = {
    "train": r"(?:Manually_)?training\.csv",
    "test": r"(?:Manually_)?validation\.csv",
}
_ANNOTATIONS = "data_affectnet.pkl"
_OTHER = {8: "none", 9: "uncertain", 10: "no face"}
_EXPECTED = (
    "training.csv and validation.csv with Manually_Annotated_Images/<folder>/<image>; or "
    "data_affectnet.pkl with the same images; or Training_Labeled/<folder>/0000000s7s-653s653.jpg "
    "and Validation/..."
)


@dataclass
class Config(tfds.core.BuilderConfig):
    """Which faces of AffectNet to build, and how they are cut out.

    Attributes:
        has_contempt: Whether contempt is a class.
        level_eyes: Whether the photograph is turned until the eyes are level.
    """

    has_contempt: bool = True
    level_eyes: bool = False

    @property
    def expressions(self) -> tuple[str, ...]:
        """The classes."""
        return EXPRESSIONS if self.has_contempt else BASIC_EXPRESSIONS


class _Listed(NamedTuple):
    """A face, its split, and the file where it was found."""

    split: str
    face: Face
    name: str


class Builder(ImageBuilder):
    """Builds `affectnet`; the owner's validation images, of which papers report, are `test`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [
        Config(name="8", description="287,651 + 4,000 images of eight expressions."),
        Config(
            name="7",
            description="283,901 + 3,500 images of seven expressions, without contempt.",
            has_contempt=False,
        ),
        Config(name="8_level", description="As 8, with level eyes.", level_eyes=True),
        Config(
            name="7_level",
            description="As 7, with level eyes (Emotion-GCN).",
            has_contempt=False,
            level_eyes=True,
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "AffectNet is given to researchers whose institution signs its agreement:\n"
        "http://mohammadmahoor.com/affectnet/"
    )
    HOMEPAGE = "http://mohammadmahoor.com/affectnet/"
    READING = Reading(channels=3, largest_side_px=LARGEST_SIDE_PX)
    HAS_SUBJECTS = False
    HAS_TEST_SPLIT = True
    HAS_AFFECT = True
    DOCUMENTED = {
        config.name: {
            f"{split}/{expression}": count
            for split, counts in COUNTS.items()
            for expression, count in zip(config.expressions, counts, strict=False)
        }
        for config in BUILDER_CONFIGS
    }

    @property
    def variant(self) -> Config:
        """The configuration of this builder."""
        return cast(Config, self.builder_config)

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Seven or eight expressions."""
        return self.variant.expressions

    def list_images(self, tree: SourceTree) -> list[ListedImage]:
        """Lists the faces of the tables, of the annotations, or of the folders."""
        tables = {split: tree.matches(pattern) for split, pattern in _TABLES.items()}
        annotations = tree.matches(re.escape(_ANNOTATIONS))
        self._left_out: Counter[str] = Counter()
        if any(tables.values()):
            pictures = self._pictures(tree)
            found: Iterable[_Listed] = (
                listed
                for split, matches in tables.items()
                for match in matches
                for listed in self._with_files(pictures, split, self._table(tree, match.string))
            )
        elif annotations:
            found = self._annotated(tree, annotations[0].string)
        else:
            found = self._in_folders(tree)
        listed = _named(found)
        if self._left_out:
            counted = (f"{count} {name}" for name, count in self._left_out.most_common())
            self.notes["faces_of_other_categories"] = ", ".join(counted)
        labels = defaultdict(set)  # counted, not refused: the tables are the owner's
        for image in listed:
            labels[image.split, image.name, image.box].add(image.expression)
        if contradicted := sum(len(expressions) > 1 for expressions in labels.values()):
            self.notes["faces_with_two_expressions"] = contradicted
        return listed

    def _table(self, tree: SourceTree, table: str) -> Iterator[Face]:
        """The faces of the owner's table that are of the configuration's classes."""

        def read(row: Mapping[str, str]) -> Face | None:
            if "expression" in row and not self._is_wanted(expression_code(row["expression"])):
                return None
            return face_of_row(row, level_eyes=self.variant.level_eyes)

        for line, row in table_rows(tree, table):
            face = self.try_file(f"{table} line {line}", functools.partial(read, row))
            if face is not None:
                yield face

    def _annotated(self, tree: SourceTree, name: str) -> Iterator[_Listed]:
        """The faces of Emotion-GCN's annotations."""
        parts = annotations_of_source(tree, name, load_affectnet_annotations)
        pictures = self._pictures(tree)
        for part, split in (("train", "train"), ("val", "test")):
            wanted = (row for row in parts[part] if self._is_wanted(row.expression))
            faces = (
                self.try_file(
                    f"{name}: {row.image_path}",
                    functools.partial(face_of_annotation, row, level_eyes=self.variant.level_eyes),
                )
                for row in wanted
            )
            yield from self._with_files(pictures, split, (face for face in faces if face))

    def _in_folders(self, tree: SourceTree) -> list[_Listed]:
        """The faces that ESR's and MA-Net's programs cut out."""
        if self.variant.level_eyes:
            raise UserError(
                f"{self.title}: where the eyes are, the owner's tables say; give the folder with "
                "training.csv and validation.csv"
            )
        found = []
        pattern = rf"(?P<folder>Training_Labeled|Validation)/\d+/{NAME}"
        for match in self.find(tree, pattern, _EXPECTED):
            read = functools.partial(face_of_name, match["path"], match.groupdict())
            face = self.try_file(match.string, read)
            if face is not None and self._is_wanted(face.expression):
                found.append(_Listed(_FOLDERS[match["folder"].lower()], face, match.string))
        return sorted(found, key=lambda listed: listed.split != "train")

    def _is_wanted(self, code: int) -> bool:
        """Whether a code is of one of the configuration's classes; counts those that are not."""
        expression = AFFECTNET_CODES.get(code)
        if expression in self.expression_names or code not in AFFECTNET_CODES:
            return True  # an unknown code is refused with its row
        self._left_out[expression or _OTHER[code]] += 1
        return False

    def _with_files(
        self, pictures: Mapping[str, tuple[str, ...]], split: str, faces: Iterable[Face]
    ) -> Iterator[_Listed]:
        """Finds the photographs of faces."""
        for face in faces:
            name = _found(pictures.get(_file_name(face.path), ()), face.path)
            if name is not None:
                yield _Listed(split, face, name)
            elif not self.partial:
                self.bad_file(face.path, "the file is missing")

    def _pictures(self, tree: SourceTree) -> dict[str, tuple[str, ...]]:
        """The pictures of a source by the names of their files, in small letters."""
        found: dict[str, tuple[str, ...]] = {}
        for name in tree.names:
            file_name = _file_name(name)
            if f".{file_name.rpartition('.')[2]}" in picture_suffixes():
                found[file_name] = (*found.get(file_name, ()), name)
        self.check_layout(tree, found, _EXPECTED)
        return found


def _file_name(path: str) -> str:
    return path.rpartition("/")[2].casefold()


def _found(names: tuple[str, ...], path: str) -> str | None:
    """The file of a photograph: by its name alone, if there is but one of that name."""
    if len(names) > 1:
        names = tuple(n for n in names if f"/{n}".casefold().endswith(f"/{path}".casefold()))
    if len(names) > 1:
        raise UserError(
            f"the photograph {printable(path)} is there more than once, as {printable(names[0])} "
            f"and {printable(names[1])}; move one of them out of the source"
        )
    return names[0] if names else None


def _named(found: Iterable[_Listed]) -> list[ListedImage]:
    """The images; a second face of a photograph has a name of its own."""
    times: Counter[tuple[str, str]] = Counter()
    listed = []
    for split, face, name in found:
        times[face.path, split] += 1
        number = times[face.path, split]
        listed.append(
            ListedImage(
                file=face.path if number == 1 else f"{face.path}#{number}",
                name=name,
                split=split,
                expression=AFFECTNET_CODES[face.expression],
                affect=face.affect,
                box=face.box,
            )
        )
    return listed
