"""Who trains, validates and tests: folds, and validation parts of whole groups and all classes."""

import numpy as np
import pytest

from tdgan_jax.configuration import load_config
from tdgan_jax.data.splits import (
    Splits,
    check_number_of_folds,
    check_protocol,
    splits_of,
    validation_split,
)
from tdgan_jax.errors import UsageError, UserError
from tests.data.test_feeds import examples


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


def test_too_few_images_are_refused_and_a_rare_class_is_not():
    few = examples(18, 2)._replace(groups=np.arange(18).astype(str))
    alternating = few._replace(expressions=np.arange(18, dtype=np.int32) % 2)
    with pytest.raises(UsageError, match="needs 10 images of a class, the largest.* has 9"):
        validation_split(alternating, fraction=0.1, seed=0)
    rare = few._replace(expressions=np.array([1] * 2 + [0] * 16, np.int32))
    assert 0 < len(validation_split(rare, fraction=0.1, seed=0)[1]) < 9


def folded(*overrides: str):
    return load_config("configs/tdgan_yale.py:tiny", ["data.num_folds=4", *overrides])


@pytest.mark.parametrize("rule", ["subjects", "none"])
def test_nine_folds_train_and_one_tests(rule):
    splits = splits_of(folded("data.fold=1", f"data.validation={rule}"))
    assert splits == Splits(train="fold_0+fold_2+fold_3", validation=None, test="fold_1")


def test_the_next_fold_validates_and_the_first_one_follows_the_last():
    rule = "data.validation=next_fold"
    assert splits_of(folded("data.fold=1", rule)) == Splits("fold_0+fold_3", "fold_2", "fold_1")
    assert splits_of(folded("data.fold=3", rule)) == Splits("fold_1+fold_2", "fold_0", "fold_3")


def test_without_folds_the_splits_are_those_of_the_dataset():
    config = load_config("configs/tdgan_fer2013.py:tiny")
    assert splits_of(config) == Splits("train", None, "test")
    del config.unlock().data["num_folds"]  # as in runs that are older than folds
    assert splits_of(config) == Splits("train", None, "test")


def test_a_single_run_needs_one_fold():
    with pytest.raises(UsageError, match="data.fold is -1"):
        splits_of(folded())


def test_the_number_of_folds_must_be_that_of_the_dataset():
    check_number_of_folds("some", ["fold_0", "fold_1", "train"], 2)
    with pytest.raises(UserError, match="some has 2 folds, .* is 3; add --config.data.num_folds=2"):
        check_number_of_folds("some", ["fold_0", "fold_1"], 3)
    with pytest.raises(UserError, match="some has no folds .its splits: train.; .* are known"):
        check_number_of_folds("some", ["train"], 3)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.validation=people"], "known: subjects, next_fold, none"),
        (["data.validation=none"], "set evaluation.selection=test, .*, or =last"),
        (["data.num_folds=1"], "num_folds of at least 2, got 1"),
        (["data.num_folds=2", "data.validation=next_fold"], "at least 3, got 2"),
        (["data.num_folds=0", "data.validation=next_fold"], "at least 3, got 0"),
        (["data.fold=4"], "data.fold=4 is not one of the 4 folds"),
        (["data.fold=-2"], "data.fold=-2 is not"),
        (["data.num_folds=0", "data.fold=0"], "not one of the 0 folds"),
        (["data.expressions.test_split=fold_0"], "test_split must be empty"),
        (["data.faces.follow_folds=true"], "of the same dataset"),
        (
            ["data.faces.follow_folds=true", "data.faces.dataset=yale_faces"],
            r"data.faces.split must be empty, got 'train\[:60\]'",
        ),
    ],
)
def test_contradictions_are_refused_by_name(overrides, words):
    check_protocol(folded())
    with pytest.raises(UsageError, match=words):
        check_protocol(folded(*overrides))


def test_examples_without_an_expression_are_divided_too():
    rated = examples(40, 2)._replace(groups=np.arange(40).astype(str))
    rated = rated._replace(expressions=np.repeat(np.array([-1, 0], np.int32), 20))
    _, held_out = validation_split(rated, fraction=0.25, seed=0)
    assert np.unique(rated.expressions[held_out], return_counts=True)[1].tolist() == [5, 5]
