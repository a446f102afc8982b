"""Learning rates against PyTorch's schedulers, and as functions of traced lengths."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from tdgan_jax.errors import UsageError
from tdgan_jax.steps.schedules import Schedule, check_schedule, learning_rate_at

STEPS_PER_EPOCH, EPOCHS = 5, 8
NUM_STEPS = STEPS_PER_EPOCH * EPOCHS


def ours(schedule: Schedule, num_steps: int = NUM_STEPS) -> np.ndarray:
    at = partial(learning_rate_at, schedule, steps_per_epoch=STEPS_PER_EPOCH, epochs=EPOCHS)
    return np.asarray(jax.vmap(at)(jnp.arange(num_steps)))


def theirs(make, num_steps: int = NUM_STEPS, *, rate: float = 0.1) -> np.ndarray:
    """A scheduler that is stepped after every update."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], rate)
    scheduler = make(optimizer)
    rates = []
    for _ in range(num_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(rates)


def test_a_constant_rate():
    np.testing.assert_allclose(ours(Schedule(learning_rate=0.3)), 0.3, rtol=1e-6)


def test_steps_are_those_of_steplr_by_epochs():
    by_epoch = theirs(lambda optimizer: lr_scheduler.StepLR(optimizer, 3, 0.5), EPOCHS)
    schedule = Schedule("step", 0.1, decay=0.5, decay_epochs=3)
    np.testing.assert_allclose(ours(schedule), np.repeat(by_epoch, STEPS_PER_EPOCH), rtol=1e-5)


def test_the_cosine_is_cosineannealinglr():
    expected = theirs(lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, NUM_STEPS, 0.002))
    np.testing.assert_allclose(ours(Schedule("cosine", 0.1, final_part=0.02)), expected, rtol=1e-5)


@pytest.mark.parametrize("rise", [0.3, 0.1])
def test_one_cycle_is_onecyclelr(rise):
    # The scheduler refuses to be stepped once more than the cycle has steps.
    expected = theirs(
        lambda optimizer: lr_scheduler.OneCycleLR(
            optimizer, 0.1, total_steps=NUM_STEPS, pct_start=rise, cycle_momentum=False
        ),
        NUM_STEPS - 1,
    )
    found = ours(Schedule("one_cycle", 0.1, rise=rise))
    np.testing.assert_allclose(found[:-1], expected, rtol=1e-5)
    np.testing.assert_allclose(found[-1], 0.1 / 25 / 1e4, rtol=1e-4)


def test_one_cycle_without_a_rise_begins_at_the_top():
    rates = ours(Schedule("one_cycle", 0.1, rise=0.0))
    assert rates[0] == np.float32(0.1) and (np.diff(rates) < 0).all()


def test_the_warm_up_is_linearlr_and_what_follows_it():
    warmup = 2 * STEPS_PER_EPOCH

    def with_cosine(optimizer):
        parts = [
            lr_scheduler.LinearLR(optimizer, 0.25, total_iters=warmup),
            lr_scheduler.CosineAnnealingLR(optimizer, NUM_STEPS - warmup),
        ]
        return lr_scheduler.SequentialLR(optimizer, parts, [warmup])

    schedule = Schedule("cosine", 0.1, warmup_epochs=2.0, warmup_start=0.25)
    np.testing.assert_allclose(ours(schedule), theirs(with_cosine), rtol=1e-5, atol=1e-9)
    # The steps are counted from the first epoch on.
    stepped = ours(Schedule("step", 0.1, warmup_epochs=1.0, warmup_start=0.0, decay_epochs=4))
    np.testing.assert_allclose(stepped[:7], 0.1 * np.array([0, 0.2, 0.4, 0.6, 0.8, 1, 1]))
    np.testing.assert_allclose(stepped[[19, 20]], [0.1, 0.01], rtol=1e-6)


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(),
        Schedule("step", 0.1, decay_epochs=3),
        Schedule("cosine", 0.1, warmup_epochs=0.5),
        Schedule("one_cycle", 0.1),
    ],
)
def test_lengths_may_be_traced_and_nothing_moves_after_the_end(schedule):
    traced = jax.jit(
        lambda step, steps_per_epoch, epochs: learning_rate_at(
            schedule, step, steps_per_epoch=steps_per_epoch, epochs=epochs
        )
    )
    found = np.array([traced(step, STEPS_PER_EPOCH, EPOCHS) for step in range(NUM_STEPS + 9)])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:NUM_STEPS], ours(schedule), rtol=1e-6)
    assert len(set(found[NUM_STEPS:])) == 1
    assert found[NUM_STEPS] == pytest.approx(found[NUM_STEPS - 1], abs=1e-3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "cosin"}, "schedule.kind is 'cosin'; did you mean 'cosine'"),
        ({"learning_rate": -0.1}, "schedule.learning_rate must be 0 or more, got -0.1"),
        ({"decay": 1.5}, r"schedule.decay must be in \[0, 1\], got 1.5"),
        ({"decay_epochs": 0}, "schedule.decay_epochs must be 1 or more, got 0"),
        ({"rise": float("nan")}, r"schedule.rise must be in \[0, 1\]"),
        ({"kind": "one_cycle", "warmup_epochs": 1.0}, "schedule.warmup_epochs must be 0"),
    ],
)
def test_schedules_out_of_range_are_refused(fields, message):
    with pytest.raises(UsageError, match=message):
        check_schedule(Schedule(**fields))
