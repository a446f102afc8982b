"""What can be probed of a MA-Net."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tdgan_jax.configuration import Config
from tdgan_jax.data.examples import Examples
from tdgan_jax.families.encoders import encoder_features
from tdgan_jax.families.family import Names
from tdgan_jax.families.image_training import normalisation_of
from tdgan_jax.families.ma_net.networks import MANet
from tdgan_jax.families.ma_net.training import ma_net_network
from tdgan_jax.networks.normalisation import normalised
from tdgan_jax.steps.state import quickly_compiled_key


class SeeingNetwork(nnx.Module):
    """A network with what happens to its images before, in evaluation mode."""

    def __init__(self, config: Config, network: MANet):
        """Takes a network of the configuration's sizes."""
        self.network = network
        self.normalisation = normalisation_of(config)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps images `[N, S, S, C]` in [0, 1] to both branches' features `[N, 2 F]`."""
        local, whole = self.network(normalised(images, self.normalisation)).pooled_features
        return jnp.concatenate([local, whole], axis=-1)


def ma_net_features(
    config: Config, parameters: Any, parts: Sequence[Examples], names: Names
) -> dict[str, np.ndarray]:
    """Pooled features, and those of a network that never learned; see `Family.features`."""

    def draw(key: jax.Array) -> SeeingNetwork:
        rngs = nnx.Rngs(quickly_compiled_key(key))
        network = ma_net_network(config, num_expressions=len(names.expressions), rngs=rngs)
        return SeeingNetwork(config, network)

    inside = {"expression_encoder": {"network": parameters["network"]}}
    return encoder_features(inside, draw, parts, seed=config.seed)
