"""The one function that cuts faces out of photographs, for datasets, training and inference alike.

A network learns where a crop has the eyes. So the settings of the crop are kept with every dataset
and every model, and `check_same_crop` refuses to use one with the other when they differ. Crops of
two datasets that are trained together must have the eyes at the same place and in the same size,
otherwise a face discriminator learns the dataset instead of the person: style `eyes` does that.

Coordinates are pixels, x then y; a whole number is the middle of a pixel.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from PIL import Image

from tdgan_jax.errors import UserError
from tdgan_jax.faces.detection import Face

CROP_VERSION = 1
"""Raised whenever the same settings begin to give other pixels."""

Style = Literal["box", "eyes", "eyes_and_nose"]

# Places in a crop without margin, in sides of the crop: chin and brows stay inside.
_EYES_APART = 0.33
_EYES_Y = 0.38
_NOSE_Y = 0.56  # keeps the shape of the median of 164 frontal photographs
# Triangles of the landmarks smaller than this share of the box are a profile or no face.
_MIN_TRIANGLE = 0.01
_MIN_EYES_APART = 0.2  # of the width of the box: half of what a frontal face has


class UnusableFace(Exception):
    """A face cannot be aligned: its landmarks lie on each other, as in a profile."""


class CropSettings(NamedTuple):
    """How faces are cut out.

    Attributes:
        version: `CROP_VERSION` of the program that cut.
        style: `box`: a square about the detector's box; `eyes`: turned, moved and scaled so that
            the eyes come to fixed places; `eyes_and_nose`: IF-GAN's, the eyes and the tip of the
            nose come to fixed places, which may shear the picture (spec IF-GAN 8).
        margin: What is added to the square of the face, as a share of its side, half of it on
            either side.
        size_px: Side of the crop.
        rotate_by_eyes: Whether the line through the eyes becomes level, for `box` and `eyes`.
    """

    version: int = CROP_VERSION
    style: Style = "eyes"
    margin: float = 0.2
    size_px: int = 128
    rotate_by_eyes: bool = True

    def as_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return self._asdict()

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "CropSettings":
        """Reads what `as_json` gave.

        Args:
            fields: The dictionary.

        Returns:
            The settings.

        Raises:
            UserError: If fields are missing, unknown or have impossible values.
        """
        if set(fields) != set(cls._fields):
            raise UserError(f"not the settings of a face crop: {dict(fields)}")
        for name, usual in cls()._asdict().items():
            kinds = (int, float) if isinstance(usual, float) else (type(usual),)
            if type(fields[name]) not in kinds:
                raise UserError(f"face crop: {name} is {fields[name]!r}; {usual!r} is usual")
        settings = cls(**fields)
        settings.check()
        return settings

    def check(self) -> None:
        """Stops at impossible values.

        Raises:
            UserError: Names the field.
        """
        if self.style not in get_args(Style):
            raise UserError(
                f"face crop: unknown style {self.style!r}; known: {', '.join(get_args(Style))}"
            )
        if not 0 <= self.margin <= 4:
            raise UserError(f"face crop: the margin is {self.margin}; 0 to 4 is possible")
        if not 8 <= self.size_px <= 4096:
            raise UserError(f"face crop: the size is {self.size_px} pixels; 8 to 4096 is possible")


IFGAN_CROP = CropSettings(style="eyes_and_nose", size_px=256)
"""What IF-GAN is trained on (spec IF-GAN 8)."""


def crop_face(image: Image.Image, face: Face, settings: CropSettings) -> Image.Image:
    """Cuts a face out of a photograph and aligns it.

    Args:
        image: The photograph; modes other than `L` become `RGB`.
        face: Where the face is in it.
        settings: How to cut; what lies beyond the photograph repeats its edge.

    Returns:
        Image of `size_px` x `size_px`, mode `L` or `RGB`.

    Raises:
        UnusableFace: If the landmarks lie so close together that they align nothing.
        UserError: If the settings are impossible or of another version of this function.
    """
    settings.check()
    if settings.version != CROP_VERSION:
        raise UserError(
            f"the face crop of version {settings.version} is asked for, this program has version "
            f"{CROP_VERSION}; use the release of tdgan_jax that the dataset or model was made with"
        )
    image = image if image.mode == "L" else image.convert("RGB")
    return _sample(image, _crop_to_photograph(face, settings), settings.size_px)


def check_same_crop(
    model: CropSettings | None,
    dataset: CropSettings | None,
    *,
    model_name: str,
    dataset_name: str,
    override: str,
    is_overridden: bool = False,
) -> None:
    """Stops when a model would look at faces that are cut otherwise than those it was trained on.

    Also compares two datasets that are to be trained together.

    Args:
        model: Of the images that the model was trained on; None if they were taken as they are.
        dataset: Of the dataset; None if its images were taken as they are.
        model_name: The model, for the message.
        dataset_name: The dataset, for the message.
        override: Name of the option that allows a difference, for the message.
        is_overridden: Whether it was given.

    Raises:
        UserError: Names the differences and the option.
    """
    if is_overridden or model == dataset:
        return
    if model is None or dataset is None:
        cut, whole = (dataset_name, model_name) if model is None else (model_name, dataset_name)
        differences = f"the faces of {cut} were cut by tdgan_jax, those of {whole} were not"
    else:
        differences = "; ".join(
            f"{field.replace('_', ' ')} {mine} in {model_name}, {other} in {dataset_name}"
            for field, mine, other in zip(CropSettings._fields, model, dataset, strict=True)
            if mine != other
        )
    raise UserError(
        f"{model_name} and {dataset_name} do not show faces in the same way: {differences}; "
        f"prepare the dataset with the same crop, or use both nevertheless with {override}"
    )


def _crop_to_photograph(face: Face, settings: CropSettings) -> np.ndarray:
    """The map `[2, 3]` from places in the crop, (0, 0) to (1, 1), to the photograph."""
    left_eye, right_eye, nose = np.asarray(face.landmarks[:3], np.float64)
    left, top, right, bottom = face.box
    eyes = right_eye - left_eye
    scale = 1 + settings.margin
    if settings.style == "eyes_and_nose":
        places = _with_margin(
            [(0.5 - _EYES_APART / 2, _EYES_Y), (0.5 + _EYES_APART / 2, _EYES_Y), (0.5, _NOSE_Y)],
            settings.margin,
        )
        triangle = abs(eyes[0] * (nose - left_eye)[1] - eyes[1] * (nose - left_eye)[0]) / 2
        if triangle < _MIN_TRIANGLE * face.area_px:
            raise UnusableFace("the eyes and the nose lie on one line")
        corners = np.concatenate([places, np.ones((3, 1))], axis=1)
        return np.linalg.solve(corners, np.stack([left_eye, right_eye, nose])).T
    distance = float(np.hypot(*eyes))
    if (settings.style == "eyes" or settings.rotate_by_eyes) and distance < _MIN_EYES_APART * (
        right - left
    ):
        raise UnusableFace("the eyes lie on each other")
    across = eyes / distance if settings.rotate_by_eyes else np.array([1.0, 0.0])
    down = np.array([-across[1], across[0]])
    if settings.style == "eyes":
        side = distance / _EYES_APART * scale
        [(_, eyes_y)] = _with_margin([(0.5, _EYES_Y)], settings.margin)
        middle = (left_eye + right_eye) / 2 + down * side * (0.5 - eyes_y)
    else:
        side = max(right - left, bottom - top) * scale
        middle = np.array([left + right, top + bottom]) / 2
    axes = np.stack([across, down], axis=1) * side
    return np.concatenate([axes, (middle - axes.sum(axis=1) / 2)[:, None]], axis=1)


def _with_margin(places: list[tuple[float, float]], margin: float) -> np.ndarray:
    """Places in a crop, moved towards its middle as a margin does: `[N, 2]`."""
    return 0.5 + (np.array(places) - 0.5) / (1 + margin)


def _sample(image: Image.Image, crop_to_photograph: np.ndarray, size_px: int) -> Image.Image:
    """Draws the crop, several times as large where the photograph is finer, and averages."""
    # Pillow's coordinates are 0 at the edge of the first pixel, ours in its middle.
    edges = crop_to_photograph + np.array([[0, 0, 0.5], [0, 0, 0.5]])
    pixels_per_pixel = np.hypot(*edges[:, :2]).max() / size_px
    factor = max(1, math.ceil(pixels_per_pixel - 1e-6))
    corners = edges @ np.array([[0, 1, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]])
    start = np.floor(corners.min(axis=1)).astype(int) - 2
    end = np.ceil(corners.max(axis=1)).astype(int) + 2
    region = _region(image, start, end)
    edges = edges / np.array([factor * size_px, factor * size_px, 1])
    edges[:, 2] -= start
    drawn = region.transform(
        (factor * size_px, factor * size_px),
        Image.Transform.AFFINE,
        tuple(edges.ravel().tolist()),
        Image.Resampling.BICUBIC,
    )
    return drawn.reduce(factor)


def _region(image: Image.Image, start: np.ndarray, end: np.ndarray) -> Image.Image:
    """A part of a photograph; beyond its edges the edge is repeated."""
    pixels = np.asarray(image)
    columns = np.clip(np.arange(start[0], end[0]), 0, image.width - 1)
    rows = np.clip(np.arange(start[1], end[1]), 0, image.height - 1)
    return Image.fromarray(pixels[rows[:, None], columns[None, :]])
