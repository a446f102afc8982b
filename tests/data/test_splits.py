"""The validation part: whole groups, all classes, the same for every seed of a training."""

import numpy as np
import pytest

from tdgan_jax.data.splits import validation_split
from tdgan_jax.errors import UsageError
from tests.data.test_pipeline import examples


def test_no_group_stands_on_both_sides_and_the_classes_keep_their_shares():
    groups = np.repeat([f"S{i:02d}" for i in range(20)], 7)
    people = examples(140, 2)._replace(groups=groups)
    fit, held_out = validation_split(people, fraction=0.1, seed=0)
    assert sorted([*fit, *held_out]) == list(range(140))
    assert not set(groups[fit]) & set(groups[held_out])
    assert np.bincount(people.expressions[held_out], minlength=7).tolist() == [2] * 7
    again = validation_split(people, fraction=0.1, seed=0)
    np.testing.assert_array_equal(again[1], held_out)


@pytest.mark.parametrize("fraction", [0.0, 0.7])
def test_an_impossible_fraction_is_refused(fraction):
    with pytest.raises(UsageError, match=r"must be in \(0, 0.5\]"):
        validation_split(examples(10, 2), fraction=fraction, seed=0)


def test_too_few_people_are_refused_with_both_numbers():
    people = examples(12, 2)._replace(groups=np.array(["a", "b", "c"] * 4))
    with pytest.raises(UsageError, match="needs 10 subjects, the training split has 3"):
        validation_split(people, fraction=0.1, seed=0)
