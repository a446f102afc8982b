"""From an owner's image file to what a dataset stores: checked, 8-bit, gray or RGB, upright."""

import contextlib
import hashlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

import numpy as np
from PIL import Image

from tdgan_jax.data.file_notes import (
    HEIC_PACKAGE,
    has_long_notes,
    is_heic,
    without_long_notes,
)
from tdgan_jax.data.pixels import BadImage as BadImage
from tdgan_jax.data.pixels import as_shown

MAX_PIXELS = 100_000_000
"""Larger images are refused before they are decoded."""

# Not every format of Pillow: some run other programs (EPS), most hold no photographs.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")

JPEG_QUALITY = 95
"""Of faces that are cut out of an owner's JPEG files, as OpenCV writes them."""

DIGEST_BYTES = 32
"""Length of a digest, and of a fingerprint."""

# Fingerprints compare neighbours in a picture of this many columns and rows: 256 bits.
_FINGERPRINT_SIZE = (17, 16)
_MODES = {1: "L", 3: "RGB"}
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PNG_BIT_DEPTH = 24  # position in the file


class StoredImage(NamedTuple):
    """One photograph, ready to be stored.

    Attributes:
        encoded: A JPEG or PNG file, 8 bits a channel, gray or RGB, upright.
        digest: SHA-256 of size and pixels: equal for equal pictures, however they were encoded.
        fingerprint: 32 bytes; the pictures of nearly equal fingerprints look nearly equal.
        size_px: Width and height.
    """

    encoded: bytes
    digest: bytes
    fingerprint: bytes
    size_px: tuple[int, int]


class FaceImage(NamedTuple):
    """A face that was cut out of a photograph.

    Attributes:
        stored: The face.
        num_faces: How many faces the photograph shows.
        taken: Which of them it is, as in `faces.preparation.CroppedFace`.
    """

    stored: StoredImage
    num_faces: int
    taken: str


class NoFaceImage(BadImage):
    """A photograph shows no face that could be cut out."""


def read_image(
    data: bytes,
    *,
    channels: int,
    size_px: tuple[int, int] | None = None,
    keep_encoding: bool = True,
    edit: Callable[[Image.Image], Image.Image] | None = None,
    encode: Callable[[Image.Image], bytes] | None = None,
) -> StoredImage:
    """Decodes an image file and makes it what a dataset can store.

    CMYK, LAB and palettes become RGB, 16-bit gray is scaled to 8 bits, what is transparent becomes
    white, the rotation that a camera noted is carried out, and of an animation the first frame is
    taken. Gray becomes RGB by repetition, RGB gray by its luminance (Pillow's `L`).

    Args:
        data: Content of the file, in any format that Pillow reads.
        channels: 1 (gray) or 3 (RGB).
        size_px: Width and height that the image must have; any by default.
        keep_encoding: Whether a JPEG or PNG that is already what is wanted stays as it is;
            otherwise, and in all other cases, the pixels are encoded.
        edit: What becomes of the upright image before it is stored.
        encode: Encodes the pixels; as PNG, without loss, by default.

    Returns:
        The image.

    Raises:
        BadImage: If the file is empty, damaged, too large, deeper than 16 bits, wholly
            transparent, or of another size than `size_px`.
    """
    if not data:
        raise BadImage("the file is empty")
    with opened(io.BytesIO(data), size_px=size_px) as source:
        as_it_is = keep_encoding and edit is None and _is_storable(source, data, channels)
        image = upright(source, channels=channels)
    if edit is not None:
        image = edit(image)
    return StoredImage(
        encoded=data if as_it_is else (encode or encode_png)(image),
        digest=hashlib.sha256(f"{image.width}x{image.height}:".encode() + image.tobytes()).digest(),
        fingerprint=fingerprint(image),
        size_px=image.size,
    )


@contextlib.contextmanager
def opened(file: IO[bytes], *, size_px: tuple[int, int] | None = None) -> Iterator[Image.Image]:
    """Opens an image for a `with` statement in which any trouble with it is a `BadImage`.

    Args:
        file: Binary file object of an image in any format that is read.
        size_px: Width and height that the image must have; any by default.

    Yields:
        The image, not decoded yet.

    Raises:
        BadImage: If the file is damaged, too large or of another size.
    """
    try:
        formats = _formats(file)
        with warnings.catch_warnings():
            # Pillow warns of sizes that are still fine here.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(without_long_notes(file), formats=formats)
        with image:
            # The size stands in the header: a huge image is refused before it is decoded.
            check_size(*image.size, size_px=size_px)
            yield image
    except BadImage:
        raise
    except Image.DecompressionBombError as error:
        raise BadImage(f"more than {MAX_PIXELS:,} pixels") from error
    except Image.UnidentifiedImageError as error:
        raise BadImage("not a readable image (damaged, or of an unknown format)") from error
    except Exception as error:  # Pillow's readers raise almost anything on damaged data.
        raise _unreadable(error) from error


def _formats(file: IO[bytes]) -> tuple[str, ...]:
    """The formats of which a file may be one."""
    head = file.read(64)
    file.seek(0)
    if not is_heic(head):
        return _FORMATS
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise BadImage(f"a HEIC photograph, which is read with {HEIC_PACKAGE}") from error
    pillow_heif.register_heif_opener()
    return (*_FORMATS, "HEIF")


def _unreadable(error: Exception) -> BadImage:
    return BadImage(f"not a readable image ({error})".replace("\n", " "))


def upright(image: Image.Image, *, channels: int) -> Image.Image:
    """Decodes an image as a viewer shows it.

    Args:
        image: An opened image; it stays as it is.
        channels: 1 (gray) or 3 (RGB).

    Returns:
        The image in mode `L` or `RGB`; `read_image` says how other modes are converted.

    Raises:
        BadImage: If the image is damaged, deeper than 16 bits, or shows nothing.
    """
    try:
        return as_shown(_turned(image), source=image).convert(_MODES[channels])
    except BadImage:
        raise
    except Exception as error:
        raise _unreadable(error) from error


def _turned(image: Image.Image) -> Image.Image:
    check_size(*image.size)
    image.load()
    orientation = 1
    # Damaged EXIF data say nothing about the rotation; the pixels are good.
    with contextlib.suppress(Exception):
        orientation = image.getexif().get(_ORIENTATION, 1)
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def check_size(width_px: int, height_px: int, *, size_px: tuple[int, int] | None = None) -> None:
    """Refuses images that are too large to decode.

    Args:
        width_px: Width of the image.
        height_px: Height of the image.
        size_px: Width and height that it must have; any by default.

    Raises:
        BadImage: If it has no pixels, more than `MAX_PIXELS`, or another size than `size_px`.
    """
    if size_px is not None and (width_px, height_px) != size_px:
        raise BadImage(f"{width_px}x{height_px} pixels instead of {size_px[0]}x{size_px[1]}")
    if not width_px * height_px:
        raise BadImage("no pixels")
    if width_px * height_px > MAX_PIXELS:
        raise BadImage(f"{width_px}x{height_px} pixels, more than {MAX_PIXELS:,}")


def encode_png(image: Image.Image) -> bytes:
    """Encodes an image losslessly.

    Args:
        image: Image of mode `L` or `RGB`.

    Returns:
        The PNG file.
    """
    buffer = io.BytesIO()
    # Without the owner's text chunks, so that equal pictures are equal files.
    Image.frombytes(image.mode, image.size, image.tobytes()).save(buffer, format="PNG")
    return buffer.getvalue()


def encode_jpeg(image: Image.Image) -> bytes:
    """Encodes an image as a JPEG of good quality, a fifth of the size of a PNG.

    Args:
        image: Image of mode `L` or `RGB`.

    Returns:
        The JPEG file.
    """
    buffer = io.BytesIO()
    plain = Image.frombytes(image.mode, image.size, image.tobytes())
    plain.save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def fingerprint(image: Image.Image) -> bytes:
    """Describes roughly what a picture looks like (a difference hash of 256 bits).

    Args:
        image: Any picture.

    Returns:
        32 bytes: for every place of a 16x16 grid whether it is darker than its right neighbour.
    """
    small = image.convert("L").resize(_FINGERPRINT_SIZE, Image.Resampling.BOX)
    pixels = np.asarray(small, np.uint8)
    return np.packbits(pixels[:, :-1] < pixels[:, 1:]).tobytes()


def _is_storable(image: Image.Image, data: bytes, channels: int) -> bool:
    if image.mode != _MODES[channels] or image.getexif().get(_ORIENTATION, 1) != 1:
        return False
    if image.format == "JPEG":
        return True
    # Pillow shows 16-bit RGB as 8-bit; other readers would not.
    return (
        image.format == "PNG"
        and data[_PNG_BIT_DEPTH] == 8
        and not image.has_transparency_data
        and not getattr(image, "is_animated", False)
        and not has_long_notes(io.BytesIO(data))
    )
