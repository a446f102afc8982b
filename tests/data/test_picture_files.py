import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.data.image_files import MAX_PIXELS, BadImage
from tdgan_jax.data.picture_files import read_picture


def ramp(mode="RGB"):
    """A picture of 24x16 pixels with a bright upper left corner, in any mode."""
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[..., 0] = np.arange(24) * 8
    pixels[:4, :4] = 255
    return Image.fromarray(pixels).convert(mode)


def png_header(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    data = struct.pack(">I", 10_000) + b"IDAT"  # announced, not there
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + crc + data


@pytest.fixture
def path(tmp_path):
    return tmp_path / "picture"


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_formats_without_loss(format, path):
    options = {"lossless": True} if format == "WEBP" else {}
    ramp().save(path, format=format, **options)
    image = read_picture(path)
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), np.asarray(ramp()))


@pytest.mark.parametrize(
    ("mode", "format"),
    [("L", "PNG"), ("1", "PNG"), ("P", "PNG"), ("CMYK", "JPEG"), ("CMYK", "TIFF")],
)
def test_modes_become_rgb(mode, format, path):
    ramp(mode).save(path, format=format)
    image = read_picture(path)
    assert (image.mode, image.size) == ("RGB", (24, 16))
    assert np.asarray(image)[1, 1].min() > 200 and np.asarray(image)[10, 0].max() < 40


@pytest.mark.parametrize("format", ["PNG", "PPM", "TIFF"])
def test_sixteen_bits_are_scaled_not_cut_off(format, path):
    levels = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    if format == "PPM":
        path.write_bytes(b"P5\n16 16\n65535\n" + levels.astype(">u2").tobytes())
    else:
        Image.fromarray(levels).save(path, format=format)
    assert np.array_equal(np.asarray(read_picture(path))[..., 1].ravel(), np.arange(256))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_are_white(mode, path):
    image = ramp("RGBA")
    alpha = np.full((16, 24), 255, np.uint8)
    alpha[8:] = 0
    image.putalpha(Image.fromarray(alpha))
    if mode == "P":
        image = image.quantize(16)
    image.convert(mode).save(path, format="PNG")
    pixels = np.asarray(read_picture(path))
    assert (pixels[8:] == 255).all()
    assert pixels[6, 0].max() < 40


def test_the_first_frame_of_an_animation(path):
    frames = [Image.new("L", (16, 16), level) for level in (50, 150, 250)]
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:])
    assert (np.asarray(read_picture(path)) == 50).all()


@pytest.mark.parametrize(
    ("orientation", "bright"),
    [
        (1, "upper left"),
        (2, "upper right"),
        (3, "lower right"),
        (4, "lower left"),
        (5, "upper left"),
        (6, "upper right"),
        (7, "lower right"),
        (8, "lower left"),
    ],
)
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_the_cameras_rotation_is_carried_out(orientation, bright, format, path):
    corner = Image.new("L", (24, 16))
    corner.paste(255, (0, 0, 4, 4))
    exif = Image.Exif()
    exif[0x0112] = orientation
    corner.save(path, format=format, exif=exif)
    image = read_picture(path)
    assert image.size == ((24, 16) if orientation < 5 else (16, 24))
    pixels = np.asarray(image)[..., 0]
    corners = {
        "upper left": pixels[0, 0],
        "upper right": pixels[0, -1],
        "lower left": pixels[-1, 0],
        "lower right": pixels[-1, -1],
    }
    assert [place for place, value in corners.items() if value == 255] == [bright]


def test_damaged_exif_data_do_not_matter(path):
    ramp().save(path, format="PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    assert np.array_equal(np.asarray(read_picture(path)), np.asarray(ramp()))


def test_truncated(path):
    for format in ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF"):
        buffer = io.BytesIO()
        ramp().save(buffer, format=format)
        path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
        with pytest.raises(BadImage):
            read_picture(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "^the file is empty$"),
        (b"no picture at all", "not a readable image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n", "not a readable image"),
        (png_header(20_000, 20_000), f"(20000x20000 pixels, )?more than {MAX_PIXELS:,}"),
        (png_header(10_001, 10_000), f"^10001x10000 pixels, more than {MAX_PIXELS:,}$"),
        (b"P5\n1 1\n255\n\0", "^1x1 pixels, less than 8x8$"),
        (b"P5\n7 9\n255\n" + bytes(63), "^7x9 pixels, less than 8x8$"),
    ],
)
def test_what_cannot_be_used_says_why(content, message, path):
    path.write_bytes(content)
    with pytest.raises(BadImage, match=message):
        read_picture(path)


def test_floating_point_pixels_have_no_known_range(path):
    Image.fromarray(np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)).save(path, "TIFF")
    with pytest.raises(BadImage, match="floating-point"):
        read_picture(path)


def test_things_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path, message in (
        (tmp_path / "pipe.png", "not a file"),  # reading it would wait for ever
        ("/dev/zero", "not a file"),
        (tmp_path, "not a file"),
        (tmp_path / "missing.png", "No such file or directory"),
        (tmp_path / "x\0y.png", "null"),
    ):
        with pytest.raises(BadImage, match=message):
            read_picture(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission(path):
    ramp().save(path, format="PNG")
    path.chmod(0)
    with pytest.raises(BadImage, match="Permission denied"):
        read_picture(path)
