"""What can be probed of an IF-GAN: the face that it draws, and the feature of its classifier.

Each is computed from one input image; names of features:

`expression`: the classifier's pooled feature of the pair of input and drawn face (of the input
alone for the baseline), from which it reads the expression.
`generated`: the drawn face as a random encoder sees it. `random`: the input as the same encoder
sees it, so that both differ by what the generator took out or put in, not by who looks. It is
TDGAN's expression encoder at a quarter of the width, never trained.
`generated_pixels`, `pixels`: drawn face and input without any network: gray, reduced to 16x16
pixels by a triangle filter.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tdgan_jax.configuration import Config
from tdgan_jax.data.examples import Examples
from tdgan_jax.data.feeds import evaluation_batches
from tdgan_jax.errors import UserError
from tdgan_jax.families.ifgan.networks import Definitions, split_networks
from tdgan_jax.families.ifgan.objective import to_symmetric_range, to_unit_range
from tdgan_jax.families.ifgan.step import draw_average_faces
from tdgan_jax.families.ifgan.training import ifgan_networks
from tdgan_jax.networks.inception import ENCODER_STRIDE, Encoder
from tdgan_jax.steps.parallel import compiler_options

THUMBNAIL_PX = 16
BATCH_SIZE = 50
# Of the random encoder: the released sizes divided by four.
ENCODER_WIDTHS, ENCODER_BRANCH_CHANNELS = (8, 16, 32, 32), 4


def ifgan_features(
    config: Config, parameters: dict[str, Any], examples: Examples, *, num_expressions: int
) -> dict[str, np.ndarray]:
    """Features of all examples by name, float32 `[N, D]`; see the module for the names.

    Args:
        config: An IF-GAN configuration; its seed draws the random encoder.
        parameters: Network name to tree, as a selection chose them.
        examples: Images as the model sees them.
        num_expressions: Classes of the model.

    Raises:
        UserError: If the random encoder cannot see images of this size.
    """
    if config.model.image_size_px % ENCODER_STRIDE:
        raise UserError(
            f"probing an IF-GAN takes images of a multiple of {ENCODER_STRIDE} pixels, its "
            f"model.image_size_px is {config.model.image_size_px}"
        )
    definitions, _ = split_networks(
        nnx.eval_shape(
            lambda: ifgan_networks(config, num_expressions=num_expressions, rngs=nnx.Rngs(0))
        )
    )
    encoder, encoder_parameters = nnx.split(_random_encoder(config))

    def compute(
        parameters: Any, encoder_parameters: Any, images: jax.Array
    ) -> dict[str, jax.Array]:
        encode = nnx.merge(encoder, encoder_parameters)
        found = _features(definitions, parameters, encode, to_symmetric_range(images))
        return {name: values.reshape(len(images), -1) for name, values in found.items()}

    compiled = jax.jit(compute, compiler_options=compiler_options(num_devices=1))
    parts = []
    for images, count in evaluation_batches(examples, BATCH_SIZE):
        batch = compiled(parameters, encoder_parameters, jnp.asarray(images))
        parts.append({name: np.asarray(values)[:count] for name, values in batch.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _features(
    definitions: Definitions, parameters: dict[str, Any], encode: Encoder, images: jax.Array
) -> dict[str, jax.Array]:
    classifier = nnx.merge(definitions.classifier, parameters["classifier"])
    drawn, of_the_drawn = None, {}
    if definitions.generator is not None:
        drawn = draw_average_faces(definitions, parameters, images)
        of_the_drawn = {
            "generated": encode(to_unit_range(drawn)),
            "generated_pixels": _thumbnails(drawn),
        }
    return {
        "expression": classifier(images, drawn).feature,
        **of_the_drawn,
        "random": encode(to_unit_range(images)),
        "pixels": _thumbnails(images),
    }


def _thumbnails(images: jax.Array) -> jax.Array:
    gray = images.mean(axis=-1)
    shape = (len(gray), THUMBNAIL_PX, THUMBNAIL_PX)
    return jax.image.resize(gray, shape, "linear")  # antialiased where it reduces


def _random_encoder(config: Config) -> Encoder:
    return Encoder(
        image_channels=config.model.image_channels,
        widths=ENCODER_WIDTHS,
        branch_channels=ENCODER_BRANCH_CHANNELS,
        rngs=nnx.Rngs(config.seed),
    )
