"""Recognises the expressions of the faces in a stream of pictures, in memory of a fixed size.

Reading, finding faces and recognising run at the same time, in threads. The stream is cut into
batches; what is said of a batch depends, to the last digit, on its pictures alone. A video and what
comes before or after it are never in one batch, so that many batches begin with a file.
"""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from tdgan_jax.inference.faces import OK, FaceCrop, FaceSearch
from tdgan_jax.inference.inputs import Picture, is_video
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
        ends_batch: Whether the next picture begins another batch.
    """

    picture: Picture
    records: list[FaceRecord]
    ends_batch: bool = False

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
            lambda part: _search(part, search),
            _parts(read, batch_size),
            ahead=threads,
        )
        stack.enter_context(contextlib.closing(searched))
        tracks = Tracks()
        for batch in _joined(searched):
            for result in _recognised(batch, model, batch_size):
                picture = result.picture
                if picture.file is not None and picture.frame is not None:
                    followed = tracks.follow(picture.file, result.records)
                    result = result._replace(records=followed)
                yield result


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
        records = records_of(found, answers, model.expression_names)
        yield Recognised(found.picture, records, found is group[-1])


def _rows(answers: "Answers") -> Iterator[_Answer]:
    for row, scores in enumerate(answers.scores):
        affect = None if answers.affect is None else answers.affect[row]
        yield _Answer(scores, answers.probabilities[row], affect)


class _Room:
    """What more a group of pictures takes, which is limited in length and in size in memory."""

    def __init__(self, most: int, most_pixels: int):
        self._most, self._most_pixels = most, most_pixels
        self._number = self._pixels = 0

    def takes(self, pixels: int) -> bool:
        """Whether a picture fits in; the first does, whatever its size."""
        fits = self._number < self._most and self._pixels + pixels <= self._most_pixels
        return fits or not self._number

    def add(self, pixels: int) -> None:
        self._number += 1
        self._pixels += pixels


def _parts(pictures: Iterable[Picture], batch_size: int) -> Iterator[list[Picture]]:
    """Cuts a stream into the parts of batches that are searched together.

    Yields:
        A part, and after the last one of a batch an empty list.
    """
    part: list[Picture] = []
    in_part, in_batch = _Room(0, 0), _Room(0, 0)  # of nothing yet
    for picture in pictures:
        pixels = 0 if picture.image is None else picture.image.width * picture.image.height
        if not part or not in_batch.takes(pixels) or _parts_videos(part[-1], picture):
            if part:
                yield part
                yield []
            part, in_batch = [], _Room(batch_size, MAX_PIXELS_HELD)
            in_part = _Room(MAX_PICTURES_SEARCHED, MAX_PIXELS_SEARCHED)
        elif not in_part.takes(pixels):
            yield part
            part, in_part = [], _Room(MAX_PICTURES_SEARCHED, MAX_PIXELS_SEARCHED)
        part.append(picture)
        in_part.add(pixels)
        in_batch.add(pixels)
    if part:
        yield part
        yield []


def _parts_videos(picture: Picture, following: Picture) -> bool:
    """Whether a video ends or begins between two pictures."""
    files = (picture.file, following.file)
    return files[0] is not files[1] and any(file and is_video(file.path) for file in files)


def _joined(parts: Iterable[list[Item]]) -> Iterator[list[Item]]:
    """Puts the parts of each batch together."""
    batch: list[Item] = []
    for part in parts:
        batch += part
        if not part:
            yield batch
            batch = []


def _generator(pictures: Iterable[Picture]) -> Generator[Picture]:
    yield from pictures
