import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from tdgan_jax.data.folds import assert_disjoint, assign_folds, fold_name
from tdgan_jax.errors import UserError


def uneven_people(num_people: int) -> tuple[np.ndarray, np.ndarray]:
    """Subjects with one to nine images of five classes of very different sizes."""
    draw = np.random.default_rng(3)
    sizes = draw.integers(1, 10, num_people)
    subjects = np.repeat([f"S{number:03d}" for number in range(num_people)], sizes)
    classes = draw.choice(list("abcde"), len(subjects), p=[0.4, 0.3, 0.15, 0.1, 0.05])
    return subjects, classes


def imbalance(subjects, classes, fold_of_image) -> float:
    names, class_index = np.unique(classes, return_inverse=True)
    table = np.zeros((10, 1 + len(names)))
    np.add.at(table, (fold_of_image, 1 + class_index), 1)
    table[:, 0] = table.sum(axis=1)
    share = table.sum(axis=0) / 10
    return float(((table - share) ** 2 / share).sum())


def test_assignment_is_better_balanced_than_the_best_of_ten_shuffled_divisions():
    subjects, classes = uneven_people(90)
    fold_of = assign_folds(subjects, classes)
    ours = imbalance(subjects, classes, np.array([fold_of[s] for s in subjects]))
    others = []
    for seed in range(10):
        numbers = np.zeros(len(subjects), int)
        splitter = StratifiedGroupKFold(10, shuffle=True, random_state=seed)
        for number, (_, test) in enumerate(splitter.split(subjects, classes, subjects)):
            numbers[test] = number
        others.append(imbalance(subjects, classes, numbers))
    assert ours <= min(others)
    sizes = np.bincount([fold_of[s] for s in subjects], minlength=10)
    assert sizes.max() - sizes.min() <= 1


def test_order_of_the_images_changes_nothing():
    subjects, classes = uneven_people(30)
    shuffled = np.random.default_rng(0).permutation(len(subjects))
    assert assign_folds(subjects, classes) == assign_folds(subjects[shuffled], classes[shuffled])


def test_folds_are_a_known_function_of_the_names():
    fold_of = assign_folds(["p3", "p1", "p2", "p2", "p4"], ["a", "a", "b", "a", "b"], num_folds=2)
    assert fold_of == {"p1": 0, "p2": 1, "p3": 0, "p4": 0}


def test_every_fold_has_somebody_even_when_one_subject_has_nearly_all_images():
    subjects = ["giant"] * 500 + [f"p{number}" for number in range(9)]
    assert sorted(assign_folds(subjects, ["a"] * 509).values()) == list(range(10))


def test_people_with_the_same_images_are_dealt_out_evenly():
    subjects = np.repeat([f"P{number:02d}" for number in range(40)], 7)
    fold_of = assign_folds(subjects, list("abcdefg") * 40)
    assert np.bincount(list(fold_of.values())).tolist() == [4] * 10


def test_fewer_subjects_than_folds_are_refused_with_both_numbers():
    with pytest.raises(UserError, match="10 folds need as many subjects; there are 3"):
        assign_folds(["a", "b", "c"], ["x", "y", "z"])


def test_a_shared_subject_is_named_with_its_two_parts():
    with pytest.raises(UserError, match="subject S2 stands in training and in test; parts of a"):
        assert_disjoint({"training": ["S1", "S2"], "validation": ["S3"], "test": ["S2", "S4"]})
    assert_disjoint({"training": ["S1", "S1", ""], "test": np.array(["S2", ""])})


def test_splits_are_named_as_design_says():
    assert fold_name(7) == "fold_7"
