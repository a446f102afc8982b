import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.data.image_files import BadImage, read_image

RAMP = np.add.outer(np.arange(12) * 9, np.arange(10) * 11).astype(np.uint8)
COLOURS = np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=-1)


def encode(image: Image.Image | np.ndarray, suffix: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(file, format=suffix, **options)
    return file.getvalue()


def pixels(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)))


def rotated_by_the_camera(image: np.ndarray, suffix: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to show it
    return encode(image, suffix, exif=exif)


def png_with_16_bit_colours() -> bytes:
    raw = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in COLOURS)

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", 10, 12, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*parts)
        for parts in ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    )


@pytest.mark.parametrize(
    ("data", "channels"),
    [
        (encode(COLOURS, "JPEG"), 3),
        (encode(RAMP, "JPEG"), 1),
        (encode(COLOURS), 3),
        (encode(RAMP), 1),
    ],
)
def test_what_can_be_stored_stays_as_it_is_unless_png_is_wanted(data, channels):
    image = read_image(data, channels=channels)
    assert image.encoded == data
    assert image.size_px == (10, 12)
    again = read_image(data, channels=channels, keep_encoding=False)
    assert again.encoded.startswith(b"\x89PNG")
    np.testing.assert_array_equal(pixels(again.encoded), pixels(data))
    assert again.digest == image.digest and again.fingerprint == image.fingerprint


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encode(RAMP), np.repeat(RAMP[..., None], 3, axis=-1)),
        (encode(RAMP, "BMP"), np.repeat(RAMP[..., None], 3, axis=-1)),
        (encode(RAMP, "GIF"), np.repeat(RAMP[..., None], 3, axis=-1)),
        (encode(RAMP.astype(np.uint16) * 257), np.repeat(RAMP[..., None], 3, axis=-1)),
        (encode(RAMP.astype(np.uint16) * 257, "TIFF"), np.repeat(RAMP[..., None], 3, axis=-1)),
        (png_with_16_bit_colours(), COLOURS),
        (rotated_by_the_camera(COLOURS, "PNG"), np.rot90(COLOURS, -1)),
        (encode(Image.fromarray(COLOURS).quantize(256)), None),
        (encode(Image.fromarray(COLOURS).convert("CMYK"), "TIFF"), None),
        (encode(Image.fromarray(RAMP > 60), "PNG"), None),
    ],
    ids="gray bmp gif gray16 tiff16 colour16 rotated palette cmyk bits".split(),
)
def test_other_modes_become_8_bit_rgb(data, expected):
    found = pixels(read_image(data, channels=3).encoded)
    assert found.shape[-1] == 3 and found.dtype == np.uint8
    if expected is None:
        with Image.open(io.BytesIO(data)) as source:
            expected = np.asarray(source.convert("RGB"))
    np.testing.assert_array_equal(found, expected)


def test_colours_become_luminance_and_the_camera_s_rotation_is_carried_out_in_jpeg_too():
    gray = pixels(read_image(encode(COLOURS), channels=1).encoded)
    np.testing.assert_array_equal(gray, np.asarray(Image.fromarray(COLOURS).convert("L")))
    turned = read_image(rotated_by_the_camera(RAMP, "JPEG"), channels=1)
    assert turned.size_px == (12, 10)
    upright = np.rot90(pixels(encode(RAMP, "JPEG")), -1)
    np.testing.assert_array_equal(pixels(turned.encoded), upright)
    assert Image.open(io.BytesIO(turned.encoded)).getexif().get(0x0112, 1) == 1


def test_transparent_pixels_become_white_and_of_an_animation_the_first_frame_is_taken():
    layers = np.dstack([COLOURS, np.where(RAMP > 100, 255, 0).astype(np.uint8)])
    found = pixels(read_image(encode(layers), channels=3).encoded)
    np.testing.assert_array_equal(found, np.where(layers[..., 3:] > 0, COLOURS, 255))
    frames = [Image.fromarray(RAMP), Image.fromarray(RAMP[::-1].copy())]
    animation = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(pixels(read_image(animation, channels=1).encoded), RAMP)


def huge_png(width: int, height: int) -> bytes:
    """A header that promises more than is there, as a decompression bomb does."""
    data = bytearray(encode(RAMP))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"not an image", "not a readable image"),
        (encode(COLOURS, "JPEG")[:-90], "not a readable image"),
        (encode(COLOURS)[:-40], "not a readable image"),
        (huge_png(10_001, 10_000), r"10001x10000 pixels, more than 100,000,000"),
        (huge_png(60_000, 60_000), r"more than 100,000,000 pixels"),
        (encode(RAMP.astype(np.float32), "TIFF"), "floating-point pixels"),
    ],
    ids="empty text cut_jpeg cut_png huge bomb float".split(),
)
def test_what_cannot_be_used_is_a_bad_image_with_a_reason(data, reason):
    with pytest.raises(BadImage, match=reason) as raised:
        read_image(data, channels=3)
    assert "\n" not in str(raised.value)


def test_another_size_than_the_dataset_s_is_refused():
    with pytest.raises(BadImage, match="10x12 pixels instead of 48x48"):
        read_image(encode(RAMP), channels=1, size_px=(48, 48))
