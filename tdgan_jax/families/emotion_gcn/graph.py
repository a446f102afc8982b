"""The graph network of Emotion-GCN, and the constant data that models carry (spec 2.3 and 2.4)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tdgan_jax.networks.layers import uniform_fan_in

ADJACENCY_FORMS = ("transposed", "plain")
LEAKY_SLOPE = 0.2


class Constant(nnx.Variable):
    """Data that belong to a network and that no training moves: they are no `nnx.Param`."""


class GraphConvolution(nnx.Module):
    """H' = Ahat (H W), without bias (spec Emotion-GCN 2.3)."""

    def __init__(self, in_channels: int, out_channels: int, *, rngs: nnx.Rngs):
        """Makes W, uniform in +-1/sqrt(out_channels)."""
        init = uniform_fan_in(out_channels)
        self.kernel = nnx.Param(init(rngs.params(), (in_channels, out_channels)))

    def __call__(self, nodes: jax.Array, propagation: jax.Array) -> jax.Array:
        """Maps `[nodes, in]` to `[nodes, out]`; `propagation` is Ahat, `[nodes, nodes]`."""
        return propagation @ (nodes @ self.kernel[...])


class LabelGraph(nnx.Module):
    """The graph network: word vectors of the labels to one vector for each (spec 2.3 and 2.4)."""

    def __init__(
        self,
        *,
        adjacency: np.ndarray,
        adjacency_form: str,
        word_vector_size: int,
        hidden_channels: int,
        out_channels: int,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
            adjacency: A, `[nodes, nodes]`; a constant.
            adjacency_form: `"transposed"`: an expression hears of each affect in equal parts, as
                released (spec Emotion-GCN 8, quirk 4); `"plain"`: A as it was built.
            word_vector_size: Length of the word vectors.
            hidden_channels: Between the layers.
            out_channels: Length of the image feature.
            rngs: Initialises the layers.
        """
        self.adjacency_form = adjacency_form
        self.adjacency = Constant(jnp.asarray(adjacency, jnp.float32))
        self.gc1 = GraphConvolution(word_vector_size, hidden_channels, rngs=rngs)
        self.gc2 = GraphConvolution(hidden_channels, out_channels, rngs=rngs)

    def __call__(self, word_vectors: jax.Array) -> jax.Array:
        """Maps word vectors `[nodes, word_vector_size]` to `[nodes, out_channels]`."""
        # Both are data: the released program detaches the one and loads the other (spec 2.4).
        adjacency, word_vectors = jax.lax.stop_gradient((self.adjacency[...], word_vectors))
        propagation = propagation_matrix(adjacency, self.adjacency_form)
        hidden = nnx.leaky_relu(self.gc1(word_vectors, propagation), LEAKY_SLOPE)
        return self.gc2(hidden, propagation)


def propagation_matrix(adjacency: jax.Array, adjacency_form: str) -> jax.Array:
    """Ahat = D A^T D with D = diag(row sums)^-1/2, or D A D (spec Emotion-GCN 2.4, step 7)."""
    scale = jax.lax.rsqrt(adjacency.sum(axis=1))
    matrix = adjacency.T if adjacency_form == "transposed" else adjacency
    return scale[:, None] * matrix * scale[None, :]


class WordVectors(nnx.Module):
    """The labels' word vectors, which a model carries though no published state dict has them."""

    def __init__(self, vectors: np.ndarray):
        """Keeps `[num_expressions + 2, word_vector_size]`, a constant."""
        self.vectors = Constant(jnp.asarray(vectors, jnp.float32))
