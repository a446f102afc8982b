"""From a photograph to the face that a dataset stores, also where there is none or are several."""

import functools
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from tdgan_jax.faces.alignment import CropSettings, UnusableFace, crop_face
from tdgan_jax.faces.detection import Detector, Face, Thresholds

NoFacePolicy = Literal["fail", "skip", "whole-image", "largest"]
"""What happens to a photograph without a face: the build stops; the photograph is left out; all of
it becomes the face; or the largest of the faces that a second, less strict search finds is taken,
and the photograph is left out if that finds none either. Of several faces the largest is taken."""

FAINT = Thresholds(p_net=0.4, r_net=0.3, o_net=0.3)
"""Scores that satisfy the second search."""


class NoFace(Exception):
    """No face was found, and the policy makes nothing of that."""


class Cropping(NamedTuple):
    """How the photographs of a dataset become faces.

    Attributes:
        settings: How faces are cut out.
        no_face: What happens to a photograph without a face.
    """

    settings: CropSettings
    no_face: NoFacePolicy = "fail"


class CroppedFace(NamedTuple):
    """What became of a photograph.

    Attributes:
        image: The face, of the size and in the way that the settings say.
        num_faces: How many faces the detector found.
        taken: `face`, `largest face`, `faint face` or `whole image`.
    """

    image: Image.Image
    num_faces: int
    taken: str


def cut_out_face(photograph: Image.Image, cropping: Cropping) -> CroppedFace:
    """Finds the largest face of a photograph and cuts it out.

    Args:
        photograph: Image of mode `L` or `RGB`.
        cropping: What is wanted.

    Returns:
        The face, or what the policy puts in its place.

    Raises:
        NoFace: If there is none and the policy is `fail` or `skip`, or `largest` and there is none
            at a second look either.
        UserError: If the settings of the crop are impossible.
    """
    pixels = np.asarray(photograph)
    faces = _detector(Thresholds()).detect(pixels)
    taken = "largest face" if len(faces) > 1 else "face"
    candidates = faces
    if not faces and cropping.no_face == "largest":
        taken = "faint face"
        candidates = _detector(FAINT).detect(pixels)
    for face in candidates:
        try:
            return CroppedFace(crop_face(photograph, face, cropping.settings), len(faces), taken)
        except UnusableFace:
            continue
    if cropping.no_face != "whole-image":
        raise NoFace("no face found")
    return CroppedFace(_whole(photograph, cropping.settings), len(faces), "whole image")


@functools.cache
def _detector(thresholds: Thresholds) -> Detector:
    return Detector(thresholds=thresholds)


def _whole(photograph: Image.Image, settings: CropSettings) -> Image.Image:
    """The square about the photograph, in the size of a face."""
    box = (-0.5, -0.5, photograph.width - 0.5, photograph.height - 0.5)
    face = Face(box, 0.0, np.zeros((5, 2), np.float32))
    return crop_face(
        photograph, face, settings._replace(style="box", margin=0.0, rotate_by_eyes=False)
    )
