"""Running averages of weights and of what batch norms remember."""

import jax
import jax.numpy as jnp
import numpy as np

from tdgan_jax.steps.averages import first_averages, moved_averages


def test_early_averages_forget_their_beginning_and_late_ones_have_the_decay():
    weights = {"w": jnp.ones(1)}
    start = {"w": jnp.zeros(1)}
    for num_steps, decay in ((1, 2 / 11), (8, 0.5), (100, 0.9), (10**6, 0.9)):
        moved = moved_averages(start, weights, decay=0.9, num_steps=num_steps)
        np.testing.assert_allclose(moved["w"], 1 - decay, rtol=1e-6)


def test_running_statistics_are_averaged_and_counts_are_not():
    weights = {"norm": {"scale": jnp.full(2, 3.0), "mean": jnp.full(2, 4.0), "count": jnp.int32(7)}}
    start = {"norm": {"scale": jnp.full(2, 1.0), "mean": jnp.zeros(2), "count": jnp.int32(0)}}
    step = jax.jit(lambda count: moved_averages(start, weights, decay=0.75, num_steps=count))
    moved = step(1000)["norm"]
    np.testing.assert_allclose(moved["scale"], 1.5)
    np.testing.assert_allclose(moved["mean"], 1.0)
    assert moved["count"] == 7 and moved["count"].dtype == jnp.int32


def test_the_first_averages_survive_the_donation_of_the_weights():
    weights = {"w": jnp.arange(3.0)}
    averages = first_averages(weights)
    jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)(weights)
    np.testing.assert_array_equal(averages["w"], [0, 1, 2])
