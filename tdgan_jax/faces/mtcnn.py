"""The three networks of MTCNN and their weights.

Zhang, Zhang, Li, Qiao, "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional
Networks", IEEE Signal Processing Letters 23(10), 2016, as the PyPI package `mtcnn` 1.0.0 runs them.
Pixels are float32 NHWC, `(value - 127.5) / 128`; gray pictures come as three equal channels.
Everything here is pure and runs in full float32 precision on every device.
"""

import functools
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jax import lax

WEIGHTS_SHA256 = "63d67588d471a1807df3d0f45ef8712dca9e7e6da270fb3fa12f6ecd4cdde6e4"
P_NET_WINDOW_PX = 12  # what one output of P-Net sees, and
P_NET_STRIDE_PX = 2  # how far the next output's window is away
R_NET_SIZE_PX = 24
O_NET_SIZE_PX = 48

# Below everything that the first layer of P-Net gives, so that no maximum is ever one of these.
_OUTSIDE = -1e6

Weights = Mapping[str, jax.Array]


class Refinement(NamedTuple):
    """What P-Net or R-Net says about boxes.

    Attributes:
        face_probability: `[...]` in [0, 1].
        box_offsets: `[..., 4]`: left, top, right, bottom, in widths or heights of the box.
    """

    face_probability: jax.Array
    box_offsets: jax.Array


def load_weights() -> dict[str, np.ndarray]:
    """Reads the weights that ship with the package; `weights/README.md` says whence they are.

    Returns:
        float32 arrays by `network/layer/part`.

    Raises:
        RuntimeError: If the file is not the one that was shipped.
    """
    content = (resources.files("tdgan_jax.faces") / "weights" / "mtcnn.safetensors").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise RuntimeError(
            f"tdgan_jax/faces/weights/mtcnn.safetensors is damaged (SHA-256 {digest}); "
            "install the package again"
        )
    return safetensors.numpy.load(content)


class Judgement(NamedTuple):
    """What O-Net says about boxes.

    Attributes:
        face_probability: `[N]` in [0, 1].
        box_offsets: `[N, 4]`: left, top, right, bottom, in widths or heights of the box.
        landmarks: `[N, 5, 2]`: x and y in widths and heights of the box, from its left and top:
            left eye, right eye, tip of the nose, left and right corner of the mouth.
    """

    face_probability: jax.Array
    box_offsets: jax.Array
    landmarks: jax.Array


def p_net(weights: Weights, canvas: jax.Array, is_inside: jax.Array) -> Refinement:
    """Looks for faces in every 12x12 window of a canvas, two pixels apart.

    The canvas holds pictures of several sizes side by side, each at an even row and column. The
    maxima at the lower and right edge of a picture of odd size take in one row or column beyond
    it, which `is_inside` leaves out: each picture gets the outputs that it would get alone.

    Args:
        weights: What `load_weights` gave.
        canvas: `[N, S, S, 3]`, S even.
        is_inside: bool `[N, S-2, S-2]`: whether the 3x3 window that starts at a pixel lies within
            one picture.

    Returns:
        `[N, S/2-5, S/2-5]` and `[N, S/2-5, S/2-5, 4]`; offsets in sides of the 12x12 window.
    """
    x = _conv_prelu_max(weights, "p_net/conv1", canvas, is_inside)  # [N, S/2-1, S/2-1, 10]
    x = _conv_prelu(weights, "p_net/conv2", x)  # [N, S/2-3, S/2-3, 16]
    x = _conv_prelu(weights, "p_net/conv3", x)  # [N, S/2-5, S/2-5, 32]
    return Refinement(
        face_probability=jax.nn.softmax(_conv(weights, "p_net/face", x))[..., 1],
        box_offsets=_conv(weights, "p_net/box", x),
    )


def r_net(weights: Weights, patches: jax.Array) -> Refinement:
    """Judges the candidates of P-Net.

    Args:
        weights: What `load_weights` gave.
        patches: `[N, 24, 24, 3]`.

    Returns:
        `[N]` and `[N, 4]`.
    """
    x = _conv_prelu(weights, "r_net/conv1", patches)  # [N, 22, 22, 28]
    x = _max_pool(x, window=3, padding="SAME")  # [N, 11, 11, 28]
    x = _conv_prelu(weights, "r_net/conv2", x)  # [N, 9, 9, 48]
    x = _max_pool(x, window=3, padding="VALID")  # [N, 4, 4, 48]
    x = _conv_prelu(weights, "r_net/conv3", x)  # [N, 3, 3, 64]
    x = _dense_prelu(weights, "r_net/dense", _flatten(x))  # [N, 128]
    return Refinement(
        face_probability=jax.nn.softmax(_dense(weights, "r_net/face", x))[..., 1],
        box_offsets=_dense(weights, "r_net/box", x),
    )


def o_net(weights: Weights, patches: jax.Array) -> Judgement:
    """Judges the candidates of R-Net and finds their landmarks.

    Args:
        weights: What `load_weights` gave.
        patches: `[N, 48, 48, 3]`.

    Returns:
        `[N]`, `[N, 4]` and `[N, 5, 2]`.
    """
    x = _conv_prelu(weights, "o_net/conv1", patches)  # [N, 46, 46, 32]
    x = _max_pool(x, window=3, padding="SAME")  # [N, 23, 23, 32]
    x = _conv_prelu(weights, "o_net/conv2", x)  # [N, 21, 21, 64]
    x = _max_pool(x, window=3, padding="VALID")  # [N, 10, 10, 64]
    x = _conv_prelu(weights, "o_net/conv3", x)  # [N, 8, 8, 64]
    x = _max_pool(x, window=2, padding="SAME")  # [N, 4, 4, 64]
    x = _conv_prelu(weights, "o_net/conv4", x)  # [N, 3, 3, 128]
    x = _dense_prelu(weights, "o_net/dense", _flatten(x))  # [N, 256]
    landmarks = _dense(weights, "o_net/landmarks", x)  # [N, 10]: the five x, then the five y
    return Judgement(
        face_probability=jax.nn.softmax(_dense(weights, "o_net/face", x))[..., 1],
        box_offsets=_dense(weights, "o_net/box", x),
        landmarks=landmarks.reshape(-1, 2, 5).swapaxes(1, 2),
    )


def _conv_prelu_max(weights: Weights, layer: str, x: jax.Array, is_inside: jax.Array) -> jax.Array:
    """A 3x3 convolution, then the maximum of every 2x2 outputs that are inside.

    The four outputs of a 2x2 square are channels of one convolution of stride 2 with the kernel at
    the four places of a 4x4 window. The numbers are the same, bit for bit; P-Net takes a third less
    time on a CPU, where few channels make slow convolutions.
    """
    kernel = weights[f"{layer}/kernel"]
    places = [(row, column) for row in (0, 1) for column in (0, 1)]
    kernels = [
        jnp.pad(kernel, ((row, 1 - row), (column, 1 - column), (0, 0), (0, 0)))
        for row, column in places
    ]
    y = _convolve(x, jnp.concatenate(kernels, axis=-1), stride=2)
    bias = weights[f"{layer}/bias"].reshape(1, 1, 1, -1)
    outputs = [
        jnp.where(
            is_inside[:, row::2, column::2, None],
            _prelu(part + bias, weights[f"{layer}/slope"]),
            _OUTSIDE,
        )
        for (row, column), part in zip(places, jnp.split(y, len(places), axis=-1), strict=True)
    ]
    return functools.reduce(jnp.maximum, outputs)


def _conv(weights: Weights, layer: str, x: jax.Array) -> jax.Array:
    return _convolve(x, weights[f"{layer}/kernel"]) + weights[f"{layer}/bias"].reshape(1, 1, 1, -1)


def _convolve(x: jax.Array, kernel: jax.Array, *, stride: int = 1) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding="VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=lax.Precision.HIGHEST,
    )


def _dense(weights: Weights, layer: str, x: jax.Array) -> jax.Array:
    y = jnp.dot(x, weights[f"{layer}/kernel"], precision=lax.Precision.HIGHEST)
    return y + weights[f"{layer}/bias"].reshape(1, -1)


def _prelu(x: jax.Array, slope: jax.Array) -> jax.Array:
    slope = slope.reshape((1,) * (x.ndim - 1) + (-1,))
    return jnp.maximum(x, 0) + slope * jnp.minimum(x, 0)


def _conv_prelu(weights: Weights, layer: str, x: jax.Array) -> jax.Array:
    return _prelu(_conv(weights, layer, x), weights[f"{layer}/slope"])


def _dense_prelu(weights: Weights, layer: str, x: jax.Array) -> jax.Array:
    return _prelu(_dense(weights, layer, x), weights[f"{layer}/slope"])


def _max_pool(x: jax.Array, *, window: int, padding: str) -> jax.Array:
    """Maxima of windows two pixels apart, as maxima of slices: faster than `reduce_window`."""
    for axis in (1, 2):
        length = x.shape[axis]
        if padding == "SAME":
            missing = max((-(-length // 2) - 1) * 2 + window - length, 0)
            edges = [(0, 0)] * x.ndim
            edges[axis] = (missing // 2, missing - missing // 2)
            x = jnp.pad(x, edges, constant_values=-jnp.inf)
            length += missing
        end = (length - window) // 2 * 2 + 1
        slices = [lax.slice_in_dim(x, i, i + end, 2, axis) for i in range(window)]
        x = functools.reduce(jnp.maximum, slices)
    return x


def _flatten(x: jax.Array) -> jax.Array:
    """Column by column: the networks were trained with pictures that lay on their side."""
    return x.swapaxes(1, 2).reshape(x.shape[0], -1)
