"""Ways in which PyTorch can run the twins: as the papers' programs do, and faster.

`eager` is plain PyTorch. `channels_last` stores feature maps with the channels last, which its CPU
and GPU convolutions prefer. `compiled` is that under `torch.compile`, which needs a C++ compiler on
the CPU. `bfloat16` is `channels_last` under `torch.autocast`; `compiled_bfloat16` is both.

The twins compute where JAX does: on the CPU, or on the GPU if PyTorch has CUDA. There cuDNN chooses
its algorithms by trying them and float32 products may use TF32, as XLA does both.
"""

import shutil
from collections.abc import Callable, Sequence
from typing import Any

import jax
import torch
from torch import nn

from tdgan_jax.errors import UserError


def twin_device() -> torch.device:
    """The kind of device that JAX computes on.

    Raises:
        UserError: If PyTorch cannot use it.
    """
    backend = jax.default_backend()
    if backend == "cpu":
        return torch.device("cpu")
    if backend != "gpu" or not torch.cuda.is_available():
        raise UserError(
            f"JAX runs on {backend}, which this PyTorch ({torch.__version__}) cannot use; "
            "set JAX_PLATFORMS=cpu for a ratio on the CPU"
        )
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    return torch.device("cuda")


def use_variant(
    variant: str, networks: Sequence[nn.Module], step: Callable[..., Any]
) -> Callable[..., Any]:
    """Prepares networks for a variant.

    Args:
        variant: One of `twins.VARIANTS`.
        networks: The modules that the step calls; changed in place.
        step: Takes tensors (batch, channels, height, width), and trains or applies the networks.

    Returns:
        The step, to be called with the same arguments; it returns when all is computed.

    Raises:
        UserError: If this machine cannot run the variant.
    """
    device = twin_device()
    for network in networks:
        network.to(device)
        if variant != "eager":
            network.to(memory_format=torch.channels_last)
        if variant.startswith("compiled"):
            if not any(map(shutil.which, ("c++", "g++", "clang++"))):
                raise UserError("torch.compile needs a C++ compiler, and there is none")
            network.compile()

    def in_variant(*arguments: Any) -> Any:
        given = [placed(argument, variant) for argument in arguments]
        with torch.autocast(device.type, torch.bfloat16, enabled=variant.endswith("bfloat16")):
            found = step(*given)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return found

    return in_variant


def placed(value: Any, variant: str) -> Any:
    """A tensor on the device and in the layout of a variant; other values as they are.

    Raises:
        UserError: As of `twin_device`.
    """
    if not isinstance(value, torch.Tensor):
        return value
    value = value.to(twin_device())
    if value.ndim == 4 and variant != "eager":
        return value.contiguous(memory_format=torch.channels_last)
    return value
