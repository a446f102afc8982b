"""Some eighty encodings of one photograph are one photograph."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.data.image_files import read_image
from tdgan_jax.data.picture_files import read_picture

# 64 colours, so that palettes hold them all; no two corners alike.
_STEPS = np.add.outer(np.arange(24) // 3, np.zeros(32, int))
_COLUMNS = np.add.outer(np.zeros(24, int), np.arange(32) // 4)
PHOTOGRAPH = np.stack([_STEPS * 30, _COLUMNS * 30, 255 - _STEPS * 15 - _COLUMNS * 15], axis=-1)
PHOTOGRAPH = PHOTOGRAPH.astype(np.uint8)
IMAGE = Image.fromarray(PHOTOGRAPH)
OPAQUE = np.dstack([PHOTOGRAPH, np.full((24, 32), 255, np.uint8)])
_UNTURNED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def encode(image, file_format, **options):
    file = io.BytesIO()
    image.save(file, format=file_format, **options)
    return file.getvalue()


def held(orientation):
    """The photograph as a camera stores it that was held so, and what it notes."""
    turn = _UNTURNED[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return (IMAGE if turn is None else IMAGE.transpose(turn)), exif


def png_of_16_bits():
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in PHOTOGRAPH)
    header = struct.pack(">IIBBBBB", 32, 24, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*parts) for parts in chunks)


def without_loss():
    rgba, palette = Image.fromarray(OPAQUE), IMAGE.quantize(64)
    for level in range(10):
        yield f"PNG packed {level}", encode(IMAGE, "PNG", compress_level=level)
    for orientation in range(1, 9):
        image, exif = held(orientation)
        yield f"PNG held {orientation}", encode(image, "PNG", exif=exif)
        yield f"TIFF held {orientation}", encode(image, "TIFF", exif=exif)
        yield f"WebP held {orientation}", encode(image, "WEBP", lossless=True, exif=exif)
    yield "PNG of 16 bits", png_of_16_bits()
    for name in ("PNG", "TIFF", "GIF", "BMP"):
        yield f"{name} with a palette", encode(palette, name)
    for name in ("PNG", "TIFF", "BMP"):
        yield f"{name}, opaque", encode(rgba, name)
    yield "PNG with a palette, opaque", encode(palette, "PNG", transparency=bytes([255] * 64))
    yield "PNG with notes", encode(IMAGE, "PNG", icc_profile=bytes(1 << 21), dpi=(72, 72))
    for packing in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd"):
        yield f"TIFF {packing}", encode(IMAGE, "TIFF", compression=packing)
    for name in ("BMP", "PPM"):
        yield name, encode(IMAGE, name)
    yield "WebP, opaque", encode(rgba, "WEBP", lossless=True, exact=True)
    yield "JPEG 2000", encode(IMAGE, "JPEG2000", irreversible=False)
    yield "JPEG 2000 stream", encode(IMAGE, "JPEG2000", irreversible=False, no_jp2=True)
    later = Image.new("RGB", IMAGE.size)
    yield "moving GIF", encode(palette, "GIF", save_all=True, append_images=[later])
    yield "moving PNG", encode(IMAGE, "PNG", save_all=True, append_images=[later])
    yield "moving WebP", encode(IMAGE, "WEBP", save_all=True, append_images=[later], lossless=True)
    yield "TIFF of two pages", encode(IMAGE, "TIFF", save_all=True, append_images=[later])


def with_loss():
    for orientation in range(1, 9):
        image, exif = held(orientation)
        yield f"JPEG held {orientation}", encode(image, "JPEG", quality=95, exif=exif)
    for sampling in range(3):
        for options in ({}, {"progressive": True}, {"optimize": True}):
            name = f"JPEG sampled {sampling} {''.join(options)}"
            yield name, encode(IMAGE, "JPEG", quality=95, subsampling=sampling, **options)
    yield "JPEG with restarts", encode(IMAGE, "JPEG", quality=95, restart_marker_rows=1)
    yield "JPEG, ink", encode(IMAGE.convert("CMYK"), "JPEG", quality=95)
    yield "TIFF, ink", encode(IMAGE.convert("CMYK"), "TIFF")
    yield "TIFF, brightness", encode(IMAGE.convert("YCbCr"), "TIFF")
    yield "TIFF, JPEG", encode(IMAGE, "TIFF", compression="jpeg", quality=95)
    yield "JPEG twice", encode(IMAGE, "MPO", quality=95, save_all=True, append_images=[IMAGE])
    yield "WebP with loss", encode(IMAGE, "WEBP", quality=95)
    yield "AVIF", encode(IMAGE, "AVIF", quality=95)
    yield "AVIF, full colour", encode(IMAGE, "AVIF", quality=95, subsampling="4:4:4")


EXACT, NEAR = dict(without_loss()), dict(with_loss())


def both_readers(data, path):
    path.write_bytes(data)
    stored = Image.open(io.BytesIO(read_image(data, channels=3).encoded))
    return np.asarray(read_picture(path)), np.asarray(stored)


def test_they_are_many():
    assert len(EXACT) + len(NEAR) >= 70


@pytest.mark.parametrize("name", EXACT)
def test_encodings_without_loss_are_the_same_picture(name, tmp_path):
    for pixels in both_readers(EXACT[name], tmp_path / "p"):
        np.testing.assert_array_equal(pixels, PHOTOGRAPH)


@pytest.mark.parametrize("name", NEAR)
def test_encodings_with_loss_are_nearly_the_same_picture(name, tmp_path):
    for pixels in both_readers(NEAR[name], tmp_path / "p"):
        assert pixels.shape == PHOTOGRAPH.shape
        assert np.abs(pixels.astype(int) - PHOTOGRAPH).mean() < 6
