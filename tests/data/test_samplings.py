"""Which examples an epoch of the plain image feed shows."""

import numpy as np
import pytest

from tdgan_jax.data.examples import Examples
from tdgan_jax.data.image_feed import ImageFeed, check_image_feed, shown_examples
from tdgan_jax.errors import UsageError, UserError

# Neutral 400, anger 40, fear 4, and 6 without an expression.
LABELS = np.random.default_rng(0).permutation([2] * 400 + [1] * 40 + [0] * 4 + [-1] * 6)


def feed(labels=LABELS, **fields: object) -> ImageFeed:
    count = len(labels)
    examples = Examples(
        images=[np.full((2, 2, 1), i % 256, np.uint8) for i in range(count)],
        expressions=np.asarray(labels, np.int32),
        expression_names=("fear", "anger", "neutral"),
        identities=np.full(count, -1, np.int32),
        identity_names=(),
        groups=np.arange(count).astype(str),
        files=np.arange(count).astype(str),
        duplicated_in_train=None,
    )
    options = {"image_size_px": 2, "batch_size": 3, "seed": 5, **fields}
    return ImageFeed(expressions=examples, **options)


def shown(epoch: int, **fields: object) -> np.ndarray:
    positions = shown_examples(feed(**fields), epoch)
    assert len(positions) == feed(**fields).num_examples
    return positions


def test_all_are_shown_once():
    np.testing.assert_array_equal(shown(3), np.arange(len(LABELS)))


def test_balanced_classes_are_equally_frequent():
    epochs = [shown(epoch, sampling="balanced") for epoch in range(20)]
    counts = np.sum([np.bincount(LABELS[positions], minlength=3) for positions in epochs], axis=0)
    assert counts.sum() == 20 * len(LABELS)
    # 9,000 draws of three classes: six standard deviations.
    np.testing.assert_allclose(counts, 3000, atol=6 * np.sqrt(2000))
    drawn = np.concatenate(epochs)
    assert set(drawn) == set(np.flatnonzero(LABELS >= 0))
    of_fear = np.bincount(drawn, minlength=len(LABELS))[LABELS == 0]
    np.testing.assert_allclose(of_fear, counts[0] / 4, atol=150)


def test_balanced_draws_follow_the_seed_and_the_epoch_alone():
    first = shown(0, sampling="balanced")
    np.testing.assert_array_equal(first, shown(0, sampling="balanced", batch_size=7))
    assert not np.array_equal(first, shown(1, sampling="balanced"))
    assert not np.array_equal(first, shown(0, sampling="balanced", seed=6))


def test_capped_classes_have_no_more_than_the_cap():
    positions = shown(0, sampling="capped", cap=30)
    assert np.bincount(LABELS[positions]).tolist() == [4, 30, 30]
    assert len(set(positions)) == 64


def test_capped_examples_are_drawn_anew_for_each_stage():
    options = {"sampling": "capped", "cap": 30, "stage_starts": (0, 2, 5)}
    of_epochs = [shown(epoch, **options) for epoch in range(7)]
    for stage in ((0, 1), (2, 3, 4), (5, 6)):
        for epoch in stage:
            np.testing.assert_array_equal(of_epochs[epoch], of_epochs[stage[0]])
    assert not np.array_equal(of_epochs[0], of_epochs[2])
    assert not np.array_equal(of_epochs[2], of_epochs[5])


def test_batches_hold_what_is_shown():
    options = {"sampling": "capped", "cap": 4, "pad_last_batch": True}
    batches = list(feed(**options).batches(0))
    labels = np.concatenate([b.expression_label[b.weight > 0] for b in batches])
    assert np.bincount(labels).tolist() == [4, 4, 4]
    assert batches[0].steps_per_epoch[0] == len(batches) == 4


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"sampling": "balance"}, UsageError, "did you mean 'balanced'"),
        ({"sampling": "capped"}, UsageError, "capped needs a cap of at least 1, got 0"),
        (
            {"sampling": "balanced", "labels": [0, 2, 2, -1]},
            UserError,
            "data.sampling=balanced takes images of every class, and there is none of anger",
        ),
        (
            {"sampling": "capped", "cap": 2, "labels": [1, 2, 2]},
            UserError,
            "there is none of fear; leave that class out or take data.sampling=all",
        ),
    ],
)
def test_samplings_that_are_refused(fields, error, message):
    with pytest.raises(error, match=message):
        check_image_feed(feed(**fields))
    check_image_feed(feed(labels=[0, 1, 2]))
