"""Sheets and animations of a generator, from faces that are cut out."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from PIL import Image

from tdgan_jax.inference.animation import encode_gif
from tdgan_jax.inference.sheets import animation_strip, in_model_size, to_image, transfer_grid


def transfer_sheet(
    model: Any,
    faces: Sequence[Image.Image],
    expressions: Sequence[Image.Image],
    *,
    seed: int,
    each: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> Image.Image:
    """Puts every expression on every face.

    Args:
        model: A `Model` that `Generates`.
        faces: F pictures, one at least.
        expressions: E pictures, one at least.
        seed: Of the noise.
        each: Goes through the pairs, as a progress bar does.

    Returns:
        The generated picture; of several pairs a grid with the faces along the left and the
        expressions along the top edge.
    """
    key = jax.random.key(seed)
    pairs = [(face, expression) for face in faces for expression in expressions]
    # One pair at a time with one key: the noise is the same in the whole grid, so that nothing
    # but the face changes down a column and nothing but the expression along a row.
    generated = np.concatenate(
        [model.transfer([face], [expression], key=key) for face, expression in each(pairs)]
    )
    if len(pairs) == 1:
        return to_image(generated[0])
    shape = (len(faces), len(expressions), *generated.shape[1:])
    seen = in_model_size([*faces, *expressions], model)
    return transfer_grid(seen[: len(faces)], seen[len(faces) :], generated.reshape(shape))


def interpolation(
    model: Any,
    faces: Sequence[Image.Image],
    expressions: Sequence[Image.Image],
    *,
    num_frames: int,
    seed: int,
) -> tuple[bytes, Image.Image]:
    """Moves between two expressions of one face, or between two faces of one expression.

    Args:
        model: A `Model` that `Generates`.
        faces: One or two pictures.
        expressions: Two or one.
        num_frames: At least 2.
        seed: Of the noise.

    Returns:
        The content of a GIF file, and the strip (`sheets.animation_strip`).
    """
    key = jax.random.key(seed)
    frames = model.interpolate(faces, expressions, num_frames=num_frames, key=key)
    fixed, ends = (faces, expressions) if len(faces) == 1 else (expressions, faces)
    seen = in_model_size([*fixed, *ends], model)
    strip = animation_strip(seen[0], seen[1:], frames)
    return encode_gif([to_image(frame) for frame in frames]), strip
