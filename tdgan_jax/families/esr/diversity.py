"""Diversity terms of ESR: how alike the branches' last attentions are (spec ESR and MA-Net, B)."""

import jax
import jax.numpy as jnp

from tdgan_jax.families.esr.branches import BranchOutput
from tdgan_jax.losses import Diversity, diversity_loss

# What the channels' term compares: their attention, or, as the released program does on FER+, the
# spatial attention once more, each column as an example of its own (spec, quirk 5).
CHANNEL_SOURCES = ("channel_attention", "spatial_columns")


def diversity_terms(
    output: BranchOutput,
    weight: jax.Array,
    options: Diversity,
    *,
    channel_source: str = "channel_attention",
    axis_name: str | None = None,
) -> dict[str, jax.Array]:
    """The terms `spatial` and `channel`, which the released loss adds to the cross-entropies.

    Args:
        output: Of all branches that are compared, two at least, stacked.
        weight: float32 `[N]`, mean 1 over the whole batch, 0 for padding.
        options: What is computed.
        channel_source: One of `CHANNEL_SOURCES`.
        axis_name: As in `diversity_loss`.

    Raises:
        ValueError: If the branches have no attention, or an option is unknown.
    """
    if channel_source not in CHANNEL_SOURCES:
        known = ", ".join(CHANNEL_SOURCES)
        raise ValueError(f"channel_source is {channel_source!r}; known: {known}")
    spatial, channel = output.spatial_attention, output.channel_attention
    if spatial is None or channel is None:
        raise ValueError(
            "has_attention is false: diversity compares the attentions of the branches, which have "
            "none"
        )
    channel_weight = weight
    if channel_source == "spatial_columns":
        count, batch, height, width = spatial.shape
        columns = spatial.transpose(0, 1, 3, 2)
        channel = columns.reshape(count, batch * width, height)
        channel_weight = jnp.repeat(weight, width)
    return {
        "spatial": diversity_loss(spatial, weight, options, axis_name=axis_name),
        "channel": diversity_loss(channel, channel_weight, options, axis_name=axis_name),
    }
