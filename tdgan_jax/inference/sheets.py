"""Grids and strips of what a generator made, with the pictures it was made from.

Arrays are float `[..., S, S, C]` in [0, 1] with C = 1 (gray) or 3.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tdgan_jax.data.images import resize_exactly

if TYPE_CHECKING:
    from tdgan_jax.families.capabilities import Model

_GAP_PX = 4
_PAPER = 1.0
STRIP_FRAMES = 9  # the most that a strip shows of an animation


def in_model_size(images: Sequence[Image.Image], model: "Model") -> np.ndarray:
    """Faces in the size and the colours of a model, float32 `[N, S, S, C]` in [0, 1]."""
    arrays = [
        resize_exactly(np.asarray(image), model.image_size_px, model.image_channels)
        for image in images
    ]
    return np.stack(arrays).astype(np.float32) / 255


def to_image(values: np.ndarray) -> Image.Image:
    """One picture `[H, W, C]` as an 8-bit image of mode `L` or `RGB`."""
    # NaN has no integer, and a value above 1 would wrap around to black.
    levels = np.rint(np.clip(np.nan_to_num(values), 0.0, 1.0) * 255).astype(np.uint8)
    return Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)


def transfer_grid(faces: np.ndarray, expressions: np.ndarray, generated: np.ndarray) -> Image.Image:
    """The generated pictures with the faces along the left and the expressions along the top edge.

    Args:
        faces: `[F, S, S, C]`.
        expressions: `[E, S, S, C]`.
        generated: `[F, E, S, S, C]`, face f with expression e.

    Returns:
        An image of F + 1 rows and E + 1 columns; the upper left corner is empty.
    """
    empty = np.full_like(faces[0], _PAPER)
    rows = [_row(empty, expressions)]
    rows.extend(_row(face, images) for face, images in zip(faces, generated, strict=True))
    gap = np.full_like(rows[0][:_GAP_PX], _PAPER)
    return to_image(np.concatenate([rows[0], gap, *rows[1:]], axis=0))


def animation_strip(fixed: np.ndarray, ends: np.ndarray, frames: np.ndarray) -> Image.Image:
    """An animation as one row: what stays, where it starts, some frames, where it ends.

    Args:
        fixed: `[S, S, C]`, the input that all frames share.
        ends: `[2, S, S, C]`, the inputs between which the frames move.
        frames: `[N, S, S, C]`; at most `STRIP_FRAMES` of them are shown, evenly spaced, the first
            and the last among them.

    Returns:
        An image of one row.
    """
    shown = np.linspace(0, len(frames) - 1, min(len(frames), STRIP_FRAMES)).round().astype(int)
    middle = np.concatenate(list(frames[shown]), axis=1)
    gap = np.full_like(fixed[:, :_GAP_PX], _PAPER)
    return to_image(np.concatenate([fixed, gap, ends[0], gap, middle, gap, ends[1]], axis=1))


def _row(first: np.ndarray, others: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    gap = np.full_like(first[:, :_GAP_PX], _PAPER)
    return np.concatenate([first, gap, *others], axis=1)
