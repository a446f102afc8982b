import jax.numpy as jnp
import numpy as np

from tdgan_jax.families.compiled import Definition, compiled


class Network:
    """Counts how often its hash is computed."""

    def __init__(self, factor):
        self.factor = factor
        self.hashed = 0

    def __hash__(self):
        self.hashed += 1
        return hash(self.factor)

    def __eq__(self, other):
        return self.factor == other.factor


def test_models_of_one_architecture_share_a_program_and_are_hashed_once():
    traced = []

    @compiled
    def scale(network, images):
        traced.append(network.factor)
        return images * network.factor

    first, second, other = (Network(factor) for factor in (2, 2, 3))
    definitions = [Definition(network) for network in (first, second, other)]
    for definition in definitions * 2:
        scaled = scale(definition, jnp.ones(4))
        np.testing.assert_array_equal(scaled, np.full(4, definition.value.factor))
    assert traced == [2, 3]
    assert first.hashed == second.hashed == other.hashed == 1
    assert definitions[0] == definitions[1] != definitions[2]
