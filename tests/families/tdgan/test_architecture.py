import numpy as np
import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.families.tdgan.architecture import tdgan_architecture
from tdgan_jax.families.tdgan.weights import torch_from_tdgan
from tdgan_jax.networks.inception import fitting_multiplier, scaled
from tests.tiny_tdgan import random_parameters, tiny_config


@pytest.mark.parametrize(
    ("model", "num_identities", "num_expressions"),
    [
        ({}, 1, 7),
        (
            {
                "image_size_px": 48,
                "image_channels": 3,
                "width_multiplier": 0.25,
                "num_inception_blocks": 2,
                "noise_channels": 0,
                "num_residual_convolutions": 3,
                "upsampling": "resize",
                "decoder_sees_face": True,
            },
            4,
            2,
        ),
    ],
)
def test_the_architecture_stands_in_the_shapes(model, num_identities, num_expressions):
    config = tiny_config(**model)
    parameters = random_parameters(
        config, num_identities=num_identities, num_expressions=num_expressions
    )
    found = tdgan_architecture(torch_from_tdgan(parameters))
    assert found.model == config.model.to_dict()
    assert (found.num_identities, found.num_expressions) == (num_identities, num_expressions)


@pytest.mark.parametrize("multiplier", [1 / 64, 1 / 16, 0.1, 0.3, 0.5, 0.77, 1, 1.5, 2])
def test_a_multiplier_that_gives_the_same_widths_is_found(multiplier):
    widths = {paper: scaled(paper, multiplier) for paper in (1024, 128, 64, 32)}
    found = fitting_multiplier(widths)
    assert {paper: scaled(paper, found) for paper in widths} == widths
    assert found == pytest.approx(multiplier, abs=5e-4)


def test_widths_without_a_common_multiplier_are_refused():
    with pytest.raises(UserError, match="512 for 1024, 128 for 128"):
        fitting_multiplier({1024: 512, 128: 128})


@pytest.mark.parametrize("network", ["expression_encoder", "decoder", "face_discriminator"])
def test_weights_of_something_else_are_named(network):
    state_dicts = torch_from_tdgan(random_parameters(tiny_config()))
    state_dicts[network] = {"layer1.weight": state_dicts[network].popitem()[1]}
    with pytest.raises(UserError, match="is missing; these are not TDGAN's weights"):
        tdgan_architecture(state_dicts)


def test_networks_that_do_not_belong_together_are_refused():
    state_dicts = torch_from_tdgan(random_parameters(tiny_config()))
    state_dicts["expression_head"]["fc1.weight"] = np.zeros((64, 8 * 5), np.float32)
    with pytest.raises(UserError, match="the weights do not fit each other"):
        tdgan_architecture(state_dicts)
