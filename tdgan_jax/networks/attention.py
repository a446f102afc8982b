"""Self-attention over the positions of a feature map, with memory for a part of the map alone.

Source: Zhang et al. 2018, "Self-Attention Generative Adversarial Networks", arXiv:1805.08318; spec
IF-GAN 3.3.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from tdgan_jax.networks.layers import Initializer, convolve


def attend(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """Softmax attention: each query's mean of the values, weighted by its scores of the keys.

    Args:
        query: `[N, Q, c]`.
        key: `[N, P, c]`.
        value: `[N, P, C]`.

    Returns:
        `[N, Q, C]`.
    """
    weights = attention_weights(query, key).astype(value.dtype)
    return jnp.einsum("nqp,npc->nqc", weights, value)


def attention_weights(query: jax.Array, key: jax.Array) -> jax.Array:
    """Attention `[N, Q, P]`, float32; the P weights of a query sum to 1 (spec IF-GAN 3.3)."""
    scores = jnp.einsum("nqc,npc->nqp", query, key, preferred_element_type=jnp.float32)
    return nnx.softmax(scores, axis=-1)


def attend_in_chunks(
    query: jax.Array, key: jax.Array, value: jax.Array, *, chunk_size: int
) -> jax.Array:
    """`attend` without ever holding all of the attention, which has 39 MB at 56x56 positions.

    The queries are taken in chunks, one after the other, and the backward pass computes each
    chunk's attention anew. A loop and not unrolled chunks: the CPU backend's scheduler interleaves
    these and holds five times the memory, while matrix products, unlike convolutions, run as fast
    in a loop (measured).

    Args:
        query: `[N, P, c]`.
        key: `[N, P, c]`.
        value: `[N, P, C]`.
        chunk_size: Queries a chunk.

    Returns:
        `[N, P, C]`.
    """
    batch, num_queries, width = query.shape
    attend_again = jax.checkpoint(attend)
    if num_queries <= chunk_size:
        return attend_again(query, key, value)
    missing = -num_queries % chunk_size
    padded = jnp.pad(query, ((0, 0), (0, missing), (0, 0)))
    chunks = padded.reshape(batch, -1, chunk_size, width).transpose(1, 0, 2, 3)
    attended = jax.lax.map(lambda chunk: attend_again(chunk, key, value), chunks)
    attended = attended.transpose(1, 0, 2, 3).reshape(batch, -1, value.shape[-1])
    return attended[:, :num_queries]


class SelfAttention(nnx.Module):
    """y = gamma * attention(x) + x, gamma a trained scalar that starts at 0 (spec IF-GAN 3.3)."""

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 8,
        has_output_convolution: bool = False,
        chunk_size: int = 448,
        kernel_init: Initializer,
        rngs: nnx.Rngs,
    ):
        """Makes the 1x1 convolutions.

        Args:
            channels: C1, channels of input and output.
            reduction: C1 / C2; queries and keys have C2 channels, at least 1.
            has_output_convolution: Whether a 1x1 convolution follows the attention.
            chunk_size: Queries whose attention is in memory at a time.
            kernel_init: Initialises the kernels; biases start at 0.
            rngs: Initialises the kernels.
        """

        def convolution(out_channels: int) -> nnx.Conv:
            return nnx.Conv(
                channels,
                out_channels,
                (1, 1),
                kernel_init=kernel_init,
                conv_general_dilated=convolve,
                rngs=rngs,
            )

        reduced = max(1, channels // reduction)
        self.chunk_size = chunk_size
        self.query = convolution(reduced)
        self.key = convolution(reduced)
        self.value = convolution(channels)
        self.output = convolution(channels) if has_output_convolution else None
        self.gamma = nnx.Param(jnp.zeros((1,)))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[N, H, W, C1]` to the same shape."""
        query, key, value = (
            _positions(convolution(x)) for convolution in (self.query, self.key, self.value)
        )  # [N, H * W, C2], [N, H * W, C2], [N, H * W, C1]
        attended = attend_in_chunks(query, key, value, chunk_size=self.chunk_size).reshape(x.shape)
        if self.output is not None:
            attended = self.output(attended)
        return self.gamma[...].reshape(1, 1, 1, 1).astype(x.dtype) * attended + x

    def maps(self, x: jax.Array, positions: jax.Array) -> jax.Array:
        """What chosen positions attend to (spec IF-GAN 12).

        Args:
            x: `[N, H, W, C1]`.
            positions: int `[Q, 2]`, row and column of each query.

        Returns:
            float32 `[N, Q, H, W]`; each map sums to 1.
        """
        query = self.query(x)[:, positions[:, 0], positions[:, 1]]  # [N, Q, C2]
        weights = attention_weights(query, _positions(self.key(x)))
        return weights.reshape(*weights.shape[:2], *x.shape[1:3])


def _positions(x: jax.Array) -> jax.Array:
    return x.reshape(x.shape[0], -1, x.shape[-1])
