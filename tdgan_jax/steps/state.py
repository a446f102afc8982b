"""Networks as definitions and trees, and what the steps of all systems do with them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax import nnx

Parameters = Any
Metrics = dict[str, jax.Array]
Definitions = TypeVar("Definitions")


class Answers(NamedTuple):
    """What a recogniser says of N images, as arrays of jax or numpy.

    Attributes:
        scores: float32 `[N, C]`; the largest one is the answer, the first of equal ones.
        probabilities: float32 `[N, C]`; None: the softmax of the scores.
        affect: float32 `[N, 2]`, valence and arousal; None where they are not known.
    """

    scores: Any
    probabilities: Any = None
    affect: Any = None


class TrainState(NamedTuple):
    """Everything that training changes.

    Attributes:
        parameters: Network name to parameter tree.
        optimizer_states: Network name to state of its own optimiser.
        step: int32 scalar, steps done since the start.
    """

    parameters: dict[str, Parameters]
    optimizer_states: dict[str, optax.OptState]
    step: jax.Array


def split(
    networks: Any, definitions: Callable[..., Definitions]
) -> tuple[Definitions, dict[str, Parameters]]:
    """Separates networks into definitions (hashable) and trees by network name.

    Args:
        networks: A named tuple of networks; None for one that a model lacks.
        definitions: The named tuple of their definitions, with the same fields.
    """
    parts: dict[str, Any] = {name: None for name in networks._fields}
    trees = {}
    for name, network in networks._asdict().items():
        if network is not None:
            parts[name], state = nnx.split(network)
            trees[name] = nnx.to_pure_dict(state)
    return definitions(**parts), trees


def init_state(
    parameters: dict[str, Parameters], optimizers: Mapping[str, optax.GradientTransformation]
) -> TrainState:
    """State at step 0."""
    states = {name: optimizers[name].init(tree) for name, tree in parameters.items()}
    return TrainState(parameters, states, jnp.zeros((), jnp.int32))


def quickly_compiled_key(key: jax.Array) -> jax.Array:
    """A key for XLA's own random generator, made from one for the usual generator.

    The usual one is compiled anew for each of the hundred kernels of a residual network: 34 seconds
    instead of 10 for 18 layers on a CPU core.
    """
    return jax.random.wrap_key_data(jnp.tile(jax.random.key_data(key), 2), impl="rbg")


def average_over_devices(tree: Any, axis_name: str | None) -> Any:
    """Mean over a mapped axis, if there is one."""
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def separate(definition: nnx.GraphDef, tree: Parameters) -> tuple[Parameters, Parameters]:
    """Divides a network's tree into what is trained and the rest: running averages, constants."""
    _, weights, averages = nnx.split(nnx.merge(definition, tree), nnx.Param, ...)
    return nnx.to_pure_dict(weights), nnx.to_pure_dict(averages)


def together(definition: nnx.GraphDef, weights: Parameters, averages: Parameters) -> Parameters:
    """One tree of weights and the rest, the inverse of `separate`."""
    _, tree = nnx.split(nnx.merge(definition, weights, averages))
    return nnx.to_pure_dict(tree)


def running_averages(network: nnx.Module) -> Parameters:
    """The running averages of a network's batch norms, and its constants, as they stand now."""
    return nnx.to_pure_dict(nnx.state(network, nnx.Not(nnx.Param)))
