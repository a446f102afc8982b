"""Batches are pure functions of seed, epoch and step; evaluation counts every example once."""

import numpy as np
import pytest

from tdgan_jax.data.examples import Examples, in_memory
from tdgan_jax.data.feeds import evaluation_batches
from tdgan_jax.data.images import Augmentation
from tdgan_jax.data.lazy_images import RememberedImages
from tdgan_jax.errors import UsageError
from tdgan_jax.families.tdgan.pair_feed import (
    PairFeed,
    check_feed,
    pair_indices,
    training_batches,
)


def examples(count: int, size_px: int, *, value_from: int = 0) -> Examples:
    """Examples whose images carry their own index in every pixel."""
    images = [np.full((size_px, size_px, 1), value_from + i, np.uint8) for i in range(count)]
    return Examples(
        images=images,
        expressions=np.arange(count, dtype=np.int32) % 7,
        expression_names=tuple("abcdefg"),
        identities=np.arange(count, dtype=np.int32),
        identity_names=tuple(str(i) for i in range(count)),
        groups=np.array([str(i) for i in range(count)]),
        files=np.array([f"{i:04d}" for i in range(count)]),
        duplicated_in_train=None,
    )


def feed(**changes) -> PairFeed:
    values = {
        "faces": examples(3, 16),
        "expressions": examples(11, 18, value_from=100),
        "image_size_px": 16,
        "batch_size": 4,
        "seed": 5,
    }
    return PairFeed(**(values | changes))


def arrays(batches) -> list[tuple[np.ndarray, ...]]:
    return [tuple(batch) for batch in batches]


def assert_equal(left, right) -> None:
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_the_fixed_pairing_follows_the_released_program():
    face, expression = pair_indices(feed(), epoch=3)
    np.testing.assert_array_equal(face, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1])
    np.testing.assert_array_equal(expression, np.arange(11))
    face, expression = pair_indices(feed(faces=examples(13, 16)), epoch=0)
    np.testing.assert_array_equal(face, np.arange(13))
    np.testing.assert_array_equal(expression, [*range(11), 0, 1])


def test_the_random_pairing_changes_with_the_epoch_and_uses_all_of_the_shorter_list():
    shuffled = feed(pairing="random", faces=examples(8, 16))
    first, second = (pair_indices(shuffled, epoch)[0] for epoch in (0, 1))
    assert not np.array_equal(first, second)
    assert sorted(first[:8]) == list(range(8))
    np.testing.assert_array_equal(first, pair_indices(shuffled, 0)[0])


def test_an_epoch_resumed_at_any_step_goes_on_with_the_same_batches():
    whole = arrays(training_batches(feed(), epoch=2))
    assert len(whole) == feed().steps_per_epoch == 2
    assert_equal(arrays(training_batches(feed(), epoch=2, first_step=1)), whole[1:])


def test_order_crop_and_flip_change_with_epoch_and_seed():
    striped = [np.arange(18 * 18, dtype=np.uint8).reshape(18, 18, 1)] * 11
    base = feed(expressions=examples(11, 18)._replace(images=striped))
    first = next(iter(training_batches(base, 0)))
    for other in (
        next(iter(training_batches(base, 1))),
        next(iter(training_batches(base._replace(seed=6), 0))),
    ):
        assert not np.array_equal(first.expression_image, other.expression_image)
        assert not np.array_equal(first.expression_label, other.expression_label)


def test_augmentation_depends_on_the_pair_and_not_on_the_batch_size():
    striped = [np.arange(18 * 18, dtype=np.uint8).reshape(18, 18, 1)] * 11
    base = feed(expressions=examples(11, 18)._replace(images=striped))
    small, large = (
        np.concatenate(
            [b.expression_image for b in training_batches(base._replace(batch_size=n), 0)]
        )
        for n in (2, 5)
    )
    np.testing.assert_array_equal(small[:10], large[:10])


def test_images_belong_to_their_labels_and_both_halves_to_their_pair():
    for batch in training_batches(feed(), 0):
        np.testing.assert_array_equal(batch.face_image[:, 0, 0, 0], batch.face_identity)
        index = batch.expression_image[:, 0, 0, 0] - 100
        np.testing.assert_array_equal(index % 7, batch.expression_label)
        np.testing.assert_array_equal(index % 3, batch.face_identity)


def test_padding_keeps_the_last_batch_with_weights_of_mean_one():
    padded = feed(pad_last_batch=True)
    batches = list(training_batches(padded, 0))
    assert len(batches) == padded.steps_per_epoch == 3
    np.testing.assert_allclose(batches[-1].weight, [4 / 3, 4 / 3, 4 / 3, 0])
    seen = np.concatenate([b.expression_image[b.weight > 0, 0, 0, 0] for b in batches])
    assert sorted(seen) == list(range(100, 111))


@pytest.mark.parametrize("batch_size", [1, 4, 11, 16])
def test_evaluation_counts_every_example_exactly_once(batch_size):
    seen = []
    for images, count in evaluation_batches(examples(11, 16), batch_size):
        assert images.shape == (batch_size, 16, 16, 1)
        seen += images[:count, 0, 0, 0].tolist()
    assert seen == list(range(11))


def test_a_batch_larger_than_an_epoch_is_refused_with_both_numbers():
    with pytest.raises(UsageError, match="batch_size=12 is larger than the 11 pairs"):
        check_feed(feed(batch_size=12))
    with pytest.raises(UsageError, match="known: fixed, random"):
        check_feed(feed(pairing="sorted"))


def test_augmentation_changes_the_expression_images_alone_and_crop_and_flip_not():
    random = np.random.default_rng(0)
    pictures = [random.integers(60, 200, (18, 18, 1), np.uint8) for _ in range(11)]
    plain = feed(expressions=examples(11, 18)._replace(images=pictures))
    (expected,) = training_batches(plain, 0, first_step=1)

    def batch(**values):
        return next(training_batches(plain._replace(augmentation=Augmentation(**values)), 0, 1))

    erased = batch(erased_side=0.5)
    np.testing.assert_array_equal(erased.face_image, expected.face_image)
    differs = erased.expression_image != expected.expression_image
    touched = differs.any(axis=(1, 2, 3))
    assert 0 < touched.sum() < len(touched)  # about half of them
    for image, where in zip(erased.expression_image, differs[..., 0], strict=True):
        if where.any():  # a square of one value, at most half as large as the image
            rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
            assert np.ptp(rows) < 8 and np.ptp(columns) < 8
            assert len(np.unique(image[where])) == 1
    contrast = batch(contrast=0.3).expression_image.astype(float)
    for changed, original in zip(contrast, expected.expression_image.astype(float), strict=True):
        inside = (changed > 0) & (changed < 255)
        gain, _ = np.polyfit(original[inside], changed[inside], 1)
        assert 0.7 <= gain <= 1.3
        np.testing.assert_allclose(np.corrcoef(original[inside], changed[inside])[0, 1], 1, 1e-4)
    turned = batch(rotation_degrees=20).expression_image
    assert (turned != expected.expression_image).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize(
    ("field", "value"), [("rotation_degrees", 46.0), ("contrast", -0.1), ("erased_side", 1.5)]
)
def test_augmentation_out_of_range_is_refused(field, value):
    with pytest.raises(UsageError, match=f"data.augmentation.{field} must be in"):
        check_feed(feed(augmentation=Augmentation(**{field: value})))


class Counting(list):
    """Images that count how often each is looked at."""

    def __init__(self, images):
        super().__init__(images)
        self.looks = np.zeros(len(images), int)

    def __getitem__(self, index):
        self.looks[index] += 1
        return super().__getitem__(index)


@pytest.mark.parametrize("pad_last_batch", [False, True])
def test_the_rows_of_two_processes_are_those_of_one(pad_last_batch):
    whole = feed(pad_last_batch=pad_last_batch, pairing="random")
    halves = (arrays(whole.batches(2, rows=rows)) for rows in (slice(0, 2), slice(2, 4)))
    joined = [
        tuple(map(np.concatenate, zip(*both, strict=True))) for both in zip(*halves, strict=True)
    ]
    assert_equal(joined, arrays(whole.batches(2)))


def test_a_process_reads_the_images_of_its_own_rows_alone():
    looks = []
    for rows in (slice(0, 2), slice(2, 4)):
        expressions = examples(11, 18)
        images = Counting(expressions.images)
        list(feed(expressions=expressions._replace(images=images)).batches(0, rows=rows))
        looks.append(images.looks)
    assert sum(looks).max() == 1
    assert [each.sum() for each in looks] == [4, 4]


def test_two_processes_evaluate_every_example_once_between_them():
    seen = []
    for rows in (slice(0, 3), slice(3, 4)):
        images = Counting(examples(11, 16).images)
        batches = list(evaluation_batches(examples(11, 16)._replace(images=images), 4, rows))
        assert [count for _, count in batches] == [4, 4, 3]
        assert {len(batch) for batch, _ in batches} == {rows.stop - rows.start}
        seen.append(images.looks)
    # The last batch is filled with its first example.
    assert sum(seen).tolist() == [1] * 8 + [2, 1, 1]


def test_images_are_remembered_and_shared_by_selections():
    images = Counting(examples(5, 16).images)
    remembered = RememberedImages(images)
    chosen = examples(5, 16)._replace(images=remembered).select(np.array([3, 1])).images
    assert images.looks.sum() == 0
    for _ in range(2):
        assert [int(image[0, 0, 0]) for image in chosen] == [3, 1]
    assert int(remembered[1][0, 0, 0]) == 1
    assert images.looks.tolist() == [0, 1, 0, 1, 0]


def test_one_of_several_processes_remembers_what_it_reads_itself(monkeypatch):
    monkeypatch.setattr("tdgan_jax.data.examples.several", lambda: True)
    given = examples(5, 16)
    assert isinstance(in_memory(given, limit_bytes=10**6).images, RememberedImages)
    # Worker processes end with the epoch, and what they know with them.
    assert in_memory(given, limit_bytes=10**6, num_workers=2).images is given.images
