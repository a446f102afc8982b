"""What can be probed of a TDGAN, and what its head learns from an encoder that never learned."""

from functools import partial

import jax
from flax import nnx

from tdgan_jax.configuration import Config
from tdgan_jax.families.encoders import DrawEncoder, frozen_random_accuracy
from tdgan_jax.families.family import Parts
from tdgan_jax.families.tdgan.networks import make_tdgan
from tdgan_jax.networks.inception import Encoder


def draw_encoder(config: Config) -> DrawEncoder:
    """What draws a new expression encoder of a configuration's sizes."""
    return partial(_drawn, config)


def _drawn(config: Config, key: jax.Array) -> Encoder:
    networks = make_tdgan(
        num_identities=1, num_expressions=1, rngs=nnx.Rngs(key), **config.model.to_dict()
    )
    return networks.expression_encoder


def yardsticks(config: Config, parts: Parts, *, num_updates: int) -> dict[str, float]:
    """Test accuracy of the expression head on a random encoder, `frozen_random_encoder`.

    Encoder and head have the sizes of the configuration's expression module; the head learns at
    its configured rate, for as many updates as the training made.
    """
    networks = make_tdgan(
        num_identities=1,
        num_expressions=len(parts.fit.expression_names),
        rngs=nnx.Rngs(config.seed),
        **config.model.to_dict(),
    )
    accuracy = frozen_random_accuracy(
        networks.expression_encoder,
        networks.expression_head,
        parts.fit,
        parts.test,
        image_size_px=config.model.image_size_px,
        learning_rate=config.learning_rate.expression_head,
        batch_size=config.training.batch_size,
        num_updates=num_updates,
        seed=config.seed,
    )
    return {"frozen_random_encoder": accuracy}
