"""What can be probed of an Emotion-GCN: the image feature."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx

from tdgan_jax.configuration import Config
from tdgan_jax.data.examples import Examples
from tdgan_jax.families.emotion_gcn.networks import EmotionNetwork
from tdgan_jax.families.emotion_gcn.training import networks_of
from tdgan_jax.families.encoders import encoder_features
from tdgan_jax.families.family import Names
from tdgan_jax.families.image_training import normalisation_of
from tdgan_jax.networks.normalisation import Normalisation, normalised


class SeeingNetwork(nnx.Module):
    """A network with what happens to its images before, up to the feature."""

    def __init__(self, network: EmotionNetwork, normalisation: Normalisation):
        """Takes a network."""
        self.network = network
        self.normalisation = normalisation

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps images `[N, S, S, C]` in [0, 1] to features `[N, F]`."""
        return self.network.features(normalised(images, self.normalisation))


def emotion_features(
    config: Config, parameters: Any, parts: Sequence[Examples], names: Names
) -> dict[str, np.ndarray]:
    """Features of the network, and of one that never learned; see `Family.features`."""

    def draw(key: jax.Array) -> SeeingNetwork:
        made = networks_of(config, num_expressions=len(names.expressions), rngs=nnx.Rngs(key))
        return SeeingNetwork(made.network, normalisation_of(config))

    inside = {"expression_encoder": {"network": parameters["network"]}}
    return encoder_features(inside, draw, parts, seed=config.seed)
