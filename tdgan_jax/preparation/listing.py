"""What a builder knows of an image before the image is read."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tdgan_jax.errors import UserError
from tdgan_jax.preparation.owners_boxes import OwnersBox
from tdgan_jax.printing import printable


class ListedImage(NamedTuple):
    """One image of a source.

    Attributes:
        file: Its unique name in the dataset: the path from the top of the owner's layout.
        name: The file of the source that holds it.
        split: The owner's split; folds replace it where the dataset has them.
        expression: Name of its class, or None where it is unknown.
        identity: The person's class for the face branch, or None where it is unknown.
        subject: The person, for keeping people on one side of a split; empty where unknown.
        position: Where it stands inside the file `name`: the frame of a video, from 0, or the line
            of a table; None for an image file.
        votes: Raters' votes for each expression of the dataset, in its order; None without any.
        other_votes: Their votes for what is no expression, in the dataset's order.
        affect: Valence and arousal, each in [-1, 1] or NaN where unknown; None without any.
        box: Where in the image the owner says that the face is; None for the whole image.
    """

    file: str
    name: str
    split: str = "train"
    expression: str | None = None
    identity: str | None = None
    subject: str = ""
    position: int | None = None
    votes: tuple[float, ...] | None = None
    other_votes: tuple[float, ...] = ()
    affect: tuple[float, float] | None = None
    box: OwnersBox | None = None


def listed_image(
    match: re.Match[str],
    *,
    split: str = "train",
    expression: str | None = None,
    subject: str = "",
) -> ListedImage:
    """Lists a file that a layout's pattern matched.

    Args:
        match: What `SourceTree.matches` gave.
        split: The owner's split.
        expression: Name of its class, or None where it is unknown.
        subject: The person, who is the identity, too; empty where unknown.

    Returns:
        The image, named by its path from the top of the layout.
    """
    return ListedImage(
        file=match["path"],
        name=match.string,
        split=split,
        expression=expression,
        identity=subject or None,
        subject=subject,
    )


def tally(images: Iterable[ListedImage]) -> Counter[str]:
    """Counts a listing in all the ways in which owners state their numbers.

    Args:
        images: The listing.

    Returns:
        Numbers by `images`, `subjects`, `train`, `anger` and `train/anger`.
    """
    counts: Counter[str] = Counter()
    subjects = set()
    for image in images:
        counts["images"] += 1
        counts[image.split] += 1
        if image.expression is not None:
            counts[image.expression] += 1
            counts[f"{image.split}/{image.expression}"] += 1
        subjects.add(image.subject)
    counts["subjects"] = len(subjects - {""})
    return counts


def check_listing(images: Sequence[ListedImage]) -> None:
    """Refuses what would be two truths: an image listed twice, or a name in two spellings.

    Args:
        images: The listing.

    Raises:
        UserError: If an image stands twice in one split, or two names of people or of classes
            differ only in small and capital letters or in leading zeros.
    """
    known: dict[tuple[str, str], ListedImage] = {}
    for image in images:
        other = known.setdefault((image.split, image.file), image)
        if other is not image:
            difference = ""
            for what in ("name", "expression"):
                values = [getattr(one, what) for one in (other, image)]
                if values[0] != values[1]:
                    first, second = (printable(str(value)) for value in values)
                    difference += f", as {first} and as {second}"
            raise UserError(
                f"{printable(image.file)} is listed twice{difference}; leave one of them out"
            )
    for kind in ("subject", "identity", "expression"):
        spelling_of: dict[str, str] = {}
        for name in sorted({getattr(image, kind) for image in images} - {None}):
            plain = re.sub(r"\d+", lambda digits: digits[0].lstrip("0") or "0", name.casefold())
            if spelling_of.setdefault(plain, name) != name:
                raise UserError(
                    f"the {kind} {printable(spelling_of[plain])} and the {kind} {printable(name)} "
                    "look like one in two spellings; spell them alike, or give them names that "
                    "differ in more"
                )
