"""Losses as pure functions; each returns a float32 scalar.

`weight` is a float32 `[N]` whose mean over the whole batch is 1: ones, or zeros at padded examples
and correspondingly more elsewhere. Images are `[N, H, W, C]`, features likewise, labels int `[N]`,
logits `[N, classes]`.
"""

import jax
import jax.numpy as jnp
import optax


def cross_entropy_loss(logits: jax.Array, labels: jax.Array, weight: jax.Array) -> jax.Array:
    """Mean softmax cross-entropy (CE of spec TDGAN 3)."""
    return jnp.mean(weight * optax.softmax_cross_entropy_with_integer_labels(logits, labels))


def absolute_error_loss(prediction: jax.Array, target: jax.Array, weight: jax.Array) -> jax.Array:
    """Mean absolute difference over all elements (L1 of spec TDGAN 3, Eq. 7)."""
    return jnp.mean(weight * jnp.abs(prediction - target).mean(axis=(1, 2, 3)))


def squared_error_loss(prediction: jax.Array, target: jax.Array, weight: jax.Array) -> jax.Array:
    """Mean squared difference over all elements (MSE of spec TDGAN 3, Eq. 8)."""
    return jnp.mean(weight * jnp.square(prediction - target).mean(axis=(1, 2, 3)))


def accuracy(logits: jax.Array, labels: jax.Array, weight: jax.Array) -> jax.Array:
    """Fraction of right answers in [0, 1]; not a loss, but weighted like one."""
    return jnp.mean(weight * (logits.argmax(axis=-1) == labels))
