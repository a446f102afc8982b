"""IF-GAN's training step: what moves what, gradient routing, options, devices, evaluation."""

import inspect
import os
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict

from tdgan_jax.configuration import load_config
from tdgan_jax.data.examples import Examples
from tdgan_jax.errors import UsageError
from tdgan_jax.evaluation.recognition import predict_answers
from tdgan_jax.families.family import Names
from tdgan_jax.families.ifgan.networks import Classification, make_ifgan, split_networks
from tdgan_jax.families.ifgan.objective import Batch, Objective, to_symmetric_range
from tdgan_jax.families.ifgan.step import (
    LearningRate,
    Setup,
    TrainState,
    eval_step,
    init_state,
    make_optimizer,
    sample_step,
    train_step,
)
from tdgan_jax.families.ifgan.training import ifgan_training
from tdgan_jax.networks import resnet
from tdgan_jax.networks.batch_norm import batch_statistics
from tdgan_jax.networks.layers import per_example_dropout
from tdgan_jax.steps.parallel import (
    make_mesh,
    parallel_eval_step,
    parallel_train_step,
    replicate,
    shard_batch,
)
from tdgan_jax.steps.state import separate
from tests.families.ifgan.ifgan_networks import SHALLOW, random_tree, tree_of
from tests.steps.recording import (
    ALL_DEVICE_COUNTS,
    RECORDING_DESCENT,
    assert_close,
    assert_same_training,
)

NETWORKS = ("generator", "discriminator", "classifier")
NUM_EXPRESSIONS, SIZE_PX = 3, 16
TINY_SIZES = {
    "image_size_px": SIZE_PX,
    "image_channels": 1,
    "generator_width": 4,
    "generator_levels": 2,
    "generator_dropout_rate": 0.5,
    "encoder_attention_level": 0,
    "skip_attention_level": 0,
    "decoder_attention_level": 1,
    "discriminator_width": 4,
    "discriminator_strided_layers": 1,
    "classifier_depth": SHALLOW,
    "classifier_width": 4,
}
WEIGHTS = (1.0, 20.0, 10.0, 1.0, 1.0)
FIELDS = (
    "adversarial_weight",
    "absolute_error_weight",
    "softmax_weight",
    "island_weight",
    "classifier_gradient_weight",
)
# See test_parallel.py: what one system leaves out the other tries.
LAYOUTS = [(2, "pmap"), (4, "shard_map"), (8, "pmap")]
if os.environ.get("ALL_DEVICE_COUNTS"):
    LAYOUTS = ALL_DEVICE_COUNTS
REFERENCE = Objective()
OTHER_CHOICES = Objective(
    adversarial_form="non_saturating",
    discriminator_order="simultaneous",
    discriminator_scale=0.5,
    classifier_statistics="both",
    island_feature="logits",
    island_tuples="drawn",
    island_reduction="mean",
    centre_initialisation="normal",
)


@pytest.fixture(autouse=True, scope="module")
def shallow_depth():
    resnet.DEPTHS[SHALLOW] = ((1, 1, 0, 0), False)
    yield
    del resnet.DEPTHS[SHALLOW]


@cache
def tiny_setup(
    *, has_generator: bool = True, objective: Objective = REFERENCE, **options
) -> tuple[Setup, TrainState]:
    networks = nnx.eval_shape(
        lambda: make_ifgan(
            num_expressions=NUM_EXPRESSIONS,
            has_generator=has_generator,
            **TINY_SIZES,
            rngs=nnx.Rngs(0),
        )
    )
    definitions, shapes = split_networks(networks)
    optimizers = dict.fromkeys(shapes, RECORDING_DESCENT)
    rates = {name: LearningRate(1.0, 0.5, 10) for name in shapes}
    setup = Setup(definitions, objective, optimizers, rates, **options)
    width = NUM_EXPRESSIONS if objective.island_feature == "logits" else 8
    centres = np.random.default_rng(2).normal(size=(NUM_EXPRESSIONS, width))
    return setup, init_state(setup, random_tree(shapes), jnp.asarray(centres, jnp.float32))


def tiny_batch(*, epoch: int = 0) -> Batch:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (2, 8, SIZE_PX, SIZE_PX, 1), dtype=np.uint8)
    return Batch(
        image=images[0],
        average_image=images[1],
        expression_label=np.array([0, 1, 2, 1, 0, 0, 1, 2], np.int32),
        weight=np.ones(8, np.float32),
        position=np.arange(8, dtype=np.int32),
        epoch=np.full(8, epoch, np.int32),
    )


def dropout_keys(batch: Batch, step: int | jax.Array = 0) -> jax.Array:
    step_key = jax.random.fold_in(jax.random.key(1), step)
    return jax.vmap(partial(jax.random.fold_in, step_key))(batch.position)


@cache
def compiled(
    num_devices: int,
    has_generator: bool = True,
    has_global_statistics: bool = True,
    mapping: str = "shard_map",
):
    """One compilation serves all weights of the losses and steps: they are arguments."""
    setup, state = tiny_setup(
        has_generator=has_generator, has_global_statistics=has_global_statistics
    )
    mesh = make_mesh(jax.devices()[:num_devices])

    def step(state, batch, weights):
        objective = setup.objective._replace(**dict(zip(FIELDS, weights, strict=True)))
        keys = dropout_keys(batch, state.step)
        return train_step(setup._replace(objective=objective), state, batch, keys)

    mapped = parallel_train_step(step, mesh, mapping=mapping)

    def call(batch, weights, state=state):
        own = jax.tree.map(np.array, state)  # the step consumes its state
        return jax.device_get(
            mapped(replicate(own, mesh), shard_batch(batch, mesh), tuple(map(np.float32, weights)))
        )

    return call, jax.device_get(state)


def run(num_devices: int = 1, *, batch=None, weights=WEIGHTS, **options):
    call, _ = compiled(num_devices, **options)
    return call(batch or tiny_batch(), weights)


def initial(num_devices: int = 1, **options) -> TrainState:
    return compiled(num_devices, **options)[1]


def changed(before, after) -> bool:
    return not jax.tree.all(jax.tree.map(np.array_equal, before, after))


def halves(state: TrainState, name: str, has_generator: bool = True):
    setup, _ = tiny_setup(has_generator=has_generator)
    return separate(getattr(setup.networks, name), state.parameters[name])


def gradient(state: TrainState, name: str) -> np.ndarray:
    leaves = jax.tree.leaves(state.optimizer_states[name])
    return np.concatenate([np.ravel(leaf) for leaf in leaves])


def test_a_step_moves_every_network_its_averages_and_the_centres():
    after, metrics = run()
    for name in NETWORKS:
        for old, new in zip(halves(initial(), name), halves(after, name), strict=True):
            assert changed(old, new), name
    assert changed(initial().centres, after.centres)
    assert int(after.step) == 1
    assert all(np.isfinite(value) for value in metrics.values())


def test_the_baseline_moves_its_classifier_alone():
    after, metrics = run(4, has_generator=False, has_global_statistics=False)
    before = initial(4, has_generator=False, has_global_statistics=False)
    assert after.parameters.keys() == {"classifier"}
    for old, new in zip(
        halves(before, "classifier", False), halves(after, "classifier", False), strict=True
    ):
        assert changed(old, new)
    assert metrics.keys() == {
        *("softmax", "accuracy", "classifier", "centre_distance", "centre_similarity")
    }


def test_statistics_of_a_device_are_those_of_its_part():
    setup, before = tiny_setup(has_generator=False)
    after, metrics = run(4, has_generator=False, has_global_statistics=False)
    batch = tiny_batch()
    losses, averages = [], []
    for part in np.split(np.arange(8), 4):
        classifier = network(setup, before.parameters["classifier"], "classifier")
        statistics = batch_statistics(jnp.ones(2), axis_name=None)
        logits = classifier(to_symmetric_range(batch.image[part]), statistics=statistics).logits
        own = jax.nn.log_softmax(logits)[jnp.arange(2), batch.expression_label[part]]
        losses.append(-own.mean())
        averages.append(separate(setup.networks.classifier, tree_of(classifier))[1])
    assert_near(metrics["softmax"], np.mean(losses))
    mean = jax.tree.map(lambda *values: np.mean(values, axis=0), *averages)
    jax.tree.map(assert_near, halves(after, "classifier", False)[1], mean)


@pytest.mark.parametrize(
    ("weights", "moved"),
    [
        ((1, 0, 0, 0, 1), {"discriminator", "generator"}),
        ((0, 1, 0, 0, 1), {"discriminator", "generator"}),
        ((0, 0, 1, 0, 1), {"discriminator", "generator", "classifier"}),
        ((0, 0, 0, 1, 1), {"discriminator", "generator", "classifier"}),
        ((0, 0, 1, 1, 0), {"discriminator", "classifier"}),
        ((0, 0, 0, 0, 1), {"discriminator"}),
    ],
    ids=["cGAN", "L1", "softmax", "island", "classifier apart", "discriminator"],
)
def test_each_loss_reaches_its_networks_and_leaves_all_others_bit_identical(weights, moved):
    after, _ = run(weights=weights)
    for name in NETWORKS:
        assert gradient(after, name).any() == (name in moved), name
        old, new = (halves(state, name)[0] for state in (initial(), after))
        assert changed(old, new) == (name in moved), name


def network(setup: Setup, tree, name: str):
    return nnx.merge(getattr(setup.networks, name), jax.tree.map(jnp.asarray, tree))


class Passes(NamedTuple):
    drawn: jax.Array
    judged: dict[str, jax.Array]  # probabilities of true and drawn pairs, the latter after a step
    answers: dict[str, Classification]
    averages: dict[str, Any]  # after these calls; of the classifier with the drawn or both tuples


@cache
def plain_passes() -> Passes:
    """Each network called for each tuple, with the reference step's discriminator afterwards."""
    setup, before = tiny_setup()
    batch = tiny_batch()
    target = to_symmetric_range(jnp.asarray(batch.average_image))

    @jax.jit
    def passes(parameters, updated_discriminator, image, target):
        statistics = batch_statistics(jnp.ones(8), axis_name=None)
        generator = network(setup, parameters["generator"], "generator")
        drawn = generator(image, statistics, dropout_keys=dropout_keys(batch))
        discriminator = network(setup, parameters["discriminator"], "discriminator")
        judged = {
            "true": discriminator(image, target, statistics),
            "drawn": discriminator(image, drawn, statistics),
        }
        updated = network(setup, updated_discriminator, "discriminator")
        judged["after"] = updated(image, drawn, statistics)
        sees_both, sees_drawn = (
            network(setup, parameters["classifier"], "classifier") for _ in range(2)
        )
        answers = {"true": sees_both(image, target, statistics)}
        answers["drawn"] = sees_both(image, drawn, statistics)
        sees_drawn(image, drawn, statistics)
        averages = {
            "generator": tree_of(generator),
            "discriminator": tree_of(discriminator),
            "both": tree_of(sees_both),
            "drawn": tree_of(sees_drawn),
        }
        return Passes(drawn, jax.tree.map(jax.nn.sigmoid, judged), answers, averages)

    image = to_symmetric_range(jnp.asarray(batch.image))
    after = run()[0].parameters["discriminator"]
    found = jax.device_get(passes(before.parameters, after, image, target))
    averages = {
        name: separate(getattr(setup.networks, name, setup.networks.classifier), tree)[1]
        for name, tree in found.averages.items()
    }
    return found._replace(averages=averages)


def test_the_losses_are_those_of_plain_passes():
    after, metrics = run()
    passes = plain_passes()
    target = to_symmetric_range(jnp.asarray(tiny_batch().average_image))
    absolute_error = np.abs(passes.drawn - target).mean()
    np.testing.assert_allclose(metrics["absolute_error"], absolute_error, rtol=1e-4)
    assert_near(metrics["discriminator_true"], -np.log(passes.judged["true"]).mean())
    assert_near(metrics["discriminator_drawn"], -np.log(1 - passes.judged["drawn"]).mean())
    assert_near(metrics["adversarial"], np.log(1 - passes.judged["after"]).mean())
    labels = tiny_batch().expression_label
    for name, answer in passes.answers.items():
        chosen = jax.nn.log_softmax(answer.logits)[np.arange(8), labels]
        assert_near(metrics[f"{name}_softmax"], -chosen.mean())

    # Running averages move once a step, the classifier's by the drawn tuples alone.
    for name in ("generator", "discriminator"):
        jax.tree.map(assert_near, halves(after, name)[1], passes.averages[name])
    jax.tree.map(assert_near, halves(after, "classifier")[1], passes.averages["drawn"])

    # The first batch's class means over both tuples are the centres.
    features = np.concatenate([answer.feature for answer in passes.answers.values()])
    own = np.tile(labels, 2)
    centres = np.stack([features[own == label].mean(axis=0) for label in range(3)])
    distance = ((features - centres[own]) ** 2).sum(axis=1).mean()
    assert_near(metrics["centre_distance"], distance)
    cosines = [
        centres[i] @ centres[j] / np.linalg.norm(centres[i]) / np.linalg.norm(centres[j])
        for i in range(3)
        for j in range(3)
        if i != j
    ]
    assert_near(metrics["centre_similarity"], sum(cosines) + 6)
    softmax = metrics["true_softmax"] + metrics["drawn_softmax"]
    island = 16 * distance + 0.03 * (sum(cosines) + 6)  # a sum over the images of both tuples
    assert_near(metrics["classifier"], 10 * softmax + island)
    assert_near(metrics["generator"], metrics["adversarial"] + 20 * metrics["absolute_error"])


def assert_near(ours, theirs) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_the_benchmarks_torch_twin_has_the_same_losses(monkeypatch):
    torch = pytest.importorskip("torch", reason="the torch twins need the extra [torch]")
    from benchmarks.torch_ifgan_step import make_torch_step
    from tdgan_jax.families.ifgan.weights import torch_from_ifgan
    from tdgan_jax.torch_weights import resnet_torch
    from tdgan_jax.torch_weights.state_files import to_tensors

    monkeypatch.setitem(resnet_torch.DEPTHS, SHALLOW, ((1, 1, 0, 0), False))
    sizes = tiny_config().model.to_dict() | TINY_SIZES
    training = make_torch_step(sizes, NUM_EXPRESSIONS)
    networks = (training.generator, training.discriminator, training.classifier.resnet)
    weights = torch_from_ifgan(initial().parameters)
    for network, name in zip(networks, NETWORKS, strict=True):
        network.load_state_dict(to_tensors(weights[name]))
    batch = tiny_batch()
    # JAX's mask in the place of a draw of the twin's own.
    kept = per_example_dropout(jnp.ones((8, 8, 8, 4)), dropout_keys(batch), rate=0.5)
    mask = torch.from_numpy(np.asarray(kept).transpose(0, 3, 1, 2).copy())
    training.generator.dropout.register_forward_hook(lambda _, inputs, __: inputs[0] * mask)

    def tensor(images):
        return torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 127.5 - 1

    labels = torch.from_numpy(batch.expression_label).long()
    losses = training.step(tensor(batch.image), tensor(batch.average_image), labels)
    after, metrics = run()
    # The discriminators that judge were updated by other optimisers, by a little each.
    for name in losses.keys() - {"adversarial", "generator"}:
        np.testing.assert_allclose(losses[name], metrics[name], rtol=1e-3, err_msg=name)
    np.testing.assert_allclose(losses["adversarial"], metrics["adversarial"], atol=0.05)
    assert_close(training.centres.numpy(), after.centres, "centres")


def test_the_other_choices_do_what_they_say():
    setup, before = tiny_setup(objective=OTHER_CHOICES, axis_name=None)
    batch = jax.tree.map(jnp.asarray, tiny_batch())
    after, metrics = jax.jit(partial(train_step, setup))(before, batch, dropout_keys(batch))
    passes = plain_passes()
    # By the discriminator of before the step.
    assert_near(metrics["adversarial"], -np.log(passes.judged["drawn"]).mean())
    assert_near(gradient(after, "discriminator"), 0.5 * gradient(run()[0], "discriminator"))
    jax.tree.map(assert_near, halves(after, "classifier")[1], passes.averages["both"])
    difference = passes.answers["drawn"].logits - before.centres[batch.expression_label]
    distance = jnp.square(difference).sum(axis=1).mean()
    assert_near(metrics["centre_distance"], distance)
    softmax = metrics["true_softmax"] + metrics["drawn_softmax"]
    island = distance + 0.03 * metrics["centre_similarity"]
    assert_near(metrics["classifier"], 10 * softmax + island)


def padded_batch() -> Batch:
    return tiny_batch()._replace(weight=np.array([8, 8, 8, 8, 8, 8, 0, 0], np.float32) / 6)


def test_padding_counts_nowhere():
    batch = padded_batch()
    other = batch._replace(
        image=np.concatenate([batch.image[:6], batch.image[:2]]),
        average_image=np.concatenate([batch.average_image[:6], batch.average_image[:2]]),
        expression_label=np.concatenate([batch.expression_label[:6], np.array([1, 1], np.int32)]),
    )
    (state, metrics), (other_state, other_metrics) = run(batch=batch), run(batch=other)
    jax.tree.map(assert_near, metrics, other_metrics)
    for name in NETWORKS:
        assert_close(state.optimizer_states[name], other_state.optimizer_states[name], name)
        jax.tree.map(assert_near, state.parameters[name], other_state.parameters[name])
    assert_close(state.centres, other_state.centres, "centres")


@cache
def trained(num_devices: int, mapping: str) -> list[tuple[TrainState, dict]]:
    """State and metrics after each of five steps, the running averages among the parameters."""
    call, state = compiled(num_devices, mapping=mapping)
    after = []
    for _ in range(5):
        state, metrics = call(padded_batch(), WEIGHTS, state)
        after.append((state, metrics))
    return after


@pytest.mark.parametrize(("num_devices", "mapping"), LAYOUTS)
def test_devices_give_the_raw_gradients_losses_and_averages_of_one(num_devices, mapping):
    ours, expected = trained(num_devices, mapping), trained(1, "shard_map")
    assert_same_training(ours, expected)
    for (state, _), (reference, _) in zip(ours, expected, strict=True):
        assert_close(state.centres, reference.centres, "centres")


def test_evaluation_sees_no_label():
    assert list(inspect.signature(eval_step).parameters) == ["networks", "parameters", "images"]
    setup, state = tiny_setup()
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (5, SIZE_PX, SIZE_PX, 1), dtype=np.uint8)
    labels = np.array([0, 1, 2, 2, 1])
    mesh = make_mesh(jax.devices()[:1])
    step = parallel_eval_step(partial(eval_step, setup.networks), mesh)

    def logits(labels):
        examples = Examples(
            images=images,
            expressions=labels,
            expression_names=("a", "b", "c"),
            identities=np.full(5, -1),
            identity_names=(),
            groups=np.full(5, ""),
            files=np.full(5, ""),
            duplicated_in_train=None,
        )
        parameters = replicate(state.parameters, mesh)
        return predict_answers(
            step, ("classifier",), parameters, examples, batch_size=3, mesh=mesh
        )["classifier"].scores

    np.testing.assert_array_equal(logits(labels), logits(labels[::-1]))


def test_samples_are_in_the_unit_range():
    setup, state = tiny_setup()
    columns = jax.jit(partial(sample_step, setup.networks))(state.parameters, tiny_batch())
    assert columns.keys() == {"input", "generated", "target"}
    np.testing.assert_allclose(columns["target"], tiny_batch().average_image / 255, atol=1e-6)
    assert columns["generated"].min() >= 0 and columns["generated"].max() <= 1


def test_the_learning_rate_falls_with_the_epoch_of_the_batch():
    rate = LearningRate(1e-4, 0.9, 10)
    rates = [float(rate.in_epoch(jnp.int32(epoch))) for epoch in (0, 9, 10, 99)]
    np.testing.assert_allclose(rates, [1e-4, 1e-4, 0.9e-4, 0.9**9 * 1e-4], rtol=1e-5)
    before = halves(initial(), "classifier")[0]
    full, half = (
        halves(run(batch=tiny_batch(epoch=epoch))[0], "classifier")[0] for epoch in (9, 10)
    )
    change = lambda tree: tree["resnet"]["fc"]["kernel"] - before["resnet"]["fc"]["kernel"]  # noqa: E731
    np.testing.assert_allclose(change(half), change(full) / 2, rtol=1e-2, atol=1e-7)


def test_the_optimiser_is_adam_with_the_weight_decay_in_the_gradient():
    generator = np.random.default_rng(0)
    ours = expected = generator.normal(size=5)
    mean = mean_square = np.zeros(5)
    optimizer = make_optimizer(weight_decay=0.1)
    state = optimizer.init(jnp.asarray(ours, jnp.float32))
    for step in range(1, 4):
        slope = generator.normal(size=5)
        change, state = optimizer.update(
            jnp.asarray(slope, jnp.float32), state, jnp.asarray(ours, jnp.float32)
        )
        ours = ours + 1e-2 * np.asarray(change)
        # As PyTorch's documentation of Adam writes it.
        slope = slope + 0.1 * expected
        mean = 0.9 * mean + 0.1 * slope
        mean_square = 0.99 * mean_square + 0.01 * slope**2
        root = np.sqrt(mean_square / (1 - 0.99**step))
        expected = expected - 1e-2 * mean / (1 - 0.9**step) / (root + 1e-8)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def tiny_config() -> ConfigDict:
    config = load_config("configs/ifgan_synthetic.py:tiny", ["model.generator_dropout_rate=0.5"])
    config.model.classifier_depth = SHALLOW
    return config


def test_the_family_fits_the_loop():
    family = ifgan_training(tiny_config(), Names((), tuple("abcdefgh"[:NUM_EXPRESSIONS])))
    assert family.recognisers == ("classifier",)
    assert hash(family.updates_due(0, 0)) == hash(family.updates_due(7, 3))
    state = jax.eval_shape(family.init_state, jax.random.key(0))
    assert state.centres.shape == (NUM_EXPRESSIONS, 8)
    mesh = make_mesh(jax.devices()[:2])
    step = parallel_train_step(partial(family.train_step, ()), mesh, mapping="shard_map")
    after, metrics = jax.eval_shape(step, state, tiny_batch(), jax.eval_shape(jax.random.key, 0))
    same = jax.tree.map(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), state, after)
    assert jax.tree.all(same)
    assert {value.shape for value in metrics.values()} == {()}
    samples = jax.eval_shape(
        family.sample_step, state.parameters, tiny_batch(), jax.eval_shape(jax.random.key, 0)
    )
    assert samples.keys() == set(family.sample_columns)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("loss.adversarial_form", "wgan", "known: printed, non_saturating"),
        ("loss.island_reduction", "max", "known: sum, mean"),
        ("parallel.batch_statistics", "none", "known: global, device"),
        ("optimizer.learning_rate_decay_epochs", 0, "must be at least 1"),
        ("model.image_size_px", 18, "multiple of 4"),
    ],
)
def test_impossible_values_are_refused(field, value, message):
    config = tiny_config()
    section, name = field.split(".")
    config[section][name] = value
    with pytest.raises(UsageError, match=message):
        ifgan_training(config, Names((), tuple("abcdefgh"[:NUM_EXPRESSIONS])))
