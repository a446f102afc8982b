"""What a training takes from its training examples: the graph's edges, word vectors, class weights.

The graph of any prepared dataset with both kinds of labels:

    builder = open_dataset("synthetic_faces", "64_affect", None)  # tdgan_jax.data.builders
    examples = load_examples(builder, "train", lambda image: image)  # tdgan_jax.data.examples
    graph = adjacency_of(examples, "labels")
    graph.nodes, graph.correlations, graph.adjacency
"""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tdgan_jax.configuration import Config
from tdgan_jax.data.examples import Examples
from tdgan_jax.data.image_feed import affects
from tdgan_jax.errors import UsageError, UserError, unknown_name
from tdgan_jax.families.emotion_gcn.adjacency import (
    SELF_WEIGHT,
    THRESHOLD,
    adjacency_matrix,
    affectnet_correlations,
    label_correlations,
    node_names,
    read_correlations,
)
from tdgan_jax.families.emotion_gcn.step import TrainState
from tdgan_jax.families.emotion_gcn.word_vectors import (
    embedded_word_vectors,
    random_word_vectors,
    read_glove,
    read_released_word_vectors,
    words_of,
)
from tdgan_jax.families.family import Beginning

CLASS_WEIGHTS = ("none", "rarest")
NO_AFFECT_NEEDED = 'config.model.heads="single_task", or the plain classifier'


class Graph(NamedTuple):
    """Edges between labels.

    Attributes:
        nodes: Their names: the expressions, valence, arousal.
        correlations: `[nodes, nodes]`.
        adjacency: A, `[nodes, nodes]`.
    """

    nodes: tuple[str, ...]
    correlations: np.ndarray
    adjacency: np.ndarray


def adjacency_of(
    examples: Examples,
    source: str,
    *,
    threshold: float = THRESHOLD,
    self_weight: float = SELF_WEIGHT,
) -> Graph:
    """The graph of a training (spec Emotion-GCN 2.4).

    Args:
        examples: Those to learn from.
        source: `"labels"`: their own correlations; `"affectnet"`: the published ones; else the
            released program's file.
        threshold: Least absolute correlation of neighbours.
        self_weight: p, in [0, 1).

    Raises:
        UserError: If an example lacks both kinds of labels, or a file or a matrix does not fit.
    """
    names = examples.expression_names
    if source == "labels":
        correlations = label_correlations(examples.expressions, affects(examples), names)
    elif source == "affectnet":
        correlations = affectnet_correlations(names)
    else:
        correlations = read_correlations(Path(source), names)
    adjacency = adjacency_matrix(correlations, names, threshold=threshold, self_weight=self_weight)
    return Graph(node_names(names), correlations, adjacency)


def word_vectors_of(config: Config, expression_names: tuple[str, ...]) -> np.ndarray:
    """The word vectors that a configuration names, float32 `[nodes, model.word_vector_size]`.

    Raises:
        UserError: If a file cannot be read or does not fit, or a word is not known.
        UsageError: If the size is impossible.
    """
    source, size = config.graph.word_vectors, config.model.word_vector_size
    num_nodes = len(node_names(expression_names))
    if source == "embedded":
        try:
            return embedded_word_vectors(expression_names, size=size)
        except ValueError as error:
            raise UsageError(f"model.{error}") from error
    if source == "random":
        return random_word_vectors(num_nodes, size=size, seed=config.seed)
    if source.endswith(".txt"):
        return read_glove(Path(source), words_of(expression_names), size=size)
    vectors = read_released_word_vectors(Path(source), num_nodes=num_nodes)
    if vectors.shape[1] != size:
        raise UserError(
            f"{source} holds word vectors of {vectors.shape[1]} numbers; set "
            f"model.word_vector_size={vectors.shape[1]}"
        )
    return vectors


def class_weights_of(labels: np.ndarray, num_classes: int, kind: str) -> np.ndarray:
    """Weight of each class in the cross-entropy, float32 `[C]`.

    Args:
        labels: int `[N]`, -1 where unknown.
        num_classes: C.
        kind: `"none"`: all 1; `"rarest"`: the count of the rarest class that occurs over the own
            one's (spec Emotion-GCN 3); 0 for a class that does not occur.
    """
    if kind == "none":
        return np.ones(num_classes, np.float32)
    counts = np.bincount(labels[labels >= 0], minlength=num_classes)
    rarest = counts[counts > 0].min(initial=len(labels))
    return np.where(counts > 0, rarest / np.maximum(counts, 1), 0).astype(np.float32)


def check_affect(examples: Examples) -> None:
    """Refuses examples that nothing of valence and arousal can be learned from.

    Raises:
        UserError: If there are none, or values outside of [-1, 1].
    """
    values = affects(examples)
    if np.isnan(values).any(axis=1).all():
        raise UserError(
            "the dataset has no valence and arousal, which this model learns; take "
            f"{NO_AFFECT_NEEDED}, or a dataset that has them"
        )
    outside = np.flatnonzero((np.abs(values) > 1).any(axis=1))
    if len(outside):
        valence, arousal = values[outside[0]].tolist()
        raise UserError(
            f"{examples.files[outside[0]]} has the valence {valence:g} and the arousal "
            f"{arousal:g}, which must be in [-1, 1] ({len(outside)} such examples; the owner of "
            "AffectNet writes -2 for unknown: that is NaN here)"
        )


def beginning(config: Config, examples: Examples) -> Beginning:
    """What a new run takes from its training examples.

    Args:
        config: The configuration.
        examples: Those to learn from.

    Raises:
        UserError: As `adjacency_of` and `word_vectors_of`.
        UsageError: If an option is unknown.
    """
    kind, names = config.loss.class_weights, examples.expression_names
    if kind not in CLASS_WEIGHTS:
        raise unknown_name("loss.class_weights", kind, CLASS_WEIGHTS)
    if config.model.heads != "single_task":
        check_affect(examples)
    weights = class_weights_of(examples.expressions, len(names), kind)
    record: dict[str, Any] = {"expressions": names, "class_weights": weights.tolist()}
    if config.model.heads != "emotion_gcn":
        return Beginning(partial(_begun, weights, None, None), record)
    graph = adjacency_of(
        examples,
        config.graph.adjacency,
        threshold=config.graph.threshold,
        self_weight=config.graph.self_weight,
    )
    words = word_vectors_of(config, names)
    record |= {
        "nodes": graph.nodes,
        "correlations": graph.correlations.round(6).tolist(),
        "adjacency": graph.adjacency.round(6).tolist(),
        "correlations_of": config.graph.adjacency,
        "word_vectors": config.graph.word_vectors,
        "words": words_of(names),
    }
    return Beginning(partial(_begun, weights, graph.adjacency.astype(np.float32), words), record)


def _begun(
    class_weights: np.ndarray,
    adjacency: np.ndarray | None,
    words: np.ndarray | None,
    state: TrainState,
) -> TrainState:
    """The state of a new run with its constants."""
    parameters = state.parameters
    if adjacency is not None:
        network = parameters["network"]
        graph = network["graph"] | {"adjacency": adjacency}
        parameters = parameters | {
            "network": network | {"graph": graph},
            "word_vectors": {"vectors": words},
        }
    return state._replace(parameters=parameters, class_weights=class_weights)
