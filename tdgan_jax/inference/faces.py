"""Which parts of a picture are faces: those that a detector finds, or the picture as it is."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from tdgan_jax.data.image_files import BadImage
from tdgan_jax.data.picture_files import read_picture
from tdgan_jax.errors import UserError

MIN_FACE_PX = 20  # a smaller face shows no expression
MIN_FACE_SHARE = 0.02  # of a picture's shorter side

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


class FaceCrop(NamedTuple):
    """A face in a picture.

    Attributes:
        box: Where it stands in the picture.
        image: The part of the picture that a model is given.
    """

    box: Box
    image: Image.Image


FaceFinder = Callable[[Image.Image], Sequence[FaceCrop]]


def face_finder(detect: str, crop: Mapping[str, Any] | None) -> FaceFinder:
    """Gives what finds faces in RGB pictures.

    Args:
        detect: `mtcnn`, or `none` where a picture is a face that has been cut out already.
        crop: How the faces of the model's training images were cut out, as JSON; None where their
            owner did it: then detected faces are cut out as `prepare` does by default.

    Returns:
        A function that gives the faces, the largest first. Detected faces are cut out as datasets
        are (`tdgan_jax.faces.alignment`); those that cannot be aligned, profiles above all, are
        left out: no model was trained on such.

    Raises:
        UserError: If the settings of the crop are damaged.
    """
    if detect == "none":
        return whole_picture
    # Only now: the detector's networks are of no use to whoever has cut out faces.
    from tdgan_jax.faces.alignment import CropSettings, UnusableFace, crop_face
    from tdgan_jax.faces.detection import Detector

    settings = CropSettings() if crop is None else CropSettings.from_json(crop)

    def find(image: Image.Image) -> list[FaceCrop]:
        # The smallest face grows with the picture, so that no picture takes for ever.
        smallest_px = max(MIN_FACE_PX, round(MIN_FACE_SHARE * min(image.size)))
        found = []
        for face in Detector(min_face_size_px=smallest_px).detect(np.asarray(image)):
            with contextlib.suppress(UnusableFace):
                found.append(FaceCrop(face.box, crop_face(image, face, settings)))
        return found

    return find


def crop_remark(detect: str, crop: Mapping[str, Any] | None) -> str | None:
    """A sentence for a model whose faces are not found as those that it learned from; else None.

    Args:
        detect: As for `face_finder`.
        crop: As for `face_finder`.
    """
    if detect == "none" or crop is not None:
        return None
    return (
        "the model was trained on faces as their owner cut them; detected faces are cut out by "
        "tdgan-jax's default"
    )


def whole_picture(image: Image.Image) -> list[FaceCrop]:
    """Takes a picture for a face that has been cut out already."""
    return [FaceCrop((0.0, 0.0, float(image.width), float(image.height)), image)]


def read_faces(paths: Sequence[str], find_faces: FaceFinder) -> list[Image.Image]:
    """Reads pictures and gives the largest face of each.

    Args:
        paths: Image files.
        find_faces: Finds the faces.

    Returns:
        One face a picture, of mode `RGB`.

    Raises:
        UserError: If a picture cannot be read or shows no face; it is named.
    """
    faces = []
    for path in paths:
        try:
            found = find_faces(read_picture(path))
        except BadImage as error:
            raise UserError(f"{path}: {error}") from error
        if not found:
            raise UserError(
                f"{path}: no face found; if it shows a face and little else, add --detect none"
            )
        faces.append(max(found, key=_area).image)
    return faces


def _area(face: FaceCrop) -> float:
    left, top, right, bottom = face.box
    return (right - left) * (bottom - top)
