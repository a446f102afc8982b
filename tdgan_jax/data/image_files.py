"""From an owner's image file to what a dataset stores: checked, 8-bit, losslessly encoded."""

import hashlib
import io
from typing import NamedTuple

from PIL import Image


class BadImage(Exception):
    """An image file cannot be used; the message says why, without the file's name."""


class GrayImage(NamedTuple):
    """One gray photograph, ready to be stored.

    Attributes:
        png: The pixels, encoded as 8-bit gray PNG.
        digest: SHA-256 of size and pixels: equal for equal pictures, however they were encoded.
    """

    png: bytes
    digest: str


def read_gray(data: bytes, *, size_px: tuple[int, int]) -> GrayImage:
    """Decodes an image file of known size to 8-bit gray.

    Args:
        data: Content of the file, in any format Pillow reads.
        size_px: Width and height that the image must have.

    Returns:
        The image; colours become luminance, 8-bit gray keeps its values.

    Raises:
        BadImage: If the file is empty, damaged, deeper than 8 bits or of another size.
    """
    if not data:
        raise BadImage("the file is empty")
    try:
        with Image.open(io.BytesIO(data)) as image:
            # The size stands in the header: a huge image is refused before it is decoded.
            if image.size != size_px:
                raise BadImage(
                    f"{image.width}x{image.height} pixels instead of {size_px[0]}x{size_px[1]}"
                )
            if image.mode.startswith(("I", "F")):
                raise BadImage("more than 8 bits a pixel")
            gray = image.convert("L")
    except BadImage:
        raise
    except Exception as error:  # Pillow's readers raise almost anything on damaged data.
        raise BadImage(f"not a readable image ({error})".replace("\n", " ")) from error
    return encode_gray(gray)


def encode_gray(image: Image.Image) -> GrayImage:
    """Encodes an 8-bit gray image losslessly.

    Args:
        image: Image of mode `L`.

    Returns:
        The image as it is stored.
    """
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    digest = hashlib.sha256(f"{image.width}x{image.height}:".encode() + image.tobytes())
    return GrayImage(png=buffer.getvalue(), digest=digest.hexdigest())
