"""IF-GAN's losses against hand-computed values, the centres against plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tdgan_jax.losses import (
    centre_distance_loss,
    centre_similarity_loss,
    class_sums,
    moved_centres,
    patch_judgement_loss,
)

ONES = jnp.ones(2)


def test_patch_judgement_by_hand():
    logits = jnp.log(jnp.array([3.0, 1.0, 1.0, 1.0])).reshape(2, 1, 2, 1)  # D = 3/4, 1/2, ...
    called_true = patch_judgement_loss(logits, ONES, is_true=True)
    np.testing.assert_allclose(called_true, (np.log(4 / 3) + 3 * np.log(2)) / 4, rtol=1e-6)
    called_drawn = patch_judgement_loss(logits, ONES, is_true=False)
    np.testing.assert_allclose(called_drawn, (np.log(4) + 3 * np.log(2)) / 4, rtol=1e-6)
    padded = patch_judgement_loss(logits, jnp.array([0.0, 2.0]), is_true=True)
    np.testing.assert_allclose(padded, np.log(2), rtol=1e-6)


def test_patch_judgement_keeps_its_gradient_where_the_logarithm_is_infinite():
    gradient = jax.grad(lambda x: patch_judgement_loss(x, jnp.ones(1), is_true=True))
    np.testing.assert_allclose(gradient(jnp.full((1, 1, 1, 1), -200.0)).ravel(), -1.0)


def test_centre_distance_by_hand():
    features = jnp.array([[1.0, 2.0], [0.0, -1.0]])
    centres = jnp.array([[1.0, 0.0], [3.0, 3.0], [0.0, 1.0]])
    loss = centre_distance_loss(features, centres, jnp.array([0, 2]), ONES)
    assert float(loss) == (4 + 4) / 2
    by_centres = jax.grad(centre_distance_loss, argnums=1)
    assert not by_centres(features, centres, jnp.array([0, 2]), ONES).any()
    by_features = jax.grad(centre_distance_loss)(features, centres, jnp.array([0, 2]), ONES)
    np.testing.assert_allclose(by_features, [[0, 2], [0, -2]])  # 2 (x - c) / N


def test_centre_similarity_by_hand():
    # Cosines 0 (twice two pairs) and -1 (twice one pair); + 1 for each of six ordered pairs.
    centres = jnp.array([[2.0, 0.0], [0.0, 0.5], [-1.0, 0.0]])
    np.testing.assert_allclose(centre_similarity_loss(centres), 6 - 2, rtol=1e-6)


def moved_by_loops(centres, features, labels, rate, alpha, distance, pairwise):
    """Spec IF-GAN 6.1, number by number."""
    num = len(centres)
    moved = []
    for j in range(num):
        pull, count = np.zeros_like(centres[j]), 0
        for feature, label in zip(features, labels, strict=True):
            if label == j:
                pull = pull + (centres[j] - feature)
                count += 1
        pull = pull / {"one_plus_count": 1 + count, "count": max(count, 1), "sum": 1}[distance]
        push = np.zeros_like(centres[j])
        for k in range(num):
            if k != j:
                a, b = centres[k], centres[j]
                length_a, length_b = np.sqrt((a**2).sum()), np.sqrt((b**2).sum())
                push = push + a / (length_a * length_b) - (a @ b) / (length_a * length_b**3) * b
        if pairwise == "mean":
            push = push / (num - 1)
        moved.append(centres[j] - rate * (pull + alpha * push))
    return np.stack(moved)


@pytest.mark.parametrize(
    ("distance", "pairwise"), [("one_plus_count", "mean"), ("count", "sum"), ("sum", "mean")]
)
def test_centres_move_as_in_a_plain_loop(distance, pairwise):
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(4, 6))
    features = generator.normal(size=(7, 6))
    labels = np.array([0, 2, 2, 0, 2, 1, 3])  # class 3 is padding alone
    weight = np.array([1, 1, 1, 1, 1, 1, 0]) * 7 / 6
    sums, counts = class_sums(
        jnp.asarray(features, jnp.float32), jnp.asarray(labels), jnp.asarray(weight), num_classes=4
    )
    np.testing.assert_array_equal(counts, [2, 1, 3, 0])
    ours = moved_centres(
        jnp.asarray(centres, jnp.float32),
        sums,
        counts,
        rate=0.5,
        pairwise_weight=0.3,
        distance_reduction=distance,
        pairwise_reduction=pairwise,
    )
    expected = moved_by_loops(centres, features[:6], labels[:6], 0.5, 0.3, distance, pairwise)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


def test_the_pairwise_part_is_the_similaritys_gradient_each_pair_counted_once():
    centres = jnp.asarray(np.random.default_rng(1).normal(size=(3, 5)), jnp.float32)
    unmoved = {"sums": jnp.zeros((3, 5)), "counts": jnp.zeros(3)}
    moved = moved_centres(
        centres,
        **unmoved,
        rate=1.0,
        pairwise_weight=1.0,
        distance_reduction="count",
        pairwise_reduction="sum",
    )
    gradient = jax.grad(centre_similarity_loss)(centres)
    np.testing.assert_allclose(centres - moved, gradient / 2, rtol=1e-4, atol=1e-6)
