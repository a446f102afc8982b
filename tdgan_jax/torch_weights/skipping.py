"""Reading PyTorch's files without the classes that they name.

Checkpoints of training programs hold objects beside the weights. Such an object is not made: a
stand-in takes its place, and nothing that a pickle names is imported or run.
"""

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

from tdgan_jax.errors import UserError
from tdgan_jax.torch_weights.optional_packages import require_torch

MOST_SKIPPED_CLASSES = 32


class Skipped:
    """Stands for an object of a class that a file names: of the class nothing is looked at."""

    path = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> "Skipped":
        """Takes what the object would have been made of."""
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any):
        """Keeps nothing of it."""

    def __setstate__(self, state: Any) -> None:
        """Keeps nothing of it."""


def load_skipping(path: Path) -> Any:
    """What a file holds, with `Skipped` in the place of all but containers, numbers and tensors.

    PyTorch's own reader, which runs nothing, stops at the first class that it does not know; the
    file is read anew with a stand-in for it, until all are known. No class is ever imported. What
    does more with an object than to make it and to set its state is refused.

    Args:
        path: The file.

    Raises:
        UserError: If PyTorch is missing, or the file goes beyond that.
        Exception: Whatever PyTorch raises of damaged files.
    """
    torch = require_torch(f"reading {path.name}")
    skipped: dict[str, type[Skipped]] = {}
    while True:
        known = [(kind, name) for name, kind in skipped.items()]
        try:
            with warnings.catch_warnings(), torch.serialization.safe_globals(known):
                # Of an unusual pickle; it is read safely or refused.
                warnings.simplefilter("ignore")
                return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            name = _unknown_class(error)
            if name is None or name in skipped or len(skipped) == MOST_SKIPPED_CLASSES:
                if name is None and not skipped and not isinstance(error, pickle.UnpicklingError):
                    raise
                raise refers_to(path, name or next(reversed(skipped), None)) from error
            skipped[name] = type("Skipped", (Skipped,), {"path": name})


def _unknown_class(error: Exception) -> str | None:
    """The class at which PyTorch's reader stopped, if it was for one."""
    found = re.search(r"GLOBAL (\S+)", str(error))
    if found is None or not isinstance(error, pickle.UnpicklingError):
        return None
    # The message names what is built in without its module.
    return found[1] if "." in found[1] else f"builtins.{found[1]}"


def refers_to(path: Path, name: str | None) -> UserError:
    """The error that a file is no plain state dict, by the class that it names."""
    what = f"it refers to {name}" if name else "it is damaged, or no file of weights"
    return UserError(
        f"{path} is not read: {what}; only plain state dicts are, since other pickles can "
        "run programs"
    )
