"""Convolutions that are one matrix product: of small maps, and with 1x1 kernels."""

from functools import partial

import jax
import numpy as np
import pytest
from flax import nnx
from jax import lax

from tdgan_jax.networks.layers import convolve

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
# By rows, columns, kernel, stride and padding: 1x1 kernels, then fewer rows, fewer columns or both
# than the kernel.
PRODUCTS = [
    (7, 5, 1, 1, ((0, 0), (0, 0))),
    (7, 5, 1, 2, ((0, 0), (0, 0))),
    (2, 2, 3, 1, ((1, 1), (1, 1))),
    (1, 1, 3, 1, ((1, 1), (1, 1))),
    (3, 3, 3, 2, ((1, 1), (1, 1))),
    (2, 9, 3, 1, ((1, 1), (1, 1))),
    (9, 2, 3, 2, ((1, 1), (1, 1))),
    (6, 6, 4, 2, ((1, 1), (1, 1))),
    (5, 4, 4, 1, ((2, 1), (0, 1))),
    (6, 5, 5, 1, ((0, 0), (0, 0))),
    (2, 2, 3, 2, "SAME"),
]


@pytest.mark.parametrize(("height", "width", "size", "stride", "padding"), PRODUCTS)
def test_a_product_gives_the_numbers_of_the_convolution(height, width, size, stride, padding):
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (2, height, width, 5))
    kernel = jax.random.normal(keys[1], (size, size, 5, 4))

    def outcome(convolution):
        of = partial(
            convolution,
            window_strides=(stride, stride),
            padding=padding,
            dimension_numbers=DIMENSIONS,
        )
        y, gradients = jax.vjp(lambda x, kernel: of(x, kernel), x, kernel)
        return (y, *gradients(jax.random.normal(keys[2], y.shape)))

    assert "dot_general" in str(jax.make_jaxpr(lambda: outcome(convolve))())
    assert "conv_general" not in str(jax.make_jaxpr(lambda: outcome(convolve))())
    expected = outcome(lax.conv_general_dilated)
    for value, of_lax in zip(outcome(convolve), expected, strict=True):
        assert value.shape == of_lax.shape
        np.testing.assert_allclose(value, of_lax, rtol=1e-5, atol=1e-5)


def test_a_large_map_is_left_to_the_compiler():
    conv = nnx.Conv(5, 4, (3, 3), padding=1, conv_general_dilated=convolve, rngs=nnx.Rngs(0))
    assert "conv_general" in str(jax.make_jaxpr(conv)(np.zeros((1, 3, 3, 5), np.float32)))
    assert "conv_general" not in str(jax.make_jaxpr(conv)(np.zeros((1, 2, 3, 5), np.float32)))
