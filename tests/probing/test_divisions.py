import numpy as np
import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.probing.divisions import (
    Division,
    check_divisions,
    divide_by,
    divide_once,
    early_part,
    independent_groups,
)


def test_groups_are_joined_through_others():
    # The first two share a subject, the second and third a picture, the last one nothing.
    groups = independent_groups(["a", "a", "b", "c"], [1, 2, 2, 3])
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_every_example_is_tested_once_and_no_unit_stands_on_both_sides():
    units = np.repeat(np.arange(7), 3)
    divisions = divide_by(units, np.arange(21))
    assert len(divisions) == 4
    assert sorted(np.concatenate([division.test for division in divisions])) == list(range(21))
    for fit, validation, test in divisions:
        assert not set(units[fit]) & set(units[test])
        assert len(fit) + len(test) == 21
        assert set(validation) < set(fit)
        assert not set(units[validation]) & set(units[np.setdiff1d(fit, validation)])


def test_what_shares_a_group_with_the_test_part_is_not_fitted():
    expressions = np.array(["happiness", "sadness"] * 4)
    copies = np.array([0, 1, 2, 3, 4, 5, 6, 6])  # one picture under two labels
    for division in divide_by(expressions, copies):
        assert len(division.test) == 4
        assert len(division.fit) == 3
        check_divisions([division], copies)


def test_a_given_division_is_kept_and_validated_along_units():
    is_test = np.arange(12) >= 8
    units = np.repeat(np.arange(6), 2)
    (division,) = divide_once(is_test, units, units)
    assert list(division.test) == [8, 9, 10, 11]
    assert list(division.fit) == list(range(8))
    early = early_part(division, units)
    assert not set(units[early]) & set(units[division.validation])
    assert sorted([*early, *division.validation]) == list(range(8))


def test_a_group_on_both_sides_is_refused():
    divided = Division(np.array([0, 1]), np.array([], int), np.array([2, 3]))
    with pytest.raises(ValueError, match="group 7 stands in the fit and in the test part"):
        check_divisions([divided], np.array([5, 7, 7, 8]))


def test_a_single_unit_cannot_be_divided():
    with pytest.raises(UserError, match="to be divided, the examples show 1"):
        divide_by(np.zeros(5), np.arange(5))
