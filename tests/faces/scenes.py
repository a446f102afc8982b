"""Scenes for the detector, made by a program: drawn faces on patterns, and patterns alone.

Another processor may round a few pixels to the next gray; `make_golden.py` keeps a digest.
"""

import numpy as np
from PIL import Image
from tdgan_jax.data_builders.synthetic_faces.drawing import draw
from tdgan_jax.data_builders.synthetic_faces.factors import sample_expression, sample_identity

from benchmarks.contact_sheet import STUDIO


def drawn_face(identity, expression, size_px, roll=0.0):
    gray = draw(
        sample_identity(identity),
        sample_expression(identity, expression, 0),
        STUDIO._replace(roll=roll),
        seed=(identity,),
    )
    return Image.fromarray(gray).resize((size_px, size_px), Image.Resampling.BICUBIC)


def stripes(height, width):
    rows, columns = np.mgrid[:height, :width]
    return ((rows * 3 + columns * 5) % 160 + 40).astype(np.uint8)


def checks(height, width):
    rows, columns = np.mgrid[:height, :width]
    tiles = (rows // 23 * 7 + columns // 31 * 13) % 11
    return (tiles * 20 + (rows * columns) % 17).astype(np.uint8)


def noise(height, width):
    coarse = np.random.default_rng(7).integers(0, 256, (height // 9 + 1, width // 9 + 1))
    return np.kron(coarse, np.ones((9, 9), np.int64))[:height, :width].astype(np.uint8)


def with_faces(background, *faces):
    """Pastes `(identity, expression, size_px, roll, left, top)`; they may hang over the edges."""
    scene = Image.fromarray(background)
    for identity, expression, size_px, roll, left, top in faces:
        scene.paste(drawn_face(identity, expression, size_px, roll), (left, top))
    return np.asarray(scene)


def in_colour(gray):
    tint = np.array([256, 214, 188])
    return (gray[..., None] * tint // 256).astype(np.uint8)


def portrait():
    """One face, in a picture of odd width and height."""
    return with_faces(stripes(243, 201), (12, "happiness", 170, 0.1, 17, 40))


def group():
    """Six faces of different size and tilt, two over the edges, in colour."""
    return in_colour(
        with_faces(
            checks(360, 480),
            (0, "neutral", 90, 0.0, 20, 30),
            (24, "anger", 60, -0.2, 160, 20),
            (34, "surprise", 140, 0.25, 250, 15),
            (48, "fear", 110, 0.0, 400, 180),
            (52, "happiness", 150, -0.1, 120, 190),
            (30, "neutral", 120, 0.0, -25, 220),
        )
    )


def large():
    """Larger than the largest canvas: a face across the cut, a large one, and small ones."""
    return with_faces(
        stripes(900, 1300),
        (36, "surprise", 420, 0.0, 60, 330),
        (20, "neutral", 130, 0.15, 930, 40),
        (44, "anger", 46, 0.0, 640, 700),
        (28, "fear", 40, 0.0, 985, 500),
        (10, "neutral", 60, -0.1, 1200, 800),
    )


def tile_pattern():
    """Nobody."""
    return in_colour(checks(243, 320))


def blotches():
    """Nobody, but much that P-Net takes for a face."""
    return noise(240, 333)


def speck():
    """Smaller than the smallest face."""
    return stripes(16, 40)


SCENES = {
    scene.__name__: scene for scene in (portrait, group, large, tile_pattern, blotches, speck)
}
