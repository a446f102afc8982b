"""The graph network alone: golden numbers, propagation, constants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tdgan_jax.families.emotion_gcn.graph import LabelGraph, propagation_matrix
from tests import golden_emotion_gcn as golden
from tests.families.emotion_gcn.emotion_networks import adjacency

# Size of the feature: mean and deviation of the output, its first and last row, the nine products.
GOLDEN = {
    1024: (
        (-0.001354964, 0.03877877),
        (0.0157673, -0.0157629, -6.82657e-05),
        (0.0949348, -0.00611377, -0.000868648),
        (
            *(-0.649142, -0.584935, -0.391703, -0.638591, -0.617693, -0.760036),
            *(-0.322849, -1.88126, -2.08368),
        ),
    ),
    128: (
        (-0.002177443, 0.03891428),
        (-0.00288643, -0.0279629, -0.0220612),
        (0.0546725, -0.0605893, -0.0792098),
        (
            *(-0.194725, -0.242231, -0.328097, -0.166839, -0.157986, -0.157243),
            *(-0.212818, -0.860502, -0.599438),
        ),
    ),
}


def make_graph(out_channels, **options):
    fields = {
        "adjacency": adjacency(),
        "adjacency_form": "transposed",
        "word_vector_size": 300,
        "hidden_channels": 512,
        "out_channels": out_channels,
    }
    return LabelGraph(**(fields | options), rngs=nnx.Rngs(0))


@pytest.mark.parametrize("num_features", GOLDEN)
def test_the_golden_outputs(num_features):
    statistics, first_row, last_row, products = GOLDEN[num_features]
    graph = make_graph(num_features)
    for k, layer in ((1, graph.gc1), (2, graph.gc2)):
        values = 0.1 * (golden.values(k, layer.kernel.shape).astype(np.float64) - 0.5)
        layer.kernel.set_value(jnp.asarray(values, jnp.float32))
    word_vectors = golden.values(3, (9, 300)) - np.float32(0.5)
    output = np.asarray(graph(jnp.asarray(word_vectors)))
    assert (output.mean(), output.std(ddof=1)) == pytest.approx(statistics, rel=2e-5)
    np.testing.assert_allclose(output[0, :3], first_row, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(output[8, :3], last_row, rtol=1e-5, atol=1e-7)
    feature = golden.values(4, (1, num_features))
    np.testing.assert_allclose((feature @ output.T)[0], products, rtol=1e-5)


def test_messages_go_along_the_transposed_matrix_as_released():
    matrix = jnp.asarray(adjacency(), jnp.float32)
    np.testing.assert_allclose(propagation_matrix(matrix, "transposed"), matrix.T, rtol=1e-6)
    np.testing.assert_allclose(propagation_matrix(matrix, "plain"), matrix, rtol=1e-6)
    # What an expression hears, and valence and arousal (quirk 4).
    heard = np.asarray(propagation_matrix(matrix, "transposed")).sum(axis=1)
    np.testing.assert_allclose(heard[[0, 1, 3]], [0.5 + 2 / 12, 0.5 + 1 / 12, 0.5 + 1 / 12], 1e-6)
    np.testing.assert_allclose(heard[7:], 2.25, rtol=1e-6)


def test_other_row_sums_are_normalised_on_both_sides():
    matrix = jnp.array([[1.0, 3.0], [0.0, 9.0]])
    scale = np.diag([4**-0.5, 9**-0.5])
    expected = scale @ np.asarray(matrix).T @ scale
    np.testing.assert_allclose(propagation_matrix(matrix, "transposed"), expected, rtol=1e-6)


def test_the_first_weights_are_the_released_programs():
    graph = make_graph(128)
    for layer, bound in ((graph.gc1, 512**-0.5), (graph.gc2, 128**-0.5)):
        assert 0.99 * bound < float(jnp.abs(layer.kernel[...]).max()) <= bound


def test_the_two_forms_differ():
    word_vectors = jnp.asarray(golden.word_vectors())
    outputs = [make_graph(8, adjacency_form=form)(word_vectors) for form in ("transposed", "plain")]
    assert not np.allclose(*outputs)


def test_parity_with_the_twin_gradients_included():
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.families.emotion_gcn import twin

    graph = make_graph(8, word_vector_size=300, hidden_channels=16)
    matrix = torch.tensor(adjacency(), dtype=torch.float32)
    backbone = twin.BregNext(7, (1,), (8,))
    theirs = twin.EmotionGCN(backbone, matrix, graph_channels=16)
    with torch.no_grad():
        for mine, other in ((graph.gc1, theirs.gc1), (graph.gc2, theirs.gc2)):
            other.weight.copy_(torch.tensor(np.asarray(mine.kernel[...])))
    word_vectors = golden.word_vectors()
    cotangent = np.random.default_rng(0).normal(size=(9, 8)).astype(np.float32)
    definition, weights, rest = nnx.split(graph, nnx.Param, ...)
    apply = lambda weights: nnx.merge(definition, weights, rest)(jnp.asarray(word_vectors))  # noqa: E731
    output, pull_back = jax.vjp(apply, weights)
    theirs_output = theirs.label_vectors(torch.tensor(word_vectors))
    theirs_output.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(output, theirs_output.detach(), rtol=1e-4, atol=1e-5)
    (gradient,) = pull_back(jnp.asarray(cotangent))
    for name, other in (("gc1", theirs.gc1), ("gc2", theirs.gc2)):
        mine = nnx.to_pure_dict(gradient)[name]["kernel"]
        np.testing.assert_allclose(mine, other.weight.grad, rtol=1e-4, atol=1e-5)
    assert theirs.A.grad is None
