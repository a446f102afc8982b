"""What can be probed of a plain classifier, and what its head learns from a random encoder."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx

from tdgan_jax.configuration import Config
from tdgan_jax.data.examples import Examples
from tdgan_jax.families.classifier.networks import encode
from tdgan_jax.families.classifier.training import classifier_networks
from tdgan_jax.families.encoders import encoder_features, frozen_random_accuracy
from tdgan_jax.families.family import Names, Parts
from tdgan_jax.families.image_training import normalisation_of
from tdgan_jax.networks.normalisation import normalised


class SeeingEncoder(nnx.Module):
    """An encoder with what happens to its images before, in evaluation mode."""

    def __init__(self, config: Config, encoder: Any):
        """Takes an encoder of the configuration's sizes."""
        self.encoder = encoder
        self.normalisation = normalisation_of(config)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps images `[N, S, S, C]` in [0, 1] to features."""
        return encode(self.encoder, normalised(images, self.normalisation))


def classifier_features(
    config: Config, parameters: Any, parts: Sequence[Examples], names: Names
) -> dict[str, np.ndarray]:
    """Features of the encoder, and of one that never learned; see `Family.features`."""

    def draw(key: jax.Array) -> SeeingEncoder:
        networks = classifier_networks(
            config, num_expressions=len(names.expressions), rngs=nnx.Rngs(key)
        )
        return SeeingEncoder(config, networks.expression_encoder)

    inside = {"expression_encoder": {"encoder": parameters["expression_encoder"]}}
    return encoder_features(inside, draw, parts, seed=config.seed)


def yardsticks(config: Config, parts: Parts, *, num_updates: int) -> dict[str, float]:
    """Test accuracy of the head on a random encoder, `frozen_random_encoder`."""
    networks = classifier_networks(
        config,
        num_expressions=len(parts.fit.expression_names),
        rngs=nnx.Rngs(config.seed),
    )
    accuracy = frozen_random_accuracy(
        SeeingEncoder(config, networks.expression_encoder),
        networks.expression_head,
        parts.fit,
        parts.test,
        image_size_px=config.model.image_size_px,
        learning_rate=config.schedule.learning_rate,
        batch_size=config.training.batch_size,
        num_updates=num_updates,
        seed=config.seed,
    )
    return {"frozen_random_encoder": accuracy}
