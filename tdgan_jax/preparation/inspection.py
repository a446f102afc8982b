"""Compares what a user downloaded with what a dataset's owner documents, without building it.

The builder's own reading does the work: it knows the layout, the counts and what an image must be,
and stops at the first difference. What is added here is what building tolerates.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tdgan_jax.data.builders import needs_source, new_builder
from tdgan_jax.data.picture_files import left_out_line
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.preparation.build_settings import SUBJECT_PATTERN, check_subject_pattern
from tdgan_jax.preparation.duplicates import identical_pictures
from tdgan_jax.preparation.image_builder import ImageBuilder
from tdgan_jax.preparation.listing import ListedImage
from tdgan_jax.preparation.source_tree import SourceTree
from tdgan_jax.printing import printable


class Inspection(NamedTuple):
    """A source in which everything is as documented.

    Attributes:
        listed: Its images.
        notes: Facts that are worth a line, by name.
    """

    listed: list[ListedImage]
    notes: Mapping[str, Any]


def inspect_source(
    name: str,
    source: str | os.PathLike[str],
    *,
    config: str | None = None,
    subject_pattern: str | None = None,
    show_progress: bool = False,
) -> Inspection:
    """Looks at every file of a source as a build would.

    Args:
        name: Name of the dataset.
        source: Folder, zip or csv file with the owner's files.
        config: Builder configuration; the builder's first one by default.
        subject_pattern: As for `prepare_dataset`.
        show_progress: Whether to show a progress bar on stderr.

    Returns:
        What is there, if it is all that is expected.

    Raises:
        UserError: Names the first difference and its cure, or counts the files that a build leaves
            out although a person would expect them in the dataset.
        UsageError: If the dataset or configuration is unknown, needs no source, or takes no
            subject pattern.
    """
    if not needs_source(name):
        raise UsageError(f"{name} is drawn by a program; there is nothing to look at")
    check_subject_pattern(name, subject_pattern)
    options: dict[str, Any] = {"source": os.fspath(source), "show_progress": show_progress}
    if subject_pattern is not None:
        options[SUBJECT_PATTERN] = subject_pattern
    builder = new_builder(name, config, None, **options)
    assert isinstance(builder, ImageBuilder)
    with SourceTree(source) as tree:
        listed = builder.checked_listing(tree)
        pictures = [stored.digest for _, stored in builder.stored_images(tree, listed)]
    builder.check_not_empty(len(pictures))
    _check_nothing_left_out(builder)
    identical = identical_pictures(pictures)
    _check_people(builder.title, listed, identical)
    notes = {name: value for name, value in builder.notes.items() if value}
    return Inspection(listed, notes | {"identical_pictures": len(identical)})


def _check_nothing_left_out(builder: ImageBuilder) -> None:
    left_out = builder.left_out
    if left_out:
        raise UserError(
            f"{builder.title}: prepare does not take {left_out_line(left_out)}, the first of which "
            f"is {printable(left_out[0])}; convert or move what belongs to the set, and move the "
            "rest out of the source"
        )


def _check_people(
    title: str, listed: Sequence[ListedImage], identical: Sequence[Sequence[int]]
) -> None:
    shared: defaultdict[tuple[str, str], list[ListedImage]] = defaultdict(list)
    for pair in _pairs_of_people(listed, identical):
        shared[pair[0].subject, pair[1].subject] += pair
    for (first, second), images in sorted(shared.items()):
        raise UserError(
            f"{title}: subjects {first} and {second} share {len(images) // 2} identical pictures "
            f"({printable(images[0].name)} is {printable(images[1].name)}); if they are one "
            "person, remove one of them"
        )


def _pairs_of_people(
    listed: Sequence[ListedImage], identical: Sequence[Sequence[int]]
) -> Iterator[tuple[ListedImage, ListedImage]]:
    for group in identical:
        images = sorted((listed[i] for i in group), key=lambda image: image.subject)
        if images[0].subject != images[-1].subject:
            yield images[0], images[-1]
