"""The plain classifier's architecture, found in the shapes of its weights."""

import math
import re
from collections.abc import Mapping
from typing import Any

from tdgan_jax.errors import UserError
from tdgan_jax.families.classifier.weights import FILE_STEMS
from tdgan_jax.families.stored import FoundArchitecture
from tdgan_jax.networks.inception import ENCODER_STRIDE, fitting_multiplier
from tdgan_jax.networks.resnet import DEPTHS, STEMS
from tdgan_jax.torch_weights.densenet import densenet_sizes
from tdgan_jax.torch_weights.mapping import StateDict

# What the shapes do not tell, with the value that is assumed.
USUAL: Mapping[str, Any] = {"dropout_rate": 0.5}
OF_INCEPTION: Mapping[str, Any] = {"width_multiplier": 1.0, "num_inception_blocks": 4}
OF_RESNET: Mapping[str, Any] = {
    "resnet_depth": 18,
    "resnet_width": 64,
    "resnet_stem": "7x7",
    "squeeze_reduction": 0,
}
OF_DENSENET: Mapping[str, Any] = {
    "densenet_block_layers": (6, 12, 24, 16),
    "densenet_growth_rate": 32,
    "densenet_initial_channels": 64,
}
POOLED_IMAGE_SIZE_PX = 224  # the weights of a network that pools its features fit any


def classifier_architecture(state_dicts: Mapping[str, StateDict]) -> FoundArchitecture:
    """Finds the architecture that weights belong to.

    Args:
        state_dicts: Network name (`Classifier`'s fields) to state dict.

    Raises:
        UserError: If a deciding tensor is missing, or the shapes belong to no classifier.
    """
    if "conv1.weight" in state_dicts["expression_encoder"]:
        return _resnet(state_dicts)
    if "conv0.weight" in state_dicts["expression_encoder"]:
        return _densenet(state_dicts)
    return _inception(state_dicts)


def _shape(state_dicts: Mapping[str, StateDict], network: str, key: str, rank: int) -> Any:
    tensor = state_dicts[network].get(key)
    if tensor is None or tensor.ndim != rank or not tensor.size:
        found = "is missing" if tensor is None else f"has the shape {tensor.shape}"
        raise UserError(
            f"{FILE_STEMS[network]} does not fit: {key} {found}; these are not a plain "
            "classifier's weights"
        )
    return tensor.shape


def _inception(state_dicts: Mapping[str, StateDict]) -> FoundArchitecture:
    conv1, conv2, conv4 = (
        _shape(state_dicts, "expression_encoder", f"conv{i}.0.conv.weight", 4) for i in (1, 2, 4)
    )
    hidden, flat = _shape(state_dicts, "expression_head", "fc1.weight", 2)
    feature_size = math.isqrt(flat // conv4[0])
    if feature_size**2 * conv4[0] != flat:
        raise UserError(
            f"the weights do not fit each other: features of {conv4[0]} channels, {flat} inputs "
            "of fc1"
        )
    widths = {1024: hidden, 128: conv4[0], 64: conv2[0], 32: conv1[0]}
    blocks = (re.match(r"repeat\.(\d+)\.", key) for key in state_dicts["expression_encoder"])
    architecture = {
        "encoder": "inception",
        "image_size_px": feature_size * ENCODER_STRIDE,
        "image_channels": conv1[1],
        "width_multiplier": fitting_multiplier(widths),
        "num_inception_blocks": len({match[1] for match in blocks if match}),
    }
    return FoundArchitecture(
        {**USUAL, **OF_RESNET, **OF_DENSENET, **architecture},
        num_expressions=_shape(state_dicts, "expression_head", "fc3.weight", 2)[0],
        num_identities=0,
        untold=(*USUAL, *OF_RESNET, *OF_DENSENET),
        rounded=("width_multiplier",),
    )


def _resnet(state_dicts: Mapping[str, StateDict]) -> FoundArchitecture:
    encoder = state_dicts["expression_encoder"]
    stem = _shape(state_dicts, "expression_encoder", "conv1.weight", 4)
    stems = [name for name, (kernel_size, _) in STEMS.items() if kernel_size == stem[-1]]
    num_blocks = tuple(
        len({m[1] for key in encoder if (m := re.match(rf"layer{stage}\.(\d+)\.", key))})
        for stage in (1, 2, 3, 4)
    )
    kind = (num_blocks, "layer1.0.conv3.weight" in encoder)
    depths = [depth for depth, known in DEPTHS.items() if known == kind]
    if not stems or not depths:
        raise UserError(
            f"encoder has {num_blocks} blocks in its stages and a first convolution of "
            f"{stem[-1]} pixels; known are the ResNets of {', '.join(map(str, DEPTHS))} layers"
        )
    reduction = 0
    if "layer1.0.squeeze.fc1.weight" in encoder:
        first = "layer1.0.squeeze.fc1.weight"
        hidden, channels = _shape(state_dicts, "expression_encoder", first, 2)
        reduction = channels // hidden
    architecture = {
        "encoder": "resnet",
        "image_size_px": POOLED_IMAGE_SIZE_PX,
        "image_channels": stem[1],
        "resnet_depth": depths[0],
        "resnet_width": stem[0],
        "resnet_stem": stems[0],
        "squeeze_reduction": reduction,
    }
    return FoundArchitecture(
        {**USUAL, **OF_INCEPTION, **OF_DENSENET, **architecture},
        num_expressions=_shape(state_dicts, "expression_head", "fc.weight", 2)[0],
        num_identities=0,
        untold=(*USUAL, *OF_INCEPTION, *OF_DENSENET, "image_size_px"),
        rounded=("squeeze_reduction",),
    )


def _densenet(state_dicts: Mapping[str, StateDict]) -> FoundArchitecture:
    sizes = densenet_sizes(state_dicts["expression_encoder"], source="a plain classifier")
    del sizes["bottleneck_factor"]  # always 4; others are seen when the weights are mapped
    architecture = {
        "encoder": "densenet",
        "image_size_px": POOLED_IMAGE_SIZE_PX,
        "image_channels": sizes.pop("image_channels"),
        **{f"densenet_{name}": value for name, value in sizes.items()},
    }
    return FoundArchitecture(
        {**USUAL, **OF_INCEPTION, **OF_RESNET, **architecture},
        num_expressions=_shape(state_dicts, "expression_head", "fc.weight", 2)[0],
        num_identities=0,
        untold=(*USUAL, *OF_INCEPTION, *OF_RESNET, "image_size_px"),
        rounded=(),
    )
