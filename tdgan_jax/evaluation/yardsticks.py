"""Simple classifiers that a training must beat, on the same training and test images."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from PIL import Image
from sklearn.linear_model import RidgeClassifier

from tdgan_jax.configuration import Config
from tdgan_jax.data.examples import Examples
from tdgan_jax.data.images import centre_crop
from tdgan_jax.data.training_data import TrainingData
from tdgan_jax.families.tdgan.networks import make_tdgan
from tdgan_jax.families.tdgan.objective import to_unit_range
from tdgan_jax.losses import cross_entropy_loss

RIDGE_SIZE_PX = 24
RIDGE_PENALTY = 10.0
FEATURE_BATCH_SIZE = 64


def ridge_accuracy(train: Examples, test: Examples) -> float:
    """Test accuracy of ridge regression to one-hot labels on 24x24 gray pixels in [0, 1]."""

    def pixels(examples: Examples) -> np.ndarray:
        size = (RIDGE_SIZE_PX, RIDGE_SIZE_PX)
        rows = [
            np.asarray(Image.fromarray(image.mean(axis=-1).astype(np.uint8)).resize(size))
            for image in examples.images
        ]
        return np.stack(rows).reshape(len(rows), -1) / 255.0

    classifier = RidgeClassifier(alpha=RIDGE_PENALTY).fit(pixels(train), train.expressions)
    return float(classifier.score(pixels(test), test.expressions))


def frozen_random_accuracy(config: Config, data: TrainingData, *, num_updates: int) -> float:
    """Test accuracy of the expression head on a random encoder that never learns.

    Encoder and head have the sizes of the configuration's expression module; the head learns with
    Adam at its configured rate, dropout off, for as many updates as the training made.

    Args:
        config: A TDGAN configuration.
        data: The training's data; its expression images are cut from the middle.
        num_updates: Updates of the head.
    """
    networks = make_tdgan(
        num_identities=1,
        num_expressions=len(data.expression_names),
        rngs=nnx.Rngs(config.seed),
        **config.model.to_dict(),
    )
    encoder_definition, encoder = nnx.split(networks.expression_encoder)
    head_definition, head = nnx.split(networks.expression_head)
    encode = jax.jit(lambda images: nnx.merge(encoder_definition, encoder)(to_unit_range(images)))
    optimizer = optax.adam(config.learning_rate.expression_head)
    batch_size = config.training.batch_size

    @partial(jax.jit, donate_argnums=0)
    def update(carry, features, labels):
        def loss(parameters):
            logits = nnx.merge(head_definition, parameters)(features)
            return cross_entropy_loss(logits, labels, jnp.ones(len(labels)))

        parameters, optimizer_state = carry
        change, optimizer_state = optimizer.update(jax.grad(loss)(parameters), optimizer_state)
        return optax.apply_updates(parameters, change), optimizer_state

    train, test = data.feed.expressions, data.test
    features = _features(encode, train, size_px=config.model.image_size_px)
    generator = np.random.default_rng(config.seed)
    carry = (head, optimizer.init(head))
    for _ in range(num_updates):
        rows = generator.integers(len(features), size=batch_size)
        carry = update(carry, features[rows], train.expressions[rows])
    logits = nnx.merge(head_definition, carry[0])(
        jnp.asarray(_features(encode, test, size_px=config.model.image_size_px))
    )
    return float((np.asarray(logits).argmax(axis=-1) == test.expressions).mean())


def _features(encode: Any, examples: Examples, *, size_px: int) -> np.ndarray:
    parts = []
    for start in range(0, len(examples.files), FEATURE_BATCH_SIZE):
        stop = min(start + FEATURE_BATCH_SIZE, len(examples.files))
        images = np.stack([centre_crop(examples.images[i], size_px) for i in range(start, stop)])
        padding = np.repeat(images[:1], FEATURE_BATCH_SIZE - len(images), axis=0)
        parts.append(np.asarray(encode(np.concatenate([images, padding])))[: stop - start])
    return np.concatenate(parts)


def yardsticks(config: Config, data: TrainingData, *, num_updates: int) -> dict[str, float]:
    """Test accuracies of all yardsticks by name."""
    return {
        "ridge_regression_on_pixels": ridge_accuracy(data.feed.expressions, data.test),
        "frozen_random_encoder": frozen_random_accuracy(config, data, num_updates=num_updates),
    }
