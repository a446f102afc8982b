"""The torch twin of TDGAN against the keys and golden numbers of the specification."""

import math

import numpy as np
import pytest

from tests import golden_tdgan as golden

torch = pytest.importorskip("torch", reason="the torch twins need the extra [torch]")

from benchmarks.torch_tdgan_step import (  # noqa: E402
    TorchTdganStep,
    make_torch_step,
    time_torch_step,
    update_pattern_frequencies,
)
from tdgan_jax.torch_weights import tdgan_torch as twin  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def golden_weights():
    return {
        name: {key: torch.from_numpy(value) for key, value in weights.items()}
        for name, weights in golden.golden_weights().items()
    }


@pytest.fixture
def golden_training(golden_weights):
    """The networks with the golden weights and dropout off."""
    training = make_torch_step(golden.NUM_IDENTITIES, golden.NUM_EXPRESSIONS)
    generator = training.generator
    for name, network in {
        "face_encoder": generator.enc_FR,
        "expression_encoder": generator.enc_ER,
        "expression_head": generator.fc_ER,
        "decoder": generator.dec,
        "face_discriminator": training.face_discriminator,
        "expression_discriminator": training.expression_discriminator,
    }.items():
        network.load_state_dict(golden_weights[name])
    training.train(False)
    return training


@pytest.fixture(scope="module")
def golden_batch():
    return tuple(
        torch.from_numpy(array)
        for array in (
            golden.golden_face_image(),
            golden.FACE_IDENTITY,
            golden.golden_expression_image(),
            golden.EXPRESSION_LABEL,
        )
    )


def golden_noises(step):
    return [torch.from_numpy(noise) for noise in golden.golden_noises(step)]


def names_and_shapes(network):
    return [(name, tuple(value.shape)) for name, value in network.state_dict().items()]


@pytest.mark.parametrize(
    ("make_network", "expected_keys", "num_keys", "num_parameters"),
    [
        (twin.Encoder, golden.encoder_keys(), 92, "encoder"),
        (lambda: twin.Head(7), golden.head_keys(7), 6, "head_7"),
        (lambda: twin.Head(21), golden.head_keys(21), 6, "head_21"),
        (twin.Decoder, golden.decoder_keys(), 19, "decoder"),
        (lambda: twin.Generator(7), golden.generator_keys(7), 209, "generator"),
        (lambda: twin.Discriminator(21), golden.discriminator_keys(21), 98, "face_discriminator"),
        (
            lambda: twin.Discriminator(7),
            golden.discriminator_keys(7),
            98,
            "expression_discriminator",
        ),
    ],
)
def test_keys_order_shapes_and_counts(make_network, expected_keys, num_keys, num_parameters):
    with torch.device("meta"):
        network = make_network()
    assert names_and_shapes(network) == expected_keys
    assert len(expected_keys) == num_keys
    num_parameters = golden.PARAMETER_COUNTS[num_parameters]
    assert sum(math.prod(shape) for _, shape in expected_keys) == num_parameters
    assert sum(parameter.numel() for parameter in network.parameters()) == num_parameters


def assert_statistics(name, value):
    value = value.numpy()
    np.testing.assert_allclose(
        golden.statistics(value), golden.STATISTICS[name], rtol=golden.FORWARD_RTOL
    )
    if name in golden.FIRST_VALUES:
        expected = golden.FIRST_VALUES[name]
        np.testing.assert_allclose(
            value[0, 0, 0, : len(expected)], expected, rtol=golden.FORWARD_RTOL, atol=1e-6
        )


@torch.no_grad()
def test_forward_golden_numbers_of_the_generator(golden_training, golden_batch):
    face_image, _, expression_image, _ = golden_batch
    generator = golden_training.generator
    layers = {}
    for name in ("emb1", "emb2", "us1", "us4"):
        getattr(generator.dec, name).register_forward_hook(
            lambda _, __, value, name=name: layers.update({name: value})
        )
    image, logits = generator(face_image, expression_image, golden_noises(0)[0])
    assert_statistics("face_image", face_image)
    assert_statistics("face_feature", generator.enc_FR(face_image))
    assert_statistics("expression_feature", generator.enc_ER(expression_image))
    for name, value in layers.items():
        assert_statistics(name, value)
    assert_statistics("generated_image", image)
    assert len(layers) == 4
    assert image[1, 0, 64, 64].item() == pytest.approx(golden.GENERATED_IMAGE_1_0_64_64, rel=1e-4)
    np.testing.assert_allclose(logits, golden.EXPRESSION_LOGITS, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_forward_golden_numbers_of_the_discriminators(golden_training, golden_batch):
    face_image, _, expression_image, _ = golden_batch
    feature, logits = golden_training.face_discriminator(face_image)
    assert_statistics("face_discriminator_feature", feature)
    np.testing.assert_allclose(
        logits[0, :4], golden.FACE_DISCRIMINATOR_LOGITS_0_FIRST_4, rtol=1e-4, atol=1e-6
    )
    assert logits[1, 20].item() == pytest.approx(golden.FACE_DISCRIMINATOR_LOGITS_1_20, rel=1e-4)
    feature, logits = golden_training.expression_discriminator(expression_image)
    assert_statistics("expression_discriminator_feature", feature)
    np.testing.assert_allclose(
        logits[0], golden.EXPRESSION_DISCRIMINATOR_LOGITS_0, rtol=1e-4, atol=1e-6
    )


@torch.no_grad()
def real_losses(training, face_image, face_identity, expression_image, expression_label):
    """The discriminators' losses of real images, which the step computes only when they are due."""
    cross_entropy = torch.nn.functional.cross_entropy
    face_logits = training.face_discriminator(face_image).logits
    expression_logits = training.expression_discriminator(expression_image).logits
    return {
        "face_discriminator_real_loss": cross_entropy(face_logits, face_identity),
        "expression_discriminator_loss": cross_entropy(expression_logits, expression_label),
    }


def test_two_golden_training_steps(golden_training, golden_batch):
    for step, due in enumerate((True, False)):
        losses = {} if due else real_losses(golden_training, *golden_batch)
        losses |= golden_training.step(
            *golden_batch, due, due, noises=golden_noises(step), gradient_norms=True
        )
        assert losses.keys() == golden.TRAINING_STEPS[step].keys()
        for name, expected in golden.TRAINING_STEPS[step].items():
            rtol = golden.training_step_rtol(step, name)
            assert losses[name].item() == pytest.approx(expected, rel=rtol), (step, name)


@pytest.fixture
def tiny_training():
    torch.manual_seed(0)
    return make_torch_step(4, 3, image_size_px=64, width_multiplier=0.125)


@pytest.fixture
def tiny_batch():
    images = torch.rand(2, 2, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    return images[0], torch.tensor([0, 3]), images[1], torch.tensor([2, 1])


def networks_of(training: TorchTdganStep):
    return {
        "decoder": training.generator.dec,
        "face_encoder": training.generator.enc_FR,
        "expression_encoder": training.generator.enc_ER,
        "expression_head": training.generator.fc_ER,
        "face_discriminator": training.face_discriminator,
        "expression_discriminator": training.expression_discriminator,
    }


@pytest.mark.parametrize("update_face_discriminator", [True, False])
@pytest.mark.parametrize("update_expression_discriminator", [True, False])
def test_step_changes_the_due_networks_alone(
    tiny_training, tiny_batch, update_face_discriminator, update_expression_discriminator
):
    networks = networks_of(tiny_training)
    before = {
        name: [parameter.detach().clone() for parameter in network.parameters()]
        for name, network in networks.items()
    }
    tiny_training.step(*tiny_batch, update_face_discriminator, update_expression_discriminator)
    changed = {
        name
        for name, network in networks.items()
        if not all(map(torch.equal, network.parameters(), before[name]))
    }
    expected = {"decoder", "face_encoder", "expression_encoder", "expression_head"}
    if update_face_discriminator:
        expected.add("face_discriminator")
    if update_expression_discriminator:
        expected.add("expression_discriminator")
    assert changed == expected


def test_generator_update_leaves_no_gradient_in_discriminators_and_head(tiny_training, tiny_batch):
    tiny_training.step(*tiny_batch, False, False)
    for name in ("face_discriminator", "expression_discriminator"):
        assert all(p.grad is None for p in networks_of(tiny_training)[name].parameters())


def unbatched_generator_loss(training, batch, noises):
    """L_G as the specification writes it: one image a pass, no pass shared."""
    face_image, face_identity, expression_image, expression_label = batch
    mean_distance = torch.nn.functional.l1_loss
    cross_entropy = torch.nn.functional.cross_entropy
    generated, _ = training.generator(face_image, expression_image, noises[0])
    face_again, _ = training.generator(generated, face_image, noises[1])
    expression_again, _ = training.generator(expression_image, generated, noises[2])
    feature, face_logits = training.face_discriminator(generated)
    target = training.face_discriminator(face_image).feature.detach()
    expression_logits = training.expression_discriminator(generated).logits
    return (
        0.2 * cross_entropy(face_logits, face_identity)
        + 0.8 * cross_entropy(expression_logits, expression_label)
        + (feature - target).square().mean()
        + 5 * mean_distance(face_again, face_image)
        + 5 * mean_distance(expression_again, expression_image)
    )


@pytest.mark.parametrize("decoder_sees_face", [False, True])
def test_shared_passes_equal_separate_ones(tiny_batch, decoder_sees_face):
    torch.manual_seed(0)
    tiny_training = make_torch_step(
        4, 3, image_size_px=64, width_multiplier=0.125, decoder_sees_face=decoder_sees_face
    )
    tiny_training.train(False)
    noises = list(torch.rand(3, 2, 256, 4, 4))
    loss = unbatched_generator_loss(tiny_training, tiny_batch, noises)
    gradients = torch.autograd.grad(loss, tiny_training.generator_parameters)
    losses = tiny_training.step(*tiny_batch, False, False, noises=noises)
    assert losses["generator_loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    for parameter, gradient in zip(tiny_training.generator_parameters, gradients, strict=True):
        # The order of summation differs, so elements near zero are compared with the largest.
        torch.testing.assert_close(
            parameter.grad, gradient, rtol=1e-3, atol=1e-4 * gradient.abs().max().item()
        )


@pytest.mark.parametrize(("noise_channels", "num_noise"), [(0, 0), (256, 256), (8, 8)])
def test_decoder_without_and_with_noise(noise_channels, num_noise):
    decoder = twin.Decoder(channels=3, width_multiplier=0.125, noise_channels=noise_channels)
    assert decoder.emb1[0].in_channels == 2 * 16 + num_noise
    feature = torch.zeros(1, 16, 4, 4)
    assert decoder(feature, feature).shape == (1, 3, 64, 64)


def test_widths_are_scaled_and_the_noise_is_not():
    generator = twin.Generator(5, channels=3, image_size_px=64, width_multiplier=0.25)
    shapes = dict(names_and_shapes(generator))
    assert shapes["enc_FR.conv1.0.conv.weight"] == (8, 3, 5, 5)
    assert shapes["enc_ER.repeat.3.branch2.2.conv.weight"] == (4, 4, 3, 3)
    assert shapes["enc_ER.repeat.3.conv2d.weight"] == (16, 12, 1, 1)
    assert shapes["fc_ER.fc1.weight"] == (256, 32 * 4 * 4)
    assert shapes["fc_ER.fc3.weight"] == (5, 256)
    assert shapes["dec.emb1.0.weight"] == (32, 2 * 32 + 256, 3, 3)
    assert shapes["dec.us1.0.weight"] == (32, 128, 4, 4)
    assert shapes["dec.us5.0.weight"] == (16, 3, 3, 3)


def test_initialisation():
    torch.manual_seed(0)
    generator = twin.Generator(7)
    state = generator.state_dict()
    assert state["fc_ER.fc1.weight"].std().item() == pytest.approx(0.02, rel=0.01)
    assert state["fc_ER.fc1.bias"].abs().max() == 0
    for name in ("dec.emb1.0.weight", "dec.emb2.5.infer.0.weight", "dec.us2.0.weight"):
        assert state[name].std().item() == pytest.approx(0.02, rel=0.01)
    for name, fan_in in {
        "dec.emb1.0.bias": 512 * 9,
        "enc_FR.conv4.0.conv.weight": 128 * 25,
        "enc_ER.repeat.0.conv2d.bias": 48,
    }.items():
        largest = state[name].abs().max().item()
        assert 0.9 / math.sqrt(fan_in) < largest <= 1 / math.sqrt(fan_in) + 1e-7
    assert torch.all(state["enc_FR.conv1.0.bn.weight"] == 1)
    assert torch.all(state["enc_FR.conv1.0.bn.bias"] == 0)


@pytest.mark.parametrize("image_size_px", [0, -16, 100])
def test_image_size_is_a_multiple_of_16(image_size_px):
    with pytest.raises(ValueError, match="multiple of 16"):
        twin.Discriminator(7, image_size_px=image_size_px)


def test_update_pattern_frequencies():
    assert update_pattern_frequencies((5, 10)) == {
        (True, True): 0.1,
        (True, False): 0.1,
        (False, False): 0.8,
    }
    assert update_pattern_frequencies((1, 1)) == {(True, True): 1.0}


def test_time_torch_step():
    result = time_torch_step(2, 64, 0.125, gaps=(2, 3), threads=2, steps=1)
    seconds = sum(
        result[f"seconds_{pattern}"] * result[f"frequency_{pattern}"]
        for pattern in ("both", "face", "expression", "none")
    )
    assert result["seconds_per_step"] == pytest.approx(seconds)
    assert result["images_per_second"] == pytest.approx(2 / seconds)
