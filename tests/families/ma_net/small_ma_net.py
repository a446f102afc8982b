"""A MA-Net that is quickly compiled, with random weights."""

from typing import Any

from flax import nnx

from tdgan_jax.families.ma_net.networks import make_ma_net, split_networks
from tests.families.ifgan.ifgan_networks import random_tree

SMALL: dict[str, Any] = {
    "num_expressions": 5,
    "image_size_px": 64,
    "width": 4,
    "attention_reduction": 4,
}


def small_shapes(**fields: Any) -> tuple[Any, Any]:
    """Definitions, and the tree of shapes by the name `network`."""
    fields = SMALL | fields
    return split_networks(nnx.eval_shape(lambda: make_ma_net(rngs=nnx.Rngs(0), **fields)))


def small_tree(*, seed: int = 0, **fields: Any) -> tuple[Any, Any]:
    """Definitions, and a random tree by the name `network`."""
    definitions, shapes = small_shapes(**fields)
    return definitions, random_tree(shapes, seed=seed)
