"""The picture while it is drawn, and the shapes that the parts of a face are made of.

Coordinates are those of a frontal face in face units (see `factors`); arrays are float32.
"""

from typing import NamedTuple

import numpy as np

from .factors import Expression

SIDES = (-1, 1)  # image left, image right


class Paper(NamedTuple):
    """A part of the picture that is being drawn; slices share memory with the whole."""

    x: np.ndarray
    y: np.ndarray
    albedo: np.ndarray
    height: np.ndarray
    pixel: float  # size of a pixel in face units

    def window(self, x0: float, x1: float, y0: float, y1: float) -> "Paper":
        """The smallest rectangle of pixels that shows x0 to x1 (in any order) and y0 to y1."""
        step = 4
        x0, x1 = min(x0, x1), max(x0, x1)
        x, y = self.x[::step, ::step], self.y[::step, ::step]
        margin = step * self.pixel * 1.5
        inside = (x > x0 - margin) & (x < x1 + margin) & (y > y0 - margin) & (y < y1 + margin)
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if not len(rows):
            return self._cut(slice(0), slice(0))
        return self._cut(
            slice(rows[0] * step, (rows[-1] + 1) * step),
            slice(columns[0] * step, (columns[-1] + 1) * step),
        )

    def _cut(self, rows: slice, columns: slice) -> "Paper":
        x, y, albedo, height = (
            array[rows, columns] for array in (self.x, self.y, self.albedo, self.height)
        )
        return Paper(x, y, albedo, height, self.pixel)

    def cover(self, distance: np.ndarray, softness: float = 0.0) -> np.ndarray:
        """Share of a pixel that lies inside, from the signed distance to the edge."""
        return np.clip(distance / (self.pixel + softness) + 0.5, 0.0, 1.0)

    def paint(self, mask: np.ndarray, tone: np.ndarray | float) -> None:
        """Puts a tone where the mask is 1."""
        self.albedo[...] += mask * (tone - self.albedo)

    def shade(self, mask: np.ndarray, strength: float) -> None:
        """Darkens (or with a negative strength lightens) where the mask is 1."""
        self.albedo[...] *= 1.0 - strength * mask


def bell(distance: np.ndarray, width: np.ndarray | float) -> np.ndarray:
    """A smooth bump of height 1 that ends at two and a half widths; cheaper than a Gaussian."""
    scaled = distance * (0.4 / width)
    inside = np.maximum(0.0, 1.0 - scaled * scaled)
    return inside * inside * inside  # ten times faster than ** 3


def length_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Length of the vector (x, y)."""
    return np.sqrt(x * x + y * y)  # five times faster than np.hypot


def smooth_step(t: np.ndarray) -> np.ndarray:
    """Goes from 0 at 0 to 1 at 1 without a kink, and stays."""
    t = np.clip(t, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def by_side(expression: Expression, side: int) -> dict[int, float]:
    """The action units of one half of the face."""
    gain = 1.0 + side * expression.asymmetry
    return {unit: amplitude * gain for unit, amplitude in expression.units.items()}


def jaw_drop(expression: Expression) -> float:
    """How far the chin goes down (AU26), in face units."""
    return 0.13 * expression.units[26] + 0.01 * expression.units[25]
