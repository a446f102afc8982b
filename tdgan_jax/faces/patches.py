"""Square patches of a photograph, in the size that a network takes."""

import numpy as np


def cut_patches(image: np.ndarray, boxes: np.ndarray, size_px: int) -> np.ndarray:
    """Samples a photograph on a grid in each box, bilinearly, as the networks take pixels.

    As `tf.image.crop_and_resize` does for package `mtcnn` 1.0.0, in float32 like there: the grid's
    corners lie on the box's corners, whose coordinates the package scales by (H-1)/H and (W-1)/W.

    Args:
        image: uint8 `[H, W, C]`.
        boxes: `[N, 4]`: left, top, right, bottom in pixels; may reach over the edges.
        size_px: Side of the patches.

    Returns:
        float32 `[N, size_px, size_px, C]`: `(value - 127.5) / 128`, 0 outside the photograph.
    """
    height, width, channels = image.shape
    left, top, right, bottom = (boxes / np.array([width, height] * 2)).astype(np.float32).T
    above, below, down, is_row = _grid(top, bottom, height, size_px)
    before, after, across, is_column = _grid(left, right, width, size_px)
    flat = image.reshape(-1, channels)

    def at(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        # Of these pixels alone: a photograph has many more.
        values = flat[rows[:, :, None] * width + columns[:, None, :]].astype(np.float32)
        return (values - 127.5) / 128

    across, down = across[:, None, :, None], down[:, :, None, None]
    upper, lower = at(above, before), at(below, before)
    upper += (at(above, after) - upper) * across
    lower += (at(below, after) - lower) * across
    upper += (lower - upper) * down
    return upper * (is_row[:, :, None, None] & is_column[:, None, :, None])


def _grid(
    start: np.ndarray, end: np.ndarray, length: int, size_px: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Samples along one axis.

    Returns:
        `[N, size_px]` each: the pixel before, the pixel after, the share of the latter, and
        whether the sample lies within the photograph.
    """
    last = np.float32(length - 1)
    step = (end - start) * last / np.float32(size_px - 1)
    places = (start * last)[:, None] + np.arange(size_px, dtype=np.float32) * step[:, None]
    is_inside = (places >= 0) & (places <= last)
    places = np.clip(places, 0, last)
    before = places.astype(np.intp)
    return before, np.minimum(before + 1, length - 1), places - before.astype(np.float32), is_inside
