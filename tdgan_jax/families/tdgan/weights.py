"""Mapping tables of TDGAN's networks: the state-dict keys of spec TDGAN 8."""

from collections.abc import Mapping

import numpy as np

from tdgan_jax.torch_weights.inception import encoder_table, head_table
from tdgan_jax.torch_weights.mapping import (
    CONVOLUTION,
    SAME,
    TRANSPOSED_CONVOLUTION,
    TURNED_CONVOLUTION,
    Entry,
    Parameters,
    StateDict,
    parameters_from_torch,
    torch_from_parameters,
    with_prefix,
)

# File of the released program that holds each network, without its suffix `.pkl`.
FILE_STEMS = {
    "face_encoder": "Enc_FR_G",
    "expression_encoder": "Enc_ER_G",
    "expression_head": "fc_ER_G",
    "decoder": "dec",
    "face_discriminator": "Dis_FR",
    "expression_discriminator": "Dis_ER",
}
# Where each network stands in one file for all: the first four are the generator's own modules.
MODULE_PREFIXES = {
    "face_encoder": "enc_FR.",
    "expression_encoder": "enc_ER.",
    "expression_head": "fc_ER.",
    "decoder": "dec.",
    "face_discriminator": "Dis_FR.",
    "expression_discriminator": "Dis_ER.",
}


def decoder_table(
    num_residual_convolutions: int = 6, upsampling: str = "transposed"
) -> list[Entry]:
    """Table of the decoder (spec TDGAN 8.3)."""
    upsampled = TRANSPOSED_CONVOLUTION if upsampling == "transposed" else CONVOLUTION
    entries = [
        Entry("emb1.0.weight", ("embedding", "kernel"), CONVOLUTION),
        Entry("emb1.0.bias", ("embedding", "bias"), SAME),
    ]
    for i in range(num_residual_convolutions):
        key, path = f"emb2.{i}.infer.0", ("residual_convolutions", i)
        entries.append(Entry(f"{key}.weight", (*path, "kernel"), CONVOLUTION))
        entries.append(Entry(f"{key}.bias", (*path, "bias"), SAME))
    for i in range(4):
        path = ("upsamplings", i, "conv", "kernel")
        entries.append(Entry(f"us{i + 1}.0.weight", path, upsampled))
    return [*entries, Entry("us5.0.weight", ("to_image", "kernel"), TURNED_CONVOLUTION)]


def discriminator_table(num_blocks: int = 4) -> list[Entry]:
    """Table of a discriminator (spec TDGAN 8.4)."""
    return [
        *with_prefix(encoder_table(num_blocks), key="enc.", path=("encoder",)),
        *with_prefix(head_table(), key="fc.", path=("head",)),
    ]


def network_tables(
    *, num_blocks: int = 4, num_residual_convolutions: int = 6, upsampling: str = "transposed"
) -> dict[str, list[Entry]]:
    """The table of each of the six networks."""
    return {
        "face_encoder": encoder_table(num_blocks),
        "expression_encoder": encoder_table(num_blocks),
        "expression_head": head_table(),
        "decoder": decoder_table(num_residual_convolutions, upsampling),
        "face_discriminator": discriminator_table(num_blocks),
        "expression_discriminator": discriminator_table(num_blocks),
    }


def _tables_for(parameters: Mapping[str, Parameters]) -> dict[str, list[Entry]]:
    decoder = parameters["decoder"]
    kernel = decoder["upsamplings"][0]["conv"]["kernel"]
    return network_tables(
        num_blocks=len(parameters["face_encoder"].get("blocks", {})),
        num_residual_convolutions=len(decoder.get("residual_convolutions", {})),
        upsampling="transposed" if kernel.shape[0] == 4 else "resize",
    )


def tdgan_from_torch(
    state_dicts: Mapping[str, StateDict], template: Mapping[str, Parameters]
) -> dict[str, Parameters]:
    """Parameters of all networks from their state dicts.

    Args:
        state_dicts: Network name (`TDGAN`'s fields) to state dict.
        template: Network name to parameter tree with the wanted shapes.

    Returns:
        Network name to parameter tree.

    Raises:
        UserError: As `parameters_from_torch`.
    """
    return {
        name: parameters_from_torch(
            table, state_dicts[name], template[name], source=FILE_STEMS[name]
        )
        for name, table in _tables_for(template).items()
    }


def torch_from_tdgan(parameters: Mapping[str, Parameters]) -> dict[str, dict[str, np.ndarray]]:
    """State dicts of all networks, the inverse of `tdgan_from_torch`."""
    return {
        name: torch_from_parameters(table, parameters[name])
        for name, table in _tables_for(parameters).items()
    }
