"""Faces in the boxes of their owner, level where that is asked for."""

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.data.image_files import BadImage
from tdgan_jax.preparation.owners_boxes import Eyes, OwnersBox, cut_out, level_corner

EYES = Eyes(120, 150, 180, 170)


def ramp(width: int, height: int) -> np.ndarray:
    """Gray that grows by 0.5 a column and by 0.25 a row, so that its interpolation is exact."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    return 0.5 * columns + 0.25 * rows


def test_columns_come_first():
    pixels = np.arange(60, dtype=np.uint8).reshape(6, 10)
    face = np.asarray(cut_out(Image.fromarray(pixels), OwnersBox(2, 1, 5, 3)))
    np.testing.assert_array_equal(face, pixels[1:4, 2:7])


def test_the_corner_of_the_spec():
    corner = level_corner(OwnersBox(90, 100, 140, 140), EYES)
    np.testing.assert_allclose(corner, (74.105336, 122.052668), atol=1e-6)


def test_pixels_are_those_that_the_turn_brings_there():
    image = Image.fromarray(np.rint(ramp(300, 300)).astype(np.uint8))
    face = np.asarray(cut_out(image, OwnersBox(90, 100, 140, 140, EYES)))
    assert face.shape == (140, 140)
    # OpenCV's matrix for an angle of 18.434949 degrees about (150, 160), turned around.
    angle = np.deg2rad(18.434949)
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = np.array([[cosine, sine], [-sine, cosine]])
    shift = np.array([150, 160]) - matrix @ [150, 160]
    for row, column in ((0, 0), (139, 139), (70, 20), (5, 130)):
        x, y = np.linalg.solve(matrix, np.array([74 + column, 122 + row]) - shift)
        # The ramp is rounded, and Pillow cuts fractions off.
        assert abs(face[row, column] - (0.5 * x + 0.25 * y)) <= 1.5


@pytest.mark.parametrize(
    ("eyes", "turned"),
    [(Eyes(5, 5, 9, 5), 0), (Eyes(7, 7, 7, 7), 0), (Eyes(7, 3, 7, 11), 1), (Eyes(7, 11, 7, 3), 3)],
)
def test_eyes_that_are_level_equal_or_one_above_the_other(eyes, turned):
    pixels = np.random.default_rng(0).integers(0, 256, (15, 15), dtype=np.uint8)
    image = Image.fromarray(pixels)
    about_the_middle = {0: (3, 3), 1: (11, 3), 3: (3, 11)}[turned]
    box = OwnersBox(*about_the_middle, 9, 9, eyes)
    corner = level_corner(box, eyes)
    np.testing.assert_allclose(corner, (3, 3), atol=1e-9)
    face = np.asarray(cut_out(image, box)).astype(int)
    np.testing.assert_allclose(face, np.rot90(pixels, turned)[3:12, 3:12], atol=1)


def test_what_lies_outside_is_black_and_large_faces_are_shrunk():
    white = Image.new("RGB", (40, 20), "white")
    face = np.asarray(cut_out(white, OwnersBox(-10, 0, 20, 30)))
    assert face.shape == (30, 20, 3)
    assert not face[:, :10].any() and not face[20:].any() and face[:20, 10:].min() == 255
    assert cut_out(white, OwnersBox(0, 0, 40, 20), 10).size == (10, 5)
    assert cut_out(white, OwnersBox(0, 0, 40, 1), 10).size == (10, 1)
    assert cut_out(white, OwnersBox(0, 0, 40, 20), 64).size == (40, 20)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((0, 0, 0, 5), "has 0x5 pixels"),
        ((0, 0, 5, -1), "has 5x-1 pixels"),
        ((40, 0, 5, 5), "columns 40 to 45 and rows 0 to 5, lies outside of the image of 40x20"),
        ((0, -5, 5, 5), "lies outside"),
        ((0, 0, 10**6, 10**6), "1000000x1000000 pixels, more than"),
    ],
)
def test_boxes_that_hold_no_face(box, message):
    with pytest.raises(BadImage, match=message):
        cut_out(Image.new("L", (40, 20)), OwnersBox(*box))


@pytest.mark.parametrize("eyes", [(10**400, 5, 7, 5), (5, 5, 9, 61), (5, -21, 9, 5)])
def test_eyes_that_are_nowhere_near(eyes):
    with pytest.raises(BadImage, match="the eyes, at .* lie far outside of the image"):
        cut_out(Image.new("L", (40, 20)), OwnersBox(0, 0, 9, 9, Eyes(*eyes)))
