"""Golden weights, inputs and numbers of Emotion-GCN (section 9 of its specification).

The released networks gave these numbers with pseudo-random weights. Both the torch twins and the
JAX networks are compared with them. Shapes are PyTorch's (NCHW images, OIHW kernels).
"""

from collections.abc import Mapping

import numpy as np

EXPRESSIONS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")
LABELS = (0, 1, 3, 6)
CLASS_WEIGHTS = 3803 / np.array([74874, 134415, 25459, 14090, 6378, 3803, 24882], np.float32)
IMAGE_KEYS = {227: 9004, 112: 9006}


def filled_state_dict(
    shapes: Mapping[str, tuple[int, ...]], adjacency: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The weights of a network with the given entries, in their order.

    Args:
        shapes: Key to shape, counters included.
        adjacency: What stands under `A`.
    """
    weights = {}
    for k, (key, shape) in enumerate(shapes.items()):
        if key == "A":
            assert adjacency is not None
            weights[key] = adjacency.astype(np.float32)
        elif key.endswith("num_batches_tracked"):
            weights[key] = np.zeros((), np.int64)
        else:
            u = _u(k, shape)
            if len(shape) > 1:
                value = (u - 0.5) * np.sqrt(12 / np.prod(shape[1:]))
            elif key.endswith(("bias", "running_mean")):
                value = 0.2 * (u - 0.5)
            else:  # scales, variances, _a, _c
                value = 0.5 + u
            weights[key] = value.astype(np.float32)
    return weights


def images(size_px: int) -> np.ndarray:
    """Four images, `[4, 3, size_px, size_px]`."""
    return values(IMAGE_KEYS[size_px], (4, 3, size_px, size_px))


def word_vectors() -> np.ndarray:
    """Z, `[9, 300]`."""
    return (_u(9010, (9, 300)) - 0.5).astype(np.float32)


def affect() -> np.ndarray:
    """Valence and arousal of the images, `[4, 2]`."""
    return (2 * (_u(9005, (4, 2)) - 0.5)).astype(np.float32)


def values(k: int, shape: tuple[int, ...]) -> np.ndarray:
    """Tensor number k, float32 in [0, 1)."""
    return _u(k, shape).astype(np.float32)


def _u(k: int, shape: tuple[int, ...]) -> np.ndarray:
    """Tensor number k, float64: values are rounded to float32 once, when they are finished."""
    n = np.arange(1, np.prod(shape) + 1, dtype=np.float64)
    u = np.abs(np.sin(12.9898 * n + 78.233 * (k + 1))) * 43758.5453
    return (u - np.floor(u)).reshape(shape)
