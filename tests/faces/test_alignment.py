import json

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.errors import UserError
from tdgan_jax.faces.alignment import (
    CROP_VERSION,
    IFGAN_CROP,
    CropSettings,
    UnusableFace,
    check_same_crop,
    crop_face,
)
from tdgan_jax.faces.detection import Face


def photograph(points, *, size=(300, 240), mode="L"):
    """Black, with soft white spots."""
    rows, columns = np.mgrid[: size[1], : size[0]]
    spots = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8) for x, y in points]
    image = Image.fromarray(np.uint8(np.sum(spots, axis=0).clip(0, 1) * 255))
    return image.convert(mode)


def face_at(left_eye, right_eye, nose, box=(60, 50, 160, 180)):
    landmarks = np.array([left_eye, right_eye, nose, nose, nose], np.float32)
    return Face(tuple(map(float, box)), 0.99, landmarks)


def brightest(crop, near):
    """Middle of the brightness within six pixels, in sides of the crop from its corner."""
    pixels = np.asarray(crop.convert("L"), np.float64)
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]] + 0.5
    x, y = np.array(near) * pixels.shape[0]
    weight = pixels * (np.hypot(columns - x, rows - y) < 6)
    assert weight.sum() > 0
    return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum() / len(pixels)


@pytest.mark.parametrize("margin", [0.0, 0.5])
@pytest.mark.parametrize(
    ("left_eye", "right_eye"),
    [((90, 100), (130, 100)), ((85, 80), (150, 120)), ((90, 90), (111, 84))],
)
def test_eyes_come_to_the_same_places(left_eye, right_eye, margin):
    face = face_at(left_eye, right_eye, (110, 130))
    crop = crop_face(photograph([left_eye, right_eye]), face, CropSettings(margin=margin))
    assert crop.size == (128, 128)
    apart, y = 0.33 / (1 + margin), 0.5 - 0.12 / (1 + margin)
    for place in ((0.5 - apart / 2, y), (0.5 + apart / 2, y)):
        np.testing.assert_allclose(brightest(crop, place), place, atol=0.3 / 128)


def test_eyes_and_nose_come_to_the_same_places():
    points = [(85, 80), (150, 110), (100, 140)]
    settings = IFGAN_CROP._replace(margin=0.0)
    crop = crop_face(photograph(points, mode="RGB"), face_at(*points), settings)
    assert (crop.size, crop.mode) == ((256, 256), "RGB")
    for place in ((0.335, 0.38), (0.665, 0.38), (0.5, 0.56)):
        np.testing.assert_allclose(brightest(crop, place), place, atol=0.5 / 256)


def test_without_rotation_the_eyes_stay_tilted():
    points = [(90, 90), (150, 120)]
    settings = CropSettings(margin=0.0, rotate_by_eyes=False)
    crop = crop_face(photograph(points), face_at(*points, (110, 150)), settings)
    left, right = (0.5 - 0.33 * np.cos(0.4636) / 2, 0.306), (0.5 + 0.33 * np.cos(0.4636) / 2, 0.454)
    np.testing.assert_allclose(brightest(crop, left), left, atol=0.5 / 128)
    np.testing.assert_allclose(brightest(crop, right), right, atol=0.5 / 128)


def test_a_box_that_fits_is_copied():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    # From the first pixel's left edge to the last pixel's right edge.
    face = face_at((30, 30), (60, 30), (45, 50), box=(19.5, 9.5, 83.5, 73.5))
    settings = CropSettings(style="box", margin=0.0, size_px=64, rotate_by_eyes=False)
    crop = crop_face(Image.fromarray(pixels), face, settings)
    np.testing.assert_array_equal(np.asarray(crop), pixels[10:74, 20:84])


def test_a_margin_takes_in_more_on_every_side():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120), np.uint8)
    face = face_at((30, 30), (60, 30), (45, 50), box=(29.5, 19.5, 69.5, 51.5))
    settings = CropSettings(style="box", size_px=60, margin=0.5, rotate_by_eyes=False)
    crop = crop_face(Image.fromarray(pixels), face, settings)
    np.testing.assert_array_equal(np.asarray(crop), pixels[6:66, 20:80])


def test_a_finer_photograph_is_averaged():
    pixels = np.random.default_rng(0).integers(0, 256, (80, 80), np.uint8)
    face = face_at((20, 30), (60, 30), (40, 50), box=(-0.5, -0.5, 79.5, 79.5))
    settings = CropSettings(style="box", margin=0.0, size_px=20, rotate_by_eyes=False)
    crop = crop_face(Image.fromarray(pixels), face, settings)
    means = pixels.reshape(20, 4, 20, 4).mean((1, 3))
    np.testing.assert_allclose(np.asarray(crop), means, atol=1)


def test_beyond_the_photograph_its_edge_is_repeated():
    image = Image.fromarray(np.full((50, 50), 77, np.uint8))
    face = face_at((5, 10), (25, 10), (15, 20), box=(-20, -20, 40, 40))
    for settings in (CropSettings(), CropSettings(style="box"), IFGAN_CROP):
        assert np.asarray(crop_face(image, face, settings)).min() >= 76


@pytest.mark.parametrize(
    ("settings", "points"),
    [
        (CropSettings(), [(100, 90), (110, 90), (105, 120)]),
        (CropSettings(style="box"), [(100, 90), (100, 90), (105, 120)]),
        (IFGAN_CROP, [(80, 90), (120, 90), (160, 91)]),
    ],
)
def test_landmarks_on_each_other_align_nothing(settings, points):
    with pytest.raises(UnusableFace):
        crop_face(Image.new("L", (300, 240)), face_at(*points), settings)


def test_settings_pass_through_json():
    settings = CropSettings(style="box", margin=0.25, size_px=96, rotate_by_eyes=False)
    assert CropSettings.from_json(json.loads(json.dumps(settings.as_json()))) == settings
    assert settings.version == CROP_VERSION


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"style": "ears"}, "unknown style 'ears'"),
        ({"margin": -0.1}, "margin"),
        ({"size_px": 0}, "size"),
        ({"version": CROP_VERSION + 1}, "use the release"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    settings = CropSettings()._replace(**change)
    with pytest.raises(UserError, match=message):
        crop_face(photograph([(9, 9)]), face_at((9, 9), (90, 9), (50, 50)), settings)


def test_other_json_is_refused():
    with pytest.raises(UserError, match="not the settings of a face crop"):
        CropSettings.from_json({"style": "box"})
    for name, value in (("margin", "0"), ("size_px", 1.5), ("rotate_by_eyes", 1), ("style", [])):
        with pytest.raises(UserError, match=f"face crop: {name} is "):
            CropSettings.from_json(CropSettings().as_json() | {name: value})


def check(model, dataset, **options):
    check_same_crop(
        model,
        dataset,
        model_name="runs/a",
        dataset_name="yale_faces",
        override="--allow-other-crop",
        **options,
    )


def test_a_model_and_a_dataset_must_show_faces_in_the_same_way():
    check(None, None)
    check(CropSettings(), CropSettings())
    with pytest.raises(UserError, match="margin 0.0 in runs/a, 0.3 in yale_faces.*--allow-other"):
        check(CropSettings(margin=0.0), CropSettings(margin=0.3))
    with pytest.raises(UserError, match="faces of yale_faces were cut .* those of runs/a were not"):
        check(None, CropSettings())
    with pytest.raises(UserError, match="faces of runs/a were cut .* those of yale_faces were not"):
        check(CropSettings(), None)
    check(CropSettings(), None, is_overridden=True)
