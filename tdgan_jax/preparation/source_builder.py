"""What the builders of datasets that a user downloads have in common.

A builder of this kind is told where its source is (a folder or a zip file), what to do about a
damaged file, and whether an incomplete source is fine. Everything it writes lands in the directory
of the dataset, and only if the build succeeds: lists of skipped files and the like stand beside
the records.
"""

import csv
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import tensorflow_datasets as tfds
from tqdm import tqdm

from tdgan_jax.data.image_files import BadImage
from tdgan_jax.data.picture_files import left_out_line
from tdgan_jax.errors import UserError
from tdgan_jax.files import MAX_SMALL_FILE_BYTES, decode_text, read_stream, reason
from tdgan_jax.preparation.documents import is_document
from tdgan_jax.preparation.source_tree import SourceTree
from tdgan_jax.printing import printable

if TYPE_CHECKING:
    from tdgan_jax.faces.preparation import Cropping

OnBadFile = Literal["stop", "skip"]
Detect = Literal["mtcnn", "none"]
SKIPPED_FILES = "skipped_files.csv"
LEFT_OUT = "files_left_out"
_TOTALS = ("images", "subjects")

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class SourceBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """A builder that reads a folder or zip file which the user asked the owner for.

    A subclass sets `MANUAL_DOWNLOAD_INSTRUCTIONS` (a few lines: where to ask for the data) and
    passes `metadata=self.notes` to `dataset_info_from_configs`.

    Attributes:
        NEEDS_SOURCE: That it is built from files, which a dataset that is drawn is not.
        FURTHER_CONFIGS: Configurations that came to a dataset which had none, and keeps its place
            on disk where none is named.
        notes: Facts about the build, kept with the dataset (`metadata.json`): whether the source
            was `partial`, the number of `skipped_files`, and what a subclass adds.
        left_out: Files of the source that were not taken although a person would expect it.
    """

    NEEDS_SOURCE: ClassVar[bool] = True
    FURTHER_CONFIGS: ClassVar[Sequence[tfds.core.BuilderConfig]] = ()

    def __init__(
        self,
        *,
        source: str | None = None,
        on_bad_file: OnBadFile = "stop",
        partial: bool = False,
        show_progress: bool = False,
        cropping: "Cropping | None" = None,
        file_format: str | tfds.core.FileFormat | None = "array_record",
        **kwargs: Any,
    ):
        """Takes TFDS's arguments (`data_dir`, `config`, `version`) and those of the build.

        Args:
            source: Folder, zip file or csv file to build from; TFDS's `manual_dir` by default.
            on_bad_file: `stop` raises at the first damaged or missing file; `skip` leaves such
                files out and lists them in `skipped_files.csv`.
            partial: Accepts a source whose counts differ from the documented ones.
            show_progress: Shows a progress bar on stderr while files are read.
            cropping: How faces are cut out of the photographs; whole images by default.
            file_format: The record format; only array_record works without TensorFlow.
            **kwargs: Passed to TFDS.
        """
        self.source = source
        self.on_bad_file = on_bad_file
        self.partial = partial
        self.show_progress = show_progress
        self.cropping = cropping
        self.notes = tfds.core.MetadataDict()
        self.left_out: tuple[str, ...] = ()
        super().__init__(file_format=file_format, **kwargs)

    @property
    def title(self) -> str:
        """Name and configuration, e.g. `fer2013/full`."""
        config = self.builder_config.name if self.builder_config else None
        return f"{self.name}/{config}" if config else self.name

    def open_source(self, dl_manager: tfds.download.DownloadManager) -> SourceTree:
        """Opens the source for reading and starts the record of the build.

        Args:
            dl_manager: What TFDS hands to `_split_generators`.

        Returns:
            The files of the source.

        Raises:
            UserError: If the source is not there or cannot be read.
        """
        self.notes["partial"] = self.partial
        self.notes["skipped_files"] = 0
        return SourceTree(self.source if self.source is not None else dl_manager.manual_dir)

    @classmethod
    def own_config(cls, name: str) -> tfds.core.BuilderConfig | None:
        """Gives a configuration that is not among `BUILDER_CONFIGS`, where a dataset has such.

        Args:
            name: The name that the user gave.

        Returns:
            The configuration, or None if there is none of that name.
        """
        return next((config for config in cls.FURTHER_CONFIGS if config.name == name), None)

    def find(
        self, tree: SourceTree, pattern: str, expected: str, *, anywhere: bool = False
    ) -> list[re.Match[str]]:
        """Finds the files of a documented layout, and stops if there is none.

        Args:
            tree: The source.
            pattern: What `SourceTree.matches` takes.
            expected: The documented layout, for the message.
            anywhere: As for `SourceTree.matches`.

        Returns:
            One match a file.

        Raises:
            UserError: If nothing was found; where the source is a folder inside the layout, the
                message says which one to give.
        """
        found = tree.matches(pattern, anywhere=anywhere)
        if not found and (levels := tree.levels_below(pattern)):
            outer = tree.path.resolve().parents[levels - 1]
            raise UserError(
                f"{self.title}: {tree.path} is {levels} "
                f"{'level' if levels == 1 else 'levels'} too deep; expected {expected} in the "
                f"source; give {outer}"
            )
        self.check_layout(tree, found, expected)
        return found

    def check_layout(self, tree: SourceTree, found: Collection[object], expected: str) -> None:
        """Stops when none of the documented files is in the source.

        Args:
            tree: The source.
            found: The documented files that were found.
            expected: The documented layout, for the message.

        Raises:
            UserError: If nothing was found.
        """
        if not found:
            there = printable(", ".join(tree.names[:3])) or "nothing"
            if len(tree.names) > 3:
                there += f", ... ({left_out_line(tree.names)})"
            raise UserError(
                f"{tree.path} does not look like {self.name}: expected {expected}; found {there}"
            )

    def text(self, tree: SourceTree, name: str) -> str:
        """Reads a text file of the owner's, such as a list of labels.

        Args:
            tree: The source.
            name: One of `tree.names`.

        Returns:
            Its content.

        Raises:
            UserError: If it cannot be read, or is no text.
        """
        try:
            with tree.open(name) as file:
                return decode_text(read_stream(file, limit_bytes=MAX_SMALL_FILE_BYTES))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.title}: {printable(name)} cannot be read ({reason(error)})"
            ) from error

    def check_counts(
        self,
        found: Mapping[str, int],
        documented: Mapping[str, Mapping[str, int]],
        *,
        found_as: Callable[[str], Mapping[str, int]] | None = None,
    ) -> None:
        """Compares the source with the documented number of images, unless a part is fine.

        Args:
            found: Images found, by a name such as `train/anger`.
            documented: For every configuration the documented numbers, by the same names.
            found_as: What another configuration finds in the same source, where configurations
                name their splits differently; `found` by default.

        Raises:
            UserError: On the first difference; when the counts are those of another
                configuration, the message names it.
        """
        config = self.builder_config.name if self.builder_config else self.name
        expected = documented[config]
        differing = [
            name
            for name in [*expected, *(name for name in found if name not in expected)]
            if found.get(name, 0) != expected.get(name, 0)
        ]
        if not differing or self.partial:
            return
        name = differing[0]
        number = found.get(name, 0)
        there = f"there are {number} {name}" if name in _TOTALS else f"{name} has {number} images"
        message = f"{self.title}: {there} where {expected.get(name, 0)} are documented"
        for other, counts in documented.items():
            there_as = found if found_as is None else found_as(other)
            if {name: count for name, count in there_as.items() if count} == dict(counts):
                raise UserError(f"{message}; these are the counts of --config {other}")
        raise UserError(f"{message}; complete the source, or accept it as it is with --partial")

    def check_not_empty(self, num_examples: int) -> None:
        """Stops a build that would give a dataset without examples.

        Args:
            num_examples: The number of examples that could be read.

        Raises:
            UserError: If that is zero.
        """
        if not num_examples:
            raise UserError(f"{self.title}: no readable image in the source")

    def bad_file(self, name: str, reason: str) -> None:
        """Deals with a damaged or missing file as the user asked for.

        Args:
            name: The file, as the user finds it in the source.
            reason: What is wrong with it.

        Raises:
            UserError: Names the file, unless such files are to be skipped.
        """
        if self.on_bad_file == "stop":
            raise UserError(
                f"{self.title}: {printable(name)}: {reason}; replace the file, "
                "or leave such files out with --on-bad-file skip"
            )
        self.append_to_list(SKIPPED_FILES, {"file": name, "reason": reason})
        self.notes["skipped_files"] += 1

    def note_left_out(self, names: Iterable[str]) -> None:
        """Notes which files of the source are not taken.

        Args:
            names: All of them; texts that tell of the images are counted, but not missed.
        """
        names = tuple(names)
        if names:
            self.notes[LEFT_OUT] = left_out_line(names)
        self.left_out = tuple(name for name in names if not is_document(name))

    def try_file(self, name: str, read: Callable[[], _Result]) -> _Result | None:
        """Reads a file, and deals with it as a bad one when that fails.

        Args:
            name: The file, as the user finds it in the source.
            read: Reads it; raises `OSError` or `BadImage` when that is not possible.

        Returns:
            What `read` gave, or None for a file that is skipped.

        Raises:
            UserError: Names the file, unless such files are to be skipped.
        """
        try:
            return read()
        except (BadImage, OSError) as error:
            self.bad_file(name, reason(error))
            return None

    def append_to_list(self, file_name: str, row: Mapping[str, object]) -> None:
        """Adds a row to a csv file beside the records.

        Args:
            file_name: Name of the csv file in the directory of the dataset.
            row: Column names and values; the first row fixes the header.
        """
        # During a build TFDS points `data_path` to the directory that becomes the dataset.
        path = self.data_path / file_name
        is_new = not path.exists()
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if is_new:
                writer.writeheader()
            writer.writerow(row)

    def progress(
        self, items: Iterable[_Item], *, description: str, unit: str = " images"
    ) -> Iterator[_Item]:
        """Passes items on and shows how far the build has come.

        Args:
            items: What is gone through.
            description: A word or two in front of the bar.
            unit: What is counted.

        Yields:
            The items.
        """
        yield from tqdm(
            items,
            desc=description,
            unit=unit,
            leave=False,
            disable=not self.show_progress,
        )
