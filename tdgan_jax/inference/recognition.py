"""Recognises the expressions of the faces in a stream of pictures, in memory of a fixed size.

Reading, finding faces and recognising run at the same time, in threads.
"""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from tdgan_jax.inference.faces import OK, FaceCrop, FaceSearch
from tdgan_jax.inference.inputs import Picture
from tdgan_jax.inference.overlap import in_order
from tdgan_jax.inference.records import DECODE_ERROR, NO_FACE, FaceRecord
from tdgan_jax.inference.tracks import Tracks
from tdgan_jax.machine import usable_cores
from tdgan_jax.printing import printable

if TYPE_CHECKING:
    from tdgan_jax.families.capabilities import Model
    from tdgan_jax.steps.state import Answers

# Of the pictures that are searched together; a larger picture is a group of its own.
MAX_PICTURES_SEARCHED, MAX_PIXELS_SEARCHED = 8, 8_000_000
MAX_PIXELS_HELD = 32_000_000  # of the pictures whose faces are recognised together
_SEARCH_THREADS = 4  # at most: each holds a group of pictures

Item = TypeVar("Item")


class Recognised(NamedTuple):
    """A picture and what is known of it.

    Attributes:
        picture: The picture.
        records: One a face, or a single one without a face.
    """

    picture: Picture
    records: list[FaceRecord]

    @property
    def status(self) -> str:
        """`ok` with at least one face that was recognised; else that of the first record."""
        statuses = [record.status for record in self.records]
        return OK if OK in statuses else statuses[0]


class Searched(NamedTuple):
    """A picture and the faces that were found in it."""

    picture: Picture
    faces: Sequence[FaceCrop]


def recognise(
    pictures: Callable[[Executor], Iterable[Picture]],
    model: "Model",
    search: FaceSearch,
    *,
    batch_size: int,
) -> Generator[Recognised]:
    """Goes through pictures in batches.

    Args:
        pictures: Given a thread that reads ahead, gives what to look at, those that could not be
            read among them.
        model: The recogniser.
        search: Finds the faces of pictures.
        batch_size: The most faces that the model is given at a time.

    Yields:
        Every picture, in its order, with its faces in the order of the search.
    """
    threads = min(_SEARCH_THREADS, usable_cores())
    with contextlib.ExitStack() as stack:
        # One reads: Pillow's readers change the filters of warnings, which are the process's.
        reader = stack.enter_context(ThreadPoolExecutor(1, "reading"))
        searchers = stack.enter_context(ThreadPoolExecutor(threads, "finding faces"))
        read = stack.enter_context(contextlib.closing(_generator(pictures(reader))))
        searched = in_order(
            searchers,
            lambda group: _search(group, search),
            _groups(read, lambda picture: picture, MAX_PICTURES_SEARCHED, MAX_PIXELS_SEARCHED),
            ahead=threads,
        )
        stack.enter_context(contextlib.closing(searched))
        tracks = Tracks()
        flat = (found for group in searched for found in group)
        for group in _groups(flat, lambda found: found.picture, batch_size, MAX_PIXELS_HELD):
            for picture, records in _recognised(group, model, batch_size):
                if picture.file is not None and picture.frame is not None:
                    records = tracks.follow(picture.file.path, records)
                yield Recognised(picture, records)


def records_of(
    found: "Searched", answers: Iterator["_Answer"], expression_names: Sequence[str]
) -> list[FaceRecord]:
    """The records of a picture.

    Args:
        found: The picture and its faces.
        answers: What the model says of the faces that it was given, in their order.
        expression_names: Names in the order of the probabilities.
    """
    picture = found.picture
    common = FaceRecord(
        file=None if picture.file is None else printable(picture.file.path),
        frame=picture.frame,
        time_s=None if picture.time_s is None else round(picture.time_s, 6),
    )
    if picture.image is None:
        return [common._replace(status=DECODE_ERROR, reason=printable(picture.reason))]
    records = []
    for number, face in enumerate(found.faces):
        record = common._replace(
            face=number,
            box=tuple(round(float(edge), 1) for edge in face.box),
            score=None if face.score is None else round(float(face.score), 6),
            landmarks=_places(face.landmarks),
            status=face.status,
        )
        if face.image is not None:
            record = _with_answer(record, next(answers), expression_names)
        records.append(record)
    return records or [common._replace(status=NO_FACE)]


class _Answer(NamedTuple):
    """Scores `[C]`, probabilities `[C]`, and `[2]` or None, of one face."""

    scores: np.ndarray
    probabilities: np.ndarray
    affect: np.ndarray | None


def _with_answer(
    record: FaceRecord, answer: _Answer, expression_names: Sequence[str]
) -> FaceRecord:
    values = [round(float(value), 6) for value in answer.probabilities]
    record = record._replace(
        label=expression_names[int(answer.scores.argmax())],
        probabilities=dict(zip(expression_names, values, strict=True)),
    )
    if answer.affect is None:
        return record
    valence, arousal = (round(float(value), 6) for value in answer.affect)
    return record._replace(valence=valence, arousal=arousal)


def _places(landmarks: np.ndarray | None) -> tuple[tuple[float, float], ...] | None:
    if landmarks is None:
        return None
    return tuple((round(float(x), 1), round(float(y), 1)) for x, y in landmarks)


def _search(group: Sequence[Picture], search: FaceSearch) -> list[Searched]:
    """Finds the faces of a group of pictures."""
    images = [picture.image for picture in group if picture.image is not None]
    found = iter(search(images) if images else ())
    return [Searched(picture, () if picture.image is None else next(found)) for picture in group]


def _recognised(group: Sequence[Searched], model: "Model", batch_size: int) -> Iterator[Recognised]:
    crops = [face.image for found in group for face in found.faces if face.image is not None]
    answers = (
        answer
        for start in range(0, len(crops), batch_size)
        for answer in _rows(model.recognise(crops[start : start + batch_size]))
    )
    for found in group:
        yield Recognised(found.picture, records_of(found, answers, model.expression_names))


def _rows(answers: "Answers") -> Iterator[_Answer]:
    for row, scores in enumerate(answers.scores):
        affect = None if answers.affect is None else answers.affect[row]
        yield _Answer(scores, answers.probabilities[row], affect)


def _groups(
    items: Iterable[Item], picture_of: Callable[[Item], Picture], most: int, most_pixels: int
) -> Iterator[list[Item]]:
    """Cuts a stream into lists of limited length and limited size in memory."""
    group: list[Item] = []
    pixels = 0
    for item in items:
        image = picture_of(item).image
        size = 0 if image is None else image.width * image.height
        if group and (len(group) == most or pixels + size > most_pixels):
            yield group
            group, pixels = [], 0
        group.append(item)
        pixels += size
    if group:
        yield group


def _generator(pictures: Iterable[Picture]) -> Generator[Picture]:
    yield from pictures
