"""Golden weights and inputs of ESR and MA-Net (Part E of their specification), in NumPy alone.

The released classes gave the specification's numbers in float64. Shapes are PyTorch's (NCHW images,
OIHW kernels); the keys come from our own mapping tables, whose order is compared with the twins'.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from tests.golden_tdgan import golden_tensor, statistics

FORWARD_RTOL = 1e-5  # also of a first step's losses
GRADIENT_RTOL = 2e-4
CHANGE_RTOL = 1e-2
SECOND_LOSS_RTOL = 1e-3
SECOND_GRADIENT_RTOL = 5e-3
RUNNING = ("running_mean", "running_var")


def golden_state_dict(base: int, shaped: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights of a module whose first entry is tensor number `base`; all entries count."""
    filled = {}
    for index, (key, like) in enumerate(shaped.items()):
        u = golden_tensor(base + index, like.shape)
        if key.endswith("num_batches_tracked"):
            filled[key] = np.zeros((), np.int64)
        elif like.ndim > 1:
            filled[key] = (u - 0.5) * np.float32(np.sqrt(12 / np.prod(like.shape[1:])))
        elif key.endswith(("bias", "running_mean")):
            filled[key] = np.float32(0.2) * (u - 0.5)
        else:
            filled[key] = 0.5 + u
    return filled


def zeros_of(shapes: Any) -> Any:
    """A tree of zeros, to learn a module's keys and shapes from."""
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)


def shapes_of(make) -> tuple[nnx.GraphDef, Any]:
    """Definition and tree of shapes of a module, made without values."""
    definition, state = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
    return definition, nnx.to_pure_dict(state)


def first_values(values: np.ndarray, count: int = 3) -> np.ndarray:
    return np.asarray(values).ravel()[:count]


def assert_golden(values, *, mean, std=None, first=None, rtol=FORWARD_RTOL, name="") -> None:
    """Compares a tensor in PyTorch's layout with its mean, deviation and first values.

    A mean is compared relative to the deviation, first values to the largest of them: they are sums
    of which little may be left.
    """
    values = np.asarray(values)
    found = statistics(values)
    scale = abs(mean) if std is None else max(abs(mean), std)
    np.testing.assert_allclose(found.mean, mean, rtol=0, atol=rtol * scale, err_msg=name)
    if std is not None:
        np.testing.assert_allclose(found.std, std, rtol=rtol, err_msg=name)
    if first is not None:
        atol = rtol * np.abs(first).max() + 5e-7 * np.abs(values).max()
        found = first_values(values, len(first))
        np.testing.assert_allclose(found, first, rtol=0, atol=atol, err_msg=name)


def parameter_sum(state_dict: Mapping[str, np.ndarray], prefix: str = "") -> float:
    """Sum of the trained tensors, in float64."""
    return sum(
        float(np.sum(value, dtype=np.float64))
        for key, value in state_dict.items()
        if key.startswith(prefix) and not key.endswith((*RUNNING, "num_batches_tracked"))
    )


def running_sum(state_dict: Mapping[str, np.ndarray], kind: str, prefix: str = "") -> float:
    """Sum of the running means or variances, in float64."""
    return sum(
        float(np.sum(value, dtype=np.float64))
        for key, value in state_dict.items()
        if key.startswith(prefix) and key.endswith(kind)
    )


def gradient_norm(tree: Any) -> float:
    return float(np.sqrt(sum(np.sum(np.square(leaf, dtype=np.float64)) for leaf in leaves(tree))))


def leaves(tree: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
