"""What callers give as images, and what a model gets."""

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.data.images import resize_exactly
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.families.images import as_model_images
from tdgan_jax.families.stored import Preprocessing

GRAY = Preprocessing(image_size_px=16, image_channels=1, test_transform="resize")
COLOUR = Preprocessing(image_size_px=16, image_channels=3, test_transform="resize")
CROPPED = Preprocessing(image_size_px=16, image_channels=1, test_transform="centre_crop")


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)


def test_paths_pillow_images_and_arrays_are_the_same_picture(pixels, tmp_path):
    picture = Image.fromarray(pixels)
    picture.save(tmp_path / "a.png")
    expected = resize_exactly(pixels, 16, 1)[None].astype(np.float32) / 255
    forms = (str(tmp_path / "a.png"), tmp_path / "a.png", picture, pixels, pixels[None])
    for images in (*forms, *([form] for form in forms[:4]), pixels / 255.0, [pixels / 255.0]):
        prepared = as_model_images(images, GRAY)
        assert prepared.dtype == np.float32
        np.testing.assert_array_equal(prepared, expected)


def test_a_list_may_be_mixed_and_empty(pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    mixed = as_model_images([pixels, tmp_path / "a.png", Image.fromarray(pixels)], COLOUR)
    assert mixed.shape == (3, 16, 16, 3)
    np.testing.assert_array_equal(mixed[0], mixed[1])
    np.testing.assert_array_equal(mixed[0], mixed[2])
    assert as_model_images([], COLOUR).shape == (0, 16, 16, 3)


def test_float_images_of_the_models_size_are_taken_as_they_are():
    exact = np.random.default_rng(1).random((2, 16, 16, 1), np.float32)
    np.testing.assert_array_equal(as_model_images(exact, GRAY), exact)


def test_the_recorded_transform_is_used(pixels):
    whole, middle = (as_model_images(pixels, recorded) for recorded in (GRAY, CROPPED))
    assert middle.shape == whole.shape
    assert not np.array_equal(middle, whole)


def test_gray_and_transparent_pictures_in_any_mode(pixels, tmp_path):
    gray = Image.fromarray(pixels).convert("L")
    expected = as_model_images(gray, GRAY)
    sixteen_bits = Image.fromarray(np.asarray(gray, np.uint16) * 257)
    np.testing.assert_array_equal(as_model_images(sixteen_bits, GRAY), expected)
    assert as_model_images(gray, COLOUR).shape == (1, 16, 16, 3)
    clear = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    assert as_model_images(clear, GRAY).min() == 1.0


def test_the_callers_picture_stays_as_it_is(pixels):
    picture = Image.fromarray(pixels)
    picture.getexif()[0x0112] = 6
    before = picture.copy()
    as_model_images(picture, GRAY)
    assert picture == before


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((16, 16, 1), 255.0), "values from 255.0 to 255.0; give floats in"),
        (np.full((16, 16, 1), -0.1), "values from -0.1"),
        (np.full((16, 16, 1), np.nan), "values from nan"),
        (np.zeros((16, 16, 1), np.int64), "type int64"),
        (np.zeros((16, 16, 4), np.float32), "is no image"),
        (np.zeros((0, 16, 1), np.float32), "is no image"),
        (np.zeros(5, np.float32), "is no image"),
        (3.5, "is no image"),
    ],
)
def test_what_is_no_image_is_named(image, message):
    with pytest.raises(UsageError, match=message):
        as_model_images(image, GRAY)


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    for path in (tmp_path / "a.png", tmp_path / "absent.png"):
        with pytest.raises(UserError, match=path.name):
            as_model_images([path], GRAY)
