"""Bookkeeping of the judged generators, with images whose pixels say who shows what."""

import numpy as np
import pytest

from tdgan_jax.data.examples import Examples
from tdgan_jax.errors import UserError
from tdgan_jax.probing.transfer_quality import (
    Judges,
    copy_expression,
    copy_face,
    grid_pairs,
    judge_accuracies,
    make_grid,
    transfer_quality,
)

NUM_PEOPLE, NUM_EXPRESSIONS, NUM_PICTURES = 5, 4, 2


def drawn_examples() -> Examples:
    """Images `[4, 4, 1]`: the first row's gray is the person, the second row's the expression."""
    indices = np.indices((NUM_PEOPLE, NUM_EXPRESSIONS, NUM_PICTURES))
    people, expressions, pictures = (axis.ravel() for axis in indices)
    images = np.zeros((len(people), 4, 4, 1), np.uint8)
    images[:, 0] = 10 * (people + 7)[:, None, None]
    images[:, 1] = 20 * expressions[:, None, None]
    images[:, 2] = pictures[:, None, None]
    return Examples(
        images=list(images),
        expressions=expressions.astype(np.int32),
        expression_names=("anger", "fear", "neutral", "surprise"),
        identities=(people + 7).astype(np.int32),
        identity_names=(),
        groups=people.astype(str),
        files=np.array([f"{n:03d}.png" for n in range(len(people))]),
        duplicated_in_train=None,
    )


def read_person(images: np.ndarray) -> np.ndarray:
    return np.rint(images[:, 0].mean(axis=(1, 2)) * 255 / 10).astype(int)


def read_expression(images: np.ndarray) -> np.ndarray:
    return np.rint(images[:, 1].mean(axis=(1, 2)) * 255 / 20).astype(int)


JUDGES = Judges(expression=read_expression, identity=read_person)


def put_expression_on_face(faces: np.ndarray, expressions: np.ndarray) -> np.ndarray:
    generated = faces.copy()
    generated[:, 1] = expressions[:, 1]
    return generated


@pytest.fixture(scope="module")
def grid():
    return make_grid(drawn_examples(), num_people=3)[0]


def test_the_grid_shows_each_person_once_with_each_expression():
    examples = drawn_examples()
    grid, rest = make_grid(examples, num_people=3)
    assert grid.images.shape == (12, 4, 4, 1)
    assert list(grid.identities) == [7] * 4 + [8] * 4 + [9] * 4
    assert list(grid.expressions) == [0, 1, 2, 3] * 3
    assert (grid.images[:, 2] == np.float32(1 / 255)).all()  # the last picture of each
    assert len(rest) == 40 - 12
    assert set(examples.identities[rest]) == {7, 8, 9, 10, 11}


def test_pairs_differ_in_person_and_expression(grid):
    faces, expressions = grid_pairs(grid)
    assert len(faces) == 12 * 2 * 3
    assert (grid.identities[faces] != grid.identities[expressions]).all()
    assert (grid.expressions[faces] != grid.expressions[expressions]).all()


@pytest.mark.parametrize(
    ("generator", "expression", "identity", "both"),
    [
        (copy_face, 0.0, 1.0, 0.0),
        (copy_expression, 1.0, 0.0, 0.0),
        (put_expression_on_face, 1.0, 1.0, 1.0),
    ],
)
def test_known_generators_get_the_figures_they_deserve(grid, generator, expression, identity, both):
    judged = transfer_quality(generator, grid, JUDGES)
    assert judged["num_pairs"] == 72
    assert judged["expression_right"] == expression
    assert judged["identity_right"] == identity
    assert judged["both_right"] == both
    assert judged["both_right_interval"] == (both, both)
    assert judged["face_reconstruction_error"] == 0.0
    assert judged["expression_reconstruction_error"] == 0.0


def test_both_right_is_counted_pair_by_pair(grid):
    def by_target(faces, expressions):
        keeps_face = read_expression(expressions) < 1
        return np.where(keeps_face[:, None, None, None], faces, expressions)

    judged = transfer_quality(by_target, grid, JUDGES)
    assert judged["identity_right"] == pytest.approx(1 / 4)
    assert judged["expression_right"] == pytest.approx(3 / 4)
    assert judged["both_right"] == 0.0


def test_reconstruction_errors_by_hand(grid):
    def brighter(faces, expressions):
        return faces + np.float32(0.25)

    judged = transfer_quality(brighter, grid, JUDGES)
    # The face again is brightened twice, the expression image once.
    assert judged["face_reconstruction_error"] == pytest.approx(0.5)
    assert judged["expression_reconstruction_error"] == pytest.approx(0.25)


def test_the_judges_are_judged_on_the_real_images(grid):
    half_right = Judges(
        expression=lambda images: np.where(np.arange(len(images)) % 2, 0, read_expression(images)),
        identity=lambda images: np.full(len(images), 7),
    )
    accuracy = judge_accuracies(half_right, grid, drawn_examples().select(np.arange(20)))
    # Every second answer is 0, which is right for three of the other twenty's ten.
    assert accuracy == {
        "expression": pytest.approx(0.5),
        "identity": pytest.approx(1 / 3),
        "expression_on_all": pytest.approx((10 + 3) / 20),
    }


def test_a_grid_needs_two_people_with_every_expression():
    examples = drawn_examples()
    incomplete = examples.select(np.flatnonzero((examples.identities == 7) | (np.arange(40) < 10)))
    with pytest.raises(UserError, match="two people who show every expression"):
        make_grid(incomplete, num_people=3)


def test_what_the_own_judge_accepts_is_told_beside_it(grid):
    judged = transfer_quality(copy_face, grid, JUDGES)
    assert "expression_right_by_own" not in judged
    fooled = transfer_quality(
        copy_face, grid, JUDGES, own_judge=lambda images: (read_expression(images) + 1) % 4
    )
    # A face is paired with each of the other three expressions; the next one is one of them.
    assert fooled["expression_right"] == 0.0
    assert fooled["expression_right_by_own"] == pytest.approx(1 / 3)
