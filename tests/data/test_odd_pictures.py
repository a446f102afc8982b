"""Pictures are read as viewers show them, or refused with a reason; in every reader alike."""

import io
import os
import sys

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from tdgan_jax.data.image_files import BadImage, read_image
from tdgan_jax.data.picture_files import left_out_line, read_picture
from tdgan_jax.errors import UserError
from tdgan_jax.families.images import as_model_images
from tdgan_jax.families.stored import Preprocessing
from tests.data.odd_pictures import HEIC, RAMP, bmp, tiff

GRAY = Preprocessing(16, 1, "resize")
LEVELS = RAMP * 257
LAYERS = np.stack([RAMP, RAMP, RAMP, RAMP * 0], axis=-1).astype(np.uint8)
SHOWN = {
    "gray": (tiff(RAMP.astype(np.uint8), bits=8, photometric=1), RAMP),
    "white is zero": (tiff(RAMP.astype(np.uint8), bits=8, photometric=0), 255 - RAMP),
    "16 bits": (tiff(LEVELS.astype("<u2"), bits=16, photometric=1), RAMP),
    "16 bits, white is zero": (tiff(LEVELS.astype("<u2"), bits=16, photometric=0), 255 - RAMP),
    "12 bits": (tiff(-(-RAMP * 4095 // 255), bits=12, photometric=1), RAMP),
    "spare byte of BMP": (bmp(RAMP, alpha=0), RAMP),
    "opaque BMP": (bmp(RAMP, alpha=255), RAMP),
}
REFUSED = {
    "32 bits that hold 8": (tiff(RAMP.astype("<u4"), bits=32, photometric=1), "32 bits a pixel"),
    "32 bits": (tiff((LEVELS * 65537).astype("<u4"), bits=32, photometric=1), "32 bits a pixel"),
    "32 bits, signed": (
        tiff(RAMP.astype("<i4"), bits=32, photometric=1, sample_format=2),
        "signed pixel values",
    ),
    "16 bits, signed": (
        tiff((RAMP * 100).astype("<i2"), bits=16, photometric=1, sample_format=2),
        "signed pixel values",
    ),
    "8 bits, signed": (
        tiff(RAMP.astype(np.int8), bits=8, photometric=1, sample_format=2),
        "signed pixel values",
    ),
    "floats": (
        tiff((RAMP / 255).astype("<f4"), bits=32, photometric=1, sample_format=3),
        "floating-point pixels",
    ),
    "transparent": (tiff(LAYERS, bits=8, photometric=2, more={338: 2}), "wholly transparent"),
    "transparent, multiplied": (
        tiff(LAYERS, bits=8, photometric=2, more={338: 1}),
        "wholly transparent",
    ),
}


def stored(data, channels=1):
    return np.asarray(Image.open(io.BytesIO(read_image(data, channels=channels).encoded)))


@pytest.mark.parametrize("kind", SHOWN)
def test_they_look_as_in_a_viewer(kind, tmp_path):
    data, expected = SHOWN[kind]
    (tmp_path / "p").write_bytes(data)
    np.testing.assert_array_equal(stored(data), expected)
    np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / "p"))[..., 0], expected)
    with Image.open(tmp_path / "p") as image:
        ready = as_model_images(image, GRAY)
    np.testing.assert_array_equal(np.rint(ready[0, ..., 0] * 255), expected)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_look_is_refused(kind, tmp_path):
    data, message = REFUSED[kind]
    (tmp_path / "p").write_bytes(data)
    with pytest.raises(BadImage, match=message):
        read_image(data, channels=1)
    with pytest.raises(BadImage, match=message):
        read_picture(tmp_path / "p")
    with Image.open(tmp_path / "p") as image, pytest.raises(UserError, match=message):
        as_model_images(image, GRAY)


def test_arrays_of_many_bits_in_pillow_s_hands():
    with pytest.raises(UserError, match="32 bits a pixel"):
        as_model_images(Image.fromarray(RAMP.astype(np.int32)), GRAY)
    ready = as_model_images(Image.fromarray(LEVELS.astype(np.int32)), GRAY)
    np.testing.assert_array_equal(np.rint(ready[0, ..., 0] * 255), RAMP)


def test_every_mode_of_pillow_is_read_or_refused():
    layers = np.stack([RAMP, RAMP.T, 255 - RAMP], axis=-1)
    colours = Image.fromarray((64 + layers // 2).astype(np.uint8))
    rgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    in_lab = ImageCms.profileToProfile(colours, rgb, lab, outputMode="LAB")
    colour = Preprocessing(16, 3, "resize")
    expected = as_model_images(colours, colour)
    assert np.abs(as_model_images(in_lab, colour) - expected).max() < 0.03
    for mode in ("1", "L", "LA", "P", "PA", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"):
        image = Image.new(mode, (16, 16))
        assert as_model_images(image, colour).shape == (1, 16, 16, 3)
    for mode in ("F", "I", "La"):
        with pytest.raises(UserError, match=f"^an image of mode {mode} and size 16x16: "):
            as_model_images(Image.new(mode, (16, 16)), colour)
    for size in ((0, 0), (0, 5)):
        with pytest.raises(UserError, match="no pixels"):
            as_model_images(Image.new("RGB", size), colour)


def test_a_caller_s_image_stays_as_it_is(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RAMP.astype(np.uint8)).resize((16, 32)).save(tmp_path / "p.png", exif=exif)
    with Image.open(tmp_path / "p.png") as image:
        as_model_images(image, GRAY)
        assert image.size == (16, 32) and image.getexif()[0x0112] == 6


def png_with(kind: str, size: int) -> bytes:
    options = {}
    if kind == "profile":
        options["icc_profile"] = bytes(size)
    else:
        notes = PngImagePlugin.PngInfo()
        for number in range(80 if kind == "many" else 1):
            if kind == "international":
                notes.add_itxt("XML:com.adobe.xmp", "x" * size, "en", "x", zip=True)
            else:
                notes.add_text(f"note {number}", "x" * size, zip=kind != "plain")
        options["pnginfo"] = notes
    file = io.BytesIO()
    Image.fromarray(RAMP.astype(np.uint8)).save(file, "PNG", **options)
    return file.getvalue()


@pytest.mark.parametrize("place", ["before", "behind"])
@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("text", 2_000_000),
        ("plain", 2_000_000),
        ("international", 2_000_000),
        ("profile", 2_000_000),
        ("many", 1_000_000),
        ("text", 100_000_000),
    ],
)
def test_notes_of_megabytes_do_not_hide_a_picture(kind, size, place, tmp_path):
    data = png_with(kind, size)
    if place == "behind":  # the pixels first, as some programs write
        start, end = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
        data = data[:33] + data[start:end] + data[33:start] + data[end:]
    (tmp_path / "p.png").write_bytes(data)
    np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / "p.png"))[..., 0], RAMP)
    image = read_image(data, channels=1)
    # What is stored is read by others, which stumble over the notes.
    assert len(image.encoded) < 2000
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(image.encoded))), RAMP)


def test_usual_notes_leave_a_file_as_it_is():
    data = png_with("text", 10_000)
    assert read_image(data, channels=1).encoded == data


def test_heic_without_its_package_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "p.heic").write_bytes(HEIC)
    message = r"HEIC photograph, which is read with pillow-heif: pip install 'tdgan-jax\[heic\]'"
    with pytest.raises(BadImage, match=message):
        read_picture(tmp_path / "p.heic")
    with pytest.raises(BadImage, match=message):
        read_image(HEIC, channels=3)


def test_heic_with_its_package_is_read(tmp_path):
    pytest.importorskip("pillow_heif")
    (tmp_path / "p.jpg").write_bytes(HEIC)  # whatever its suffix
    image = read_picture(tmp_path / "p.jpg")
    assert image.size == (64, 48) and image.getpixel((5, 5)) == (200, 10, 10)


def test_files_that_are_not_taken_are_counted(monkeypatch):
    monkeypatch.setattr("tdgan_jax.data.picture_files.READS_HEIC", False)
    names = ["a/1.heic", "a/2.HEIC", "README", "b.txt", "c.psd"]
    assert left_out_line(names) == (
        "2 .heic (read with pillow-heif: pip install 'tdgan-jax[heic]'), 1 without a suffix, "
        "1 .psd, 1 .txt"
    )
    assert left_out_line([]) == ""
    many = [f"{number}.s{number}" for number in range(20)]
    assert left_out_line(many).endswith("12 others")


def test_huge_files_are_refused_before_they_are_read(tmp_path):
    with open(tmp_path / "p.png", "wb") as file:
        file.truncate(600 << 20)  # no room on disk
    with pytest.raises(BadImage, match="larger than 512 MB"):
        read_picture(tmp_path / "p.png")


@pytest.mark.parametrize("name", ["pipe", "link"])
def test_pipes_and_devices_are_no_pictures(name, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    with pytest.raises(UserError, match=f"{name}: not a file"):
        as_model_images(tmp_path / name, GRAY)
