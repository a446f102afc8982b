"""Augmentations of a configuration: reading them, and what they do to images."""

import json
import math

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image, ImageEnhance, ImageOps

from tdgan_jax.configuration import load_config, to_json
from tdgan_jax.data.augmentation import (
    KINDS,
    Affine,
    ColourJitter,
    Crop,
    Erasing,
    Flip,
    Group,
    Mixup,
    PadCrop,
    RandomResizedCrop,
    Rotation,
    describe_augmentations,
    mixup_of,
    parse_augmentations,
)
from tdgan_jax.data.image_changes import augment, example_generator, inverse_affine
from tdgan_jax.data.images import centre_crop, resize_exactly
from tdgan_jax.data.mixup import draw_mixup, mixed
from tdgan_jax.errors import UsageError

EVERY_KIND = [
    {"kind": "crop", "size_px": 20},
    {"kind": "pad_crop", "padding_px": 3, "fill": 7},
    {"kind": "random_resized_crop", "probability": 0.8, "scale": [0.3, 1], "ratio": [0.75, 1.5]},
    {"kind": "flip"},
    {"kind": "rotation", "degrees": 30, "resampling": "nearest"},
    {
        "kind": "affine",
        "rotation_degrees": 15,
        "translation": 0.1,
        "scale": [0.9, 1.2],
        "shear_degrees": 5.0,
    },
    {"kind": "colour_jitter", "brightness": 0.5, "contrast": 0.5, "order": "random"},
    {"kind": "equalisation", "probability": 0.3},
    {"kind": "erasing", "probability": 0.5, "area": [0.02, 0.25], "fill": "random"},
    {"kind": "group", "probability": 0.2, "members": [{"kind": "rotation"}, {"kind": "pad_crop"}]},
    {"kind": "mixup", "alpha": 0.4},
]


def noise(height_px: int = 24, width_px: int = 24, channels: int = 1, seed: int = 0) -> np.ndarray:
    image = np.random.default_rng(seed).integers(0, 256, (height_px, width_px, channels), np.uint8)
    image.setflags(write=False)
    return image


def coordinates(height_px: int, width_px: int) -> np.ndarray:
    """An image whose channels say where a pixel stands: row, column, inside."""
    rows, columns = np.indices((height_px, width_px))
    image = np.stack([rows, columns, np.full_like(rows, 255)], axis=-1).astype(np.uint8)
    image.setflags(write=False)
    return image


def change(image, *augmentations, index: int = 0, size_px: int = 24) -> np.ndarray:
    return augment(example_generator(5, 1, index), image, augmentations, size_px=size_px)


def pil_of(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


# What a configuration says.


def test_every_kind_is_read_from_mappings_json_and_what_was_read():
    parsed = parse_augmentations(EVERY_KIND)
    assert [one.kind for one in parsed] == list(KINDS)
    assert parsed[5] == Affine("affine", 1.0, 15, 0.1, (0.9, 1.2), 5.0)
    assert parsed[9] == Group("group", 0.2, (Rotation(), PadCrop()))
    assert hash(parsed)
    as_configs = tuple(ConfigDict(entry) for entry in EVERY_KIND)
    for same in (json.dumps(EVERY_KIND), tuple(EVERY_KIND), as_configs, parsed):
        assert parse_augmentations(same) == parsed
    assert parse_augmentations("") == parse_augmentations([]) == ()


def test_a_configuration_holds_a_list_and_the_command_line_changes_it(tmp_path):
    path = tmp_path / "with_augmentations.py"
    path.write_text(
        "from ml_collections import ConfigDict\n"
        "def get_config(variant=''):\n"
        "    data = ConfigDict({'augmentations': ({'kind': 'flip'},), 'as_text': ''})\n"
        "    return ConfigDict({'data': data})\n"
    )
    assert parse_augmentations(load_config(str(path)).data.augmentations) == (Flip(),)
    text = '[{"kind": "affine", "scale": [0.9, 1.1]}, {"kind": "flip"}]'
    config = load_config(str(path), [f"data.augmentations={text}", f"data.as_text={text}"])
    expected = (Affine(scale=(0.9, 1.1)), Flip())
    for value in (config.data.augmentations, config.data.as_text):
        assert parse_augmentations(value) == expected
    # A stored configuration holds lists.
    stored = json.loads(json.dumps(to_json(config)))
    assert parse_augmentations(stored["data"]["augmentations"]) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            [{"kind": "flipp"}],
            r"augmentations\[0\].kind is 'flipp'; did you mean 'flip'\? Known: crop",
        ),
        ([{"kind": ["flip"]}], r"kind is \['flip'\]; did you mean"),
        ([{"probability": 1}], r"augmentations\[0\] must have a kind, .* known: crop, pad_crop"),
        (["flip"], r"augmentations\[0\] must have a kind"),
        (
            [{"kind": "flip"}, {"kind": "flip", "probabilty": 1}],
            r"a field of data.augmentations\[1\] is 'probabilty'; did you mean 'probability'",
        ),
        ([{"kind": "flip", "probability": 1.5}], r"a number in \[0, 1\], got 1.5"),
        ([{"kind": "flip", "probability": True}], r"a number in \[0, 1\], got True"),
        ([{"kind": "flip", "probability": math.nan}], r"a number in \[0, 1\], got nan"),
        ([{"kind": "affine", "scale": [1.2, 0.9]}], r"\[lowest, highest\] in \[0.1, 10\], got"),
        ([{"kind": "affine", "scale": 1.2}], r"scale must be \[lowest, highest\] in"),
        ([{"kind": "crop", "size_px": 1.5}], r"size_px must be a whole number in \[0, 4096\]"),
        ([{"kind": "rotation", "fill": [1, 2]}], r"\[0, 255\] or three of them, got \[1, 2\]"),
        ([{"kind": "rotation", "resampling": "linear"}], "'linear'; did you mean 'bilinear'"),
        (
            [{"kind": "erasing", "fill": "noise"}],
            "fill is 'noise'; .* Known: constant, mean, random",
        ),
        ([{"kind": "group", "members": []}], "must hold augmentations"),
        ([{"kind": "group", "members": [{"kind": "mixup"}]}], "must hold augmentations of single"),
        ([{"kind": "group", "members": [{"kind": "fli"}]}], r"\[0\].members\[0\].kind is 'fli'"),
        ([{"kind": "mixup"}, {"kind": "mixup"}], "has more than one mixup"),
        ("[{'kind': 'flip'}]", "data.augmentations is not JSON"),
        ('{"kind": "flip"}', "must be a list of augmentations"),
        (7, "must be a list of augmentations, got 7"),
    ],
)
def test_what_is_wrong_is_named_with_what_may_stand_there(value, message):
    with pytest.raises(UsageError, match=message):
        parse_augmentations(value)


def test_the_list_in_words():
    words = describe_augmentations(parse_augmentations(EVERY_KIND))
    assert words.startswith("crop (size px 20), then pad crop (padding px 3, fill 7), then ")
    assert "then flip with probability 0.5, then rotation (degrees 30, resampling nearest)" in words
    assert (
        "affine (rotation degrees 15, translation 0.1, scale 0.9 to 1.2, shear degrees 5," in words
    )
    assert "then [rotation (degrees 10, resampling bilinear), then pad crop" in words
    assert words.endswith("with probability 0.2, then mixup (alpha 0.4)")
    assert describe_augmentations(()) == "none"


# What is done to an image.


@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_gives_images_and_leaves_the_given_one_alone(channels):
    image = noise(28, 26, channels)
    before = image.copy()
    for entry in EVERY_KIND:
        (one,) = parse_augmentations([entry])
        for index in range(5):
            found = change(image, one, index=index, size_px=16)
            side = {"crop": 20, "pad_crop": 16, "random_resized_crop": 16}.get(one.kind)
            assert found.dtype == np.uint8
            assert found.shape == ((side, side, channels) if side else image.shape)
    np.testing.assert_array_equal(image, before)


def test_the_result_depends_on_seed_epoch_and_index_alone():
    augmentations = parse_augmentations(EVERY_KIND)

    def made(seed: int, epoch: int, index: int) -> bytes:
        generator = example_generator(seed, epoch, index)
        return augment(generator, noise(seed=index), augmentations, size_px=16).tobytes()

    keys = [(seed, epoch, index) for seed in (0, 1) for epoch in (0, 1) for index in range(4)]
    results = {key: made(*key) for key in keys}
    assert results == {key: made(*key) for key in reversed(keys)}
    assert len({made(seed, epoch, 0) for seed in (0, 1) for epoch in (0, 1)}) == 4


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_the_probability_is_the_part_of_the_images(probability):
    image = noise()
    flips = sum(
        not np.array_equal(change(image, Flip(probability=probability), index=index), image)
        for index in range(400)
    )
    assert flips == pytest.approx(400 * probability, abs=30 * (0 < probability < 1))
    np.testing.assert_array_equal(change(image, Flip(probability=1.0)), image[:, ::-1])


def test_crops_stand_anywhere_and_without_a_draw_in_the_middle():
    image = coordinates(20, 22)
    corners = set()
    for index in range(300):
        found = change(image, Crop(size_px=18), index=index)
        top, left = found[0, 0, :2]
        np.testing.assert_array_equal(found, image[top : top + 18, left : left + 18])
        corners.add((top, left))
    assert corners == {(top, left) for top in range(3) for left in range(5)}
    middle = change(image, Crop(probability=0.0), size_px=16)
    np.testing.assert_array_equal(middle, centre_crop(image, 16))
    with pytest.raises(UsageError, match="crop of 24 px does not fit into an image of 22x20 px"):
        change(image, Crop())


def test_padded_crops_show_the_margin():
    image = coordinates(16, 16)
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), constant_values=9)
    places = {
        padded[top : top + 16, left : left + 16].tobytes(): (top, left)
        for top in range(5)
        for left in range(5)
    }
    crops = [
        change(image, PadCrop(padding_px=2, fill=9), index=index, size_px=16)
        for index in range(200)
    ]
    assert {places[crop.tobytes()] for crop in crops} == set(places.values())
    same = change(image, PadCrop(probability=0.0), size_px=16)
    np.testing.assert_array_equal(same, image)
    one_colour = change(image, PadCrop(padding_px=20, fill=(1, 2, 3)), index=3, size_px=16)
    assert one_colour.shape == image.shape
    with pytest.raises(UsageError, match="for 3 channels, images have 1"):
        change(noise(), PadCrop(padding_px=20, fill=(1, 2, 3)))


def test_random_resized_crops_have_the_asked_area_and_form():
    image = coordinates(120, 100)
    crop = RandomResizedCrop(scale=(0.2, 0.4), ratio=(0.8, 1.25), resampling="nearest")
    areas, ratios = [], []
    for index in range(200):
        found = change(image, crop, index=index, size_px=100).astype(int)
        # Nearest pixels hit the first and the last row and column to within a pixel.
        rows, columns = (np.ptp(found[..., axis]) + 1 for axis in (0, 1))
        areas.append(rows * columns / (120 * 100))
        ratios.append(columns / rows)
    assert 0.18 < min(areas) < 0.22 and 0.38 < max(areas) < 0.42
    assert np.mean(areas) == pytest.approx(0.3, abs=0.02)
    assert 0.76 < min(ratios) < 0.85 and 1.18 < max(ratios) < 1.31
    assert np.mean(np.log(ratios)) == pytest.approx(0, abs=0.03)
    whole = change(image, RandomResizedCrop(probability=0.0), size_px=24)
    np.testing.assert_array_equal(whole, resize_exactly(image, 24, 3))


def test_where_no_rectangle_fits_the_largest_allowed_one_in_the_middle_is_taken():
    image = coordinates(10, 200)
    crop = RandomResizedCrop(scale=(1.0, 1.0), ratio=(0.5, 2.0), resampling="nearest")
    found = change(image, crop, size_px=20).astype(int)
    assert (found[..., 0].min(), found[..., 0].max()) == (0, 9)
    assert (found[..., 1].min(), found[..., 1].max()) == (90, 109)


def test_rotations_are_pillows_within_the_angle():
    image = noise(channels=3)
    for index, resampling in enumerate(("nearest", "bilinear", "bicubic")):
        rotation = Rotation(degrees=30.0, resampling=resampling, fill=(9, 8, 7))
        angle = 30 * (2 * example_generator(5, 1, index).random() - 1)
        filter = Image.Resampling[resampling.upper()]
        expected = pil_of(image).rotate(angle, filter, fillcolor=(9, 8, 7))
        np.testing.assert_array_equal(change(image, rotation, index=index), np.asarray(expected))


def transformed(image: np.ndarray, **options) -> np.ndarray:
    settings = {"radians": 0.0, "shear_radians": 0.0, "scale": 1.0, "shift_px": (0, 0)} | options
    coefficients = inverse_affine((image.shape[1], image.shape[0]), **settings)
    pil = pil_of(image)
    result = pil.transform(
        pil.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    return np.asarray(result).reshape(image.shape)


def test_the_affine_map_by_cases_that_are_known():
    image = noise(24, 24)
    np.testing.assert_array_equal(transformed(image), image)
    shifted = transformed(image, shift_px=(3, -2))
    np.testing.assert_array_equal(shifted[:-2, 3:], image[2:, :-3])
    assert not shifted[-2:].any() and not shifted[:, :3].any()
    # Clockwise; Pillow cuts off what is behind the point.
    turned = transformed(image, radians=math.pi / 2)[..., 0].astype(int)
    np.testing.assert_allclose(turned, np.rot90(image[..., 0], -1), atol=1)
    # Twice the size: two pixels of the result lie in each one of the middle.
    doubled = transformed(coordinates(24, 24), scale=2.0)[12, :, 1].astype(float)
    np.testing.assert_allclose(np.diff(doubled), 0.5, atol=0.51)
    assert (doubled[0], doubled[-1]) == (pytest.approx(5.75, abs=1), pytest.approx(17.25, abs=1))
    # The columns lean by half a pixel a row, to the right below the middle, row 11.5.
    sheared = transformed(coordinates(24, 24), shear_radians=math.atan(0.5))
    assert (sheared[4, 12, 1], sheared[20, 12, 1]) == (int(12 + 7.5 / 2), int(12 - 8.5 / 2))


def test_the_affine_map_undoes_the_forward_one():
    radians, lean, scale, shift = 0.3, 0.2, 1.3, np.array([2.0, -1.0])
    centre = np.array([10.0, 15.0])
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    forward = scale * turn @ np.array([[1, np.tan(lean)], [0, 1]])
    a, b, c, d, e, f = inverse_affine(
        (20, 30), radians=radians, shear_radians=lean, scale=scale, shift_px=(2.0, -1.0)
    )
    for point in ([0.0, 0.0], [19.5, 3.0], [7.0, 29.0]):
        x, y = forward @ (np.array(point) - centre) + centre + shift
        np.testing.assert_allclose((a * x + b * y + c, d * x + e * y + f), point, atol=1e-9)


def test_affine_draws_stay_within_their_limits():
    image = coordinates(40, 40)
    nearest = {"resampling": "nearest"}
    shifts = set()
    for index in range(100):
        found = change(image, Affine(translation=0.05, **nearest), index=index).astype(int)
        shifts.add(tuple(20 - found[20, 20, :2]))
    assert {shift for pair in shifts for shift in pair} == {-2, -1, 0, 1, 2}
    angles, sizes = [], []
    for index in range(100):
        found = change(image, Affine(rotation_degrees=20.0, **nearest), index=index).astype(int)
        (top, left), (bottom, right) = found[20, 10, :2], found[20, 30, :2]
        angles.append(np.degrees(np.arctan2(top - bottom, right - left)))
        found = change(image, Affine(scale=(1.0, 1.25), **nearest), index=index).astype(int)
        sizes.append(20 / np.ptp(found[20, [10, 30], 1]))
    assert -23 < min(angles) < -15 and 15 < max(angles) < 23
    assert min(sizes) == 1.0 and 1.17 < max(sizes) < 1.34
    outside = change(noise(), Affine(translation=1.0, fill=77), index=1)
    assert (outside == 77).mean() > 0.3


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "enhancer"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
def test_colour_jitter_is_pillows(name, enhancer, channels):
    image = noise(channels=channels)
    for index in range(6):
        draws = dict(
            zip(
                ("brightness", "contrast", "saturation"),
                example_generator(5, 1, index).random(3),
                strict=True,
            )
        )
        expected = enhancer(pil_of(image)).enhance(0.5 + draws[name])
        found = change(image, ColourJitter(**{name: 0.5}), index=index)
        np.testing.assert_array_equal(found, np.asarray(expected).reshape(image.shape))


def test_the_order_of_colour_jitter_is_fixed_or_random():
    image = noise(channels=3)
    fixed = ColourJitter(brightness=0.5, contrast=0.5)
    brighter, more_contrast = ColourJitter(brightness=0.5), ColourJitter(contrast=0.5)

    def in_order(index: int, first, second) -> np.ndarray:
        return change(change(image, first, index=index), second, index=index)

    is_reversed = []
    for index in range(20):
        straight = in_order(index, brighter, more_contrast)
        np.testing.assert_array_equal(change(image, fixed, index=index), straight)
        found = change(image, fixed._replace(order="random"), index=index)
        reverse = in_order(index, more_contrast, brighter)
        assert np.array_equal(found, straight) or np.array_equal(found, reverse)
        is_reversed.append(not np.array_equal(found, straight))
    assert 0 < sum(is_reversed) < 20


def test_equalisation_is_pillows():
    image = (noise(channels=3) // 4).astype(np.uint8)
    (one,) = parse_augmentations([{"kind": "equalisation"}])
    np.testing.assert_array_equal(change(image, one), np.asarray(ImageOps.equalize(pil_of(image))))


def test_erased_rectangles_have_the_asked_area_form_and_colour():
    image = np.full((60, 80, 1), 50, np.uint8)
    image[:, 40:] = 100
    erasing = Erasing(area=(0.05, 0.2), ratio=(0.5, 2.0), value=255)
    areas, ratios = [], []
    for index in range(200):
        found = change(image, erasing, index=index)
        rows, columns = np.nonzero(found[..., 0] == 255)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == height * width
        np.testing.assert_array_equal(found[found != 255], image[found != 255])
        areas.append(height * width / (60 * 80))
        ratios.append(height / width)
    assert 0.045 < min(areas) < 0.06 and 0.185 < max(areas) < 0.205
    assert np.mean(areas) == pytest.approx(0.125, abs=0.012)
    assert 0.45 < min(ratios) < 0.6 and 1.7 < max(ratios) < 2.2
    found = change(image, erasing._replace(fill="mean"))
    assert set(np.unique(found)) == {50, 75, 100}
    found = change(image, erasing._replace(fill="random"))
    assert len(np.unique(found)) > 100
    colour = change(noise(channels=3), erasing._replace(value=(124, 116, 104)))
    assert (colour == (124, 116, 104)).all(axis=-1).sum() > 20
    too_large = erasing._replace(area=(1.0, 1.0))
    np.testing.assert_array_equal(change(image, too_large), image)


def test_the_members_of_a_group_are_drawn_together():
    image = noise()
    members = (Flip(probability=1.0), Erasing(value=0, area=(0.2, 0.3)))
    group = Group(probability=0.5, members=members)
    outcomes = []
    for index in range(60):
        found = change(image, group, index=index)
        if np.array_equal(found, image):
            outcomes.append(False)
            continue
        kept = found > 0
        np.testing.assert_array_equal(found[kept], image[:, ::-1][kept])
        assert (found == 0).mean() > 0.1
        outcomes.append(True)
    assert 15 < sum(outcomes) < 45


# Batches.


def draw(probability: float = 1.0, num_present: int = 8, **changes):
    keys = {"seed": 3, "epoch": 1, "step": 2} | changes
    mixup = Mixup(alpha=0.3, probability=probability)
    return draw_mixup(mixup, batch_size=8, num_present=num_present, **keys)


def test_mixup_draws_partners_and_shares_of_the_whole_batch():
    partners, share = draw()
    assert sorted(partners) == list(range(8))
    assert share.dtype == np.float32 and ((share >= 0) & (share <= 1)).all()
    for changes in ({"seed": 4}, {"epoch": 0}, {"step": 0}):
        assert not np.array_equal(draw(**changes).share, share)
    for found, expected in zip(draw(), (partners, share), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert (draw(probability=0.0).share == 1).all()
    many = draw_mixup(
        Mixup(probability=0.25), seed=0, epoch=0, step=0, batch_size=4000, num_present=4000
    )
    assert (many.share < 1).mean() == pytest.approx(0.25, abs=0.03)


def test_mixup_leaves_padding_alone():
    for step in range(5):
        partners, share = draw(num_present=5, step=step)
        assert sorted(partners[:5]) == list(range(5))
        np.testing.assert_array_equal(partners[5:], [5, 6, 7])
        np.testing.assert_array_equal(share[5:], 1)


def test_images_and_labels_are_mixed_alike():
    images = np.zeros((2, 4, 4, 1), np.uint8)
    images[1] = 200
    labels = np.eye(3, dtype=np.float32)[:2]
    share = np.array([0.75, 0.5], np.float32)
    found = mixed(images, images[::-1], share)
    assert found.dtype == np.uint8 and set(found[0].flat) == {50} and set(found[1].flat) == {100}
    np.testing.assert_allclose(mixed(labels, labels[::-1], share), [[0.75, 0.25, 0], [0.5, 0.5, 0]])
    assert mixup_of(parse_augmentations(EVERY_KIND)) == Mixup(alpha=0.4)
    assert mixup_of((Flip(),)) is None


def test_the_rows_of_one_process_are_those_of_the_whole_batch():
    images = np.stack([noise(8, 8, seed=index) for index in range(8)])
    partners, share = draw()
    whole = mixed(images, images[partners], share)
    for rows in (slice(0, 3), slice(3, 8)):
        part = mixed(images[rows], images[partners[rows]], share[rows])
        np.testing.assert_array_equal(part, whole[rows])
