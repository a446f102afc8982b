"""From the pixels that a file stores to those that a viewer shows: of 8 bits, and opaque."""

from typing import Any

import numpy as np
from PIL import Image, ImageCms

_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF files
_WHITE_IS_ZERO = 0
_UNSIGNED = 1
# Formats in which alpha that is zero everywhere was never written rather than meant.
_FORMATS_WITH_A_SPARE_BYTE = ("BMP", "DIB")


class BadImage(Exception):
    """An image file cannot be used; the message says why, without the file's name."""


def as_shown(image: Image.Image, *, source: Image.Image) -> Image.Image:
    """Gives the pixels of a decoded image as a viewer shows them.

    Args:
        image: The image.
        source: The same as Pillow opened it, with what its file says of its pixels.

    Returns:
        An opaque image of 8 bits a channel in a mode that Pillow converts to gray or RGB.

    Raises:
        BadImage: If what is shown is not defined: more than 16 bits, signed values, nothing.
    """
    tags: Any = getattr(source, "tag_v2", {})
    if tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == 2:
        raise BadImage("signed pixel values; only those from 0 are understood")
    if image.mode.startswith("I"):
        image = _from_levels(image, source.format, tags)
    elif image.mode == "F":
        raise BadImage("floating-point pixels; only 8 and 16 bits are understood")
    elif image.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")
        assert converted is not None  # it is not changed in place
        return converted
    return _opaque(image, source.format) if image.has_transparency_data else image


def _from_levels(image: Image.Image, file_format: str | None, tags: Any) -> Image.Image:
    """Gray of more than 8 bits as 8 bits."""
    levels = np.asarray(image).astype(np.int64)
    # Pillow reads 16-bit PGM files as 32-bit; others of that depth have no range that all agree on,
    # and values of 8 bits in it would be as good as black.
    is_16_bit = image.mode != "I" or file_format == "PPM"
    if not is_16_bit and (file_format or levels.max() <= 255):
        raise BadImage("32 bits a pixel; only 8 and 16 bits are understood")
    largest = 2 ** tags.get(_BITS, (16,))[0] - 1
    if levels.min() < 0 or levels.max() > largest:
        raise BadImage("more than 16 bits a pixel")
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        levels = largest - levels
    return Image.fromarray((levels * 255 // largest).astype(np.uint8))


def _opaque(image: Image.Image, file_format: str | None) -> Image.Image:
    """An image on white."""
    layer = image.convert("RGBA")
    if not layer.getchannel("A").getextrema()[1]:
        if file_format in _FORMATS_WITH_A_SPARE_BYTE:
            return layer.convert("RGB")
        if file_format is not None:
            raise BadImage("wholly transparent")
    opaque = Image.new("RGBA", image.size, "white")
    opaque.alpha_composite(layer)
    return opaque
