"""Filling a partial batch."""

import numpy as np


def padded_rows(values: np.ndarray, size: int) -> np.ndarray:
    """An array with as many rows as wanted: the first one repeated at the end."""
    return np.concatenate([values, np.repeat(values[:1], size - len(values), axis=0)])


def padded_weight(num_rows: int, size: int) -> np.ndarray:
    """float32 `[size]` of mean 1: equal for the rows that count, 0 for the padding after them."""
    weight = np.zeros(size, np.float32)
    weight[:num_rows] = size / num_rows
    return weight
