"""Features of encoders, trained and random, and what a head learns from random ones.

What the systems with an expression encoder have in common when they are probed. A family says how
its encoder is drawn; definitions are of its own networks.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from tdgan_jax.data.examples import Examples
from tdgan_jax.data.feeds import evaluation_batches
from tdgan_jax.data.images import centre_crop
from tdgan_jax.losses import cross_entropy_loss
from tdgan_jax.networks.layers import to_unit_range
from tdgan_jax.steps.parallel import compiler_options

# Names of features and the networks that they come from.
ENCODERS = {"expression": "expression_encoder", "face": "face_encoder"}
RANDOM = "random"
BATCH_SIZE = 64

DrawEncoder = Callable[[jax.Array], nnx.Module]
Encode = Callable[[np.ndarray], jax.Array]


def encoders(
    parameters: Mapping[str, Any], draw_encoder: DrawEncoder, *, seed: int
) -> dict[str, Encode]:
    """The encoders of a model, and one of the same architecture that never learned.

    Args:
        parameters: Network name to parameter tree.
        draw_encoder: A new expression encoder from a key; all encoders have its architecture.
        seed: Of the run; draws the random one.

    Returns:
        `expression`, `face` where the model has one, and `random`: images uint8 `[N, S, S, C]` to
        features `[N, h, w, channels]`.
    """
    key = jax.random.key(seed)
    definition, _ = nnx.split(nnx.eval_shape(lambda: draw_encoder(key)))

    @jax.jit
    def initial(key: jax.Array) -> Any:
        return nnx.to_pure_dict(nnx.split(draw_encoder(key))[1])

    # One program for all encoders: they have one architecture.
    encode = jax.jit(
        lambda tree, images: nnx.merge(definition, tree)(to_unit_range(images)),
        compiler_options=compiler_options(num_devices=1),
    )
    trees = {name: parameters.get(network) for name, network in ENCODERS.items()}
    trees[RANDOM] = initial(key)
    return {
        name: lambda images, tree=tree: encode(tree, jnp.asarray(images))
        for name, tree in trees.items()
        if tree is not None
    }


def encode_examples(encode: Encode, examples: Examples) -> np.ndarray:
    """Flattened features of all examples, float32 `[N, D]`."""
    parts = [
        np.asarray(encode(images))[:count].reshape(count, -1)
        for images, count in evaluation_batches(examples, BATCH_SIZE)
    ]
    return np.concatenate(parts)


def encoder_features(
    parameters: Mapping[str, Any],
    draw_encoder: DrawEncoder,
    parts: Sequence[Examples],
    *,
    seed: int,
) -> dict[str, np.ndarray]:
    """Features of the examples of all parts by the name of their encoder, float32 `[N, D]`.

    Args:
        parameters: Network name to parameter tree.
        draw_encoder: As for `encoders`.
        parts: Examples as the model sees them.
        seed: As for `encoders`.
    """
    return {
        name: np.concatenate([encode_examples(encode, part) for part in parts])
        for name, encode in encoders(parameters, draw_encoder, seed=seed).items()
    }


def frozen_random_accuracy(
    encoder: nnx.Module,
    head: nnx.Module,
    train: Examples,
    test: Examples,
    *,
    image_size_px: int,
    learning_rate: float,
    batch_size: int,
    num_updates: int,
    seed: int,
) -> float:
    """Test accuracy of a head on a random encoder that never learns.

    The head learns with Adam, dropout off.

    Args:
        encoder: Images `[N, S, S, C]` in [0, 1] to features.
        head: Features to logits.
        train: Training images, which are cut from the middle.
        test: Test images.
        image_size_px: S.
        learning_rate: Of the head.
        batch_size: Images of an update.
        num_updates: Updates of the head.
        seed: Of the order.
    """
    encoder_definition, encoder_tree = nnx.split(encoder)
    head_definition, head_tree = nnx.split(head)
    encode = jax.jit(
        lambda images: nnx.merge(encoder_definition, encoder_tree)(to_unit_range(images))
    )
    optimizer = optax.adam(learning_rate)

    @partial(jax.jit, donate_argnums=0)
    def update(carry, features, labels):
        def loss(parameters):
            logits = nnx.merge(head_definition, parameters)(features)
            return cross_entropy_loss(logits, labels, jnp.ones(len(labels)))

        parameters, optimizer_state = carry
        change, optimizer_state = optimizer.update(jax.grad(loss)(parameters), optimizer_state)
        return optax.apply_updates(parameters, change), optimizer_state

    features = _centre_features(encode, train, size_px=image_size_px)
    generator = np.random.default_rng(seed)
    carry = (head_tree, optimizer.init(head_tree))
    for _ in range(num_updates):
        rows = generator.integers(len(features), size=batch_size)
        carry = update(carry, features[rows], train.expressions[rows])
    logits = nnx.merge(head_definition, carry[0])(
        jnp.asarray(_centre_features(encode, test, size_px=image_size_px))
    )
    return float((np.asarray(logits).argmax(axis=-1) == test.expressions).mean())


def _centre_features(encode: Any, examples: Examples, *, size_px: int) -> np.ndarray:
    parts = []
    for start in range(0, len(examples.files), BATCH_SIZE):
        stop = min(start + BATCH_SIZE, len(examples.files))
        images = np.stack([centre_crop(examples.images[i], size_px) for i in range(start, stop)])
        padding = np.repeat(images[:1], BATCH_SIZE - len(images), axis=0)
        parts.append(np.asarray(encode(np.concatenate([images, padding])))[: stop - start])
    return np.concatenate(parts)
