"""Facial expression recognition in JAX."""

import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tdgan_jax.api import load

__all__ = ["load"]

try:
    __version__ = importlib.metadata.version("tdgan-jax")
except importlib.metadata.PackageNotFoundError:  # the sources, not installed
    __version__ = "unknown"


def __getattr__(name: str) -> Any:
    # On demand: importing the package stays light, for `tdgan-jax --help` among others.
    if name == "load":
        from tdgan_jax.api import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
