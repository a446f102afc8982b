"""Mapping tables of the plain classifier with the keys of the torch twin."""

from collections.abc import Mapping

import numpy as np

from tdgan_jax.torch_weights.densenet import densenet_table
from tdgan_jax.torch_weights.inception import encoder_table, head_table
from tdgan_jax.torch_weights.mapping import (
    Entry,
    Parameters,
    StateDict,
    parameters_from_torch,
    torch_from_parameters,
)
from tdgan_jax.torch_weights.resnet import linear_table, resnet_table, with_counters

# File of an export that holds each network, without its suffix.
FILE_STEMS = {"expression_encoder": "encoder", "expression_head": "head"}
# Where each network stands in one file for all.
MODULE_PREFIXES = {"expression_encoder": "encoder.", "expression_head": "head."}
# Encoders whose features are pooled, by a part that each of them alone has.
POOLED = {"stages": resnet_table, "norm5": densenet_table}


def _tables(parameters: Mapping[str, Parameters]) -> dict[str, list[Entry]]:
    encoder = parameters["expression_encoder"]
    own = next((table for part, table in POOLED.items() if part in encoder), None)
    if own is not None:
        return {
            "expression_encoder": own(encoder),
            "expression_head": linear_table("fc", ("fc",)),
        }
    return {
        "expression_encoder": encoder_table(len(encoder.get("blocks", {}))),
        "expression_head": head_table(),
    }


def classifier_from_torch(
    state_dicts: Mapping[str, StateDict], template: Mapping[str, Parameters]
) -> dict[str, Parameters]:
    """Weights and running averages of both networks from their state dicts.

    Args:
        state_dicts: Network name (`Classifier`'s fields) to state dict.
        template: Network name to tree with the wanted shapes.

    Raises:
        UserError: As `parameters_from_torch`.
    """
    return {
        name: parameters_from_torch(
            table, state_dicts[name], template[name], source=FILE_STEMS[name]
        )
        for name, table in _tables(template).items()
    }


def torch_from_classifier(parameters: Mapping[str, Parameters]) -> dict[str, dict[str, np.ndarray]]:
    """State dicts of both networks, the inverse of `classifier_from_torch`."""
    return {
        name: with_counters(torch_from_parameters(table, parameters[name]))
        for name, table in _tables(parameters).items()
    }
