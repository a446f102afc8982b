"""Reading the pictures of a user: bounded in size, and never worse than a `BadImage`."""

import os
import stat
import warnings
from pathlib import Path
from typing import IO

from PIL import Image

from tdgan_jax.data.image_files import BadImage, opened, upright

MIN_SIDE_PX = 8  # nothing smaller shows a face
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .png .webp .gif .bmp .tif .tiff .pgm .ppm .pbm .pnm .jp2 .avif".split()
)
"""Of the files that are taken for pictures where a folder is named."""


def read_picture(path: str | os.PathLike[str]) -> Image.Image:
    """Reads an image file as a viewer shows it (see `data.image_files.read_image`).

    Args:
        path: The file, whatever its suffix.

    Returns:
        An image of mode `RGB`, both sides at least `MIN_SIDE_PX`. Gray has three equal channels,
        from which Pillow's conversion gives back the same gray.

    Raises:
        BadImage: If there is no such file, or it is unreadable, damaged, too large or too small.
    """
    try:
        status = Path(path).stat()
        # A pipe or a device would be waited for without end.
        if not stat.S_ISREG(status.st_mode):
            raise BadImage("not a file")
        if not status.st_size:
            raise BadImage("the file is empty")
        with warnings.catch_warnings(), open(path, "rb") as file:
            warnings.simplefilter("ignore")  # of damaged metadata; the pixels decide
            return _decode(file)
    except (OSError, ValueError) as error:  # of the file system; those of Pillow are `BadImage`
        raise BadImage(getattr(error, "strerror", None) or str(error)) from error


def _decode(file: IO[bytes]) -> Image.Image:
    # Given a path, Pillow 13 mixes up the rows of uncompressed TIFF files that are to be turned.
    with opened(file) as image:
        if min(image.size) < MIN_SIDE_PX:
            raise BadImage(
                f"{image.width}x{image.height} pixels, less than {MIN_SIDE_PX}x{MIN_SIDE_PX}"
            )
        return upright(image, channels=3)
