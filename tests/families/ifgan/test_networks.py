"""IF-GAN's networks: sizes, options, and parity with the torch twin in both modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tdgan_jax.families.ifgan import weights as tables
from tdgan_jax.families.ifgan.conditional_gan import Discriminator, Generator
from tdgan_jax.families.ifgan.networks import TUPLE_FORMS, Classifier, make_ifgan
from tdgan_jax.families.ifgan.weights import torch_from_ifgan
from tdgan_jax.networks.batch_norm import batch_statistics
from tests.families.ifgan.ifgan_networks import (
    SHALLOW,
    nchw,
    nhwc,
    random_images,
    randomised,
    tree_of,
    with_shallow_depth,
)

LAYER = {"rtol": 1e-4, "atol": 1e-5}
# Rounding of convolution, statistics and attention adds up over a network.
NETWORK = {"rtol": 1e-3, "atol": 1e-4}


@pytest.fixture(scope="module")
def full_size():
    return nnx.eval_shape(lambda: make_ifgan(num_expressions=6, rngs=nnx.Rngs(0)))


def test_the_full_size_has_the_parameters_of_the_specs_tables(full_size):
    counts = {
        name: sum(leaf.size for leaf in jax.tree.leaves(nnx.state(network, nnx.Param)))
        for name, network in full_size._asdict().items()
    }
    down = (
        3 * 16 * 64
        + 64
        + sum(16 * i * o for i, o in ((64, 128), (128, 256), (256, 512), (512, 512)))
    )
    up = sum(16 * i * o for i, o in ((512, 512), (1024, 256), (512, 128), (256, 64), (128, 3))) + 3
    norms = 2 * (128 + 256 + 512 + 512 + 256 + 128 + 64)
    attention = 2 * (128 * 16 + 16) + 128 * 128 + 128 + 1
    assert counts["generator"] == down + up + norms + 3 * attention
    assert counts["discriminator"] == 2_768_705  # pix2pix's, for pairs of colour images
    # 1,000 classes become 6, and the first convolution sees two images.
    assert counts["classifier"] == 44_549_160 - 2049 * 994 + 64 * 3 * 49


def test_the_full_size_has_the_shapes_of_the_specs_tables(full_size):
    image = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)
    skips, bottleneck = nnx.eval_shape(lambda g, x: g.encode(x, None), full_size.generator, image)
    assert [skip.shape[1:] for skip in skips] == [
        (112, 112, 64),
        (56, 56, 128),
        (28, 28, 256),
        (14, 14, 512),
    ]
    assert bottleneck.shape[1:] == (7, 7, 512)
    assert nnx.eval_shape(lambda g, x: g(x), full_size.generator, image).shape == image.shape
    judged = nnx.eval_shape(lambda d, x: d(x, x), full_size.discriminator, image)
    assert judged.shape == (2, 26, 26, 1)
    answer = nnx.eval_shape(lambda c, x: c(x, x), full_size.classifier, image)
    assert answer.feature.shape == (2, 2048)
    assert answer.logits.shape == (2, 6)


def filled_twin(name, network, make):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    state_dict = torch_from_ifgan({name: tree_of(network)})[name]
    twin = make()
    assert state_dict.keys() == twin.state_dict().keys()
    twin.load_state_dict({key: torch.tensor(value) for key, value in state_dict.items()})
    return twin, lambda array: torch.tensor(nchw(array))


GENERATORS = {
    "reference": {},
    "without attention": {
        "encoder_attention_level": 0,
        "skip_attention_level": 0,
        "decoder_attention_level": 0,
    },
    "other places": {
        "skip_attention_level": 1,
        "decoder_attention_level": 1,
        "attention_has_output_convolution": True,
    },
    "attended skip": {"skip_source": "attended", "skip_attention_level": 0},
}


@pytest.mark.parametrize("options", GENERATORS.values(), ids=GENERATORS)
def test_generator_in_both_modes(options):
    pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.families.ifgan import twin as ifgan_torch

    options = {"width": 4, "num_levels": 3} | options
    generator: Generator = randomised(lambda rngs: Generator(rngs=rngs, **options))
    twin, tensor = filled_twin("generator", generator, lambda: ifgan_torch.Generator(**options))
    image = random_images(2, 16, 16, options.get("image_channels", 3))
    np.testing.assert_allclose(generator(image), nhwc(twin.eval()(tensor(image))), **NETWORK)
    statistics = batch_statistics(jnp.ones(2), axis_name=None)
    drawn = generator(image, statistics)
    np.testing.assert_allclose(drawn, nhwc(twin.train()(tensor(image))), **NETWORK)
    assert_same_averages("generator", generator, twin)


def assert_same_averages(name, network, twin) -> None:
    state_dict = torch_from_ifgan({name: tree_of(network)})[name]
    averages = {key: v for key, v in twin.state_dict().items() if "running" in key}
    assert averages
    for key, value in averages.items():
        np.testing.assert_allclose(state_dict[key], value, **NETWORK, err_msg=key)


def test_the_generators_gradient():
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.families.ifgan import twin as ifgan_torch
    from tdgan_jax.torch_weights.mapping import torch_from_parameters

    options = {"width": 4, "num_levels": 3}
    generator = randomised(lambda rngs: Generator(rngs=rngs, **options))
    twin, tensor = filled_twin("generator", generator, lambda: ifgan_torch.Generator(**options))
    image, cotangent = random_images(2, 16, 16, 3), random_images(2, 16, 16, 3, seed=1)
    definition, *parts = nnx.split(generator, nnx.Param, nnx.BatchStat)
    weights, averages = map(nnx.to_pure_dict, parts)
    statistics = batch_statistics(jnp.ones(2), axis_name=None)

    @jax.jit
    def gradient_of(weights):
        draw = lambda weights: nnx.merge(definition, weights, averages)(image, statistics)  # noqa: E731
        return jax.vjp(draw, weights)[1](cotangent)[0]

    twin.train()(tensor(image)).backward(tensor(cotangent))
    gradient = gradient_of(weights)
    table = [e for e in tables.generator_table(gradient | {}) if "running" not in e.key]
    expected = dict(twin.named_parameters())
    for key, value in torch_from_parameters(table, gradient).items():
        theirs = expected[key].grad.numpy()
        largest = max(np.abs(theirs).max(), 1e-2)
        np.testing.assert_allclose(value, theirs, rtol=1e-3, atol=1e-3 * largest, err_msg=key)
    del torch


def test_discriminator_in_training():
    pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.families.ifgan import twin as ifgan_torch

    options = {"width": 4, "num_strided_layers": 2}
    discriminator = randomised(lambda rngs: Discriminator(rngs=rngs, **options))
    twin, tensor = filled_twin(
        "discriminator", discriminator, lambda: ifgan_torch.Discriminator(**options)
    )
    pair = random_images(2, 16, 16, 3), random_images(2, 16, 16, 3, seed=1)
    logits = discriminator(*pair, batch_statistics(jnp.ones(2), axis_name=None))
    assert logits.shape == (2, 2, 2, 1)
    np.testing.assert_allclose(logits, nhwc(twin.train()(*map(tensor, pair))), **NETWORK)
    assert_same_averages("discriminator", discriminator, twin)


def make_classifier(tuple_form: str, **options) -> Classifier:
    return randomised(
        lambda rngs: Classifier(
            depth=SHALLOW, width=4, tuple_form=tuple_form, num_expressions=5, rngs=rngs, **options
        )
    )


def test_classifier_on_concatenated_tuples_is_the_twin_on_normalised_images(monkeypatch):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.families.ifgan import twin as ifgan_torch
    from tdgan_jax.torch_weights import resnet_torch

    with_shallow_depth(monkeypatch)
    monkeypatch.setitem(resnet_torch.DEPTHS, SHALLOW, ((1, 1, 0, 0), False))
    classifier = make_classifier("concatenation")
    twin, tensor = filled_twin(
        "classifier", classifier, lambda: resnet_torch.ResNet(5, SHALLOW, 4, image_channels=6)
    )
    pair = [random_images(3, 16, 16, 3, seed=seed) for seed in range(2)]
    images = ifgan_torch.normalised(torch.cat([tensor(image) for image in pair], dim=1))
    logits = twin.eval()(images).detach()
    np.testing.assert_allclose(classifier(*pair).logits, logits, **NETWORK)


def test_gray_images_are_normalised_as_the_mean_of_the_colours(monkeypatch):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.families.ifgan.twin import normalised

    with_shallow_depth(monkeypatch)
    classifier = make_classifier("concatenation", image_channels=1)
    image = random_images(1, 4, 4, 1)
    theirs = normalised(torch.tensor(nchw(image)))
    np.testing.assert_allclose(classifier._normalised(image), nhwc(theirs), **LAYER)
    assert float(classifier._normalised(jnp.full((1, 1, 1, 1), -0.102))[0, 0, 0, 0]) == (
        pytest.approx((0.449 - (0.485 + 0.456 + 0.406) / 3) / 0.226, abs=1e-3)
    )


def test_each_tuple_form_sees_what_it_says(monkeypatch):
    with_shallow_depth(monkeypatch)
    first, second, other = (random_images(2, 16, 16, 3, seed=seed) for seed in range(3))
    sees_first = {"second_image": False}
    for tuple_form in TUPLE_FORMS:
        classifier = make_classifier(tuple_form)
        answer = classifier(first, second)
        width = 16 if tuple_form == "shared_concatenated" else 8
        assert answer.feature.shape == (2, width), tuple_form
        assert not np.allclose(answer.logits, classifier(first, other).logits), tuple_form
        is_first_seen = not np.allclose(answer.logits, classifier(other, second).logits)
        assert is_first_seen == sees_first.get(tuple_form, True), tuple_form
        if tuple_form == "shared_averaged":
            swapped = classifier(second, first)
            np.testing.assert_allclose(answer.logits, swapped.logits, **LAYER)


def test_both_images_of_a_tuple_are_one_batch_for_a_shared_network(monkeypatch):
    with_shallow_depth(monkeypatch)
    classifier = make_classifier("shared_averaged", input_normalisation="none")
    image = random_images(2, 16, 16, 3)
    statistics = batch_statistics(jnp.ones(2), axis_name=None)
    # Seeing each image twice changes neither mean nor biased variance.
    feature = classifier(image, image, statistics).feature
    once = classifier.resnet.features(image, statistics)
    np.testing.assert_allclose(feature, once, **LAYER)


def test_dropout_depends_on_an_examples_own_key():
    generator = randomised(
        lambda rngs: Generator(
            width=8,
            num_levels=2,
            encoder_attention_level=0,
            skip_attention_level=0,
            decoder_attention_level=0,
            dropout_rate=0.5,
            rngs=rngs,
        )
    )
    image = random_images(2, 8, 8, 3)
    keys = jax.random.split(jax.random.key(0), 3)
    without, first, second = (
        generator(image, dropout_keys=chosen) for chosen in (None, keys[:2], keys[::2])
    )
    np.testing.assert_array_equal(first[0], second[0])
    assert not np.allclose(first[1], second[1])
    assert not np.allclose(first[0], without[0])


def test_the_baseline_sees_one_image(monkeypatch):
    with_shallow_depth(monkeypatch)
    networks = nnx.eval_shape(
        lambda: make_ifgan(
            num_expressions=5,
            has_generator=False,
            classifier_depth=SHALLOW,
            classifier_width=4,
            rngs=nnx.Rngs(0),
        )
    )
    assert networks.generator is None and networks.discriminator is None
    assert networks.classifier.resnet.conv1.kernel.shape == (7, 7, 3, 4)


def test_attention_maps_belong_to_the_last_module():
    generator = randomised(lambda rngs: Generator(width=8, num_levels=3, rngs=rngs))
    image = random_images(2, 16, 16, 3)
    maps = generator.attention_maps(image, jnp.array([[0, 3], [2, 1]]))
    assert maps.shape == (2, 2, 4, 4)
    np.testing.assert_allclose(maps.sum(axis=(2, 3)), 1.0, rtol=1e-5)
    decoded = generator._decoded(2, *generator.encode(image, None))
    expected = generator.decoder_attention.maps(decoded, jnp.array([[0, 3], [2, 1]]))
    np.testing.assert_allclose(maps, expected, **LAYER)


def test_a_generator_without_the_last_attention_has_no_maps():
    generator = randomised(
        lambda rngs: Generator(width=2, num_levels=3, decoder_attention_level=0, rngs=rngs)
    )
    with pytest.raises(ValueError, match="no attention in its decoding path"):
        generator.attention_maps(random_images(1, 16, 16, 3), jnp.zeros((1, 2), jnp.int32))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size_px": 100}, "multiple of 32 for a generator of 5 levels, got 100"),
        ({"encoder_attention_level": 5}, "attention at levels 1 to 4"),
        ({"skip_source": "none"}, "skip_source is 'none'; known: convolution, attended"),
        ({"generator_dropout_rate": 1.0}, "dropout rate must be in .0, 1., got 1.0"),
        ({"attention_chunk_size": 0}, "attention_chunk_size must be at least 1, got 0"),
        ({"tuple_form": "pair"}, "tuple_form is 'pair'; known: concatenation"),
        ({"input_normalisation": "unit"}, "input_normalisation is 'unit'; known: imagenet, none"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(lambda: make_ifgan(num_expressions=6, rngs=nnx.Rngs(0), **options))
