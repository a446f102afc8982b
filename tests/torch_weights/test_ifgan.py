"""IF-GAN's tables: both ways bit for bit, and refused when anything is missing or unknown."""

import jax
import numpy as np
import pytest
from flax import nnx

from tdgan_jax.errors import UserError
from tdgan_jax.models.ifgan import make_ifgan
from tdgan_jax.torch_weights.ifgan import ifgan_from_torch, torch_from_ifgan
from tests.models.ifgan_networks import random_tree, tree_of


def shapes_of(**options):
    networks = nnx.eval_shape(
        lambda: make_ifgan(
            num_expressions=7,
            generator_width=2,
            discriminator_width=2,
            classifier_depth=18,
            classifier_width=2,
            rngs=nnx.Rngs(0),
            **options,
        )
    )
    return {name: tree_of(network) for name, network in networks._asdict().items() if network}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"attention_has_output_convolution": True, "generator_levels": 3},
        {"encoder_attention_level": 0, "skip_attention_level": 0, "decoder_attention_level": 0},
        {"has_generator": False},
    ],
    ids=["reference", "output convolution", "without attention", "baseline"],
)
def test_weights_survive_the_way_to_torch_and_back_bit_for_bit(options):
    shapes = shapes_of(**options)
    expected = random_tree(shapes)
    returned = ifgan_from_torch(torch_from_ifgan(expected), shapes)
    assert returned.keys() == expected.keys()
    assert jax.tree.all(jax.tree.map(np.array_equal, returned, expected))


@pytest.mark.parametrize(
    ("network", "key"),
    [
        ("generator", "decoder_attention.gamma"),
        ("generator", "up.4.conv.bias"),
        ("discriminator", "layers.1.bn.running_var"),
        ("classifier", "fc.bias"),
    ],
)
def test_missing_and_unknown_keys_are_refused(network, key):
    shapes = shapes_of()
    state_dicts = torch_from_ifgan(random_tree(shapes))
    value = state_dicts[network].pop(key)
    with pytest.raises(UserError, match=f"{network} does not fit.*{key}"):
        ifgan_from_torch(state_dicts, shapes)
    state_dicts[network] |= {key: value, "more.weight": value}
    with pytest.raises(UserError, match="unknown keys more.weight"):
        ifgan_from_torch(state_dicts, shapes)
