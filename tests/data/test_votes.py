"""From votes to labels: the vectors of the spec, and cases worked out by hand."""

import numpy as np
import pytest

from tdgan_jax.data.votes import (
    drawn_labels,
    majority_labels,
    multi_targets,
    top_distributions,
    vote_distributions,
    without_single_votes,
)

# Ten votes in the owner's order, and the class of the majority in that order.
MAJORITIES = {
    (4, 0, 0, 1, 3, 2, 0, 0, 0, 0): -1,  # 4 of 9
    (6, 0, 1, 1, 0, 0, 0, 0, 2, 0): 0,
    (3, 0, 0, 5, 0, 0, 0, 0, 2, 0): -1,  # exactly half
    (0, 0, 0, 0, 2, 1, 0, 7, 0, 0): 7,
    (0, 0, 8, 0, 0, 0, 2, 0, 0, 0): 2,
    (0, 0, 0, 0, 0, 0, 9, 0, 0, 0): 6,
    (2, 0, 0, 0, 0, 0, 0, 0, 8, 0): -1,  # unknown
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 10): -1,  # not a face
    (1, 1, 1, 1, 1, 1, 1, 1, 1, 1): -1,  # nothing but single votes
    (2, 1, 1, 1, 1, 0, 0, 0, 1, 1): 0,
}


def split(*rows: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    votes = np.array(rows, np.float32)
    return votes[:, :8], votes[:, 8:]


def test_majority_as_the_spec_says():
    labels = majority_labels(*split(*MAJORITIES))
    assert labels.dtype == np.int32
    assert labels.tolist() == list(MAJORITIES.values())


def test_majority_without_anything_else_to_vote_for():
    votes = np.array([[5, 5, 0], [6, 4, 1], [0, 0, 0]], np.float32)
    assert majority_labels(votes).tolist() == [-1, 0, -1]


def test_votes_stay_as_they_are():
    votes, other = split((4, 0, 0, 1, 3, 2, 0, 0, 1, 0))
    kept = votes.copy(), other.copy()
    for rule in (majority_labels, vote_distributions, top_distributions, multi_targets):
        rule(votes, other)
    np.testing.assert_array_equal(without_single_votes(votes)[0], [4, 0, 0, 0, 3, 2, 0, 0])
    np.testing.assert_array_equal((votes, other)[0], kept[0])
    np.testing.assert_array_equal((votes, other)[1], kept[1])


def test_shares_of_the_votes_with_and_without_single_ones():
    votes = split((4, 0, 0, 1, 3, 2, 0, 0, 0, 0))
    shares = vote_distributions(*votes)
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares[0], np.array([4, 0, 0, 0, 3, 2, 0, 0]) / 9, rtol=1e-6)
    every = vote_distributions(*votes, drop_single_votes=False)
    np.testing.assert_allclose(every[0], np.array([4, 0, 0, 1, 3, 2, 0, 0]) / 10, rtol=1e-6)


@pytest.mark.parametrize(
    ("row", "is_kept"),
    [
        ((3, 2, 0, 0, 0, 0, 0, 0, 4, 1), False),  # more unknown than of any one expression
        ((4, 2, 0, 0, 0, 0, 0, 0, 4, 0), True),
        ((4, 0, 0, 0, 0, 0, 0, 0, 3, 2), False),  # unknown and no face together
        ((4, 0, 0, 0, 0, 0, 0, 0, 3, 1), True),  # a single vote counts as none
        ((0, 0, 0, 0, 0, 0, 0, 0, 0, 10), False),
        ((1, 1, 1, 1, 1, 1, 1, 1, 1, 1), False),
    ],
)
def test_rows_without_an_expression_are_left_out(row, is_kept):
    shares = vote_distributions(*split(row))
    assert shares.sum() == pytest.approx(1 if is_kept else 0)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        # 5 of 9 are too few, 8 of 9 are enough; the single vote counts as none.
        ((5, 3, 0, 1, 0, 0, 0, 0, 0, 0), (5, 3, 0, 0, 0, 0, 0, 0)),
        ((5, 2, 2, 0, 0, 0, 0, 0, 0, 0), (5, 2, 2, 0, 0, 0, 0, 0)),
        # Three quarters at once: nothing more is taken.
        ((6, 2, 0, 0, 0, 0, 0, 0, 0, 0), (6, 0, 0, 0, 0, 0, 0, 0)),
        # Of equal number all are taken; four are too many.
        ((4, 2, 2, 2, 0, 0, 0, 0, 0, 0), (0,) * 8),
        ((3, 3, 2, 2, 0, 0, 0, 0, 0, 0), (0,) * 8),
        # Unknown comes next, at 4 of 10, and before anything else.
        ((4, 2, 0, 0, 0, 0, 0, 0, 4, 0), (0,) * 8),
        ((3, 2, 0, 0, 0, 0, 0, 0, 5, 0), (0,) * 8),
        ((6, 2, 0, 0, 0, 0, 0, 0, 3, 0), (6, 0, 0, 0, 0, 0, 0, 0)),
        # Three leaders may hold less than three quarters, but more than half.
        ((2, 2, 2, 0, 0, 0, 0, 0, 2, 2), (2, 2, 2, 0, 0, 0, 0, 0)),
        ((0,) * 10, (0,) * 8),
    ],
)
def test_leading_expressions(row, expected):
    shares = top_distributions(*split(row))[0]
    np.testing.assert_allclose(shares, np.array(expected) / max(sum(expected), 1), rtol=1e-6)


@pytest.mark.parametrize(
    ("row", "targets"),
    [
        ((4, 3, 2, 0, 0, 0, 0, 0, 0, 0), (0, 1)),
        ((7, 2, 0, 0, 0, 0, 0, 0, 0, 0), (0,)),
        ((3, 3, 3, 0, 0, 0, 0, 0, 0, 0), (0, 1, 2)),
        ((3, 0, 0, 0, 2, 2, 2, 0, 0, 0), ()),  # 3 of 9 are too few
        ((3, 0, 0, 0, 0, 0, 0, 0, 6, 0), ()),
        ((0,) * 10, ()),
    ],
)
def test_several_targets_alike(row, targets):
    expected = np.zeros(8)
    expected[list(targets)] = 1 / max(len(targets), 1)
    np.testing.assert_allclose(multi_targets(*split(row))[0], expected, rtol=1e-6)


def test_labels_are_drawn_as_often_as_their_share():
    shares = np.tile(np.float32([0, 0.25, 0.75, 0]), (4000, 1))
    shares[-1] = 0
    labels = drawn_labels(shares, np.random.default_rng(0).random(4000))
    assert labels.dtype == np.int32 and labels[-1] == -1
    assert set(labels[:-1].tolist()) == {1, 2}
    assert (labels == 1).mean() == pytest.approx(0.25, abs=0.02)
    ends = drawn_labels(shares[:3], np.array([0, 0.25, np.nextafter(1, 0)]))
    assert ends.tolist() == [1, 2, 2]
