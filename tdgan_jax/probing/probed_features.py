"""The features of a run that probes are fitted on, whatever its family."""

from collections.abc import Sequence

import numpy as np

from tdgan_jax.data.examples import Examples
from tdgan_jax.exchange.selected_runs import SelectedRun, encode_examples, encoders
from tdgan_jax.families.ifgan.features import ifgan_features


def probed_features(run: SelectedRun, parts: Sequence[Examples]) -> dict[str, np.ndarray]:
    """Features of the examples of all parts, one after the other.

    Args:
        run: A run of any family.
        parts: Examples as its models see them.

    Returns:
        By name float32 `[N, D]`. `expression`: from which the run reads the expression, and
        `random`: of a network that never learned; `face` of TDGAN alone; those of the drawn face
        of IF-GAN alone (see `ifgan_features`).
    """
    if run.config.family == "ifgan":
        of_parts = [
            ifgan_features(
                run.config, run.parameters, part, num_expressions=len(run.expression_names)
            )
            for part in parts
        ]
        return {
            name: np.concatenate([features[name] for features in of_parts]) for name in of_parts[0]
        }
    return {
        name: np.concatenate([encode_examples(encode, part) for part in parts])
        for name, encode in encoders(run).items()
    }
