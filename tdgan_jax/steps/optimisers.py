"""Optimisers with PyTorch's conventions, made from settings as optax transformations.

The weight decay of `sgd` and `adam` is added to the gradient, after the clipping; that of `adamw`
shrinks the weights by the learning rate times it. The momentum has no dampening, and the learning
rate stands outside of it. Parameters are named by paths of their tree, `branches/0/conv1`; a path
names everything below it.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from tdgan_jax.errors import UsageError, unknown_name

KINDS = ("adam", "adamw", "sgd")
# Added to the norm of the gradient where it is clipped, as PyTorch does.
CLIP_EPSILON = 1e-6

Tree = Any


class OptimizerSettings(NamedTuple):
    """What an optimiser does; the defaults are PyTorch's Adam.

    Attributes:
        kind: One of `KINDS`.
        momentum: Of `sgd`: part of the old direction in the new one; 0: none.
        nesterov: Of `sgd`: looks ahead by the momentum (Nesterov).
        beta1: Of `adam` and `adamw`: decay of the mean.
        beta2: Of `adam` and `adamw`: decay of the mean square.
        epsilon: Of `adam` and `adamw`: added to the root of the mean square.
        weight_decay: See the module.
        decays_vectors: Whether parameters of one dimension decay too: biases, scales of norms.
        undecayed: Paths whose parameters do not decay.
        clip_norm: Largest norm of the whole gradient; 0: any.
        learning_rate_factors: Path to factor of the learning rate, a mapping or pairs; the longest
            path counts, 1 where none fits.
        frozen: Paths whose parameters never move, by decay neither. Their gradient does not count
            in the norm, as if PyTorch had not computed it.
    """

    kind: str = "adam"
    momentum: float = 0.0
    nesterov: bool = False
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decays_vectors: bool = True
    undecayed: tuple[str, ...] = ()
    clip_norm: float = 0.0
    learning_rate_factors: Mapping[str, float] | tuple[tuple[str, float], ...] = ()
    frozen: tuple[str, ...] = ()


class OptimizerState(NamedTuple):
    """What an optimiser remembers; the same structure for all settings of a kind.

    So a stage of a training may change factors, decay and what is frozen, and checkpoints fit.

    Attributes:
        step: int32 scalar, updates done.
        moments: Of all parameters, frozen ones too.
    """

    step: jax.Array
    moments: optax.OptState


def check_optimizer(settings: OptimizerSettings, field: str = "optimizer") -> None:
    """Refuses settings that are out of range.

    Args:
        settings: From a configuration.
        field: Name of the configuration's section.

    Raises:
        UsageError: Names the field.
    """
    if settings.kind not in KINDS:
        raise unknown_name(f"{field}.kind", settings.kind, KINDS)
    for name in ("momentum", "beta1", "beta2"):
        if not 0 <= (value := getattr(settings, name)) < 1:
            raise UsageError(f"{field}.{name} must be in [0, 1), got {value}")
    if settings.nesterov and not settings.momentum:
        raise UsageError(f"{field}.nesterov needs {field}.momentum above 0")
    if not 0 < settings.epsilon < math.inf:
        raise UsageError(f"{field}.epsilon must be above 0, got {settings.epsilon}")
    for name in ("weight_decay", "clip_norm"):
        if not 0 <= (value := getattr(settings, name)) < math.inf:
            raise UsageError(f"{field}.{name} must be 0 or more, got {value}")
    for path, factor in dict(settings.learning_rate_factors).items():
        if not 0 <= factor < math.inf:
            raise UsageError(
                f"{field}.learning_rate_factors: that of {path!r} must be 0 or more, got {factor}"
            )


def make_optimizer(
    settings: OptimizerSettings, learning_rate: Callable[..., jax.Array | float]
) -> optax.GradientTransformationExtraArgs:
    """An optimiser as settings say.

    Args:
        settings: See `OptimizerSettings`.
        learning_rate: Gives the rate for the number of updates done, which the state holds, and for
            whatever the caller of `update` adds by keyword.

    Returns:
        The transformation. `init(weights)` raises a `UsageError` for a path without a parameter.
        `update(gradient, state, weights, **keywords)` gives the changes and the new state; the
        gradient is that of the whole batch.

    Raises:
        UsageError: If a setting is out of range.
    """
    check_optimizer(settings)
    direction = _direction(settings)

    def init(weights: Tree) -> OptimizerState:
        _check_paths(settings, weights)
        return OptimizerState(jnp.zeros((), jnp.int32), direction.init(weights))

    def update(
        gradient: Tree, state: OptimizerState, weights: Tree | None = None, **keywords: Any
    ) -> tuple[Tree, OptimizerState]:
        if weights is None:
            raise ValueError("the optimiser needs the weights")
        paths = parameter_paths(weights)
        moves = jax.tree.map(lambda path: not _is_named(path, settings.frozen), paths)
        decay = jax.tree.map(lambda *leaf: _weight_decay(settings, *leaf), paths, weights, moves)
        gradient = jax.tree.map(_where_moving, gradient, moves)
        if settings.clip_norm:
            gradient = clipped(gradient, settings.clip_norm)
        if settings.kind != "adamw":
            gradient = jax.tree.map(_decayed, gradient, weights, decay)
        change, moments = direction.update(gradient, state.moments, weights)
        if settings.kind == "adamw":
            change = jax.tree.map(_decayed, change, weights, decay)
        rate = learning_rate(state.step, **keywords)
        factors = jax.tree.map(lambda path: _factor(settings, path), paths)
        change = jax.tree.map(
            lambda value, factor, moving: _where_moving(-(rate * factor) * value, moving),
            change,
            factors,
            moves,
        )
        return change, OptimizerState(state.step + 1, moments)

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]


def clipped(gradient: Tree, largest_norm: float) -> Tree:
    """The gradient, shortened so that its norm over all leaves is at most `largest_norm`."""
    norm = optax.tree.norm(gradient)
    factor = jnp.minimum(1.0, largest_norm / (norm + CLIP_EPSILON))
    return jax.tree.map(lambda leaf: factor * leaf, gradient)


def parameter_paths(tree: Tree) -> Tree:
    """The same tree with the path of each leaf, `branches/0/conv1/kernel`, in its place."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: jax.tree_util.keystr(path, simple=True, separator="/"), tree
    )


def adam_of_networks(
    learning_rates: Mapping[str, float],
) -> dict[str, optax.GradientTransformation]:
    """Adam with PyTorch's defaults for each network (spec TDGAN 5).

    Adam works element by element, so one optimiser a network is the same as the released program's
    groups. The states are optax's own, which stored runs hold.

    Args:
        learning_rates: Network name to learning rate; 0 leaves a network as it is, and its gradient
            is not computed.
    """
    return {
        name: optax.adam(rate) if rate else optax.set_to_zero()
        for name, rate in learning_rates.items()
    }


def _direction(settings: OptimizerSettings) -> optax.GradientTransformation:
    if settings.kind != "sgd":
        return optax.scale_by_adam(settings.beta1, settings.beta2, eps=settings.epsilon)
    if settings.momentum:
        return optax.trace(settings.momentum, nesterov=settings.nesterov)
    return optax.identity()


def _is_named(path: str, names: tuple[str, ...]) -> bool:
    return any(f"{path}/".startswith(f"{name}/") for name in names)


def _weight_decay(settings: OptimizerSettings, path: str, weight: Any, moves: bool) -> float:
    decays = settings.decays_vectors or weight.ndim > 1
    return settings.weight_decay * (moves and decays and not _is_named(path, settings.undecayed))


def _factor(settings: OptimizerSettings, path: str) -> float:
    fitting = [
        (len(name), factor)
        for name, factor in dict(settings.learning_rate_factors).items()
        if _is_named(path, (name,))
    ]
    return max(fitting)[1] if fitting else 1.0


def _decayed(gradient: jax.Array, weight: jax.Array, decay: float) -> jax.Array:
    return gradient + decay * weight if decay else gradient


def _where_moving(value: jax.Array, moves: bool) -> jax.Array:
    return value if moves else jnp.zeros_like(value)


def _check_paths(settings: OptimizerSettings, weights: Tree) -> None:
    paths = jax.tree.leaves(parameter_paths(weights))
    names = (*dict(settings.learning_rate_factors), *settings.frozen, *settings.undecayed)
    for name in names:
        if not any(_is_named(path, (name,)) for path in paths):
            depth = name.count("/") + 1
            known = dict.fromkeys("/".join(path.split("/")[:depth]) for path in paths)
            raise unknown_name("a path of the optimiser's settings", name, known)
