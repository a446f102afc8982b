"""What happens to images between a file's pixels and a network."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from tdgan_jax.networks.layers import to_unit_range


class Normalisation(NamedTuple):
    """What images in [0, 1] become before a network; the default leaves them as they are.

    Attributes:
        mean: Taken away, a number a channel in the network's order, or one for all.
        deviation: What they are then divided by, likewise.
        channel_order: `"rgb"`, or `"bgr"`, which turns the channels of colour images round.
    """

    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)
    channel_order: str = "rgb"


def normalised(images: jax.Array, normalisation: Normalisation) -> jax.Array:
    """Images as the network sees them: float32 `[N, S, S, C]`.

    Args:
        images: uint8, or float32 in [0, 1], `[N, S, S, C]`, red first.
        normalisation: What becomes of them.
    """
    images = to_unit_range(images)
    if normalisation.channel_order == "bgr":
        images = images[..., ::-1]
    if (normalisation.mean, normalisation.deviation) == ((0.0,), (1.0,)):
        return images
    mean = jnp.asarray(normalisation.mean).reshape(1, 1, 1, -1)
    deviation = jnp.asarray(normalisation.deviation).reshape(1, 1, 1, -1)
    return (images - mean) / deviation
