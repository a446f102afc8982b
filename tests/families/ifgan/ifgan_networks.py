"""IF-GAN's networks with random weights for tests, made without compiling an initialisation."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tdgan_jax.networks import resnet

# A residual network that is quickly compiled: one basic block in each of the first two stages.
SHALLOW = 6


def with_shallow_depth(monkeypatch) -> None:
    monkeypatch.setitem(resnet.DEPTHS, SHALLOW, ((1, 1, 0, 0), False))


def randomised(make: Callable[[nnx.Rngs], nnx.Module], *, seed: int = 0) -> Any:
    """A network whose every leaf is random, running averages and gamma included."""
    definition, shapes = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
    return nnx.merge(definition, random_tree(nnx.to_pure_dict(shapes), seed=seed))


def random_tree(shapes: Any, *, seed: int = 0) -> Any:
    generator = np.random.default_rng(seed)

    def leaf(path, shape) -> jax.Array:
        name = path[-1].key
        if name in ("scale", "variance"):
            values = generator.uniform(0.5, 1.5, shape.shape)
        elif name == "kernel":
            fan_in = np.prod(shape.shape[:-1])
            values = generator.standard_normal(shape.shape, np.float32) * fan_in**-0.5
        else:  # biases, means, gamma
            values = generator.normal(size=shape.shape) * 0.3
        return jnp.asarray(np.asarray(values, np.float32))

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def tree_of(network: nnx.Module) -> Any:
    return nnx.to_pure_dict(nnx.state(network))


def random_images(*shape: int, seed: int = 0) -> jax.Array:
    values = np.random.default_rng(seed).uniform(-1, 1, shape)
    return jnp.asarray(values.astype(np.float32))


def nchw(array) -> np.ndarray:
    return np.asarray(array).transpose(0, 3, 1, 2).copy()


def nhwc(tensor) -> np.ndarray:
    return tensor.detach().numpy().transpose(0, 2, 3, 1)
