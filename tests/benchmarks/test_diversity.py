"""Runs with and without diversity, compared on the same images."""

import numpy as np
import pytest

from benchmarks.diversity import RunAnswers, compare
from tdgan_jax.errors import UserError

LABELS = np.array([0, 0, 0, 1])
FILES = np.array(["a", "b", "c", "d"])


def answers_of(*answers, labels=LABELS, files=FILES):
    """Of an ensemble and its branches, each by its answers."""
    names = ("ensemble", "branch_1", "branch_2", "branch_3")
    scores = {name: np.eye(2)[list(of)] for name, of in zip(names, answers, strict=False)}
    return RunAnswers(scores, labels, files, ("anger", "fear"))


FIRST = answers_of((0, 0, 1, 1), (0, 0, 0, 1), (1, 0, 1, 1), (1, 1, 1, 1))


def test_figures_and_the_difference_from_the_first():
    better = answers_of((0, 0, 0, 1), (0, 0, 0, 1), (0, 0, 0, 1))
    found = compare({"first": FIRST, "better": better})
    assert found["first"] == {
        "accuracy": {"ensemble": 0.75, "branch_1": 1.0, "branch_2": 0.5, "branch_3": 0.25},
        "mean_class_accuracy": pytest.approx((2 / 3 + 1) / 2),
        "disagreement": pytest.approx((2 / 4 + 3 / 4 + 1 / 4) / 3),
    }
    assert found["better"]["disagreement"] == 0.0
    difference, low, high = found["better"]["difference"]
    assert (difference, low, high) == (0.25, 0.0, 0.75)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (FIRST._replace(files=FILES[::-1]), "second was tested on other images or labels than fir"),
        (FIRST._replace(labels=1 - LABELS), "second was tested on other images or labels than fir"),
        (answers_of((0, 0, 0, 1), (0, 0, 0, 1)), "second has no branches to compare; give runs of"),
    ],
)
def test_what_cannot_be_compared_is_refused(second, message):
    with pytest.raises(UserError, match=message):
        compare({"first": FIRST, "second": second})
