"""Ways in which PyTorch can run the twins: as the papers' programs do, and faster.

`eager` is plain PyTorch. `channels_last` stores feature maps with the channels last, which its CPU
and GPU convolutions prefer. `compiled` is that under `torch.compile`, which needs a C++ compiler on
the CPU. `bfloat16` is `channels_last` under `torch.autocast`.
"""

import shutil
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from tdgan_jax.errors import UserError


def use_variant(
    variant: str, networks: Sequence[nn.Module], step: Callable[..., Any]
) -> Callable[..., Any]:
    """Prepares networks for a variant.

    Args:
        variant: "eager", "channels_last", "compiled" or "bfloat16".
        networks: The modules that the step calls; changed in place.
        step: Takes tensors (batch, channels, height, width), and trains or applies the networks.

    Returns:
        The step, to be called with the same arguments.

    Raises:
        UserError: If this machine cannot run the variant.
    """
    if variant == "eager":
        return step
    for network in networks:
        network.to(memory_format=torch.channels_last)
        if variant == "compiled":
            if not any(map(shutil.which, ("c++", "g++", "clang++"))):
                raise UserError("torch.compile needs a C++ compiler, and there is none")
            network.compile()

    def in_variant(*arguments: Any) -> Any:
        laid_out = [_channels_last(argument) for argument in arguments]
        with torch.autocast("cpu", torch.bfloat16, enabled=variant == "bfloat16"):
            return step(*laid_out)

    return in_variant


def _channels_last(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.ndim == 4:
        return value.contiguous(memory_format=torch.channels_last)
    return value
