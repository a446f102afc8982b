"""Builder of anyone's images, from folders by class or from a csv file."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import tensorflow_datasets as tfds

from tdgan_jax.data.picture_files import left_out_line, picture_suffixes
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.expressions import checked_name, class_name, names_an_expression
from tdgan_jax.preparation.build_settings import SUBJECT_PATTERN
from tdgan_jax.preparation.image_builder import ImageBuilder
from tdgan_jax.preparation.label_table import find_label_table, read_label_table
from tdgan_jax.preparation.listing import ListedImage, listed_image
from tdgan_jax.preparation.source_tree import SourceTree
from tdgan_jax.printing import printable


class Builder(ImageBuilder):
    """Builds `image_folder`; a configuration is any name that the user gives to a set."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "A folder or zip file of your own with <class>/<image>, or a csv file with the columns\n"
        "image, expression, identity and subject; data_builders/image_folder/README.md has more."
    )
    HAS_FOLDS = True

    def __init__(self, *, subject_pattern: str | None = None, **kwargs: Any):
        r"""Takes the arguments of the other builders and one more.

        Args:
            subject_pattern: Regular expression whose first group, found in the name of an image
                file, is the subject, e.g. `^(S\d+)_`.
            **kwargs: Passed on.

        Raises:
            UsageError: If the pattern is not a regular expression with a group.
        """
        super().__init__(**kwargs)
        try:
            self._subject_pattern = _compiled(subject_pattern) if subject_pattern else None
        except re.error as error:
            raise UsageError(f"--subject-pattern {subject_pattern!r}: {error}") from error
        if self._subject_pattern and not self._subject_pattern.groups:
            raise UsageError(
                f"--subject-pattern {subject_pattern!r} has no group; put the part that is the "
                r"subject in parentheses, as in '^(S\d+)_'"
            )
        if subject_pattern:
            self.notes[SUBJECT_PATTERN] = subject_pattern

    @classmethod
    def own_config(cls, name: str) -> tfds.core.BuilderConfig | None:
        """Lets every name be a configuration: several sets stand side by side.

        Args:
            name: What the user calls the set.

        Returns:
            A configuration of that name.
        """
        return tfds.core.BuilderConfig(name=name) if re.fullmatch(r"[\w-]+", name) else None

    @property
    def expression_names(self) -> tuple[str, ...]:
        """As found in the source."""
        return ()

    def list_images(self, tree: SourceTree) -> list[ListedImage]:
        """Lists the images of the csv file, or else those that stand in folders."""
        table = find_label_table(tree)
        listed = self._list_table(tree, table) if table else self._list_folders(tree)
        taken = {image.name for image in listed} | {table}
        self.note_left_out(name for name in tree.names if name not in taken)
        unknown = [image.file for image in listed if not image.subject]
        if unknown and len(unknown) < len(listed):
            raise UserError(
                f"{self.title}: {printable(unknown[0])} has no subject, but other images have; "
                "without all subjects there are no subject-disjoint folds"
            )
        return listed

    def _list_table(self, tree: SourceTree, table: str) -> list[ListedImage]:
        listed = []
        for image in read_label_table(tree, table, class_name):
            subject = image.subject or self._subject_in(image.file)
            listed.append(
                image._replace(subject=subject, identity=image.identity or subject or None)
            )
        return listed

    def _list_folders(self, tree: SourceTree) -> list[ListedImage]:
        endings = "|".join(re.escape(suffix) for suffix in sorted(picture_suffixes()))
        found = self.find(
            tree,
            rf"(?P<spelling>[^/]+)/[^/]+(?:{endings})",
            "<class>/<image>, or a csv file with the columns image, expression, identity, subject",
        )
        self._check_class_folders(tree, found)
        return [
            listed_image(
                match,
                expression=class_name(match["spelling"])
                if names_an_expression(match["spelling"])
                else None,
                subject=self._subject_in(match["path"]),
            )
            for match in found
        ]

    def _check_class_folders(self, tree: SourceTree, found: Sequence[re.Match[str]]) -> None:
        """Stops at a folder beside those of the classes without a picture: a class would vanish."""
        top = found[0]["root"]
        filled = {f"{top}{match['spelling']}" for match in found}
        for folder in tree.folders:
            if folder.startswith(top) and "/" not in folder[len(top) :] and folder not in filled:
                there = left_out_line(n for n in tree.names if n.startswith(f"{folder}/"))
                raise UserError(
                    f"{self.title}: the folder {printable(folder)} holds no picture that is read, "
                    f"but {there or 'no file'}; if it is a class, give it pictures, else move it "
                    "out of the source"
                )

    def _subject_in(self, path: str) -> str:
        if self._subject_pattern is None:
            return ""
        match = self._subject_pattern.search(path.rpartition("/")[2])
        if match is None or not match[1]:
            raise UserError(
                f"{self.title}: --subject-pattern {self._subject_pattern.pattern!r} finds no "
                f"subject in {printable(path)}"
            )
        return checked_name(match[1], f"the subject in {printable(path)}")


def _compiled(pattern: str) -> re.Pattern[str]:
    # Names of files are compared in this form, whatever form the disk and the keyboard have.
    return re.compile(unicodedata.normalize("NFC", pattern))
