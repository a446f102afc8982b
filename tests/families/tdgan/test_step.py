"""TDGAN's training step: golden numbers, which update moves what, and gradient routing."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from tdgan_jax.families.tdgan.networks import make_tdgan, split_networks
from tdgan_jax.families.tdgan.objective import (
    DROPOUT_USES,
    Batch,
    Objective,
    Randomness,
    draw_randomness,
    generate,
)
from tdgan_jax.families.tdgan.step import GENERATOR, Setup, Updates, train_step
from tdgan_jax.families.tdgan.weights import tdgan_from_torch
from tdgan_jax.networks.execution import set_execution
from tdgan_jax.steps.optimisers import adam_of_networks
from tdgan_jax.steps.state import TrainState, init_state
from tests import golden_tdgan as golden
from tests.steps.recording import recording_adam

ALL = Updates(generator=True, face_discriminator=True, expression_discriminator=True)
GOLDEN_NAMES = {
    "face_discriminator_real": "face_discriminator_real_loss",
    "face_discriminator_fake": "face_discriminator_fake_loss",
    "expression_discriminator": "expression_discriminator_loss",
    "expression_head": "expression_classification_loss",
    "adversarial_face": "face_adversarial_loss",
    "adversarial_expression": "expression_adversarial_loss",
    "perceptual": "perceptual_loss",
    "consistency_face": "face_consistency_loss",
    "consistency_expression": "expression_consistency_loss",
    "generator": "generator_loss",
}
NOT_DUE = {"face_discriminator_real", "face_discriminator_fake", "expression_discriminator"}
NO_DROPOUT = dict.fromkeys(DROPOUT_USES)
RELEASED_WEIGHTS = (0.2, 0.8, 1.0, 5.0)  # adversarial face, expression; perceptual, consistency
NO_GENERATOR_LOSS = (0.0, 0.0, 0.0, 0.0)


def nhwc(array: np.ndarray) -> jax.Array:
    return jnp.asarray(array.transpose(0, 2, 3, 1))


def golden_batch() -> Batch:
    return Batch(
        face_image=nhwc(golden.golden_face_image()),
        face_identity=jnp.asarray(golden.FACE_IDENTITY, jnp.int32),
        expression_image=nhwc(golden.golden_expression_image()),
        expression_label=jnp.asarray(golden.EXPRESSION_LABEL, jnp.int32),
        weight=jnp.ones(2),
        position=jnp.arange(2),
    )


def assert_golden(step: int, name: str, value: float) -> None:
    np.testing.assert_allclose(
        value,
        golden.TRAINING_STEPS[step][name],
        rtol=golden.training_step_rtol(step, name),
        err_msg=f"step {step}: {name}",
    )


def test_two_steps_at_full_size_have_the_golden_numbers():
    networks = nnx.eval_shape(
        lambda: make_tdgan(num_identities=20, num_expressions=7, rngs=nnx.Rngs(0))
    )
    definitions, shapes = split_networks(networks)
    optimizers = {name: recording_adam(1e-4) for name in definitions._fields}
    setup = Setup(definitions, Objective(), optimizers, axis_name=None)
    state = init_state(tdgan_from_torch(golden.golden_weights(), shapes), optimizers)
    batch = golden_batch()
    updates = (
        ALL,
        Updates(generator=True, face_discriminator=False, expression_discriminator=False),
    )
    for step, due in enumerate(updates):
        noises = tuple(nhwc(noise) for noise in golden.golden_noises(step))
        before = state
        state, metrics = jax.jit(partial(train_step, setup, due))(
            state, batch, Randomness(noises, NO_DROPOUT)
        )
        reported = {name for name in GOLDEN_NAMES if step == 0 or name not in NOT_DUE}
        assert {name for name in metrics if not name.endswith("_accuracy")} == reported
        for ours in reported:
            assert_golden(step, GOLDEN_NAMES[ours], float(metrics[ours]))
        for name in GENERATOR:
            gradient = state.optimizer_states[name].gradient
            norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
            assert_golden(step, f"{name}_gradient_norm", float(norm))
        if step == 1:
            assert_real_losses_before(definitions, before, batch)


def assert_real_losses_before(definitions, state: TrainState, batch: Batch) -> None:
    for name, images, labels, golden_name in (
        (
            "face_discriminator",
            batch.face_image,
            batch.face_identity,
            "face_discriminator_real_loss",
        ),
        (
            "expression_discriminator",
            batch.expression_image,
            batch.expression_label,
            "expression_discriminator_loss",
        ),
    ):
        network = nnx.merge(getattr(definitions, name), state.parameters[name])
        log_probabilities = jax.nn.log_softmax(network(images).logits)
        loss = -log_probabilities[jnp.arange(2), labels].mean()
        assert_golden(1, golden_name, float(loss))


@cache
def tiny_setup(precision: str = "float32") -> tuple[Setup, TrainState]:
    networks = make_tdgan(
        num_identities=3,
        num_expressions=7,
        image_size_px=32,
        width_multiplier=1 / 16,
        num_inception_blocks=1,
        noise_channels=4,
        num_residual_convolutions=1,
        rngs=nnx.Rngs(0),
    )
    set_execution(networks, precision=precision)
    definitions, parameters = split_networks(networks)
    optimizers = {name: recording_adam(1e-3) for name in definitions._fields}
    state = init_state(parameters, optimizers)
    return Setup(definitions, Objective(), optimizers, axis_name=None), state


def tiny_batch() -> Batch:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (2, 4, 32, 32, 1), dtype=np.uint8)
    return Batch(
        face_image=jnp.asarray(images[0]),
        face_identity=jnp.array([0, 1, 2, 1]),
        expression_image=jnp.asarray(images[1]),
        expression_label=jnp.array([0, 3, 6, 3]),
        weight=jnp.ones(4),
        position=jnp.arange(4),
    )


@cache
def compiled(updates: Updates, label_gradient_weight: float):
    """One compilation serves all weights of the generator's losses: they are an argument."""
    setup, _ = tiny_setup()

    def step(state, batch, key, weights):
        objective = Objective(*weights, label_gradient_weight=label_gradient_weight)
        return train_step(
            setup._replace(objective=objective),
            updates,
            state,
            batch,
            draw_randomness(key, batch.position, (2, 2, 4)),
        )

    return jax.jit(step)


def run(
    updates: Updates = ALL,
    *,
    weights: tuple[float, float, float, float] = RELEASED_WEIGHTS,
    label_gradient_weight: float = 0.0,
    batch: Batch | None = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    _, state = tiny_setup()
    step = compiled(updates, label_gradient_weight)
    return step(state, batch or tiny_batch(), jax.random.key(1), weights)


def changed(before, after) -> bool:
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    return any(not np.array_equal(old, new) for old, new in pairs)


@pytest.mark.parametrize(
    ("updates", "moved"),
    [
        (ALL, {*GENERATOR, "expression_head", "face_discriminator", "expression_discriminator"}),
        (Updates(True, False, False), {*GENERATOR, "expression_head"}),
        (
            Updates(False, True, True),
            {"expression_head", "face_discriminator", "expression_discriminator"},
        ),
        (Updates(True, True, False), {*GENERATOR, "expression_head", "face_discriminator"}),
    ],
)
def test_an_update_moves_its_networks_and_leaves_all_others_bit_identical(updates, moved):
    _, before = tiny_setup()
    after, _ = run(updates)
    for name, parameters in before.parameters.items():
        assert changed(parameters, after.parameters[name]) == (name in moved), name
        assert changed(before.optimizer_states[name], after.optimizer_states[name]) == (
            name in moved
        ), name
    assert int(after.step) == 1


def gradient(state: TrainState, name: str) -> np.ndarray:
    leaves = jax.tree.leaves(state.optimizer_states[name].gradient)
    return np.concatenate([np.ravel(leaf) for leaf in leaves])


def test_the_released_routing_keeps_the_label_loss_out_of_the_expression_encoder():
    state, _ = run(weights=NO_GENERATOR_LOSS)
    assert gradient(state, "expression_head").any()
    for name in GENERATOR:
        assert not gradient(state, name).any(), name


def test_the_label_gradient_reaches_the_expression_encoder_alone_when_asked_for():
    state, _ = run(weights=NO_GENERATOR_LOSS, label_gradient_weight=1.0)
    assert gradient(state, "expression_encoder").any()
    assert not gradient(state, "face_encoder").any()
    assert not gradient(state, "decoder").any()


def test_the_expression_encoders_label_gradient_is_that_of_the_plain_classifier():
    setup, before = tiny_setup()
    batch = tiny_batch()

    def loss(encoder):
        feature = nnx.merge(setup.networks.expression_encoder, encoder)(
            batch.expression_image / 255.0
        )
        keys = draw_randomness(jax.random.key(1), batch.position, (2, 2, 4)).dropout_keys[
            "expression_head"
        ]
        head = nnx.merge(setup.networks.expression_head, before.parameters["expression_head"])
        log_probabilities = jax.nn.log_softmax(head(feature, dropout_keys=keys))
        return -log_probabilities[jnp.arange(4), batch.expression_label].mean()

    expected = jax.tree.leaves(jax.grad(loss)(before.parameters["expression_encoder"]))
    state, _ = run(weights=NO_GENERATOR_LOSS, label_gradient_weight=1.0)
    np.testing.assert_allclose(
        gradient(state, "expression_encoder"),
        np.concatenate([np.ravel(leaf) for leaf in expected]),
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    "weights",
    [(1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)],
    ids=["adversarial_face", "adversarial_expression", "perceptual", "consistency"],
)
def test_every_generator_loss_reaches_decoder_and_both_encoders(weights):
    state, _ = run(weights=weights)
    for name in GENERATOR:
        assert gradient(state, name).any(), name


def test_the_perceptual_target_is_the_feature_from_before_the_discriminators_update():
    setup, before = tiny_setup()
    batch = tiny_batch()
    after, metrics = run()
    images = batch.face_image / 255.0

    def feature(state, image):
        weights = state.parameters["face_discriminator"]
        return nnx.merge(setup.networks.face_discriminator, weights).encoder(image)

    generator = {name: before.parameters[name] for name in GENERATOR}
    noise = draw_randomness(jax.random.key(1), batch.position, (2, 2, 4)).noises[0]
    pictures = batch._replace(face_image=images, expression_image=batch.expression_image / 255.0)
    generated = generate(setup.networks, generator, pictures, noise).generated
    expected = jnp.square(feature(after, generated) - feature(before, images)).mean()
    stale = jnp.square(feature(after, generated) - feature(after, images)).mean()
    assert abs(stale - expected) > 1e-3 * expected
    np.testing.assert_allclose(metrics["perceptual"], expected, rtol=1e-4)


def test_padding_with_weight_zero_changes_no_gradient():
    batch = tiny_batch()
    three = Batch(*(x[:3] for x in batch))._replace(weight=jnp.ones(3))
    padded = batch._replace(weight=jnp.array([4 / 3, 4 / 3, 4 / 3, 0.0]))
    short, short_metrics = run(batch=three)
    long, long_metrics = run(batch=padded)
    for name in short.parameters:
        np.testing.assert_allclose(
            gradient(long, name), gradient(short, name), rtol=1e-3, atol=1e-5, err_msg=name
        )
    np.testing.assert_allclose(long_metrics["generator"], short_metrics["generator"], rtol=1e-5)


def test_optimizers_are_adam_with_pytorchs_defaults():
    optimizer = adam_of_networks({"decoder": 0.1})["decoder"]
    parameters = {"w": jnp.ones(2)}
    gradient = {"w": jnp.array([3.0, 1e-8])}
    change, state = optimizer.update(gradient, optimizer.init(parameters), parameters)
    # A gradient of 1e-8 shows epsilon; the second step, with the gradient gone, both betas.
    np.testing.assert_allclose(change["w"], [-0.1, -0.05], rtol=1e-4)
    change, _ = optimizer.update({"w": jnp.zeros(2)}, state, parameters)
    mean = 0.9 * 0.1 * 3.0 / (1 - 0.9**2)
    deviation = (0.999 * 0.001 * 9.0 / (1 - 0.999**2)) ** 0.5
    np.testing.assert_allclose(change["w"][0], -0.1 * mean / deviation, rtol=1e-4)


def test_a_network_without_a_learning_rate_stays_as_it_is():
    optimizer = adam_of_networks({"decoder": 0.0})["decoder"]
    parameters = {"w": jnp.ones(2)}
    state = optimizer.init(parameters)
    assert not jax.tree.leaves(state)
    change, _ = optimizer.update({"w": jnp.array([3.0, -1.0])}, state, parameters)
    np.testing.assert_array_equal(optax.apply_updates(parameters, change)["w"], parameters["w"])
