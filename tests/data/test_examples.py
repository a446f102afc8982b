"""Votes and affect go wherever examples go."""

import numpy as np
import pytest

from tdgan_jax.data.examples import (
    Examples,
    joined,
    labelled,
    renumbered,
    with_classes,
    with_expression,
)

NAMES = ("fear", "anger", "neutral")
NAN = np.nan


@pytest.fixture
def rated() -> Examples:
    """Five examples: the last two have no expression, the last no affect and no votes either."""
    return Examples(
        images=[np.full((2, 2, 1), i, np.uint8) for i in range(5)],
        expressions=np.array([0, 1, 2, -1, -1], np.int32),
        expression_names=NAMES,
        identities=np.full(5, -1, np.int32),
        identity_names=(),
        groups=np.array(list("abcde")),
        files=np.array(list("abcde")),
        duplicated_in_train=None,
        digests=np.array(list("abcde")),
        votes=np.array([[9, 1, 0], [0, 6, 4], [1, 2, 7], [3, 3, 3], [0, 0, 0]], np.float32),
        affect=np.array([[0.5, NAN], [NAN, NAN], [NAN, NAN], [0, 1], [NAN, NAN]], np.float32),
        other_votes=np.array([[0], [0], [0], [1], [10]], np.float32),
    )


def without_votes(examples: Examples) -> Examples:
    return examples._replace(votes=None, affect=None, other_votes=None)


def test_labelled_keeps_what_teaches_something(rated):
    assert labelled(rated).files.tolist() == list("abcd")
    assert labelled(rated._replace(votes=None)).files.tolist() == list("abcd")
    assert labelled(rated._replace(affect=None)).files.tolist() == list("abcd")
    assert labelled(without_votes(rated)).files.tolist() == list("abc")
    assert with_expression(rated).files.tolist() == list("abc")


def test_selection_takes_votes_and_affect_along(rated):
    chosen = rated.select(np.array([3, 0]))
    assert chosen.votes is not None and chosen.affect is not None
    assert chosen.votes.tolist() == [[3, 3, 3], [9, 1, 0]]
    assert chosen.affect[0].tolist() == [0, 1]
    assert chosen.other_votes is not None and chosen.other_votes.tolist() == [[1], [0]]


def test_votes_are_numbered_like_the_classes(rated):
    changed = renumbered(rated, ("neutral", "joy", "fear"))
    assert changed.expression_names == ("neutral", "joy", "fear")
    assert changed.expressions.tolist() == [2, -1, 0, -1, -1]
    assert changed.votes is not None and changed.other_votes is not None
    assert changed.votes.tolist() == [[0, 0, 9], [4, 0, 0], [7, 0, 1], [3, 0, 3], [0, 0, 0]]
    # Votes for the class that is gone are votes for none of the classes.
    assert changed.other_votes.tolist() == [[0, 1], [0, 6], [0, 2], [1, 3], [10, 0]]
    kept = with_classes(rated, ("neutral", "joy", "fear"))
    assert kept.files.tolist() == ["a", "c"]
    assert kept.votes is not None and kept.votes.tolist() == [[0, 0, 9], [7, 0, 1]]
    assert with_classes(without_votes(rated), ("anger",)).votes is None


def test_all_classes_in_another_order_leave_no_other_votes(rated):
    changed = renumbered(rated._replace(other_votes=None), NAMES[::-1])
    assert changed.other_votes is None
    assert changed.votes is not None and changed.votes[0].tolist() == [0, 1, 9]


def test_joined_examples_have_the_votes_of_all(rated):
    both = joined(rated, [without_votes(rated), renumbered(rated, NAMES[:2])])
    assert both.votes is not None and both.affect is not None and both.other_votes is not None
    assert both.votes.shape == (15, 3) and both.affect.shape == (15, 2)
    np.testing.assert_array_equal(both.votes[:5], rated.votes)
    assert not both.votes[5:10].any() and np.isnan(both.affect[5:10]).all()
    np.testing.assert_array_equal(both.votes[10], [9, 1, 0])
    # The longest row of other votes gives the number of columns.
    np.testing.assert_array_equal(both.other_votes[:, 0], [0, 0, 0, 1, 10, *[0] * 8, 1, 10])
    np.testing.assert_array_equal(both.other_votes[10:, 1], [0, 4, 7, 3, 0])
    assert joined(without_votes(rated), [without_votes(rated)]).votes is None
