"""Packages that only some formats need: asked for by name, with the command that installs them."""

import re
from types import ModuleType

from tdgan_jax.errors import UserError

# Before it, torch.load(weights_only=True) could be made to run code (CVE-2025-32434).
SAFE_TORCH = (2, 6)


def require_torch(purpose: str) -> ModuleType:
    """Imports PyTorch.

    Args:
        purpose: What needs it, for the message.

    Raises:
        UserError: If it is missing or too old to read files safely.
    """
    command = "pip install 'tdgan-jax[torch]'"
    try:
        import torch
    except ModuleNotFoundError as error:
        raise UserError(f"{purpose} needs PyTorch: {command}") from error
    release = re.match(r"(\d+)\.(\d+)", torch.__version__)
    if release is None or tuple(map(int, release.groups())) < SAFE_TORCH:
        raise UserError(f"{purpose} needs PyTorch 2.6 or newer, not {torch.__version__}: {command}")
    return torch


def require_onnx() -> None:
    """Makes sure that the packages for ONNX are there.

    Raises:
        UserError: If one is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(
            f"the ONNX format needs {error.name}: pip install 'tdgan-jax[onnx]'"
        ) from error
