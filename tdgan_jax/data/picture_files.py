"""Reading the pictures of a user: bounded in size, and never worse than a `BadImage`."""

import importlib.util
import os
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath
from typing import IO

from PIL import Image

from tdgan_jax.data.file_notes import HEIC_PACKAGE
from tdgan_jax.data.image_files import BadImage, opened, upright
from tdgan_jax.files import MAX_PICTURE_BYTES, check_size, open_file, reason

MIN_SIDE_PX = 8  # nothing smaller shows a face
HEIC_SUFFIXES = frozenset(".heic .heif .hif".split())
READS_HEIC = importlib.util.find_spec("pillow_heif") is not None

_SUFFIXES = frozenset(
    (
        ".jpg .jpeg .jpe .jfif .jif .pjpeg .pjp .mpo .png .webp .gif .bmp .dib .tif .tiff"
        " .pgm .ppm .pbm .pnm .jp2 .j2k .jpx .jpf .avif"
    ).split()
)

_NAMED_SUFFIXES = 8


def picture_suffixes() -> frozenset[str]:
    """Suffixes of the files that are taken for pictures where a folder is named."""
    return _SUFFIXES | HEIC_SUFFIXES if READS_HEIC else _SUFFIXES


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
        with warnings.catch_warnings(), open_file(path) as file:
            warnings.simplefilter("ignore")  # of damaged metadata; the pixels decide
            size = os.fstat(file.fileno()).st_size
            if not size:
                raise BadImage("the file is empty")
            check_size(size, MAX_PICTURE_BYTES)
            return _decode(file)
    except OSError as error:  # of the file system; those of Pillow are `BadImage`
        raise BadImage(reason(error)) from error


def _decode(file: IO[bytes]) -> Image.Image:
    # Given a path, Pillow 13 mixes up the rows of uncompressed TIFF files that are to be turned.
    with opened(file) as image:
        if min(image.size) < MIN_SIDE_PX:
            raise BadImage(
                f"{image.width}x{image.height} pixels, less than {MIN_SIDE_PX}x{MIN_SIDE_PX}"
            )
        return upright(image, channels=3)


def left_out_line(names: Iterable[str | os.PathLike[str]]) -> str:
    """Counts files of a folder that are not taken, for one line.

    Args:
        names: Their names or paths.

    Returns:
        How many there are of each suffix, the most frequent first, such as `3 .heic (...), 1 .txt`
        with the package that reads the first; empty if there are none.
    """
    counts = Counter(PurePath(name).suffix.lower() for name in names)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named = [_counted(suffix, number) for suffix, number in ordered[:_NAMED_SUFFIXES]]
    rest = sum(number for _, number in ordered[_NAMED_SUFFIXES:])
    return ", ".join(named + ([f"{rest} others"] if rest else []))


def _counted(suffix: str, number: int) -> str:
    if suffix in HEIC_SUFFIXES and not READS_HEIC:
        return f"{number} {suffix} (read with {HEIC_PACKAGE})"
    return f"{number} {suffix or 'without a suffix'}"
