"""Boxes of candidates: from P-Net's outputs to squares, and which of overlapping ones stay.

Boxes are float64 `[N, 4]`: left, top, right, bottom in pixels. The rules, also where they are odd,
are those of package `mtcnn` 1.0.0.
"""

from typing import Literal

import numpy as np

from tdgan_jax.faces.mtcnn import P_NET_STRIDE_PX, P_NET_WINDOW_PX

_MAX_PAIRS = 1 << 20  # of boxes whose overlap is computed at once, which bounds the memory


def window_boxes(places: np.ndarray, offsets: np.ndarray, scale: float) -> np.ndarray:
    """The boxes that P-Net's outputs stand for.

    Args:
        places: int `[N, 2]`: column and row of each output among those of its level.
        offsets: float32 `[N, 4]`, in sides of the window less one pixel.
        scale: Size of the level as a share of the photograph's.

    Returns:
        Boxes in the photograph.
    """
    # The package's windows start at their second pixel and are 11 wide.
    corners = places * P_NET_STRIDE_PX
    windows = np.concatenate([corners + 1, corners + P_NET_WINDOW_PX], axis=1)
    return (windows + offsets.astype(np.float64) * (P_NET_WINDOW_PX - 1)) / scale


def move_boxes(boxes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Moves the sides of boxes as R-Net and O-Net say.

    Args:
        boxes: `[N, 4]`.
        offsets: float32 `[N, 4]`, in widths and heights of the boxes.

    Returns:
        Boxes.
    """
    return boxes + offsets * np.tile(box_sizes(boxes), (1, 2))


def box_sizes(boxes: np.ndarray) -> np.ndarray:
    """Width and height `[N, 2]`, counting the first and the last pixel."""
    return boxes[:, 2:] - boxes[:, :2] + 1


def make_square(boxes: np.ndarray) -> np.ndarray:
    """Widens or heightens boxes about their middles until they are squares."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    sides = sizes.max(axis=1, keepdims=True)
    corner = boxes[:, :2] + sizes * 0.5 - sides * 0.5
    return np.concatenate([corner, corner + sides], axis=1)


def best_boxes(
    boxes: np.ndarray,
    scores: np.ndarray,
    *,
    max_overlap: float,
    relative_to: Literal["union", "smaller"] = "union",
) -> np.ndarray:
    """Which boxes overlap no better one too much.

    Unlike in the usual suppression, a box that is left out itself still drives out worse ones.

    Args:
        boxes: `[N, 4]`.
        scores: `[N]`; of two equal ones the later counts as the better.
        max_overlap: Largest share of the area that may be common.
        relative_to: Whether that is a share of the union or of the smaller of the two.

    Returns:
        int `[M]`: places of the boxes that stay, the best first.
    """
    order = np.argsort(scores, kind="stable")[::-1]
    left, top, right, bottom = boxes[order].T
    areas = (right - left) * (bottom - top)
    stays = np.ones(len(boxes), bool)
    block = max(1, _MAX_PAIRS // max(1, len(boxes)))
    for start in range(0, len(boxes), block):
        worse, better = slice(start, start + block), slice(0, start + block)
        width = np.minimum.outer(right[worse], right[better])
        width -= np.maximum.outer(left[worse], left[better])
        height = np.minimum.outer(bottom[worse], bottom[better])
        height -= np.maximum.outer(top[worse], top[better])
        common = np.maximum(width, 0) * np.maximum(height, 0)
        if relative_to == "union":
            whole = np.add.outer(areas[worse], areas[better]) - common
        else:
            whole = np.minimum.outer(areas[worse], areas[better])
        # Compared as a product: the area of a degenerate box may be 0 or negative.
        overlaps = (common > 0) & (common > max_overlap * whole)
        stays[worse] = ~np.tril(overlaps, k=start - 1).any(axis=1)
    return order[stays]
