"""The features of a run that probes are fitted on."""

from collections.abc import Sequence

import numpy as np

from tdgan_jax.data.examples import Examples
from tdgan_jax.exchange.selected_runs import SelectedRun
from tdgan_jax.families.known import family_named


def probed_features(run: SelectedRun, parts: Sequence[Examples]) -> dict[str, np.ndarray]:
    """Features of the examples of all parts, one after the other.

    Args:
        run: A run of any family.
        parts: Examples as its models see them.

    Returns:
        By name float32 `[N, D]`. `expression`: from which the run reads the expression, and
        `random`: of a network that never learned; the family may have others.
    """
    return family_named(run.config.family).features(run.config, run.parameters, parts, run.names)
