"""IF-GAN's tables: both ways bit for bit, and refused when anything is missing or unknown."""

import jax
import numpy as np
import pytest
from flax import nnx

from tdgan_jax.errors import UserError
from tdgan_jax.families.ifgan.architecture import ifgan_architecture
from tdgan_jax.families.ifgan.networks import make_ifgan
from tdgan_jax.families.ifgan.weights import ifgan_from_torch, torch_from_ifgan
from tests.families.ifgan.ifgan_networks import random_tree, tree_of


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


@pytest.fixture(scope="module")
def pair_weights():
    return torch_from_ifgan(random_tree(shapes_of()))


@pytest.mark.parametrize(
    ("tuple_form", "channels", "features"),
    [("concatenation", 6, 16), ("shared_concatenated", 3, 32), ("second_image", 3, 16)],
)
def test_the_architecture_stands_in_the_shapes(tuple_form, channels, features, pair_weights):
    shapes = {"conv1.weight": (2, channels, 7, 7), "fc.weight": (7, features)}
    changed = {key: np.zeros(shape, np.float32) for key, shape in shapes.items()}
    networks = pair_weights | {"classifier": pair_weights["classifier"] | changed}
    found, num_expressions, untold = ifgan_architecture(networks)
    assert (found["tuple_form"], found["image_channels"], num_expressions) == (tuple_form, 3, 7)
    assert (found["generator_levels"], found["generator_width"]) == (5, 2)
    assert ("tuple_form" in untold) is (tuple_form == "second_image")


def without(name):
    return lambda networks: networks.pop(name)


def replaced(name, key, shape):
    return lambda networks: networks[name].update({key: np.zeros(shape, np.float32)})


def only_the_classifier(networks):
    del networks["generator"], networks["discriminator"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without("generator"), "weights of a discriminator and none of a generator; an IF-GAN has"),
        (without("discriminator"), "weights of a generator and none of a discriminator"),
        (only_the_classifier, "takes 6 channels and 16 features: it looks at pairs of images"),
        (
            replaced("generator", "encoder_attention.query.weight", (0, 4, 1, 1)),
            r"generator has encoder_attention.query.weight of the shape \(0, 4, 1, 1\)",
        ),
        (
            replaced("generator", "skip_attention.value.weight", ()),
            r"generator has skip_attention.value.weight of the shape \(\)",
        ),
        (
            replaced("generator", "down.1.conv.weight", ()),
            r"generator has down.1.conv.weight of the shape \(\)",
        ),
        (
            replaced("generator", "down.0.conv.weight", (2, 2, 4, 4)),
            "the generator takes images of 2 channels; 1 or 3 are known",
        ),
        (
            replaced("generator", "down.0.conv.weight", (2, 1, 4, 4)),
            "takes 6 channels and 16 features, does not fit a generator of 1 channels",
        ),
    ],
)
def test_weights_that_tell_no_architecture_are_refused(damage, message, pair_weights):
    networks = {name: dict(state) for name, state in pair_weights.items()}
    damage(networks)
    with pytest.raises(UserError, match=message) as raised:
        ifgan_architecture(networks)
    assert "\n" not in str(raised.value)
