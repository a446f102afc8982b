"""Pictures that are equal except for the noise of an encoder, and pictures that show nothing.

Pictures are uint8 `[N, H, W]`, gray and all of one size, height and width multiples of 4.
"""

import io
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

MAX_DIFFERENCE = 5.0
"""Pictures whose pixels differ by at most so many gray levels (root of the mean square) are equal.

A JPEG of FER-2013 differs from the original by 2.0 at most; another crop or another frame of the
same person by 6 and more.
"""

MIN_CONTRAST = 5.0
"""A picture whose gray levels have a smaller standard deviation shows nothing."""

_BLOCK = 4
_PICTURES_AT_A_TIME = 512


def gray_pictures(encoded: Iterable[bytes]) -> np.ndarray:
    """Decodes small image files of one size.

    Args:
        encoded: Gray image files.

    Returns:
        Uint8 `[N, H, W]`.
    """
    return np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in encoded])


def empty_pictures(pictures: np.ndarray) -> np.ndarray:
    """Finds pictures that show nothing.

    Args:
        pictures: Uint8 `[N, H, W]`.

    Returns:
        Their positions, int64.
    """
    deviations = [picture.std() for picture in pictures]
    return np.flatnonzero(np.array(deviations) < MIN_CONTRAST)


def nearly_equal(
    first: np.ndarray, second: np.ndarray, *, max_difference: float = MAX_DIFFERENCE
) -> Iterator[tuple[int, int]]:
    """Finds the pairs of equal pictures of two sets, whatever they were encoded as.

    Args:
        first: Uint8 `[N, H, W]`.
        second: Uint8 `[M, H, W]`.
        max_difference: Root of the mean square of the pixels' differences, in gray levels.

    Yields:
        Positions in the first and in the second set.
    """
    means, others = _block_means(first), _block_means(second)
    squares, squares_of_others = (means**2).sum(axis=1), (others**2).sum(axis=1)
    # No difference of pictures is smaller than that of their blocks' means; a little for rounding.
    most = max_difference**2 * means.shape[1] * 1.01 + 1
    for start in range(0, len(others), _PICTURES_AT_A_TIME):
        some = slice(start, start + _PICTURES_AT_A_TIME)
        distances = squares[:, None] + squares_of_others[some] - 2 * means @ others[some].T
        for i, j in np.argwhere(distances <= most):
            difference = first[i].astype(np.int32) - second[start + j]
            if (difference**2).mean() <= max_difference**2:
                yield int(i), int(start + j)


def _block_means(pictures: np.ndarray) -> np.ndarray:
    count, height, width = pictures.shape
    rows, columns = height // _BLOCK, width // _BLOCK
    blocks = pictures.reshape(count, rows, _BLOCK, columns, _BLOCK)
    # Less a middle gray, so that squares stay small for float32.
    return blocks.mean(axis=(2, 4), dtype=np.float32).reshape(count, rows * columns) - 128
