"""Optimisers against PyTorch's, over several steps, and which parameters they leave alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from tdgan_jax.errors import UsageError
from tdgan_jax.steps.optimisers import (
    OptimizerSettings,
    adam_of_networks,
    check_optimizer,
    clipped,
    make_optimizer,
    parameter_paths,
)
from tdgan_jax.steps.schedules import Schedule, learning_rate_at

SHAPES = {"base": {"kernel": (3, 4), "bias": (4,)}, "branches": {1: (4, 2), 10: (4, 2)}}
NUM_STEPS = 6
# Adam's correction of its mean square is exact to 1e-5 of a change: in float32, 1 - 0.999 is. With
# changes of this size the weights agree beyond that.
RATE = 0.01


def is_shape(value) -> bool:
    return isinstance(value, tuple)


def random_tree(seed: int, scale: float = 1.0):
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda shape: (scale * random.normal(size=shape)).astype(np.float32),
        SHAPES,
        is_leaf=is_shape,
    )


def constant(step):
    return RATE


def run(settings, learning_rate=constant, gradients=None, weights=None, **keywords):
    """Weights after some steps, and the optimiser's state."""
    optimizer = make_optimizer(settings, learning_rate)
    weights = random_tree(0) if weights is None else weights
    state = optimizer.init(weights)

    @jax.jit
    def step(weights, state, gradient):
        change, state = optimizer.update(gradient, state, weights, **keywords)
        return optax.apply_updates(weights, change), state

    for index in range(NUM_STEPS):
        gradient = random_tree(index + 1) if gradients is None else gradients[index]
        weights, state = step(weights, state, gradient)
    return weights, state


def run_torch(make, *, max_norm: float | None = None, schedule=None, without_gradient=()):
    """The same steps with a torch optimiser made from a list of (path, parameter)."""
    paths, tree = (
        jax.tree.leaves(parameter_paths(random_tree(0))),
        jax.tree.structure(SHAPES, is_shape),
    )
    named = [
        (path, torch.nn.Parameter(torch.from_numpy(leaf.copy())))
        for path, leaf in zip(paths, jax.tree.leaves(random_tree(0)), strict=True)
    ]
    optimizer = make(named)
    scheduler = schedule(optimizer) if schedule else None
    for index in range(NUM_STEPS):
        for (path, parameter), leaf in zip(
            named, jax.tree.leaves(random_tree(index + 1)), strict=True
        ):
            parameter.grad = None if path in without_gradient else torch.from_numpy(leaf.copy())
        if max_norm is not None:
            torch.nn.utils.clip_grad_norm_([parameter for _, parameter in named], max_norm)
        optimizer.step()
        if scheduler:
            scheduler.step()
    return jax.tree.unflatten(tree, [parameter.detach().numpy() for _, parameter in named])


def assert_close(ours, theirs) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), ours, theirs)


def parameters(named):
    return [parameter for _, parameter in named]


MOMENTUM = {"momentum": 0.9}
NESTEROV = MOMENTUM | {"nesterov": True}
DECAY = {"weight_decay": 0.01}


@pytest.mark.parametrize(
    "options", [{}, DECAY, MOMENTUM, MOMENTUM | DECAY, NESTEROV, NESTEROV | DECAY]
)
def test_sgd_is_pytorchs(options):
    ours, _ = run(OptimizerSettings(kind="sgd", **options))
    assert_close(ours, run_torch(lambda named: torch.optim.SGD(parameters(named), RATE, **options)))


@pytest.mark.parametrize("beta2", [0.999, 0.99])
@pytest.mark.parametrize("decay", [0.0, 0.05])
@pytest.mark.parametrize(
    ("kind", "theirs"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_adam_and_adamw_are_pytorchs(kind, theirs, decay, beta2):
    ours, _ = run(OptimizerSettings(kind=kind, beta2=beta2, weight_decay=decay))
    options = {"betas": (0.9, beta2), "weight_decay": decay}
    assert_close(ours, run_torch(lambda named: theirs(parameters(named), RATE, **options)))


@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clipping_comes_before_the_weight_decay_as_in_pytorch(max_norm):
    ours, _ = run(OptimizerSettings(kind="sgd", weight_decay=0.1, clip_norm=max_norm))
    expected = run_torch(
        lambda named: torch.optim.SGD(parameters(named), RATE, weight_decay=0.1), max_norm=max_norm
    )
    assert_close(ours, expected)
    norm = optax.tree.norm(clipped(random_tree(1), 0.5))
    assert norm == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_groups_have_learning_rates_and_decays_of_their_own(kind):
    theirs = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]
    factors = {"base/kernel": 0.1, "base/bias": 0.2, "branches/1": 1.0, "branches/10": 0.5}

    def grouped(named):
        groups = [
            {
                "params": [parameter],
                "lr": RATE * factors[path],
                "weight_decay": 0.1 if path in ("base/kernel", "branches/1") else 0.0,
            }
            for path, parameter in named
        ]
        return theirs(groups)

    settings = OptimizerSettings(
        kind=kind,
        weight_decay=0.1,
        decays_vectors=False,
        undecayed=("branches/10",),
        learning_rate_factors={"base": 0.1, "base/bias": 0.2, "branches/10": 0.5},
    )
    assert_close(run(settings)[0], run_torch(grouped))
    pairs = settings._replace(learning_rate_factors=tuple(settings.learning_rate_factors.items()))
    assert hash(pairs)
    assert_close(run(pairs)[0], run_torch(grouped))


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_frozen_parameters_do_not_move_and_do_not_count_in_the_norm(kind):
    theirs = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]
    settings = OptimizerSettings(
        kind=kind, weight_decay=0.1, clip_norm=1.0, frozen=("base", "branches/1")
    )
    ours, state = run(settings)
    expected = run_torch(
        lambda named: theirs(parameters(named), RATE, weight_decay=0.1),
        max_norm=1.0,
        without_gradient=("base/kernel", "base/bias", "branches/1"),
    )
    assert_close(ours, expected)
    before = random_tree(0)
    jax.tree.map(np.testing.assert_array_equal, ours["base"], before["base"])
    np.testing.assert_array_equal(ours["branches"][1], before["branches"][1])
    assert not np.array_equal(ours["branches"][10], before["branches"][10])
    # Other settings of a stage leave the structure of the state as it is.
    _, free = run(OptimizerSettings(kind=kind))
    assert jax.tree.structure(state) == jax.tree.structure(free)


def test_frozen_parameters_stay_in_spite_of_a_momentum_and_of_gradients_that_are_not_numbers():
    free = OptimizerSettings(kind="sgd", momentum=0.9)
    weights, state = run(free)
    optimizer = make_optimizer(free._replace(frozen=("base",)), constant)
    gradient = random_tree(1) | {"base": jax.tree.map(lambda x: x * np.nan, random_tree(1)["base"])}
    change, _ = optimizer.update(gradient, state, weights)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(change["base"]))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(change))


SCHEDULES = {
    "step": (
        Schedule("step", 0.1, decay=0.5, decay_epochs=2),
        lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.5),
    ),
    "cosine": (
        Schedule("cosine", 0.1, final_part=0.01),
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6, 0.001),
    ),
    "one_cycle": (
        Schedule("one_cycle", 0.1),
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 0.1, total_steps=7, cycle_momentum=False
        ),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_steps_under_a_schedule_are_pytorchs(name):
    schedule, theirs = SCHEDULES[name]
    steps_per_epoch, epochs = {"one_cycle": (7, 1)}.get(name, (2, 3))

    def learning_rate(step):
        return learning_rate_at(schedule, step, steps_per_epoch=steps_per_epoch, epochs=epochs)

    ours, state = run(OptimizerSettings(kind="sgd", momentum=0.9), learning_rate)
    assert state.step == NUM_STEPS
    expected = run_torch(
        lambda named: torch.optim.SGD(parameters(named), 0.1, momentum=0.9), schedule=theirs
    )
    assert_close(ours, expected)


def test_a_rate_may_depend_on_what_the_update_is_given():
    settings = OptimizerSettings(kind="sgd")
    handed_in, _ = run(settings, lambda step, *, epoch: RATE * 0.5**epoch, epoch=1)
    expected, _ = run(settings, lambda step: RATE / 2)
    assert_close(handed_in, expected)


def test_a_resumed_run_goes_on_bit_for_bit():
    def learning_rate(step):
        return learning_rate_at(Schedule("cosine"), step, steps_per_epoch=3, epochs=4)

    optimizer = make_optimizer(OptimizerSettings("adamw", weight_decay=0.1), learning_rate)
    step = jax.jit(optimizer.update)
    weights, state = random_tree(0), optimizer.init(random_tree(0))
    stored = None
    for index in range(6):
        if index == 3:
            stored = jax.tree.map(np.asarray, (weights, state))
        change, state = step(random_tree(index + 1), state, weights)
        weights = optax.apply_updates(weights, change)
    assert stored is not None
    again, state = jax.tree.map(jnp.asarray, stored)
    for index in range(3, 6):
        change, state = step(random_tree(index + 1), state, again)
        again = optax.apply_updates(again, change)
    jax.tree.map(np.testing.assert_array_equal, again, weights)


def test_a_path_without_parameters_is_refused_with_the_nearest():
    for settings, nearest in (
        (OptimizerSettings(frozen=("bass",)), "base"),
        (OptimizerSettings(undecayed=("branches/2",)), "branches/1"),
        (OptimizerSettings(learning_rate_factors={"base/kernels": 2.0}), "base/kernel"),
    ):
        with pytest.raises(UsageError, match=f"did you mean '{nearest}'"):
            make_optimizer(settings, constant).init(random_tree(0))
    # A path ends at a name's end.
    ours, _ = run(OptimizerSettings(frozen=("branches/1",)))
    assert not np.array_equal(ours["branches"][10], random_tree(0)["branches"][10])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"kind": "adm"},
            r"optimizer.kind is 'adm'; did you mean 'adam'\? Known: adam, adamw, sgd",
        ),
        ({"momentum": 1.0}, r"optimizer.momentum must be in \[0, 1\), got 1.0"),
        ({"beta2": -0.1}, r"optimizer.beta2 must be in \[0, 1\), got -0.1"),
        ({"epsilon": 0.0}, "optimizer.epsilon must be above 0"),
        ({"weight_decay": -1e-4}, "optimizer.weight_decay must be 0 or more"),
        ({"clip_norm": float("nan")}, "optimizer.clip_norm must be 0 or more"),
        ({"kind": "sgd", "nesterov": True}, "optimizer.nesterov needs optimizer.momentum"),
        ({"learning_rate_factors": {"base": -1.0}}, "that of 'base' must be 0 or more"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        check_optimizer(OptimizerSettings(**settings))


def test_adam_of_networks_has_the_state_that_stored_runs_hold():
    optimizers = adam_of_networks({"head": 0.1, "decoder": 0.0})
    weights = random_tree(0)
    expected = jax.tree.structure(optax.adam(0.1).init(weights))
    assert jax.tree.structure(optimizers["head"].init(weights)) == expected
    assert not jax.tree.leaves(optimizers["decoder"].init(weights))
