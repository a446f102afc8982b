"""Attention maps over a face, as in the figure of IF-GAN's paper (spec IF-GAN 12)."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

TILE_PX = 224
_GAP_PX = 4
_PAPER = (255, 255, 255)
# One colour a point: told apart by readers with any colour vision.
_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0))
_HEAT_SHARE = 0.6  # of a map over the darkened face


def attention_sheet(
    face: np.ndarray, drawn: np.ndarray, points: np.ndarray, maps: np.ndarray
) -> Image.Image:
    """One row: the face with all points, the average face, and a map with each point.

    Args:
        face: `[S, S, C]` in [0, 1], as the model sees it.
        drawn: `[S, S, C]` in [0, 1], what the generator made of it.
        points: `[Q, 2]`, x and y as fractions.
        maps: `[Q, h, w]`, not negative.

    Returns:
        An RGB image of 2 + Q tiles.
    """
    base = _tile(face)
    tiles = [_with_points(base, points, range(len(points))), _tile(drawn)]
    for index, weights in enumerate(maps):
        tiles.append(_with_points(_heated(base, weights), points[index : index + 1], [index]))
    sheet = Image.new("RGB", (len(tiles) * (TILE_PX + _GAP_PX) - _GAP_PX, TILE_PX), _PAPER)
    for column, tile in enumerate(tiles):
        sheet.paste(tile, (column * (TILE_PX + _GAP_PX), 0))
    return sheet


def _tile(values: np.ndarray) -> Image.Image:
    levels = np.rint(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8)
    pixels = np.repeat(levels, 3, axis=2) if levels.shape[-1] == 1 else levels
    return Image.fromarray(pixels).resize((TILE_PX, TILE_PX), Image.Resampling.BILINEAR)


def _heated(base: Image.Image, weights: np.ndarray) -> Image.Image:
    """The map over the face: black to red to yellow to white, its largest weight white."""
    share = weights / max(float(weights.max()), 1e-12)
    gray = Image.fromarray((255 * share).astype(np.uint8))
    heat = np.asarray(gray.resize((TILE_PX, TILE_PX), Image.Resampling.BILINEAR), np.float32) / 255
    colours = np.stack([np.clip(3 * heat - start, 0, 1) for start in (0, 1, 2)], axis=-1)
    mixed = (1 - _HEAT_SHARE) * np.asarray(base, np.float32) + _HEAT_SHARE * 255 * colours
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def _with_points(image: Image.Image, points: np.ndarray, numbers: Sequence[int]) -> Image.Image:
    marked = image.copy()
    draw = ImageDraw.Draw(marked)
    radius = TILE_PX // 45
    for (x, y), number in zip(points * TILE_PX, numbers, strict=True):
        box = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse(box, fill=_COLOURS[number % len(_COLOURS)], outline=(0, 0, 0))
    return marked
