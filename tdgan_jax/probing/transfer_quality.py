"""Whether a generator puts an expression on a face and leaves the person the same.

Judged by two classifiers that had no part in the generator's training, on faces of people whom it
has not seen. Images are float32 `[N, S, S, C]` in [0, 1].
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tdgan_jax.data.examples import Examples
from tdgan_jax.errors import UserError
from tdgan_jax.evaluation.intervals import accuracy_interval

PAIRS_AT_A_TIME = 512

Transfer = Callable[[np.ndarray, np.ndarray], np.ndarray]
Judge = Callable[[np.ndarray], np.ndarray]


class TransferGrid(NamedTuple):
    """One picture of each person with each expression.

    Attributes:
        images: float32 `[M, S, S, C]` in [0, 1].
        expressions: int `[M]`.
        identities: int `[M]`.
    """

    images: np.ndarray
    expressions: np.ndarray
    identities: np.ndarray


class Judges(NamedTuple):
    """Classifiers of images, in the numbers of the grid's labels.

    Attributes:
        expression: Images to int `[N]`.
        identity: Images to int `[N]`.
    """

    expression: Judge
    identity: Judge


def make_grid(examples: Examples, *, num_people: int) -> tuple[TransferGrid, np.ndarray]:
    """Picks one picture of every expression of some people, the last one by file name.

    Args:
        examples: Examples with expression and identity, images `[S, S, C]`.
        num_people: The first so many people who show every expression that there is.

    Returns:
        The grid, and the positions of all other examples: what an identity judge may learn from.

    Raises:
        UserError: If fewer than two people show every expression.
    """
    wanted = np.unique(examples.expressions)
    last = {}
    for position, key in enumerate(zip(examples.identities, examples.expressions, strict=True)):
        last[key] = position
    people = [
        identity
        for identity in np.unique(examples.identities)
        if all((identity, expression) in last for expression in wanted)
    ][:num_people]
    if len(people) < 2:
        raise UserError("a transfer grid needs two people who show every expression")
    chosen = np.array([last[person, expression] for person in people for expression in wanted])
    images = unit_range([examples.images[i] for i in chosen])
    rest = np.setdiff1d(np.arange(len(examples.files)), chosen)
    grid = TransferGrid(images, examples.expressions[chosen], examples.identities[chosen])
    return grid, rest


def grid_pairs(grid: TransferGrid) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of a face and an expression image of another person with another expression.

    Returns:
        Positions of the faces and of the expression images, `[P]` each.
    """
    other_expression = grid.expressions[:, None] != grid.expressions[None, :]
    other_person = grid.identities[:, None] != grid.identities[None, :]
    faces, expressions = np.nonzero(other_expression & other_person)
    return faces, expressions


def copy_face(faces: np.ndarray, expressions: np.ndarray) -> np.ndarray:
    """The trivial generator that keeps the person: it returns the face."""
    del expressions
    return faces


def copy_expression(faces: np.ndarray, expressions: np.ndarray) -> np.ndarray:
    """The trivial generator that keeps the expression: it returns the expression image."""
    del faces
    return expressions


def transfer_quality(
    transfer: Transfer, grid: TransferGrid, judges: Judges, *, own_judge: Judge | None = None
) -> dict[str, Any]:
    """Judges a generator on all pairs of a grid.

    Args:
        transfer: `(faces, expression images) -> generated faces`.
        grid: Faces and expression images.
        judges: Classifiers of expression and identity.
        own_judge: The classifier of expressions that the generator was trained with.

    Returns:
        `num_pairs`; `expression_right`, `identity_right` and `both_right`: shares of the pairs,
        each with `..._interval`, bootstrapped over the people of the faces;
        `face_reconstruction_error` and `expression_reconstruction_error`: mean absolute errors of
        the passes that must give the face and the expression image back (spec TDGAN 3, Eq. 7);
        with an own judge `expression_right_by_own`: what it accepts beyond `expression_right` is
        drawn for it alone.
    """
    faces, expressions = grid_pairs(grid)
    parts = []
    for start in range(0, len(faces), PAIRS_AT_A_TIME):
        rows = slice(start, start + PAIRS_AT_A_TIME)
        parts.append(_judged(transfer, grid, judges, own_judge, faces[rows], expressions[rows]))
    judged = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    result: dict[str, Any] = {"num_pairs": len(faces)}
    shares = {
        "expression_right": judged["expression_right"],
        "identity_right": judged["identity_right"],
        "both_right": judged["expression_right"] & judged["identity_right"],
    }
    for name, right in shares.items():
        result[name] = float(right.mean())
        result[f"{name}_interval"] = accuracy_interval(right, grid.identities[faces])
    result |= {name: float(of.mean()) for name, of in judged.items() if name not in shares}
    return result


def _judged(
    transfer: Transfer,
    grid: TransferGrid,
    judges: Judges,
    own_judge: Judge | None,
    faces: np.ndarray,
    expressions: np.ndarray,
) -> Mapping[str, np.ndarray]:
    face_images, expression_images = grid.images[faces], grid.images[expressions]
    generated = transfer(face_images, expression_images)
    face_again = transfer(generated, face_images)
    expression_again = transfer(expression_images, generated)
    wanted = grid.expressions[expressions]
    judged = {
        "expression_right": judges.expression(generated) == wanted,
        "identity_right": judges.identity(generated) == grid.identities[faces],
        "face_reconstruction_error": _absolute_error(face_again, face_images),
        "expression_reconstruction_error": _absolute_error(expression_again, expression_images),
    }
    if own_judge is not None:
        judged["expression_right_by_own"] = own_judge(generated) == wanted
    return judged


def _absolute_error(images: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return np.abs(images - wanted).mean(axis=(1, 2, 3))


def judge_accuracies(judges: Judges, grid: TransferGrid, held_out: Examples) -> dict[str, float]:
    """How often the judges are right about real images.

    Args:
        judges: Classifiers of expression and identity.
        grid: Images that neither of them has learned from.
        held_out: More images of people whom the expression judge has not seen, the grid's among
            them; the identity judge knows some of them.

    Returns:
        `expression` and `identity` on the grid, a generator's ceiling as far as a judge can tell;
        `expression_on_all` on all held-out images.
    """
    on_all = judges.expression(unit_range(held_out.images)) == held_out.expressions
    return {
        "expression": float((judges.expression(grid.images) == grid.expressions).mean()),
        "identity": float((judges.identity(grid.images) == grid.identities).mean()),
        "expression_on_all": float(on_all.mean()),
    }


def unit_range(images: Sequence[np.ndarray]) -> np.ndarray:
    """uint8 images `[S, S, C]` as float32 `[N, S, S, C]` in [0, 1]."""
    return np.stack([images[i] for i in range(len(images))]).astype(np.float32) / 255
