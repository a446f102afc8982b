"""Recognises the expressions of the faces in a stream of pictures, in memory of a fixed size."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tdgan_jax.inference.faces import Box, FaceFinder
from tdgan_jax.inference.inputs import Picture

if TYPE_CHECKING:
    from tdgan_jax.api import Model

MAX_PIXELS_HELD = 32_000_000  # of the pictures of a batch; a larger picture is a batch of its own

OK, NO_FACE, DECODE_ERROR = "ok", "no_face", "decode_error"


class RecognisedFace(NamedTuple):
    """A face and what a model says about it.

    Attributes:
        box: Where it stands in the picture.
        label: Name of the most probable expression.
        probabilities: float32 `[C]`, in the order of the model's expression names.
    """

    box: Box
    label: str
    probabilities: np.ndarray


class Recognised(NamedTuple):
    """A picture and the faces in it."""

    picture: Picture
    faces: list[RecognisedFace]

    @property
    def status(self) -> str:
        """`ok` with at least one face, `no_face`, or `decode_error` without a picture."""
        if self.picture.image is None:
            return DECODE_ERROR
        return OK if self.faces else NO_FACE


def recognise(
    pictures: Iterable[Picture], model: "Model", find_faces: FaceFinder, *, batch_size: int
) -> Iterator[Recognised]:
    """Goes through pictures in batches.

    Args:
        pictures: What to look at, those that could not be read among them.
        model: The recogniser.
        find_faces: Finds the faces of a picture.
        batch_size: The most faces that the model is given at a time.

    Yields:
        Every picture, in its order, with its faces in the finder's order.
    """
    for group in _groups(pictures, batch_size):
        found = [[] if picture.image is None else find_faces(picture.image) for picture in group]
        crops = [face.image for faces in found for face in faces]
        labels: list[str] = []
        probabilities: list[np.ndarray] = []
        for start in range(0, len(crops), batch_size):
            names, values = model.predict(crops[start : start + batch_size])
            labels.extend(names)
            probabilities.extend(values)
        answers = zip(labels, probabilities, strict=True)
        for picture, faces in zip(group, found, strict=True):
            yield Recognised(picture, [RecognisedFace(face.box, *next(answers)) for face in faces])


def _groups(pictures: Iterable[Picture], batch_size: int) -> Iterator[list[Picture]]:
    """Cuts a stream into lists of limited length and limited size in memory."""
    group: list[Picture] = []
    pixels = 0
    for picture in pictures:
        size = 0 if picture.image is None else picture.image.width * picture.image.height
        if group and (len(group) == batch_size or pixels + size > MAX_PIXELS_HELD):
            yield group
            group, pixels = [], 0
        group.append(picture)
        pixels += size
    if group:
        yield group
