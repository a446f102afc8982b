"""Faces cut out where the owner of a dataset says that they are.

Source: specs ESR A.6 (quirk 9, with the axes right) and Emotion-GCN 5.
"""

import math
from typing import NamedTuple

from PIL import Image

from tdgan_jax.data.image_files import BadImage, check_size


class Eyes(NamedTuple):
    """Centres of the eyes, in whole pixels.

    Attributes:
        left_x: Of the eye on the left of the image.
        left_y: As `left_x`.
        right_x: Of the other eye.
        right_y: As `right_x`.
    """

    left_x: int
    left_y: int
    right_x: int
    right_y: int


class OwnersBox(NamedTuple):
    """A face in an image, in whole pixels.

    Attributes:
        left: Column of its left edge.
        top: Row of its upper edge.
        width: Number of its columns.
        height: Number of its rows.
        eyes: If they are to stand level; None leaves the image as it is.
    """

    left: int
    top: int
    width: int
    height: int
    eyes: Eyes | None = None


class _Turn(NamedTuple):
    """A turn about a point that makes the eyes level, as OpenCV's `getRotationMatrix2D` has it."""

    cosine: float
    sine: float
    x: int
    y: int

    def of(self, x: float, y: float) -> tuple[float, float]:
        """Where a point comes to stand."""
        right, down = x - self.x, y - self.y
        return (
            self.cosine * right + self.sine * down + self.x,
            self.cosine * down - self.sine * right + self.y,
        )


def cut_out(image: Image.Image, box: OwnersBox, largest_side_px: int | None = None) -> Image.Image:
    """Cuts a face out.

    Args:
        image: Image of mode `L` or `RGB`.
        box: Where the face is; what of it lies outside of the image is black. With eyes the image
            is turned about the point between them first (bicubic), and the box keeps its size and
            goes where the turn takes its upper left corner.
        largest_side_px: A face with a longer side is shrunk to it (bilinear with antialiasing).

    Returns:
        The face.

    Raises:
        BadImage: If the box is empty, too large, or wholly outside of the image, or the eyes are
            far from it.
    """
    if min(box.width, box.height) < 1:
        raise BadImage(f"the box of the face has {box.width}x{box.height} pixels")
    check_size(box.width, box.height)
    right, bottom = box.left + box.width, box.top + box.height
    if box.left >= image.width or box.top >= image.height or right <= 0 or bottom <= 0:
        raise BadImage(
            f"the box of the face, columns {box.left} to {right} and rows {box.top} to {bottom}, "
            f"lies outside of the image of {image.width}x{image.height} pixels"
        )
    if box.eyes is not None and not _near(box.eyes, image):
        raise BadImage(f"the eyes, at {tuple(box.eyes)}, lie far outside of the image")
    if box.eyes is None:
        face = image.crop((box.left, box.top, right, bottom))
    else:
        face = _levelled(image, box, box.eyes)
    return face if largest_side_px is None else _shrunk(face, largest_side_px)


def level_corner(box: OwnersBox, eyes: Eyes) -> tuple[float, float]:
    """Where the upper left corner of a box comes to stand when the eyes are made level.

    Args:
        box: The box.
        eyes: The eyes.

    Returns:
        Column and row.
    """
    return _turn(eyes).of(box.left, box.top)


def _near(eyes: Eyes, image: Image.Image) -> bool:
    """Whether the eyes are no farther outside of an image than it is wide and high."""
    columns, rows = (eyes.left_x, eyes.right_x), (eyes.left_y, eyes.right_y)
    return all(
        -side <= place <= 2 * side
        for places, side in ((columns, image.width), (rows, image.height))
        for place in places
    )


def _turn(eyes: Eyes) -> _Turn:
    across, down = eyes.right_x - eyes.left_x, eyes.right_y - eyes.left_y
    # Of eyes one above the other a quarter turn; of eyes in one point none.
    angle = math.atan(down / across) if across else math.copysign(math.pi / 2, down) * bool(down)
    return _Turn(
        math.cos(angle),
        math.sin(angle),
        (eyes.left_x + eyes.right_x) // 2,
        (eyes.left_y + eyes.right_y) // 2,
    )


def _levelled(image: Image.Image, box: OwnersBox, eyes: Eyes) -> Image.Image:
    corner = level_corner(box, eyes)
    left, top = round(corner[0]), round(corner[1])
    size = round(corner[0] + box.width) - left, round(corner[1] + box.height) - top
    turn = _turn(eyes)
    back = turn._replace(sine=-turn.sine)
    # Pillow counts from the corners of pixels, the turn from their centres.
    x, y = back.of(left - 0.5, top - 0.5)
    coefficients = (back.cosine, back.sine, x + 0.5, -back.sine, back.cosine, y + 0.5)
    return image.transform(
        size, Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC, fillcolor=0
    )


def _shrunk(face: Image.Image, largest_side_px: int) -> Image.Image:
    factor = largest_side_px / max(face.size)
    if factor >= 1:
        return face
    width, height = (max(round(side * factor), 1) for side in face.size)
    return face.resize((width, height), Image.Resampling.BILINEAR)
