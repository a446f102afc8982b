"""Targets of the plain image feed."""

import numpy as np
import pytest

from tdgan_jax.data.augmentation import Mixup
from tdgan_jax.data.examples import Examples
from tdgan_jax.data.image_feed import (
    TARGETS,
    ImageFeed,
    check_image_feed,
    sampled_labels,
    shown_examples,
    target_distributions,
    with_targets,
)
from tdgan_jax.errors import UserError

# Votes for three expressions, for unknown and for no face; the class of the majority.
ROWS = (
    ((9, 1, 0), (0, 0), 0),
    ((4, 4, 2), (0, 0), -1),
    ((2, 2, 0), (5, 0), -1),
    ((0, 3, 7), (0, 0), 2),
    ((1, 1, 1), (1, 1), -1),
    ((0, 0, 0), (0, 10), -1),
)


def rated(**fields: object) -> Examples:
    count = len(ROWS)
    return Examples(
        images=[np.full((2, 2, 1), i, np.uint8) for i in range(count)],
        expressions=np.array([label for _, _, label in ROWS], np.int32),
        expression_names=("fear", "anger", "neutral"),
        identities=np.full(count, -1, np.int32),
        identity_names=(),
        groups=np.arange(count).astype(str),
        files=np.arange(count).astype(str),
        duplicated_in_train=None,
        votes=np.array([votes for votes, _, _ in ROWS], np.float32),
        other_votes=np.array([other for _, other, _ in ROWS], np.float32),
    )._replace(**fields)


def feed(**fields: object) -> ImageFeed:
    options = {"image_size_px": 2, "batch_size": 3, "seed": 0, **fields}
    return ImageFeed(expressions=rated(), **options)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("label", [[1, 0, 0], [0] * 3, [0] * 3, [0, 0, 1], [0] * 3, [0] * 3]),
        ("votes", [[1, 0, 0], [0.4, 0.4, 0.2], [0] * 3, [0, 0.3, 0.7], [0] * 3, [0] * 3]),
        ("cross_entropy", [[1, 0, 0], [0.5, 0.5, 0], [0] * 3, [0, 0.3, 0.7], [0] * 3, [0] * 3]),
        ("multi_target", [[1, 0, 0], [0.5, 0.5, 0], [0] * 3, [0, 0.5, 0.5], [0] * 3, [0] * 3]),
    ],
)
def test_target_of_each_rule(targets, expected):
    found = target_distributions(rated(), targets)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    has_target = np.array(expected).sum(axis=1) > 0
    assert with_targets(rated(), targets).files.tolist() == rated().files[has_target].tolist()


def test_single_votes_count_where_they_are_asked_for():
    found = target_distributions(rated(), "votes", drop_single_votes=False)
    np.testing.assert_allclose(found[0], [0.9, 0.1, 0], rtol=1e-6)
    # Two others against one for each expression.
    np.testing.assert_allclose(found[4], [0, 0, 0])


def test_an_affect_is_enough_to_be_shown():
    affect = np.full((6, 2), np.nan, np.float32)
    affect[5] = 0.5, np.nan
    kept = with_targets(rated(affect=affect), "votes")
    assert kept.files.tolist() == ["0", "1", "3", "5"]


def test_batches_have_the_targets_of_their_images():
    for targets in TARGETS:
        for batch in feed(targets=targets, drop_single_votes=False).batches(0):
            expected = target_distributions(rated(), targets, drop_single_votes=False)
            rows = batch.image[:, 0, 0, 0]
            if targets != "probability":
                np.testing.assert_array_equal(batch.target, expected[rows])
            assert batch.expression_label.tolist() == [
                int(row.argmax()) if row.any() else -1 for row in batch.target
            ]


def test_drawn_targets_change_with_the_epoch_and_with_nothing_else():
    def labels(epoch: int, **fields: object) -> dict[int, int]:
        batches = feed(targets="probability", **fields).batches(epoch)
        return {
            int(image[0, 0, 0]): int(label)
            for batch in batches
            for image, label in zip(batch.image, batch.expression_label, strict=True)
        }

    of_epochs = [labels(epoch) for epoch in range(40)]
    assert labels(3) == of_epochs[3] == labels(3, batch_size=2)
    assert {epoch[0] for epoch in of_epochs} == {0}
    assert {epoch[1] for epoch in of_epochs} == {0, 1}
    assert {epoch[3] for epoch in of_epochs} == {1, 2}
    assert {epoch[2] for epoch in of_epochs} == {-1}


@pytest.mark.parametrize("targets", TARGETS[1:])
def test_votes_that_are_not_there_are_named(targets):
    votes_gone = feed(targets=targets)._replace(expressions=rated(votes=None))
    with pytest.raises(UserError, match=f"data.targets={targets} needs a dataset with raters"):
        check_image_feed(votes_gone)
    check_image_feed(feed(targets=targets))


def test_quadrants_of_valence_and_arousal_are_capped_alike():
    affect = np.array([[0, 0], [0.5, 0.1], [-0.5, 0.1], [-0.5, -0.1], [0.5, -0.1], [np.nan, 0.1]])
    with_affect = rated(affect=affect.astype(np.float32))
    found = feed(sampling="capped_quadrants", cap=1)._replace(expressions=with_affect)
    assert sampled_labels(found).tolist() == [0, 0, 1, 2, 3, -1]
    check_image_feed(found)
    assert found.num_examples == len(set(shown_examples(found, 0).tolist())) == 4
    with pytest.raises(UserError, match="none of quadrant 0"):
        check_image_feed(feed(sampling="capped_quadrants", cap=1))


def test_mixup_mixes_what_is_labelled_too():
    known = [[0.5, -0.5], [1, 0], [-1, 0.25], [0, 0], [0.75, 1], [np.nan, np.nan]]
    examples = rated(
        affect=np.array(known, np.float32),
        images=[np.full((2, 2, 1), 50 * i, np.uint8) for i in range(len(ROWS))],
    )
    options = {"image_size_px": 2, "batch_size": 6, "seed": 0}
    plain, both = (
        next(ImageFeed(examples, augmentations=changes, **options).batches(0))
        for changes in ((), (Mixup(alpha=1.0, probability=0.7),))
    )
    is_mixed = (both.image != plain.image).any(axis=(1, 2, 3))
    assert is_mixed.any() and not is_mixed.all()
    np.testing.assert_array_equal(both.affect[~is_mixed], plain.affect[~is_mixed])
    of_mixed = both.affect[is_mixed]
    assert np.nanmax(np.abs(of_mixed)) <= 1 and not np.isin(of_mixed, known).all()
