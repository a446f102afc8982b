"""The graph between the labels: correlations of training labels to an adjacency (spec 2.4).

The nodes are the expressions in the order of a model's logits, then valence and arousal.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from tdgan_jax.data.frame_pickles import read_frame
from tdgan_jax.errors import UserError
from tdgan_jax.expressions import canonical_name

AFFECT_NAMES = ("valence", "arousal")
THRESHOLD = 0.1
SELF_WEIGHT = 0.5  # p

# Spearman's correlations of AffectNet's training labels, as released (spec Emotion-GCN 2.4).
AFFECTNET_EXPRESSIONS = (
    "neutral",
    "happiness",
    "sadness",
    "surprise",
    "fear",
    "disgust",
    "anger",
)
_AFFECTNET_UPPER_TRIANGLE = (
    (1, -0.567529, -0.187847, -0.136770, -0.090731, -0.069738, -0.185499, -0.335131, -0.284101),
    (1, -0.297620, -0.216695, -0.143753, -0.110492, -0.293901, 0.861085, 0.014483),
    (1, -0.071724, -0.047581, -0.036572, -0.097278, -0.453036, -0.433733),
    (1, -0.034643, -0.026628, -0.070828, -0.027568, 0.338224),
    (1, -0.017664, -0.046986, -0.121788, 0.235579),
    (1, -0.036115, -0.176413, 0.143684),
    (1, -0.383705, 0.413757),
    (1, 0.037299),
    (1,),
)


def node_names(expression_names: Sequence[str]) -> tuple[str, ...]:
    """Names of the nodes: the expressions, valence, arousal."""
    return (*expression_names, *AFFECT_NAMES)


def affectnet_correlations(expression_names: Sequence[str]) -> np.ndarray:
    """The published correlations, in the order of a model's own nodes.

    Args:
        expression_names: Names of the classes in the order of the logits.

    Returns:
        float64 `[nodes, nodes]`.

    Raises:
        UserError: If these are not AffectNet's seven expressions.
    """
    values = np.zeros((9, 9))
    values[np.triu_indices(9)] = np.concatenate(_AFFECTNET_UPPER_TRIANGLE)
    values = values + np.triu(values, 1).T
    return in_order_of_nodes(
        values,
        node_names(AFFECTNET_EXPRESSIONS),
        expression_names,
        source="the published correlations of AffectNet",
    )


def read_correlations(path: Path, expression_names: Sequence[str]) -> np.ndarray:
    """Reads the file that the released program takes as `--adj`, a table that pandas pickled.

    Args:
        path: The file; its rows and columns bear the nodes' names in a common spelling.
        expression_names: Names of the classes in the order of the logits.

    Returns:
        float64 `[nodes, nodes]`, in the order of the model's own nodes.

    Raises:
        UserError: If the file cannot be read safely, or has other nodes than the model.
    """
    frame = read_frame(path)
    if frame.rows != frame.columns:
        raise UserError(f"{path}: rows and columns bear different names")
    found = [name.strip().casefold() for name in frame.rows]
    found = [name if name in AFFECT_NAMES else canonical_name(name) for name in found]
    return in_order_of_nodes(frame.values, found, expression_names, source=str(path))


def in_order_of_nodes(
    correlations: np.ndarray, found: Sequence[str], expression_names: Sequence[str], *, source: str
) -> np.ndarray:
    """A matrix between named nodes, in the order of a model's own.

    Args:
        correlations: `[nodes, nodes]`.
        found: Names of its rows and columns: canonical names of expressions, valence, arousal.
        expression_names: Names of the model's classes in the order of the logits.
        source: What to call the matrix in messages.

    Returns:
        float64 `[nodes, nodes]`.

    Raises:
        UserError: If it has other nodes than the model.
    """
    wanted = node_names(expression_names)
    correlations = np.asarray(correlations, np.float64)
    if correlations.shape != (len(found), len(found)):
        raise UserError(
            f"{source}: {len(found)} nodes and a matrix of the shape {correlations.shape} do not "
            "belong together"
        )
    if sorted(found) != sorted(wanted):
        raise UserError(
            f"{source}: the nodes are {', '.join(found)}, those of the model "
            f"{', '.join(wanted)}; compute the correlations from the training labels"
        )
    places = [list(found).index(name) for name in wanted]
    return correlations[np.ix_(places, places)]


def label_correlations(
    labels: np.ndarray, affect: np.ndarray, expression_names: Sequence[str]
) -> np.ndarray:
    """Spearman's correlations between the labels of training examples (spec 2.4, step 1).

    Equal values have the mean of their ranks. Examples without one of the labels are left out.

    Args:
        labels: int `[N]`, class of each example; -1: not known.
        affect: `[N, 2]`, valence and arousal; NaN: not known.
        expression_names: Names of the classes.

    Returns:
        float64 `[nodes, nodes]`, symmetric with ones on the diagonal.

    Raises:
        UserError: If a label has the same value in all examples, which correlates with nothing.
    """
    labels, affect = np.asarray(labels), np.asarray(affect, np.float64)
    known = (labels >= 0) & np.isfinite(affect).all(axis=1)
    labels, affect = labels[known], affect[known]
    if not len(labels):
        raise UserError("no training example has an expression, a valence and an arousal")
    columns = [labels == label for label in range(len(expression_names))] + list(affect.T)
    names = node_names(expression_names)
    constant = [n for n, column in zip(names, columns, strict=True) if np.ptp(column * 1.0) == 0]
    if constant:
        raise UserError(
            f"no correlation with {', '.join(constant)}: the value is the same in all "
            f"{len(labels)} training examples with both kinds of labels"
        )
    centred = np.empty((len(columns), len(labels)))
    for row, column in zip(centred, columns, strict=True):
        ranks = rankdata(column)
        ranks -= ranks.mean()
        row[:] = ranks / np.linalg.norm(ranks)
    correlations = np.clip(centred @ centred.T, -1.0, 1.0)
    np.fill_diagonal(correlations, 1.0)
    return correlations


def adjacency_matrix(
    correlations: np.ndarray,
    expression_names: Sequence[str],
    *,
    threshold: float = THRESHOLD,
    self_weight: float = SELF_WEIGHT,
) -> np.ndarray:
    """The adjacency A of correlations (spec 2.4, steps 2 to 6).

    Between two expressions there is no edge. Each row sums to 1: `self_weight` for the node itself,
    the rest in equal parts for its neighbours.

    Args:
        correlations: `[nodes, nodes]`.
        expression_names: Names of the classes, in the order of the nodes.
        threshold: Least absolute correlation of neighbours.
        self_weight: p, in [0, 1).

    Returns:
        float64 `[nodes, nodes]`.

    Raises:
        UserError: If there are other nodes, or a node has no neighbour.
        ValueError: If the threshold or p is out of range.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be in (0, 1], got {threshold}")
    if not 0 <= self_weight < 1:
        raise ValueError(f"self_weight must be in [0, 1), got {self_weight}")
    names = node_names(expression_names)
    correlations = np.asarray(correlations, np.float64)
    if correlations.shape != (len(names), len(names)):
        raise UserError(
            f"the correlations have the shape {correlations.shape}; {len(names)} nodes "
            f"({', '.join(names)}) need {(len(names), len(names))}"
        )
    if not np.isfinite(correlations).all() or np.abs(correlations).max() > 1 + 1e-6:
        raise UserError("the correlations hold values that are not in [-1, 1]")
    edges = np.abs(correlations) >= threshold
    num_expressions = len(expression_names)
    edges[:num_expressions, :num_expressions] = False
    np.fill_diagonal(edges, False)
    num_neighbours = edges.sum(axis=1, keepdims=True)
    isolated = [name for name, count in zip(names, num_neighbours, strict=True) if not count]
    if isolated:
        raise UserError(
            f"no label of another kind correlates with {', '.join(isolated)} by at least "
            f"{threshold}: the graph has no edge there; choose a smaller threshold"
        )
    adjacency = edges * ((1 - self_weight) / num_neighbours)
    np.fill_diagonal(adjacency, self_weight)
    return adjacency
