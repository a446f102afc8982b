"""Divides the images of a dataset into splits, without a leak between them.

Identical pictures never stand in two splits: of the owner's splits the copies in `train` go; folds
keep all of them, together with everybody who shares a picture. Nearly identical pictures in
different splits are listed for the reader, for whether they are a leak is a judgement.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tdgan_jax.data.folds import NUM_FOLDS, assert_disjoint, assign_folds, fold_name
from tdgan_jax.preparation.duplicates import identical_pictures, near_duplicates
from tdgan_jax.preparation.listing import ListedImage, tally

FOLDS = "folds.csv"
IDENTICAL_PICTURES = "identical_pictures.csv"
NEAR_DUPLICATES = "near_duplicates.csv"
REMOVED_DUPLICATES = "removed_duplicates.csv"

Row = Mapping[str, object]
Progress = Callable[[Iterable[int]], Iterable[int]]

# All pairs of so many images are compared in a minute; of ten times as many in two hours.
_MOST_COMPARED = 100_000
_NOT_COMPARED = "not looked for among so many images"
_UNLABELLED = ""


class Division(NamedTuple):
    """Which image stands in which split.

    Attributes:
        positions: By split, the positions of its images in the listing.
        notes: Facts for the dataset's record.
        tables: Rows of the csv files that stand beside the dataset, by file name.
        duplicated_in_train: Positions of test images that the owner's training images hold too.
    """

    positions: dict[str, np.ndarray]
    notes: dict[str, int | str]
    tables: Mapping[str, Sequence[Row]]
    duplicated_in_train: frozenset[int] = frozenset()


def one_split(listed: Sequence[ListedImage]) -> Division:
    """Puts everything into `train`.

    Args:
        listed: The images.

    Returns:
        The division.
    """
    return Division({"train": np.arange(len(listed))}, {}, {})


def owners_splits(
    listed: Sequence[ListedImage],
    digests: np.ndarray,
    fingerprints: np.ndarray,
    *,
    drop_copies: bool = True,
    nearly_equal: Iterable[tuple[int, int]] = (),
    left_out: Collection[int] = (),
    progress: Progress = iter,
) -> Division:
    """Keeps the owner's splits, without those images of `train` that another split holds too.

    Args:
        listed: `[N]` the images.
        digests: uint8 `[N, 32]`, equal for equal pictures.
        fingerprints: uint8 `[N, 32]`, nearly equal for nearly equal pictures.
        drop_copies: Whether the training copies of test images are removed.
        nearly_equal: Further pairs of positions whose pictures count as equal.
        left_out: Positions of images that are of no use: they stand in no split.
        progress: Shows how far the comparison of all images has come.

    Returns:
        The division; `removed_duplicates.csv` pairs each removed image with its test images.
    """
    tests_of = _tests_of_copies(listed, digests, nearly_equal, set(left_out))
    duplicated = frozenset(test for tests in tests_of.values() for test in tests)
    removed = tests_of if drop_copies else {}
    splits = np.array([image.split for image in listed])
    splits[[*removed, *left_out]] = ""
    positions = {
        split: found
        for split in dict.fromkeys(image.split for image in listed)
        if len(found := np.flatnonzero(splits == split))
    }
    rows = [
        {
            "removed_file": listed[copy].file,
            "removed_expression": _expression(listed[copy]),
            "test_file": listed[test].file,
            "test_expression": _expression(listed[test]),
        }
        for copy in sorted(removed)
        for test in sorted(removed[copy])
    ]
    is_compared = len(listed) <= _MOST_COMPARED
    near = _near_duplicates(listed, fingerprints, positions, progress) if is_compared else []
    return Division(
        positions,
        {
            "test_images_duplicated_in_train": len(duplicated),
            "removed_from_train": len(removed),
            "near_duplicates_across_splits": len(near) if is_compared else _NOT_COMPARED,
        },
        {REMOVED_DUPLICATES: rows, NEAR_DUPLICATES: near},
        duplicated,
    )


def _tests_of_copies(
    listed: Sequence[ListedImage],
    digests: np.ndarray,
    nearly_equal: Iterable[tuple[int, int]],
    left_out: set[int],
) -> dict[int, set[int]]:
    """By the training images that another split holds too, those images of other splits."""
    tests_of: defaultdict[int, set[int]] = defaultdict(set)
    for group in [*identical_pictures(digests), *nearly_equal]:
        present = [i for i in group if i not in left_out]
        tests = [i for i in present if listed[i].split != "train"]
        for copy in present:
            if tests and listed[copy].split == "train":
                tests_of[copy].update(tests)
    return dict(tests_of)


def folds(
    listed: Sequence[ListedImage],
    digests: np.ndarray,
    fingerprints: np.ndarray,
    *,
    progress: Progress = iter,
) -> Division:
    """Makes ten subject-disjoint folds, or as many as there are subjects.

    Args:
        listed: `[N]` the images; those of unknown subject make folds impossible.
        digests: uint8 `[N, 32]`, equal for equal pictures.
        fingerprints: uint8 `[N, 32]`, nearly equal for nearly equal pictures.
        progress: Shows how far the comparison of all images has come.

    Returns:
        The division; `folds.csv` has the fold and the counts of every subject. Without subjects,
        or with only one, everything stands in `train`.

    Raises:
        UserError: If a subject or a picture stands in two folds (which would be a defect here).
    """
    identical = identical_pictures(digests)
    groups = _groups(listed, identical)
    num_folds = min(NUM_FOLDS, len(set(groups)))
    if num_folds < 2 or any(not image.subject for image in listed):
        reason = "there is only one subject" if all(groups) else "the subjects are not known"
        return one_split(listed)._replace(notes={"folds": f"none, because {reason}"})
    classes = [_expression(image) for image in listed]
    fold_of = assign_folds(groups, classes, num_folds=num_folds)
    numbers = np.array([fold_of[group] for group in groups])
    positions = {fold_name(k): np.flatnonzero(numbers == k) for k in range(num_folds)}
    subjects = np.array([image.subject for image in listed])
    pictures = np.array([bytes(digest).hex() for digest in digests])
    assert_disjoint({name: subjects[found] for name, found in positions.items()})
    assert_disjoint({name: pictures[found] for name, found in positions.items()})
    is_compared = len(listed) <= _MOST_COMPARED
    near = _near_duplicates(listed, fingerprints, positions, progress) if is_compared else []
    few = "" if num_folds == NUM_FOLDS else f", because there are only {num_folds} subjects"
    return Division(
        positions,
        {
            "folds": f"{num_folds}{few}",
            "identical_pictures": len(identical),
            "identical_pictures_of_different_expressions": sum(
                len({classes[i] for i in group} - {_UNLABELLED}) > 1 for group in identical
            ),
            "identical_pictures_of_different_subjects": sum(
                len({listed[i].subject for i in group}) > 1 for group in identical
            ),
            "near_duplicates_across_splits": len(near) if is_compared else _NOT_COMPARED,
        },
        {
            FOLDS: _fold_rows(listed, numbers),
            IDENTICAL_PICTURES: _identical_rows(listed, identical),
            NEAR_DUPLICATES: near,
        },
    )


def _groups(listed: Sequence[ListedImage], identical: Iterable[Sequence[int]]) -> list[str]:
    """The subject of each image; subjects who share a picture go by the first one's name."""
    leader = {image.subject: image.subject for image in listed}

    def find(subject: str) -> str:
        while leader[subject] != subject:
            subject = leader[subject]
        return subject

    for group in identical:
        leaders = sorted({find(listed[i].subject) for i in group})
        leader.update(dict.fromkeys(leaders, leaders[0]))
    return [find(image.subject) for image in listed]


def _fold_rows(listed: Sequence[ListedImage], numbers: np.ndarray) -> list[Row]:
    classes = sorted({image.expression for image in listed if image.expression is not None})
    fold_of = {image.subject: int(k) for image, k in zip(listed, numbers, strict=True)}
    images_of: defaultdict[str, list[ListedImage]] = defaultdict(list)
    for image in listed:
        images_of[image.subject].append(image)
    return [
        {"subject": subject, "fold": fold_of[subject], "images": len(images_of[subject])}
        | {name: tally(images_of[subject])[name] for name in classes}
        for subject in sorted(fold_of)
    ]


def _identical_rows(listed: Sequence[ListedImage], identical: Iterable[Sequence[int]]) -> list[Row]:
    return [
        {
            "picture": number,
            "file": listed[i].file,
            "subject": listed[i].subject,
            "expression": _expression(listed[i]),
        }
        for number, group in enumerate(identical, start=1)
        for i in group
    ]


def _near_duplicates(
    listed: Sequence[ListedImage],
    fingerprints: np.ndarray,
    positions: dict[str, np.ndarray],
    progress: Progress,
) -> list[Row]:
    kept = [int(i) for found in positions.values() for i in found]
    parts = np.array([split for split, found in positions.items() for _ in found])
    return [
        {
            "bits_that_differ": pair.distance,
            "first_split": str(parts[pair.first]),
            "first_file": listed[kept[pair.first]].file,
            "first_expression": _expression(listed[kept[pair.first]]),
            "second_split": str(parts[pair.second]),
            "second_file": listed[kept[pair.second]].file,
            "second_expression": _expression(listed[kept[pair.second]]),
        }
        for pair in near_duplicates(fingerprints[kept], parts, progress=progress)
    ]


def _expression(image: ListedImage) -> str:
    return _UNLABELLED if image.expression is None else image.expression
