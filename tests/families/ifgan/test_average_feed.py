"""IF-GAN's batches are pure functions of seed, epoch and example; targets follow their inputs."""

import numpy as np
import pytest

from tdgan_jax.data.images import rotated
from tdgan_jax.errors import UsageError
from tdgan_jax.families.ifgan.average_feed import AverageFaceFeed, check_average_face_feed
from tdgan_jax.families.ifgan.average_identity import AverageFaces
from tests.data.test_feeds import arrays, assert_equal, examples

# Every pixel of a picture has a value of its own, the same in all pictures and average faces.
STRIPED = np.arange(10 * 10, dtype=np.uint8).reshape(10, 10, 1)
FACES = AverageFaces(np.stack([STRIPED] * 7), np.ones(7, int), tuple("abcdefg"), "")


def feed(**changes) -> AverageFaceFeed:
    values = {
        "expressions": examples(11, 10)._replace(images=[STRIPED] * 11),
        "average_faces": FACES,
        "image_size_px": 8,
        "batch_size": 4,
        "seed": 5,
        "rotation_degrees": 0.0,
    }
    return AverageFaceFeed(**(values | changes))


def test_target_and_input_have_the_same_crop_and_flip():
    batches = list(feed().batches(0))
    for batch in batches:
        np.testing.assert_array_equal(batch.image, batch.average_image)
    corners = {tuple(image[0, [0, -1], 0]) for batch in batches for image in batch.image}
    assert len(corners) > 3


def test_the_input_alone_is_turned():
    (first, *_), (turned, *_) = feed().batches(0), feed(rotation_degrees=5.0).batches(0)
    np.testing.assert_array_equal(first.average_image, turned.average_image)
    assert not np.array_equal(first.image, turned.image)


def test_a_centred_target_does_not_follow_the_crop():
    for batch in feed(target_crop="centre").batches(0):
        np.testing.assert_array_equal(batch.average_image, np.stack([STRIPED[1:-1, 1:-1]] * 4))


def test_the_target_is_that_of_the_label():
    faces = FACES._replace(images=np.stack([np.full_like(STRIPED, i) for i in range(7)]))
    for batch in feed(average_faces=faces).batches(0):
        np.testing.assert_array_equal(batch.average_image[:, 0, 0, 0], batch.expression_label)


def test_an_epoch_resumed_at_any_step_goes_on_with_the_same_batches():
    turning = feed(rotation_degrees=5.0)
    whole = arrays(turning.batches(2))
    assert len(whole) == turning.steps_per_epoch == 2
    assert_equal(arrays(turning.batches(2, first_step=1)), whole[1:])
    assert set(whole[0][-1]) == {2}
    for other in (turning.batches(1), turning._replace(seed=6).batches(2)):
        assert not np.array_equal(next(other).image, whole[0][0])


def test_pictures_do_not_depend_on_the_batch_size():
    small, large = (
        np.concatenate([b.image for b in feed(batch_size=n, rotation_degrees=5.0).batches(0)])
        for n in (2, 5)
    )
    np.testing.assert_array_equal(small[:10], large[:10])


def test_padding_keeps_the_last_batch_with_weights_of_mean_one():
    last = list(feed(pad_last_batch=True).batches(0))[-1]
    np.testing.assert_allclose(last.weight, [4 / 3, 4 / 3, 4 / 3, 0])
    assert {len(values) for values in last} == {4}


def test_the_rows_of_two_processes_are_those_of_one():
    turning = feed(rotation_degrees=5.0, pad_last_batch=True)
    halves = (arrays(turning.batches(1, rows=rows)) for rows in (slice(0, 1), slice(1, 4)))
    joined = [
        tuple(map(np.concatenate, zip(*both, strict=True))) for both in zip(*halves, strict=True)
    ]
    assert_equal(joined, arrays(turning.batches(1)))


def test_a_turn_keeps_the_middle_and_leaves_no_black_corners():
    image = np.full((32, 32, 3), 200, np.uint8)
    image[12:20, 12:20] = 50
    turned = rotated(image, 5.0)
    assert turned.shape == image.shape and turned.min() >= 50
    assert (turned[14:18, 14:18] == 50).all() and (turned[0] == 200).all()
    # Counter-clockwise: what is right of the middle goes up.
    marked = np.zeros((33, 33, 1), np.uint8)
    marked[16, 30] = 255
    assert np.argmax(rotated(marked, 30.0).sum(axis=(1, 2))) < 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rotation": "both"}, "known: range, ends"),
        ({"target_crop": "none"}, "known: as_input, centre"),
        ({"rotation_degrees": 90.0}, r"must be in \[0, 45\]"),
        ({"batch_size": 12}, "batch_size=12 is larger than the 11 images"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        check_average_face_feed(feed(**changes))


def test_the_ends_are_the_only_angles(monkeypatch):
    angles = []
    monkeypatch.setattr(
        "tdgan_jax.families.ifgan.average_feed.rotated",
        lambda image, degrees: angles.append(degrees) or image,
    )
    list(feed(rotation="ends", rotation_degrees=5.0).batches(0))
    assert set(angles) == {5.0, -5.0}
