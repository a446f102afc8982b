"""What an export is compared with its model by."""

import contextlib
from collections.abc import Iterator

import jax
import numpy as np

from tdgan_jax.families.stored import StoredModel

NUM_PROBES = 3


def make_probe(stored: StoredModel) -> np.ndarray:
    """Random images float32 `[NUM_PROBES, S, S, C]` in [0, 1], the same for every export."""
    size, channels = stored.description.preprocessing[:2]
    return np.random.default_rng(0).random((NUM_PROBES, size, size, channels), np.float32)


def channels_first(array: np.ndarray) -> np.ndarray:
    """`[N, H, W, C]` as PyTorch has it, `[N, C, H, W]`."""
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2))


@contextlib.contextmanager
def in_full_precision() -> Iterator[None]:
    """Lets every kind of device compute in full precision."""
    # CPUs know no other; asking for it would compile all functions a second time.
    is_exact = jax.default_backend() == "cpu"
    with contextlib.nullcontext() if is_exact else jax.default_matmul_precision("highest"):
        yield
