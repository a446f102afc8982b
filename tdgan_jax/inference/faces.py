"""Which parts of a picture are faces: those that a detector finds, or the picture as it is."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from tdgan_jax.data.image_files import BadImage
from tdgan_jax.data.picture_files import read_picture
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.printing import printable

if TYPE_CHECKING:
    from tdgan_jax.faces.alignment import CropSettings
    from tdgan_jax.faces.detection import Face

DETECTORS = ("mtcnn", "none")
OK, CUT_OFF, PROFILE = "ok", "cut_off", "profile"

# Where no face is found, the picture is looked at once more with a border of this share of its
# shorter side, in which it is mirrored: half a face becomes a whole one. Only large ones are looked
# for, of which some part must lie within the picture.
_BORDER_SHARE = 0.25
_CUT_FACE_SHARE = 0.2
_MIN_VISIBLE = 0.25

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


class SmallestFace(NamedTuple):
    """The smallest face that is looked for.

    Attributes:
        share: Of the shorter side of the picture.
        least_px: It is never smaller than this; a smaller face shows no expression.
    """

    share: float = 0.05
    least_px: int = 24

    def side_px(self, image: Image.Image) -> int:
        """Its side in a picture."""
        return max(self.least_px, round(self.share * min(image.size)))


class FaceCrop(NamedTuple):
    """A face in a picture.

    Attributes:
        box: Where it stands in the picture.
        image: The part of the picture that a model is given; None where there is no such part.
        score: How sure the detector is, 0 to 1; None without a detector.
        landmarks: float32 `[5, 2]`, see `faces.detection.Face`; None without a detector.
        status: `ok`; `cut_off`: the picture's edge cuts off an eye, the nose or a corner of the
            mouth; `profile`: seen so much from the side that it cannot be aligned. No model was
            trained on such.
    """

    box: Box
    image: Image.Image | None
    score: float | None = None
    landmarks: np.ndarray | None = None
    status: str = OK


FaceSearch = Callable[[Sequence[Image.Image]], Sequence[Sequence[FaceCrop]]]
FaceFinder = Callable[[Image.Image], Sequence[FaceCrop]]


def smallest_face(size: float | None) -> SmallestFace:
    """What a user's size of the smallest face means.

    Args:
        size: From 12 on pixels; below 1 a share of the shorter side, of 20 pixels at least; None:
            the default.

    Raises:
        UsageError: If it is neither.
    """
    if size is None:
        return SmallestFace()
    if 0 < size < 1:
        return SmallestFace(size, 20)
    if 12 <= size <= 10_000:
        return SmallestFace(0.0, round(size))
    raise UsageError(
        f"the smallest face is {size}; give pixels, 12 or more, or a share of the picture's "
        "shorter side, below 1"
    )


def face_search(
    detect: str, crop: Mapping[str, Any] | None, smallest: SmallestFace | None = None
) -> FaceSearch:
    """Gives what finds faces in several RGB pictures at a time.

    Args:
        detect: `mtcnn`, or `none` where a picture is a face that has been cut out already.
        crop: How the faces of the model's training images were cut out, as JSON; None where their
            owner did it: then detected faces are cut out as `prepare` does by default.
        smallest: The smallest face that is looked for.

    Returns:
        A function that gives the faces of each picture, the largest first. Detected faces are cut
        out as datasets are (`tdgan_jax.faces.alignment`).

    Raises:
        UsageError: If there is no such detector.
        UserError: If the settings of the crop are damaged.
    """
    if detect not in DETECTORS:
        raise UsageError(f"detect is {detect!r}; known: {', '.join(DETECTORS)}")
    if detect == "none":
        return lambda images: [whole_picture(image) for image in images]
    # Only now: the detector's networks are of no use where faces are already cut out.
    from tdgan_jax.faces.alignment import CropSettings

    settings = CropSettings() if crop is None else CropSettings.from_json(crop)
    settings.check()
    size = smallest or SmallestFace()

    def search(images: Sequence[Image.Image]) -> list[list[FaceCrop]]:
        found = _detect_all(images, size)
        crops = []
        for image, faces in zip(images, found, strict=True):
            faces = faces or _faces_over_the_edge(image)
            crops.append([_cut_out(image, face, settings) for face in faces])
        return crops

    return search


def face_finder(detect: str, crop: Mapping[str, Any] | None) -> FaceFinder:
    """Gives what finds the faces of one RGB picture that a model can be given.

    Args:
        detect: As for `face_search`.
        crop: As for `face_search`.

    Returns:
        A function that gives the faces, the largest first.

    Raises:
        UsageError: If there is no such detector.
        UserError: If the settings of the crop are damaged.
    """
    search = face_search(detect, crop)
    return lambda image: [face for face in search([image])[0] if face.image is not None]


def crop_remark(detect: str, crop: Mapping[str, Any] | None) -> str | None:
    """A sentence for a model whose faces are not found as those that it learned from; else None.

    Args:
        detect: As for `face_search`.
        crop: As for `face_search`.
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
            raise UserError(f"{printable(path)}: {error}") from error
        images = [(face.box, face.image) for face in found if face.image is not None]
        if not images:
            raise UserError(
                f"{printable(path)}: no face found; if it shows a face and little else, add "
                "--detect none"
            )
        faces.append(max(images, key=lambda face: _area(face[0]))[1])
    return faces


def _detect_all(images: Sequence[Image.Image], smallest: SmallestFace) -> "list[list[Face]]":
    """The faces of each picture; pictures with the same smallest face are searched together."""
    from tdgan_jax.faces.detection import Detector

    found: list[list[Face]] = [[] for _ in images]
    sides = [smallest.side_px(image) for image in images]
    for side in sorted(set(sides)):
        places = [place for place, other in enumerate(sides) if other == side]
        pixels = [np.asarray(images[place]) for place in places]
        detected = Detector(min_face_size_px=side).detect_all(pixels)
        for place, faces in zip(places, detected, strict=True):
            found[place] = list(faces)
    return found


def _faces_over_the_edge(image: Image.Image) -> "list[Face]":
    """Large faces whose box reaches over the picture's edge; places are those in the picture."""
    from tdgan_jax.faces.detection import Detector

    border = round(_BORDER_SHARE * min(image.size))
    smallest_px = SmallestFace(_CUT_FACE_SHARE).side_px(image)
    padded = np.pad(np.asarray(image), ((border, border), (border, border), (0, 0)), "reflect")
    limits = (image.width - 1.0, image.height - 1.0) * 2
    faces = []
    for face in Detector(min_face_size_px=smallest_px).detect(padded):
        whole = tuple(edge - border for edge in face.box)
        box = tuple(min(max(edge, 0.0), limit) for edge, limit in zip(whole, limits, strict=True))
        # What lies within the picture was judged by the first look.
        if box != whole and _area(box) >= _MIN_VISIBLE * _area(whole):
            faces.append(face._replace(box=box, landmarks=face.landmarks - border))
    return faces


def _cut_out(image: Image.Image, face: "Face", settings: "CropSettings") -> FaceCrop:
    from tdgan_jax.faces.alignment import UnusableFace, crop_face

    if not _is_inside(face.landmarks, image):
        return FaceCrop(face.box, None, face.score, face.landmarks, CUT_OFF)
    try:
        cut = crop_face(image, face, settings)
    except UnusableFace:
        return FaceCrop(face.box, None, face.score, face.landmarks, PROFILE)
    return FaceCrop(face.box, cut, face.score, face.landmarks)


def _is_inside(landmarks: np.ndarray, image: Image.Image) -> bool:
    """Whether landmarks lie in a picture; whole numbers are the middles of pixels."""
    last = np.array(image.size) - 0.5
    return bool(((landmarks >= -0.5) & (landmarks <= last)).all())


def _area(box: tuple[float, ...]) -> float:
    left, top, right, bottom = box
    return (right - left) * (bottom - top)
