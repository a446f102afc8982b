"""From whatever a caller has to a model's images: float32 `[N, S, S, channels]` in [0, 1]."""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from tdgan_jax.data.image_files import BadImage, upright
from tdgan_jax.data.images import to_array, transform_for_test
from tdgan_jax.data.picture_files import read_picture
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.families.stored import Preprocessing
from tdgan_jax.printing import printable

# A path, a Pillow image, or an array [H, W], [H, W, C] or (several images) [N, H, W, C].
Images: TypeAlias = "str | os.PathLike[str] | Image.Image | np.ndarray | Sequence[Any]"


# A picture whose longer side has so many sides of the model's images is hardly a face that was cut
# out; where its sides differ as those of photographs do, half as many are enough.
_MAX_SIDES, _SMALL_PX, _SQUARE_RATIO = 4, 256, 1.2


def as_model_images(
    images: Images,
    preprocessing: Preprocessing,
    *,
    see_size: Callable[[int, int], None] = lambda height, width: None,
) -> np.ndarray:
    """Prepares images as the model's recorded preprocessing says.

    Float images that have the model's size and channels already are taken as they are. All others
    pass through 8 bits and Pillow, as the images of the training did.

    Args:
        images: One image or a sequence of them: paths, Pillow images, float arrays `[H, W, C]` in
            [0, 1] or uint8 arrays; or one array `[N, H, W, C]`. C is 1 or 3.
        preprocessing: The model's.
        see_size: Told the height and width of each image that is decoded or resized.

    Returns:
        float32 `[N, S, S, channels]` in [0, 1].

    Raises:
        UsageError: If something is no image, or values are outside of the range.
        UserError: If a file cannot be read.
    """
    if isinstance(images, str | os.PathLike | Image.Image):
        each: Sequence[Any] = [images]
    elif isinstance(images, list | tuple):
        each = images
    else:
        array = np.asarray(images)
        if array.ndim == 4 and len(array) and _is_ready(array[0], preprocessing):
            return _in_range(array.astype(np.float32))
        each = list(array) if array.ndim == 4 else [array]
    size, channels = preprocessing.image_size_px, preprocessing.image_channels
    prepared = np.empty((len(each), size, size, channels), np.float32)
    for position, image in enumerate(each):
        prepared[position] = _prepared(image, preprocessing, see_size)
    return prepared


def seems_whole_photograph(height_px: int, width_px: int, image_size_px: int) -> bool:
    """Whether a picture is much larger than a face for a model.

    Args:
        height_px: Its height.
        width_px: Its width.
        image_size_px: The side of the model's images.
    """
    longer, shorter = max(height_px, width_px), min(height_px, width_px)
    is_square = longer <= _SQUARE_RATIO * shorter
    sides = _MAX_SIDES if is_square else _MAX_SIDES // 2
    return longer > max(sides * image_size_px, _SMALL_PX)


def _is_ready(image: np.ndarray, preprocessing: Preprocessing) -> bool:
    """Whether a float image has the model's size and channels."""
    size = preprocessing.image_size_px
    has_shape = image.shape == (size, size, preprocessing.image_channels)
    return has_shape and np.issubdtype(image.dtype, np.floating)


def _prepared(
    image: Any, preprocessing: Preprocessing, see_size: Callable[[int, int], None]
) -> np.ndarray:
    size, channels = preprocessing.image_size_px, preprocessing.image_channels
    if isinstance(image, str | os.PathLike | Image.Image):
        pixels = _decoded(image, channels)
    else:
        pixels = _checked_array(image)
        if _is_ready(pixels, preprocessing):
            return pixels
    see_size(*pixels.shape[:2])
    if pixels.dtype == np.float32:
        pixels = np.rint(pixels * 255).astype(np.uint8)
    transformed = transform_for_test(
        pixels, test_transform=preprocessing.test_transform, size_px=size, channels=channels
    )
    return transformed.astype(np.float32) / 255


def _decoded(image: str | os.PathLike[str] | Image.Image, channels: int) -> np.ndarray:
    """A file or a Pillow image as uint8 `[H, W, C]`, upright."""
    if isinstance(image, Image.Image):
        name = f"an image of mode {image.mode} and size {image.width}x{image.height}"
    else:
        name = os.fspath(image)
    try:
        decoded = image if isinstance(image, Image.Image) else read_picture(image)
        return to_array(upright(decoded, channels=channels))
    except (BadImage, ValueError) as error:  # a mode that Pillow does not convert
        raise UserError(f"{printable(name)}: {error}") from error


def _checked_array(image: Any) -> np.ndarray:
    """An image as uint8 or float32 `[H, W, C]`."""
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3) or not array.size:
        raise UsageError(
            f"an array of shape {np.shape(image)} is no image; give [H, W, C] with C = 1 or 3, "
            "or several as [N, H, W, C]"
        )
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise UsageError(f"an image of type {array.dtype}; give floats in [0, 1] or uint8")
    return _in_range(array.astype(np.float32))


def _in_range(array: np.ndarray) -> np.ndarray:
    """Float images, whose values have been looked at."""
    if not (array.min() >= 0 and array.max() <= 1):  # also if one of them is not a number
        raise UsageError(
            f"an image with values from {array.min()} to {array.max()}; give floats in [0, 1]"
        )
    return array
