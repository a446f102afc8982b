"""Blocks used by more than one network.

Feature maps are float32 or bfloat16 `[N, H, W, C]`. Every function here is pure; modules hold
parameters only. Kernels are stored `[kernel_height, kernel_width, in, out]`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

Initializer = Callable[..., jax.Array]


def uniform_fan_in(fan_in: int) -> Initializer:
    """Uniform in ±1/sqrt(fan_in): PyTorch's default for convolutions (spec TDGAN 2.8)."""
    bound = fan_in**-0.5

    def init(key, shape, dtype=jnp.float32, out_sharding=None):
        del out_sharding
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def linear(in_features: int, out_features: int, *, rngs: nnx.Rngs) -> nnx.Linear:
    """Linear layer, kernel and bias initialised as PyTorch does."""
    init = uniform_fan_in(in_features)
    return nnx.Linear(in_features, out_features, kernel_init=init, bias_init=init, rngs=rngs)


def convolve(
    x: jax.Array,
    kernel: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    **options: Any,
) -> jax.Array:
    """`lax.conv_general_dilated` for `nnx.Conv`, as one matrix product where that is faster.

    That is a 1x1 kernel, and a map that is small: where the output has fewer rows or columns than
    the kernel, the CPU backend takes a path that is up to 60 times slower than the product for many
    channels (`benchmarks/README.md`).

    Args:
        x: `[N, H, W, in]`.
        kernel: `[kernel_height, kernel_width, in, out]`.
        window_strides: Of rows and of columns.
        padding: Zeros before and after rows and columns.
        **options: The further arguments of `conv_general_dilated`, as `nnx.Conv` gives them without
            dilation or groups.

    Returns:
        `[N, (H + padding - kernel_height) // stride + 1, ..., out]`.
    """
    size = kernel.shape[:2]
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], size, window_strides, padding)
    height, width = (
        (x.shape[1 + i] + sum(padding[i]) - size[i]) // window_strides[i] + 1 for i in range(2)
    )
    if size != (1, 1) and height >= size[0] and width >= size[1]:
        return lax.conv_general_dilated(x, kernel, window_strides, padding, **options)
    rows, columns = window_strides
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    windows = jnp.concatenate(
        [
            padded[
                :,
                i : i + rows * (height - 1) + 1 : rows,
                j : j + columns * (width - 1) + 1 : columns,
            ]
            for i in range(size[0])
            for j in range(size[1])
        ],
        axis=-1,
    )  # [N, h, w, kernel_height * kernel_width * in]
    weights = kernel.reshape(-1, kernel.shape[-1])
    return jnp.matmul(windows, weights, precision=options.get("precision"))


def max_pool_2x2(x: jax.Array) -> jax.Array:
    """Halves height and width by the maximum of 2x2 windows; an odd last row or column is lost.

    The first of equal elements takes the gradient, as in PyTorch. Written as is
    `max_pool_3x3_stride_2`, and for the same reasons.

    Args:
        x: `[N, H, W, C]`.

    Returns:
        `[N, H // 2, W // 2, C]`.
    """
    height, width = (size - size % 2 for size in x.shape[1:3])
    # Columns first: of equal elements in both rows the upper one is the first.
    return _max_of_pairs(_max_of_pairs(x[:, :height, :width], 2), 1)


def _pairs(x: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """Elements 0, 2, 4 ... and elements 1, 3, 5 ... along an axis of even size."""
    pairs = x.reshape(*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
    even, odd = (jax.lax.index_in_dim(pairs, i, axis + 1, keepdims=False) for i in range(2))
    return even, odd


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_of_pairs(x: jax.Array, axis: int) -> jax.Array:
    return jnp.maximum(*_pairs(x, axis))


def _max_of_pairs_forward(x: jax.Array, axis: int):
    return _max_of_pairs(x, axis), x


def _max_of_pairs_backward(axis: int, x: jax.Array, gradient: jax.Array):
    even, odd = _pairs(x, axis)
    to_even = even >= odd
    parts = [jnp.where(to_even, gradient, 0.0), jnp.where(to_even, 0.0, gradient)]
    return (jnp.stack(parts, axis=axis + 1).reshape(x.shape),)


_max_of_pairs.defvjp(_max_of_pairs_forward, _max_of_pairs_backward)


def max_along(x: jax.Array, axis: int) -> jax.Array:
    """Maximum over one axis, whose first of equal elements takes the gradient, as in PyTorch.

    The gradient goes by the place of the maximum. That of `jnp.max` divides by the number of
    elements that equal it, which is 0 where XLA has computed the input twice with other rounding:
    seen as NaN on the CPU backend where the input comes out of a batch norm.

    Args:
        x: Any shape.
        axis: At least 0.
    """
    maximum: jax.Array = _max_along(x, axis)
    return maximum


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_along(x: jax.Array, axis: int) -> jax.Array:
    return _max_along_forward(x, axis)[0]


def _max_along_forward(x: jax.Array, axis: int):
    place = jnp.argmax(x, axis=axis, keepdims=True)
    return jnp.take_along_axis(x, place, axis=axis).squeeze(axis), (place, x)


def _max_along_backward(axis: int, kept, gradient: jax.Array):
    place, x = kept
    is_there = jax.lax.broadcasted_iota(place.dtype, x.shape, axis) == place
    return (jnp.where(is_there, jnp.expand_dims(gradient, axis), 0.0),)


_max_along.defvjp(_max_along_forward, _max_along_backward)


def max_pool_3x3_stride_2(x: jax.Array, *, pads_start: bool = False) -> jax.Array:
    """Halves height and width by the maximum of 3x3 windows.

    One axis after the other, with a gradient of its own: `reduce_window` is several times slower
    backwards on the CPU backend, and the gradient of `maximum` several times longer to compile.

    Args:
        x: `[N, H, W, C]` with even H and W.
        pads_start: Whether windows hang over the upper and left edge by one pixel, which is padding
            1; otherwise over the lower and right one, which is PyTorch's ceil mode without padding.

    Returns:
        `[N, H/2, W/2, C]`.
    """
    for axis in (2, 1):
        x = _max_of_three_strided(x, axis, pads_start)
    return x


def _windows_of_three(x: jax.Array, axis: int, pads_start: bool) -> tuple[jax.Array, ...]:
    """First, second and third element of each window, -inf outside."""
    even, odd = _pairs(x, axis)
    if not pads_start:
        return even, odd, _shifted(even, axis, by=-1, fill=-jnp.inf)
    return _shifted(odd, axis, by=1, fill=-jnp.inf), even, odd


def _shifted(x: jax.Array, axis: int, *, by: int, fill: float) -> jax.Array:
    """Moves `x` by one place along an axis (-1: to the front), filling the gap."""
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (by, -by, 0)
    return jax.lax.pad(x, jnp.array(fill, x.dtype), config)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _max_of_three_strided(x: jax.Array, axis: int, pads_start: bool) -> jax.Array:
    first, second, third = _windows_of_three(x, axis, pads_start)
    return jnp.maximum(jnp.maximum(first, second), third)


def _max_of_three_strided_forward(x: jax.Array, axis: int, pads_start: bool):
    return _max_of_three_strided(x, axis, pads_start), x


def _max_of_three_strided_backward(axis: int, pads_start: bool, x: jax.Array, gradient: jax.Array):
    first, second, third = _windows_of_three(x, axis, pads_start)
    # The first of equal elements takes the gradient, as in PyTorch.
    is_first = (first >= second) & (first >= third)
    is_second = ~is_first & (second >= third)
    is_third = ~is_first & ~is_second
    to_first, to_second, to_third = (
        jnp.where(is_largest, gradient, 0.0) for is_largest in (is_first, is_second, is_third)
    )
    if not pads_start:
        even, odd = to_first + _shifted(to_third, axis, by=1, fill=0.0), to_second
    else:
        even, odd = to_second, to_third + _shifted(to_first, axis, by=-1, fill=0.0)
    return (jnp.stack([even, odd], axis=axis + 1).reshape(x.shape),)


_max_of_three_strided.defvjp(_max_of_three_strided_forward, _max_of_three_strided_backward)


def average_pool_2x2(x: jax.Array) -> jax.Array:
    """Halves height and width by the mean of 2x2 windows; an odd last row or column is left out.

    Args:
        x: `[N, H, W, C]`.

    Returns:
        `[N, H // 2, W // 2, C]`.
    """
    batch, height, width, channels = x.shape
    even = x[:, : height // 2 * 2, : width // 2 * 2]
    windows = even.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return windows.mean(axis=(2, 4))


def global_max_pool(x: jax.Array) -> jax.Array:
    """Largest value of each channel; the first place that has it takes the gradient.

    Args:
        x: `[N, H, W, C]`.

    Returns:
        `[N, C]`.
    """
    return max_along(x.reshape(x.shape[0], -1, x.shape[-1]), 1)


def conv_transpose_4x4_stride_2(x: jax.Array, kernel: jax.Array, *, dtype: Any = None) -> jax.Array:
    """Transposed convolution 4x4, stride 2, padding 1, in sub-pixel form.

    Each of the four output phases (even or odd row, even or odd column) sees a 2x2 window of the
    input. One matrix product computes all phases of all windows of the padded input; the phases
    are then cut out, each at its own offset, and interleaved. The numbers are those of the
    transposed convolution, whose weight gradient has no fast path on the CPU backend, nor has that
    of a padded 2x2 convolution (measured in `benchmarks/README.md`).

    Args:
        x: `[N, H, W, in]`.
        kernel: `[4, 4, in, out]`, PyTorch's `[in, out, 4, 4]` transposed.
        dtype: Type that both are cast to; None leaves them as they are.

    Returns:
        `[N, 2H, 2W, out]`.
    """
    if dtype is not None:
        x, kernel = x.astype(dtype), kernel.astype(dtype)
    batch, height, width, in_channels = x.shape
    out_channels = kernel.shape[-1]
    # Output row 2i + phase takes kernel row 2(i - j) + phase + 1 from input row j. Window row r
    # (0: the smaller j) therefore meets kernel row 3 - 2r - phase.
    flipped = kernel[::-1, ::-1].reshape(2, 2, 2, 2, in_channels, out_channels)
    # [window_row, phase_row, window_column, phase_column, in, out]
    phases = flipped.transpose(0, 2, 4, 1, 3, 5).reshape(2, 2, in_channels, 4 * out_channels)
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = jnp.concatenate(
        [padded[:, i : i + height + 1, j : j + width + 1] for i in range(2) for j in range(2)],
        axis=-1,
    )  # [N, H+1, W+1, 4 * in]
    all_phases = windows.reshape(-1, 4 * in_channels) @ phases.reshape(4 * in_channels, -1)
    all_phases = all_phases.reshape(batch, height + 1, width + 1, 2, 2, out_channels)
    rows = [
        jnp.stack(
            [all_phases[:, i : i + height, j : j + width, i, j] for j in range(2)],
            axis=3,
        )  # [N, H, W, 2, out]
        for i in range(2)
    ]
    interleaved = jnp.stack(rows, axis=2)  # [N, H, 2, W, 2, out]
    return interleaved.reshape(batch, 2 * height, 2 * width, out_channels)


def resize_conv_3x3(x: jax.Array, kernel: jax.Array, *, dtype: Any = None) -> jax.Array:
    """Doubles height and width by repeating pixels, then a 3x3 convolution with padding 1.

    Unlike a transposed convolution every output pixel sees equally many kernel elements, so that
    no grid appears (Odena et al. 2016, "Deconvolution and checkerboard artifacts"). Computed as
    the transposed convolution with the kernel summed over 2x2 boxes, which gives the same numbers
    at less than half the work.

    Args:
        x: `[N, H, W, in]`.
        kernel: `[3, 3, in, out]`.
        dtype: Type that both are cast to; None leaves them as they are.

    Returns:
        `[N, 2H, 2W, out]`.
    """
    turned = kernel[::-1, ::-1]
    rows = jnp.pad(turned, ((0, 1), (0, 0), (0, 0), (0, 0))) + jnp.pad(
        turned, ((1, 0), (0, 0), (0, 0), (0, 0))
    )
    boxes = jnp.pad(rows, ((0, 0), (0, 1), (0, 0), (0, 0))) + jnp.pad(
        rows, ((0, 0), (1, 0), (0, 0), (0, 0))
    )
    return conv_transpose_4x4_stride_2(x, boxes, dtype=dtype)


def per_example_dropout(x: jax.Array, keys: jax.Array | None, *, rate: float) -> jax.Array:
    """Inverted dropout whose mask depends on each example's own key, never on its neighbours.

    Args:
        x: `[N, ...]`, features or feature maps.
        keys: `[N]` typed random keys, or None for evaluation.
        rate: Probability of dropping a value, in [0, 1).

    Returns:
        The same shape, kept values scaled by 1 / (1 - rate); `x` itself without keys.
    """
    if keys is None or rate == 0.0:
        return x
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1.0 - rate, x.shape[1:]))(keys)
    return jnp.where(keep, x / (1.0 - rate), 0.0)


@jax.custom_vjp
def normalise_instances(x: jax.Array, epsilon: float) -> jax.Array:
    """Zero mean and unit (biased) variance of each example and channel over height and width.

    The statistics are float32 for every type of input, and so are the reductions of the gradient:
    in bfloat16 a mean of 100 would be known to half a unit. The gradient is written out: half the
    reductions of the automatic one, which also halves what there is to compile. It is none with
    respect to `epsilon`.

    Args:
        x: `[N, H, W, C]`.
        epsilon: Added to the variance.

    Returns:
        The same shape and type.
    """
    return _normalised(x, epsilon)[0]


def _normalised(x: jax.Array, epsilon: float) -> tuple[jax.Array, jax.Array]:
    exact = x.astype(jnp.float32)
    centred = exact - exact.mean(axis=(1, 2), keepdims=True)
    variance = jnp.square(centred).mean(axis=(1, 2), keepdims=True)
    factor = jax.lax.rsqrt(variance + epsilon)
    return (centred * factor).astype(x.dtype), factor


def _normalise_forward(x: jax.Array, epsilon: float):
    normalised, factor = _normalised(x, epsilon)
    return normalised, (normalised, factor)


def _normalise_backward(residuals: tuple[jax.Array, jax.Array], gradient: jax.Array):
    normalised, factor = (residual.astype(jnp.float32) for residual in residuals)
    exact = gradient.astype(jnp.float32)
    mean = exact.mean(axis=(1, 2), keepdims=True)
    slope = (exact * normalised).mean(axis=(1, 2), keepdims=True)
    return (factor * (exact - mean - normalised * slope)).astype(gradient.dtype), None


normalise_instances.defvjp(_normalise_forward, _normalise_backward)


def normalise_pixels(x: jax.Array, *, epsilon: float = 1e-8) -> jax.Array:
    """Each pixel's vector of channels divided by the root of its mean square.

    Keeps what an instance norm takes away: the mean of a channel over the map. Source: Karras et
    al. 2018, arXiv:1710.10196, section 4.2.

    Args:
        x: `[N, H, W, C]`.
        epsilon: Added to the mean square, which is float32.

    Returns:
        The same shape and type.
    """
    exact = x.astype(jnp.float32)
    mean_square = jnp.square(exact).mean(axis=-1, keepdims=True)
    return (exact * jax.lax.rsqrt(mean_square + epsilon)).astype(x.dtype)


class InstanceNorm(nnx.Module):
    """Instance normalisation: per example and channel over height and width, biased variance.

    Source: Ulyanov et al. 2016, arXiv:1607.08022; spec TDGAN 2.1 and 2.5.
    """

    def __init__(self, channels: int, *, epsilon: float, affine: bool, rngs: nnx.Rngs):
        """Makes the scale (1) and the bias (0) when `affine`.

        Args:
            channels: Number of channels of the input.
            epsilon: Added to the variance.
            affine: Whether scale and bias are learned.
            rngs: Unused; kept for the common constructor form.
        """
        del rngs
        self.epsilon = epsilon
        self.scale = nnx.Param(jnp.ones((channels,))) if affine else None
        self.bias = nnx.Param(jnp.zeros((channels,))) if affine else None

    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalises `[N, H, W, C]`."""
        normalised = normalise_instances(x, self.epsilon)
        if self.scale is None or self.bias is None:
            return normalised
        scale, bias = (vector[...].reshape(1, 1, 1, -1) for vector in (self.scale, self.bias))
        return (normalised * scale + bias).astype(x.dtype)


def to_unit_range(image: jax.Array) -> jax.Array:
    """uint8 images as float32 in [0, 1]; float images unchanged."""
    if image.dtype == jnp.uint8:
        return image.astype(jnp.float32) / 255.0
    return image
