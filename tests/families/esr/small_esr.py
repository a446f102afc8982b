"""Ensembles that are quickly compiled, with random weights."""

from typing import Any

from flax import nnx

from tdgan_jax.families.esr.networks import make_esr, split_networks
from tests.families.ifgan.ifgan_networks import random_tree

SMALL: dict[str, Any] = {
    "num_expressions": 5,
    "num_branches": 3,
    "image_size_px": 26,
    "base_widths": (4, 6, 8, 8),
    "branch_widths": (8, 10, 10, 16),
    "branch_padded_layers": (1, 2, 3, 4),
    "attention_reduction": 4,
}
PLAIN = {"has_attention": False, "has_affect": True}


def small_shapes(**fields: Any) -> tuple[Any, Any]:
    """Definitions, and network name to tree of shapes."""
    fields = SMALL | fields
    return split_networks(nnx.eval_shape(lambda: make_esr(rngs=nnx.Rngs(0), **fields)))


def small_tree(**fields: Any) -> tuple[Any, Any]:
    """Definitions, and network name to random tree, all networks different."""
    definitions, shapes = small_shapes(**fields)
    trees = {name: random_tree(tree, seed=seed) for seed, (name, tree) in enumerate(shapes.items())}
    return definitions, trees
