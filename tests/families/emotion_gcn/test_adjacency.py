"""Correlations of labels, and the adjacency that is made of them."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from tdgan_jax.data.frame_pickles import Frame
from tdgan_jax.errors import UserError
from tdgan_jax.families.emotion_gcn import adjacency as adjacency_module
from tdgan_jax.families.emotion_gcn.adjacency import (
    AFFECTNET_EXPRESSIONS,
    adjacency_matrix,
    affectnet_correlations,
    in_order_of_nodes,
    label_correlations,
    node_names,
    read_correlations,
)

# Of AffectNet's training images, in the order of AFFECTNET_EXPRESSIONS (spec 3).
COUNTS = (74_874, 134_415, 25_459, 14_090, 6_378, 3_803, 24_882)
THIRD = 1 / 12
# Rows of the spec's table.
AFFECTNET = np.array(
    [
        [0.5, 0, 0, 0, 0, 0, 0, 0.25, 0.25],
        [0, 0.5, 0, 0, 0, 0, 0, 0.5, 0],
        [0, 0, 0.5, 0, 0, 0, 0, 0.25, 0.25],
        [0, 0, 0, 0.5, 0, 0, 0, 0, 0.5],
        [0, 0, 0, 0, 0.5, 0, 0, 0.25, 0.25],
        [0, 0, 0, 0, 0, 0.5, 0, 0.25, 0.25],
        [0, 0, 0, 0, 0, 0, 0.5, 0.25, 0.25],
        [THIRD, THIRD, THIRD, 0, THIRD, THIRD, THIRD, 0.5, 0],
        [THIRD, 0, THIRD, THIRD, THIRD, THIRD, THIRD, 0, 0.5],
    ]
)


def test_the_published_matrix_gives_the_specs_adjacency():
    correlations = affectnet_correlations(AFFECTNET_EXPRESSIONS)
    np.testing.assert_array_equal(correlations, correlations.T)
    np.testing.assert_array_equal(np.diag(correlations), 1)
    adjacency = adjacency_matrix(correlations, AFFECTNET_EXPRESSIONS)
    np.testing.assert_allclose(adjacency, AFFECTNET, rtol=1e-12)
    np.testing.assert_allclose(adjacency.sum(axis=1), 1)


def test_the_published_correlations_of_expressions_follow_from_the_counts_of_classes():
    labels = np.repeat(np.arange(7), COUNTS)
    affect = np.random.default_rng(0).uniform(-1, 1, (len(labels), 2))
    correlations = label_correlations(labels, affect, AFFECTNET_EXPRESSIONS)
    published = affectnet_correlations(AFFECTNET_EXPRESSIONS)
    np.testing.assert_allclose(correlations[:7, :7], published[:7, :7], atol=5e-7)
    p, q = (COUNTS[i] / sum(COUNTS) for i in (0, 1))
    assert correlations[0, 1] == pytest.approx(-((p * q / ((1 - p) * (1 - q))) ** 0.5))


def test_correlations_are_spearmans_with_equal_values_and_unknown_labels():
    generator = np.random.default_rng(1)
    names = ("anger", "fear", "neutral")
    labels = generator.integers(-1, 3, 500)
    affect = np.round(generator.normal(size=(500, 2)), 1)  # many equal values
    affect[:, 0] += labels
    affect[generator.random(500) < 0.2, 1] = np.nan
    known = (labels >= 0) & np.isfinite(affect).all(axis=1)
    columns = np.column_stack([np.eye(3)[labels[known]], affect[known]])
    expected = spearmanr(columns).statistic
    np.testing.assert_allclose(label_correlations(labels, affect, names), expected, atol=1e-12)


def test_nodes_follow_a_models_own_order():
    own = ("anger", "happiness", "sadness", "surprise", "fear", "disgust", "neutral")
    adjacency = adjacency_matrix(affectnet_correlations(own), own)
    places = [AFFECTNET_EXPRESSIONS.index(name) for name in own] + [7, 8]
    np.testing.assert_allclose(adjacency, AFFECTNET[np.ix_(places, places)], rtol=1e-12)


def with_table(monkeypatch, rows, columns, values):
    frame = Frame(tuple(rows.split()), tuple(columns.split()), values)
    monkeypatch.setattr(adjacency_module, "read_frame", lambda path: frame)


def test_the_released_file_names_its_nodes(monkeypatch):
    names = "Neutral Happy Sad Surprise Fear Disgust Anger Valence Arousal"
    own = ("anger", "happiness", "sadness", "surprise", "fear", "disgust", "neutral")
    published = affectnet_correlations(AFFECTNET_EXPRESSIONS)
    with_table(monkeypatch, names, names, published)
    read = read_correlations(Path("spearman.pkl"), own)
    np.testing.assert_array_equal(read, affectnet_correlations(own))
    with pytest.raises(UserError, match="^spearman.pkl: the nodes are neutral, happiness"):
        read_correlations(Path("spearman.pkl"), own[1:])
    with_table(monkeypatch, names, names.replace("Fear", "Sad"), published)
    with pytest.raises(UserError, match="^spearman.pkl: rows and columns bear different names"):
        read_correlations(Path("spearman.pkl"), own)
    other = names.replace("Fear", "Boredom")
    with_table(monkeypatch, other, other, published)
    with pytest.raises(UserError, match="unknown expression 'boredom'"):
        read_correlations(Path("spearman.pkl"), own)


def test_other_nodes_are_refused_by_name():
    with pytest.raises(UserError, match="the nodes are neutral, .*those of the model.*contempt, v"):
        affectnet_correlations((*AFFECTNET_EXPRESSIONS, "contempt"))
    with pytest.raises(UserError, match="the nodes are .*those of the model fear, valence"):
        affectnet_correlations(("fear",))
    with pytest.raises(UserError, match=r"file: 3 nodes and a matrix of the shape \(2, 2\)"):
        in_order_of_nodes(np.eye(2), node_names(["fear"]), ["fear"], source="file")
    with pytest.raises(UserError, match=r"have the shape \(9, 9\); 4 nodes .fear, anger, valence"):
        adjacency_matrix(np.eye(9), ("fear", "anger"))


def test_isolated_nodes_are_named():
    correlations = affectnet_correlations(AFFECTNET_EXPRESSIONS)
    with pytest.raises(UserError, match="with neutral, surprise, fear, disgust by .* 0.35"):
        adjacency_matrix(correlations, AFFECTNET_EXPRESSIONS, threshold=0.35)
    correlations[1, 7:] = correlations[7:, 1] = 0
    # What expressions have with each other is no edge.
    with pytest.raises(UserError, match="no label of another kind correlates with happiness by at"):
        adjacency_matrix(correlations, AFFECTNET_EXPRESSIONS)


def test_valence_and_arousal_may_be_neighbours():
    correlations = np.array([[1, -0.1, 0], [-0.1, 1, 0.2], [0, 0.2, 1]])
    adjacency = adjacency_matrix(correlations, ("anger",), self_weight=0.4)
    np.testing.assert_allclose(adjacency, [[0.4, 0.6, 0], [0.3, 0.4, 0.3], [0, 0.6, 0.4]])


def test_labels_that_tell_nothing_are_named():
    names = ("anger", "fear")
    labels, affect = np.array([0, 1, 0]), np.array([[0.1, 0.2], [0.3, 0.2], [0.2, 0.2]])
    with pytest.raises(UserError, match="no correlation with arousal: .*same in all 3 training"):
        label_correlations(labels, affect, names)
    affect[0] = 0.5
    with pytest.raises(UserError, match="no correlation with anger, fear: .* the same in all 2"):
        label_correlations(labels[[0, 2]], affect[[0, 2]], names)
    with pytest.raises(UserError, match="no training example has an expression, a valence and an"):
        label_correlations(labels, affect * np.nan, names)


@pytest.mark.parametrize("value", [np.nan, 1.5])
def test_values_that_are_no_correlations_are_refused(value):
    correlations = affectnet_correlations(AFFECTNET_EXPRESSIONS)
    correlations[0, 8] = value
    with pytest.raises(UserError, match="not in .-1, 1."):
        adjacency_matrix(correlations, AFFECTNET_EXPRESSIONS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0}, "threshold must be in .0, 1., got 0"),
        ({"self_weight": 1.0}, "self_weight must be in .0, 1., got 1.0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    correlations = affectnet_correlations(AFFECTNET_EXPRESSIONS)
    with pytest.raises(ValueError, match=message):
        adjacency_matrix(correlations, AFFECTNET_EXPRESSIONS, **options)
