"""The training step: beside PyTorch's own, on several devices, and what it must not move."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tdgan_jax.data.image_feed import ImageBatch, one_hot
from tdgan_jax.families.emotion_gcn.step import (
    Objective,
    Setup,
    TrainState,
    eval_step,
    init_state,
    train_step,
)
from tdgan_jax.families.emotion_gcn.weights import torch_from_emotion_gcn
from tdgan_jax.networks.normalisation import Normalisation
from tdgan_jax.steps.learning import scheduled_rate
from tdgan_jax.steps.optimisers import OptimizerSettings, make_optimizer
from tdgan_jax.steps.parallel import make_mesh, parallel_train_step, replicate, shard_batch
from tdgan_jax.steps.schedules import Schedule
from tests import golden_emotion_gcn as golden
from tests.families.emotion_gcn.emotion_networks import (
    NUM_EXPRESSIONS,
    SMALL,
    Model,
    filled_model,
    filled_twin,
    nchw,
    small_word_vectors,
)
from tests.families.emotion_gcn.golden_training import twin_concordance_loss

SGD = {"momentum": 0.9, "weight_decay": 0.1}
RATE = 0.01
LABELS = np.array(golden.LABELS, np.int32)
BREGNEXT = ("emotion_gcn", "bregnext")  # with a head that nothing asks


@cache
def model_of(heads: str, backbone: str) -> Model:
    return filled_model(heads=heads, backbone=backbone, **SMALL)


def batch() -> ImageBatch:
    size = SMALL["image_size_px"]
    images = np.random.default_rng(3).uniform(0, 1, (4, size, size, 3)).astype(np.float32)
    return ImageBatch(
        image=images,
        expression_label=LABELS.copy(),
        target=one_hot(LABELS, NUM_EXPRESSIONS),
        affect=golden.affect(),
        weight=np.ones(4, np.float32),
        position=np.arange(4, dtype=np.int32),
        epoch=np.zeros(4, np.int32),
        steps_per_epoch=np.ones(4, np.int32),
    )


def setup_of(model: Model, *, axis_name: str | None = None) -> Setup:
    optimizer = make_optimizer(
        OptimizerSettings(kind="sgd", **SGD), scheduled_rate(Schedule(learning_rate=RATE), epochs=9)
    )
    return Setup(model.definitions, Objective(), optimizer, axis_name=axis_name)


def first_state(setup: Setup, model: Model, heads: str) -> TrainState:
    parameters = {"network": model.parameters}
    if heads == "emotion_gcn":
        parameters["word_vectors"] = {"vectors": small_word_vectors()}
    state = init_state(setup, parameters, num_classes=NUM_EXPRESSIONS)
    state = state._replace(class_weights=golden.CLASS_WEIGHTS.astype(np.float32))
    return jax.tree.map(jnp.asarray, state)


@cache
def after_steps(heads: str, backbone: str, num_steps: int):
    setup = setup_of(model_of(heads, backbone))
    state = first_state(setup, model_of(heads, backbone), heads)
    step = jax.jit(lambda state, batch: train_step(setup, state, batch))
    metrics = []
    for _ in range(num_steps):
        state, found = step(state, jax.tree.map(jnp.asarray, batch()))
        metrics.append({name: float(value) for name, value in found.items()})
    return state, metrics


@pytest.mark.parametrize(
    ("heads", "backbone"), [BREGNEXT, ("emotion_gcn", "densenet"), ("multi_task", "bregnext")]
)
def test_two_steps_are_those_of_pytorch(heads, backbone):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    state, metrics = after_steps(heads, backbone, 2)
    network = filled_twin(model_of(heads, backbone).state_dict, heads, backbone, **SMALL).train()
    optimizer = torch.optim.SGD(network.parameters(), RATE, **SGD)
    images = torch.tensor(nchw(batch().image))
    labels, weights = torch.tensor(LABELS).long(), torch.tensor(golden.CLASS_WEIGHTS).float()
    words = (torch.tensor(small_word_vectors()),) if heads == "emotion_gcn" else ()
    for found in metrics:
        logits, affect = network(images, *words)
        categorical = torch.nn.functional.cross_entropy(logits, labels, weights)
        continuous = twin_concordance_loss(affect.double(), torch.tensor(golden.affect()).double())
        losses = [found["categorical"], found["continuous"]]
        assert losses == pytest.approx([categorical.item(), continuous.item()], rel=1e-4)
        optimizer.zero_grad()
        (categorical + continuous).backward()
        optimizer.step()
    ours = torch_from_emotion_gcn({"network": state.parameters["network"]})["network"]
    for key, value in network.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            np.testing.assert_allclose(ours[key], value, rtol=1e-3, atol=2e-5, err_msg=key)


def test_what_gets_no_gradient_stays_to_the_bit():
    state, _ = after_steps(*BREGNEXT, 2)
    model = model_of(*BREGNEXT)
    before, after = model.parameters, state.parameters["network"]
    np.testing.assert_array_equal(after["graph"]["adjacency"], before["graph"]["adjacency"])
    for name, value in before["unused_head"].items():
        np.testing.assert_array_equal(after["unused_head"][name], value)
    np.testing.assert_array_equal(state.parameters["word_vectors"]["vectors"], small_word_vectors())
    # While everything that has one moves.
    for name in ("gc1", "gc2"):
        assert not np.allclose(after["graph"][name]["kernel"], before["graph"][name]["kernel"])
    means = [tree["backbone"]["norm"]["mean"] for tree in (before, after)]
    assert not np.allclose(*means)


@pytest.mark.parametrize("num_devices", [2, 4])
def test_several_devices_give_the_steps_of_one(num_devices):
    expected, expected_metrics = after_steps(*BREGNEXT, 2)
    model = model_of(*BREGNEXT)
    setup = setup_of(model, axis_name="batch")
    mesh = make_mesh(jax.devices()[:num_devices])
    step = parallel_train_step(
        lambda state, batch, key: train_step(setup, state, batch), mesh, mapping="shard_map"
    )
    state = replicate(jax.tree.map(np.array, first_state(setup, model, "emotion_gcn")), mesh)
    key = replicate(jax.random.key(0), mesh)
    for found in expected_metrics:
        state, metrics = step(state, shard_batch(batch(), mesh), key)
        assert {n: float(v) for n, v in metrics.items()} == pytest.approx(found, rel=1e-4)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=2e-5), state, expected
    )


def test_an_example_without_a_label_teaches_the_other_one():
    model = model_of(*BREGNEXT)
    setup = setup_of(model)
    state = first_state(setup, model, "emotion_gcn")
    changed = batch()
    changed.target[0], changed.expression_label[0] = 0, -1
    changed.affect[1] = np.nan
    _, metrics = jax.jit(lambda *given: train_step(setup, *given))(state, changed)
    _, (both, *_) = after_steps(*BREGNEXT, 1)
    assert all(np.isfinite(value) for value in metrics.values())
    assert float(metrics["categorical"]) != both["categorical"]
    assert float(metrics["continuous"]) != both["continuous"]


def test_a_single_task_learns_and_answers_no_affect():
    _, (metrics,) = after_steps("single_task", "densenet", 1)
    assert set(metrics) == {"categorical", "categorical_accuracy"}
    model = model_of("single_task", "densenet")
    answers = eval_step(
        model.definitions, Normalisation(), {"network": model.parameters}, batch().image
    )["emotion_recogniser"]
    assert answers.affect is None and answers.scores.shape == (4, NUM_EXPRESSIONS)
