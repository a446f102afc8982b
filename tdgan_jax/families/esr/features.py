"""What can be probed of an ESR."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx

from tdgan_jax.configuration import Config
from tdgan_jax.data.examples import Examples
from tdgan_jax.families.encoders import encoder_features
from tdgan_jax.families.esr.networks import ESR, ensemble_output, network_names
from tdgan_jax.families.esr.training import esr_networks
from tdgan_jax.families.family import Names
from tdgan_jax.families.image_training import normalisation_of
from tdgan_jax.networks.normalisation import normalised
from tdgan_jax.steps.state import quickly_compiled_key


class SeeingEnsemble(nnx.Module):
    """An ensemble with what happens to its images before, in evaluation mode."""

    def __init__(self, config: Config, networks: ESR):
        """Takes an ensemble of the configuration's sizes."""
        self.base = networks.base
        self.branches = nnx.List(networks.branches)
        self.normalisation = normalisation_of(config)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps images `[N, S, S, C]` in [0, 1] to the branches' features `[N, R * F]`."""
        networks = ESR(self.base, tuple(self.branches))
        feature = ensemble_output(networks, normalised(images, self.normalisation)).feature
        return feature.transpose(1, 0, 2).reshape(len(images), -1)


def esr_features(
    config: Config, parameters: Any, parts: Sequence[Examples], names: Names
) -> dict[str, np.ndarray]:
    """Pooled features, and those of an ensemble that never learned; see `Family.features`."""

    def draw(key: jax.Array) -> SeeingEnsemble:
        rngs = nnx.Rngs(quickly_compiled_key(key))
        networks = esr_networks(config, num_expressions=len(names.expressions), rngs=rngs)
        return SeeingEnsemble(config, networks)

    base, *branches = network_names(config.model.num_branches)
    tree = {
        "base": parameters[base],
        "branches": {i: parameters[name] for i, name in enumerate(branches)},
    }
    return encoder_features({"expression_encoder": tree}, draw, parts, seed=config.seed)
