"""Batch norm with statistics over the global batch, and batches of several calls in one.

`BatchStatistics` says what a batch is; without it a network runs in evaluation mode, on its running
averages. Feature maps are `[N, H, W, C]`; statistics are float32 for every type of input.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from tdgan_jax.networks.layers import Initializer


class BatchStatistics(NamedTuple):
    """What the batch norms of a network in training mode take as their batch.

    A batch may hold several groups of N examples one after the other, each with statistics of its
    own: the same numbers as one call a group, in one pass.

    Attributes:
        weight: float32 `[N]`, mean 1 over the examples that statistics are taken of; 0 leaves
            padding out.
        count: float32 scalar, number of these examples without the padding.
        axis_name: Mapped axis whose devices hold parts of one batch; None: this device's examples
            are the batch.
        num_groups: Number of groups.
        remembered_groups: Groups whose statistics move the running averages, in this order.
    """

    weight: jax.Array
    count: jax.Array
    axis_name: str | None = None
    num_groups: int = 1
    remembered_groups: tuple[int, ...] = (0,)


def batch_statistics(weight: jax.Array, *, axis_name: str | None) -> BatchStatistics:
    """Statistics over examples of the given weights, one group.

    Args:
        weight: float32 `[N]`, 0 for padding.
        axis_name: As in `BatchStatistics`.
    """
    mean_weight, count = jnp.mean(weight), jnp.sum(weight > 0).astype(jnp.float32)
    if axis_name is not None:
        mean_weight = jax.lax.pmean(mean_weight, axis_name)
        count = jax.lax.psum(count, axis_name)
    # A device that holds padding alone has no statistics; its outputs count nowhere.
    return BatchStatistics(weight / jnp.maximum(mean_weight, 1e-6), count, axis_name)


class BatchNorm(nnx.Module):
    """Batch normalisation with PyTorch's conventions (Ioffe and Szegedy 2015, arXiv:1502.03167).

    The biased variance normalises, the unbiased one moves the running average.
    """

    def __init__(
        self,
        channels: int,
        *,
        scale_init: Initializer = nnx.initializers.ones,
        epsilon: float = 1e-5,
        momentum: float = 0.1,
        rngs: nnx.Rngs,
    ):
        """Makes scale, bias and the running averages.

        Args:
            channels: Channels of the input.
            scale_init: Initialises the scale; the bias starts at 0.
            epsilon: Added to the variance.
            momentum: Part of a batch's statistics in the running averages.
            rngs: Initialises the scale.
        """
        self.epsilon = epsilon
        self.momentum = momentum
        self.scale = nnx.Param(scale_init(rngs.params(), (channels,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((channels,)))
        self.mean = nnx.BatchStat(jnp.zeros((channels,)))
        self.variance = nnx.BatchStat(jnp.ones((channels,)))

    def __call__(self, x: jax.Array, statistics: BatchStatistics | None) -> jax.Array:
        """Normalises `[groups * N, H, W, C]`; with `statistics` the running averages move."""
        if statistics is None:
            factor = jax.lax.rsqrt(self.variance[...] + self.epsilon) * self.scale[...]
            shift = self.bias[...] - self.mean[...] * factor
            return x * _per_channel(factor, x) + _per_channel(shift, x)
        normalised: Normalised = normalise_batch(
            x,
            self.scale[...],
            self.bias[...],
            statistics.weight,
            self.epsilon,
            statistics.num_groups,
            statistics.axis_name,
        )
        num_values = statistics.count * (x.shape[1] * x.shape[2])
        unbiased = normalised.variance * (num_values / jnp.maximum(num_values - 1, 1))
        for group in statistics.remembered_groups:
            self._remember(self.mean, normalised.mean[group])
            self._remember(self.variance, unbiased[group])
        return normalised.output

    def _remember(self, average: nnx.BatchStat, value: jax.Array) -> None:
        value = jax.lax.stop_gradient(value)
        average.set_value((1 - self.momentum) * average[...] + self.momentum * value)


def _per_channel(vector: jax.Array, like: jax.Array) -> jax.Array:
    return vector.reshape(1, 1, 1, -1).astype(like.dtype)


class Normalised(NamedTuple):
    """What a batch norm computes of a batch.

    Attributes:
        output: Of the input's shape and type.
        mean: float32 `[groups, C]`.
        variance: float32 `[groups, C]`, biased.
    """

    output: jax.Array
    mean: jax.Array
    variance: jax.Array


@partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def normalise_batch(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    weight: jax.Array,
    epsilon: float,
    num_groups: int,
    axis_name: str | None,
) -> Normalised:
    """Each channel with zero mean and unit (biased) variance, then scaled and shifted.

    The gradient is written out: half the passes over the input of the automatic one, and one
    exchange between the devices. It is none with respect to the weights and from the statistics.

    Args:
        x: `[groups * N, H, W, C]`.
        scale: `[C]`.
        bias: `[C]`.
        weight: `[N]`, as in `BatchStatistics`.
        epsilon: Added to the variance.
        num_groups: Number of groups.
        axis_name: As in `BatchStatistics`.
    """
    return _normalise_forward(x, scale, bias, weight, epsilon, num_groups, axis_name)[0]


def _grouped(x: jax.Array, num_groups: int) -> jax.Array:
    return x.reshape(num_groups, -1, *x.shape[1:]).astype(jnp.float32)


def _spread(statistic: jax.Array) -> jax.Array:
    return statistic[:, None, None, None, :]


def _weighted_mean(grouped: jax.Array, weight: jax.Array, axis_name: str | None) -> jax.Array:
    """Mean `[groups, C]` over examples, height and width of `[groups, N, H, W, C]`."""
    sums = jnp.einsum("n,gnc->gc", weight, grouped.sum(axis=(2, 3)))
    mean = sums * (1 / (weight.size * grouped.shape[2] * grouped.shape[3]))
    return mean if axis_name is None else jax.lax.pmean(mean, axis_name)


def _normalise_forward(
    x, scale, bias, weight, epsilon: float, num_groups: int, axis_name: str | None
):
    grouped = _grouped(x, num_groups)
    mean = _weighted_mean(grouped, weight, axis_name)
    centred = grouped - _spread(mean)
    # A second pass over the values: the difference of mean squares would cancel.
    variance = _weighted_mean(jnp.square(centred), weight, axis_name)
    factor = jax.lax.rsqrt(variance + epsilon)
    output = centred * _spread(factor * scale[None]) + bias.reshape(1, 1, 1, 1, -1)
    output = output.reshape(x.shape).astype(x.dtype)
    return Normalised(output, mean, variance), (x, scale, weight, mean, factor)


def _normalise_backward(epsilon: float, num_groups: int, axis_name: str | None, kept, cotangents):
    del epsilon
    x, scale, weight, mean, factor = kept
    normalised = (_grouped(x, num_groups) - _spread(mean)) * _spread(factor)
    gradient = _grouped(cotangents.output, num_groups)
    sums = jnp.stack([gradient.sum(axis=(1, 2, 3)), (gradient * normalised).sum(axis=(1, 2, 3))])
    bias_gradient, scale_gradient = sums.sum(axis=1)
    # Every example's gradient counts once, and comes back to each by its part in the statistics.
    means = sums * (num_groups / (x.size // x.shape[-1]))
    shift, slope = means if axis_name is None else jax.lax.pmean(means, axis_name)
    through_statistics = _spread(shift) + normalised * _spread(slope)
    x_gradient = gradient - through_statistics * weight.reshape(1, -1, 1, 1, 1)
    x_gradient = x_gradient * _spread(factor * scale[None])
    x_gradient = x_gradient.reshape(x.shape).astype(x.dtype)
    return x_gradient, scale_gradient, bias_gradient, None


normalise_batch.defvjp(_normalise_forward, _normalise_backward)
