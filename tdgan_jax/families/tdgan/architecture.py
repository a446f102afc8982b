"""TDGAN's architecture, found in the shapes of its weights (spec TDGAN 8)."""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from tdgan_jax.errors import UserError
from tdgan_jax.families.tdgan.weights import FILE_STEMS
from tdgan_jax.networks.inception import ENCODER_STRIDE, fitting_multiplier
from tdgan_jax.torch_weights.mapping import StateDict

# What the shapes do not tell: only training uses the one, the other is that of the paper.
DROPOUT_RATE = 0.5
DECODER_NORM = "instance"


class TdganArchitecture(NamedTuple):
    """What weights tell about their networks.

    Attributes:
        model: Arguments of `make_tdgan`, the fields of `config.model`.
        num_expressions: C.
        num_identities: K.
    """

    model: dict[str, int | float | str | bool]
    num_expressions: int
    num_identities: int


def tdgan_architecture(state_dicts: Mapping[str, StateDict]) -> TdganArchitecture:
    """Finds the architecture that weights belong to.

    Only what decides is looked at; whether all tensors fit is seen when they are mapped.

    Args:
        state_dicts: Network name to state dict.

    Raises:
        UserError: If a deciding tensor is missing, or the shapes belong to no TDGAN.
    """

    def shape(network: str, key: str, num_dimensions: int) -> tuple[int, ...]:
        tensor = state_dicts[network].get(key)
        if tensor is None or tensor.ndim != num_dimensions or not tensor.size:
            found = "is missing" if tensor is None else f"has the shape {tensor.shape}"
            raise UserError(
                f"{FILE_STEMS[network]} does not fit: {key} {found}; these are not TDGAN's weights"
            )
        return tensor.shape

    conv1 = shape("expression_encoder", "conv1.0.conv.weight", 4)
    conv2 = shape("expression_encoder", "conv2.0.conv.weight", 4)
    conv4 = shape("expression_encoder", "conv4.0.conv.weight", 4)
    hidden, flat = shape("expression_head", "fc1.weight", 2)
    embedding = shape("decoder", "emb1.0.weight", 4)
    upsampling = shape("decoder", "us1.0.weight", 4)
    upsampling_inputs = upsampling[0] if upsampling[2:] == (4, 4) else upsampling[1]
    feature_channels = conv4[0]
    feature_size = math.isqrt(flat // feature_channels)
    noise_channels = embedding[1] - 2 * feature_channels
    if feature_size**2 * feature_channels != flat or noise_channels < 0:
        raise UserError(
            f"the weights do not fit each other: features of {feature_channels} channels, "
            f"{flat} inputs of fc1, {embedding[1]} inputs of emb1"
        )
    widths = {1024: hidden, 128: feature_channels, 64: conv2[0], 32: conv1[0]}
    model = {
        "image_size_px": feature_size * ENCODER_STRIDE,
        "image_channels": conv1[1],
        "width_multiplier": fitting_multiplier(widths),
        "num_inception_blocks": _count(state_dicts["expression_encoder"], r"repeat\.(\d+)\."),
        "noise_channels": noise_channels,
        "num_residual_convolutions": _count(state_dicts["decoder"], r"emb2\.(\d+)\."),
        "dropout_rate": DROPOUT_RATE,
        "upsampling": "transposed" if upsampling[2:] == (4, 4) else "resize",
        "decoder_norm": DECODER_NORM,
        "decoder_sees_face": upsampling_inputs > embedding[0],
    }
    num_expressions = shape("expression_head", "fc3.weight", 2)[0]
    num_identities = shape("face_discriminator", "fc.fc3.weight", 2)[0] - 1
    return TdganArchitecture(model, num_expressions, num_identities)


def _count(state_dict: StateDict, pattern: str) -> int:
    found = (re.match(pattern, key) for key in state_dict)
    return len({match[1] for match in found if match})
