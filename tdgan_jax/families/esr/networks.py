"""ESR, an ensemble of branches on a shared base (spec ESR and MA-Net, A.1).

Sources: Siqueira, Magg and Wermter, AAAI 2020, arXiv:2001.06338; with attention after every block,
Heidari and Iosifidis 2022, arXiv:2210.09381.

Images are float32 `[N, S, S, channels]` in [0, 1]. R is the number of branches, E of expressions.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from tdgan_jax.families.esr.branches import (
    FIRST_KERNEL_SIZE,
    KERNEL_SIZE,
    Base,
    Branch,
    BranchOutput,
)
from tdgan_jax.networks.batch_norm import BatchStatistics

MOST_BRANCHES = 99
MOST_CHANNELS = 4096

Parameters = dict[str, Any]


class ESR(NamedTuple):
    """The networks of an ensemble.

    Attributes:
        base: What all branches look at.
        branches: All of them, those too that a stage of training does not use yet.
    """

    base: Base
    branches: tuple[Branch, ...]


class Definitions(NamedTuple):
    """The networks without parameters and statistics: hashable, merged with both to be called."""

    base: nnx.GraphDef[Base]
    branches: tuple[nnx.GraphDef[Branch], ...]


def network_names(num_branches: int) -> tuple[str, ...]:
    """Names of an ensemble's networks: `base`, `branch_1`, `branch_2`, ..."""
    return ("base", *(f"branch_{number}" for number in range(1, num_branches + 1)))


def definitions_by_name(definitions: Definitions) -> dict[str, nnx.GraphDef[Any]]:
    """The definitions by `network_names`."""
    names = network_names(len(definitions.branches))
    return dict(zip(names, (definitions.base, *definitions.branches), strict=True))


def split_networks(networks: ESR) -> tuple[Definitions, dict[str, Parameters]]:
    """Separates networks into definitions (hashable) and trees by `network_names`."""
    base, base_state = nnx.split(networks.base)
    branches = [nnx.split(branch) for branch in networks.branches]
    names = network_names(len(branches))
    trees = map(nnx.to_pure_dict, (base_state, *(state for _, state in branches)))
    definitions = Definitions(base, tuple(definition for definition, _ in branches))
    return definitions, dict(zip(names, trees, strict=True))


def merge_networks(definitions: Definitions, *trees: Mapping[str, Parameters]) -> ESR:
    """The inverse of `split_networks`.

    Args:
        definitions: The networks without values.
        *trees: Network name to tree; together all leaves, say weights and running averages.
    """
    base, *names = network_names(len(definitions.branches))
    return ESR(
        nnx.merge(definitions.base, *(tree[base] for tree in trees)),
        tuple(
            nnx.merge(definition, *(tree[name] for tree in trees))
            for name, definition in zip(names, definitions.branches, strict=True)
        ),
    )


def ensemble_output(
    networks: ESR,
    image: jax.Array,
    *,
    base_statistics: BatchStatistics | None = None,
    branch_statistics: BatchStatistics | None = None,
    num_branches: int | None = None,
) -> BranchOutput:
    """Runs base and branches.

    Args:
        networks: The ensemble.
        image: `[N, S, S, channels]` in [0, 1].
        base_statistics: What the base takes as a batch in training; None for evaluation.
        branch_statistics: Likewise for the branches. Given without the other it is what the
            released program does in places (spec, quirk 3).
        num_branches: The first so many branches are run; None: all.

    Returns:
        The branches' results, stacked along a new first axis.
    """
    shared = networks.base(image, base_statistics)
    outputs = [branch(shared, branch_statistics) for branch in networks.branches[:num_branches]]
    return jax.tree.map(lambda *parts: jnp.stack(parts), *outputs)


def vote_counts(logits: jax.Array, voters: jax.Array | None = None) -> jax.Array:
    """Votes for each class, float32 `[N, E]`, of the branches' logits `[R, N, E]` (spec A.4).

    A branch votes for the class of its largest logit; the lowest of equal ones counts.

    Args:
        logits: `[R, N, E]`.
        voters: float32 `[R]`, 1 for a branch that votes and 0 for one that does not yet; None: all.
    """
    votes = jax.nn.one_hot(jnp.argmax(logits, axis=-1), logits.shape[-1], dtype=jnp.float32)
    return jnp.sum(_weights(voters, votes) * votes, axis=0)


def mean_probability(logits: jax.Array, voters: jax.Array | None = None) -> jax.Array:
    """Mean of the branches' probabilities, float32 `[N, E]`; arguments as of `vote_counts`."""
    return _mean(nnx.softmax(logits.astype(jnp.float32), axis=-1), voters)


def mean_affect(affect: jax.Array, voters: jax.Array | None = None) -> jax.Array:
    """Mean valence and arousal, float32 `[N, 2]`, of the branches' `[R, N, 2]` (spec A.4).

    Args:
        affect: `[R, N, 2]`.
        voters: As of `vote_counts`.
    """
    return _mean(affect.astype(jnp.float32), voters)


def _mean(values: jax.Array, voters: jax.Array | None) -> jax.Array:
    if voters is None:
        return jnp.mean(values, axis=0)
    return jnp.sum(_weights(voters, values) * values, axis=0) / jnp.sum(voters)


def _weights(voters: jax.Array | None, values: jax.Array) -> jax.Array:
    """The voters as they are multiplied with `[R, N, ...]`."""
    weights = jnp.ones(len(values)) if voters is None else voters
    return weights.reshape(-1, *(1,) * (values.ndim - 1))


def make_esr(
    *,
    num_expressions: int,
    num_branches: int = 9,
    image_size_px: int = 96,
    image_channels: int = 3,
    base_widths: Sequence[int] = (64, 128, 128, 128),
    base_pooled_layers: Sequence[int] = (2, 4),
    base_padded_layers: Sequence[int] = (),
    branch_widths: Sequence[int] = (128, 256, 256, 512),
    branch_pooled_layers: Sequence[int] = (2,),
    branch_padded_layers: Sequence[int] = (4,),
    has_attention: bool = True,
    attention_reduction: int = 16,
    has_affect: bool = False,
    rngs: nnx.Rngs,
) -> ESR:
    """Makes an ensemble; the defaults are those of the diversified ESR-9 for pictures in the wild.

    Layers are counted from 1. The small ensemble for CK+ has gray images, `base_widths` (32, 64,
    64) with pools after 2 and 3, `branch_widths` (64, 64) with a pool after 1, nothing padded, no
    attention and 4 branches (spec A.9).

    Args:
        num_expressions: Classes of each branch.
        num_branches: Branches, all of them from the start.
        image_size_px: Height and width of the images.
        image_channels: 1 for gray images, 3 for colour.
        base_widths: Channels of the base's layers.
        base_pooled_layers: Layers of the base that a 2x2 max-pool follows.
        base_padded_layers: Layers of the base that keep height and width.
        branch_widths: Channels of a branch's layers.
        branch_pooled_layers: As of the base.
        branch_padded_layers: As of the base.
        has_attention: Whether attention (CBAM) follows every layer.
        attention_reduction: Channels over the hidden units of the attention to channels.
        has_affect: Whether each branch has a head for valence and arousal.
        rngs: Initialises all parameters as PyTorch does.

    Raises:
        ValueError: If a size is impossible; names the field.
    """
    _check_sizes(
        num_expressions=num_expressions,
        num_branches=num_branches,
        image_size_px=image_size_px,
        image_channels=image_channels,
        attention_reduction=attention_reduction,
        base_widths=base_widths,
        branch_widths=branch_widths,
    )
    for name, widths in (("base_widths", base_widths), ("branch_widths", branch_widths)):
        if max(widths) > MOST_CHANNELS:
            raise ValueError(f"{name} is {tuple(widths)}; {MOST_CHANNELS} channels are the most")
    if num_branches > MOST_BRANCHES:
        raise ValueError(f"num_branches is {num_branches}; {MOST_BRANCHES} are the most")
    base = _Layout("base", base_widths, base_pooled_layers, base_padded_layers)
    branch = _Layout("branch", branch_widths, branch_pooled_layers, branch_padded_layers)
    shared_size_px = _map_size(image_size_px, base, image_size_px, FIRST_KERNEL_SIZE)
    _map_size(shared_size_px, branch, image_size_px, KERNEL_SIZE)
    reduction = attention_reduction if has_attention else None

    def make_branch() -> Branch:
        return Branch(
            in_channels=base_widths[-1],
            widths=branch_widths,
            pooled_layers=branch_pooled_layers,
            padded_layers=branch_padded_layers,
            attention_reduction=reduction,
            has_affect=has_affect,
            num_expressions=num_expressions,
            rngs=rngs,
        )

    return ESR(
        Base(
            image_channels=image_channels,
            widths=base_widths,
            pooled_layers=base_pooled_layers,
            padded_layers=base_padded_layers,
            attention_reduction=reduction,
            rngs=rngs,
        ),
        tuple(make_branch() for _ in range(num_branches)),
    )


class _Layout(NamedTuple):
    name: str
    widths: Sequence[int]
    pooled_layers: Sequence[int]
    padded_layers: Sequence[int]


def _check_sizes(**sizes: int | Sequence[int]) -> None:
    for name, size in sizes.items():
        numbers = [size] if isinstance(size, int | float) else list(size)
        if not numbers or any(not isinstance(number, int) or number < 1 for number in numbers):
            raise ValueError(f"{name} must be whole numbers of at least 1, got {size}")


def _map_size(size: int, layout: _Layout, image_size_px: int, first_kernel_size: int) -> int:
    """Height and width of what is left of a map of the given size.

    Raises:
        ValueError: If nothing is left, or a layer is named that there is none of.
    """
    num_layers = len(layout.widths)
    for field in ("pooled_layers", "padded_layers"):
        layers = getattr(layout, field)
        if not set(layers) <= set(range(1, num_layers + 1)):
            raise ValueError(
                f"{layout.name}_{field} must be among the layers 1 to {num_layers}, got {layers}"
            )
    for layer in range(1, num_layers + 1):
        kernel_size = first_kernel_size if layer == 1 else KERNEL_SIZE
        if layer not in layout.padded_layers:
            size -= kernel_size - 1
        if layer in layout.pooled_layers:
            size //= 2
        if size < 1:
            raise ValueError(
                f"image_size_px is {image_size_px}, of which {layout.name} layer {layer} leaves "
                f"nothing; take larger images, pad layers ({layout.name}_padded_layers) or pool "
                "less"
            )
    return size
