"""What of a photograph is searched: it is made smaller where that loses no face."""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from tdgan_jax.faces.mtcnn import O_NET_SIZE_PX

MAX_PIXELS = 8_000_000
"""Larger photographs are shrunk first, which bounds time and memory."""

# Where size alone makes a photograph shrink, no smaller face is looked for in what is left of it.
_SMALLEST_FACE_PX = 20


class Searched(NamedTuple):
    """A photograph as it is searched.

    Attributes:
        pixels: uint8 `[H, W, C]`; C = 1 where all channels are equal, else 3.
        factor: How many times smaller it is than the original.
        size_px: Height and width of the original.
        min_face_size_px: Side of the smallest face, in pixels of what is searched.
    """

    pixels: np.ndarray
    factor: int
    size_px: tuple[int, int]
    min_face_size_px: int


def shrink(image: np.ndarray, min_face_size_px: int) -> Searched:
    """Prepares a photograph for the search.

    It is shrunk to a half, a third, ... as long as the smallest face keeps the `O_NET_SIZE_PX`
    pixels that the last network looks at; and to `MAX_PIXELS`, which makes small faces of 20 pixels
    the smallest of the shrunk photograph.

    Args:
        image: uint8 `[H, W, 3]` or gray `[H, W]`.
        min_face_size_px: Side of the smallest face in it.

    Raises:
        ValueError: If the array is of another type or shape.
    """
    is_picture = image.ndim in (2, 3) and image.shape[2:] in ((), (3,)) and image.size
    if image.dtype != np.uint8 or not is_picture:
        raise ValueError(
            f"expected uint8 [H, W, 3] or [H, W], got {image.dtype} {list(image.shape)}"
        )
    height, width = image.shape[:2]
    size_factor = math.ceil(math.sqrt(height * width / MAX_PIXELS))
    factor = max(size_factor, min_face_size_px // O_NET_SIZE_PX)
    if factor > 1:
        image = np.asarray(Image.fromarray(image).reduce(factor))
        min_face_size_px = max(min_face_size_px // factor, min(min_face_size_px, _SMALLEST_FACE_PX))
    # A gray picture in colours would take three times as long to shrink to all sizes.
    return Searched(_without_equal_channels(image), factor, (height, width), min_face_size_px)


def _without_equal_channels(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2:
        return image[..., None]
    red = image[..., 0]
    is_gray = all(np.array_equal(red, image[..., channel]) for channel in (1, 2))
    return image[..., :1] if is_gray else image
