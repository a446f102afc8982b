"""Diversity terms of MA-Net: how alike quadrants and branches are (spec ESR and MA-Net, Part B)."""

import jax
import jax.numpy as jnp

from tdgan_jax.families.ma_net.networks import MaNetOutput
from tdgan_jax.losses import Diversity, diversity_loss


def diversity_terms(
    output: MaNetOutput,
    weight: jax.Array,
    options: Diversity,
    *,
    axis_name: str | None = None,
) -> dict[str, jax.Array]:
    """The terms `spatial`, `channel` and `global`, which the released loss adds to the others.

    The first two compare the local features of the four quadrants, meaned over the channels or over
    the positions, the third the pooled features of the local and the global branch.

    Args:
        output: The network's.
        weight: float32 `[N]`, mean 1 over the whole batch, 0 for padding.
        options: What is computed.
        axis_name: As in `diversity_loss`.

    Raises:
        ValueError: If an option is unknown.
    """
    local = output.local_features.astype(jnp.float32)
    compared = {
        "spatial": local.mean(axis=-1),  # [4, N, h, w]
        "channel": local.mean(axis=(2, 3)),  # [4, N, F]
        "global": output.pooled_features,  # [2, N, F]
    }
    return {
        name: diversity_loss(features, weight, options, axis_name=axis_name)
        for name, features in compared.items()
    }
