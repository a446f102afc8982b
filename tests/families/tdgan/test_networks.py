"""TDGAN's networks against the spec's golden numbers, and against the torch twin."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tdgan_jax.families.tdgan.networks import TDGAN, make_tdgan, split_networks
from tdgan_jax.families.tdgan.weights import tdgan_from_torch, torch_from_tdgan
from tests import golden_tdgan as golden


def nhwc(array: np.ndarray) -> jax.Array:
    return jnp.asarray(array.transpose(0, 2, 3, 1))


def merged(definitions: TDGAN, parameters: dict) -> TDGAN:
    return TDGAN(
        **{name: nnx.merge(getattr(definitions, name), tree) for name, tree in parameters.items()}
    )


@pytest.fixture(scope="module")
def definitions() -> TDGAN:
    networks = nnx.eval_shape(
        lambda: make_tdgan(num_identities=20, num_expressions=7, rngs=nnx.Rngs(0))
    )
    return split_networks(networks)[0]


@pytest.fixture(scope="module")
def shapes() -> dict:
    networks = nnx.eval_shape(
        lambda: make_tdgan(num_identities=20, num_expressions=7, rngs=nnx.Rngs(0))
    )
    return split_networks(networks)[1]


@pytest.fixture(scope="module")
def golden_networks(definitions: TDGAN, shapes: dict) -> TDGAN:
    return merged(definitions, tdgan_from_torch(golden.golden_weights(), shapes))


def test_parameter_counts_are_the_papers(shapes):
    counts = {
        name: sum(leaf.size for leaf in jax.tree.leaves(tree)) for name, tree in shapes.items()
    }
    assert counts == {
        "face_encoder": 720_352,
        "expression_encoder": 720_352,
        "expression_head": 9_446_407,
        "decoder": 5_277_120,
        "face_discriminator": 10_181_109,
        "expression_discriminator": 10_166_759,
    }


def test_weights_survive_the_way_to_torch_and_back_bit_for_bit(shapes):
    weights = golden.golden_weights()
    returned = torch_from_tdgan(tdgan_from_torch(weights, shapes))
    assert returned.keys() == weights.keys()
    for name, state_dict in weights.items():
        assert list(returned[name]) == list(state_dict)
        for key, value in state_dict.items():
            np.testing.assert_array_equal(returned[name][key], value, err_msg=f"{name} {key}")


def assert_golden(array: jax.Array, name: str) -> None:
    nchw = np.asarray(array).transpose(0, 3, 1, 2)
    statistics = golden.statistics(nchw)
    np.testing.assert_allclose(statistics, golden.STATISTICS[name], rtol=1e-4, err_msg=name)
    first = golden.FIRST_VALUES.get(name, ())
    # Six printed digits: half a unit of the last one beside the relative tolerance.
    np.testing.assert_allclose(nchw[0, 0, 0, : len(first)], first, rtol=1e-4, atol=5e-7)


def test_features_and_logits_have_the_golden_values(golden_networks):
    face, expression = nhwc(golden.golden_face_image()), nhwc(golden.golden_expression_image())
    assert_golden(face, "face_image")
    assert_golden(golden_networks.face_encoder(face), "face_feature")
    expression_feature = golden_networks.expression_encoder(expression)
    assert_golden(expression_feature, "expression_feature")
    logits = golden_networks.expression_head(expression_feature)
    np.testing.assert_allclose(logits, golden.EXPRESSION_LOGITS, rtol=1e-4, atol=5e-7)


def test_judgements_have_the_golden_values(golden_networks):
    face, expression = nhwc(golden.golden_face_image()), nhwc(golden.golden_expression_image())
    by_face = golden_networks.face_discriminator(face)
    assert_golden(by_face.feature, "face_discriminator_feature")
    np.testing.assert_allclose(
        by_face.logits[0, :4], golden.FACE_DISCRIMINATOR_LOGITS_0_FIRST_4, rtol=1e-4
    )
    np.testing.assert_allclose(
        by_face.logits[1, 20], golden.FACE_DISCRIMINATOR_LOGITS_1_20, rtol=1e-4
    )
    by_expression = golden_networks.expression_discriminator(expression)
    assert_golden(by_expression.feature, "expression_discriminator_feature")
    np.testing.assert_allclose(
        by_expression.logits[0], golden.EXPRESSION_DISCRIMINATOR_LOGITS_0, rtol=1e-4
    )


def test_embedding_and_generated_images_have_the_golden_values(golden_networks):
    face, expression = nhwc(golden.golden_face_image()), nhwc(golden.golden_expression_image())
    decoder = golden_networks.decoder
    face_feature = golden_networks.face_encoder(face)
    expression_feature = golden_networks.expression_encoder(expression)
    noise = nhwc(golden.golden_noises(0)[0])
    x = jnp.concatenate([expression_feature, face_feature, noise], axis=-1)
    x = nnx.relu(decoder.embedding(x))
    assert_golden(x, "emb1")
    for convolution in decoder.residual_convolutions:
        x = x + nnx.relu(convolution(x))
    assert_golden(x, "emb2")
    x = decoder.upsamplings[0](x)
    assert_golden(x, "us1")
    for upsampling in list(decoder.upsamplings)[1:]:
        x = upsampling(x)
    assert_golden(x, "us4")
    generated = decoder(expression_feature, face_feature, noise)
    assert_golden(generated, "generated_image")
    np.testing.assert_allclose(
        generated[1, 64, 64, 0], golden.GENERATED_IMAGE_1_0_64_64, rtol=1e-4, atol=5e-7
    )


def test_an_image_size_that_is_no_multiple_of_16_is_refused():
    with pytest.raises(ValueError, match="multiple of 16, got 100"):
        make_tdgan(num_identities=2, num_expressions=7, image_size_px=100, rngs=nnx.Rngs(0))
