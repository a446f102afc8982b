"""A photograph in the many sizes that P-Net looks at, laid side by side on a few fixed canvases.

P-Net finds faces of one size only and is therefore shown the photograph in ever smaller sizes. A
program is compiled for every shape of its input, and photographs come in any size: so the levels of
the pyramid are put on square canvases of which there are `CANVAS_SIZES_PX`, large levels in pieces
that overlap by what two windows share. `mtcnn.p_net` gives each piece the outputs that it would get
alone.
"""

import functools
from typing import NamedTuple

import numpy as np

from tdgan_jax.faces.mtcnn import P_NET_STRIDE_PX, P_NET_WINDOW_PX

# Chosen so that common photographs fill theirs well: 288 for 320x240, 592 for 640x480. Larger
# photographs are spread over several of the largest, which bounds the memory.
CANVAS_SIZES_PX = (96, 144, 192, 240, 288, 384, 480, 592)
SCALE_FACTOR = 0.709  # from one level to the next, as in the authors' program
_OVERLAP_PX = P_NET_WINDOW_PX - P_NET_STRIDE_PX
# Reads the level count of package `mtcnn`, which fixes it for this smallest face.
_FACE_SIZE_OF_COUNT_PX = 20


class Piece(NamedTuple):
    """A part of a level, or all of it, and its place; everything in pixels.

    Attributes:
        level: Number of the level.
        top: First row in the level.
        left: First column in the level.
        height: Number of rows.
        width: Number of columns.
        canvas: Number of the canvas.
        row: First row on the canvas.
        column: First column on the canvas.
    """

    level: int
    top: int
    left: int
    height: int
    width: int
    canvas: int = 0
    row: int = 0
    column: int = 0

    @property
    def outputs(self) -> tuple[slice, slice]:
        """Rows and columns of P-Net's output on the canvas that belong to this piece."""
        first_row, first_column = self.row // P_NET_STRIDE_PX, self.column // P_NET_STRIDE_PX
        return (
            slice(first_row, first_row + _num_outputs(self.height)),
            slice(first_column, first_column + _num_outputs(self.width)),
        )


class Layout(NamedTuple):
    """Where the levels of a photograph's pyramid lie.

    Attributes:
        scales: float64 `[L]`: size of each level as a share of the photograph's.
        sizes_px: Height and width of each level.
        pieces: The parts of all levels.
        is_inside: bool `[num_canvases, S-2, S-2]`, what `mtcnn.p_net` asks for.
    """

    scales: np.ndarray
    sizes_px: tuple[tuple[int, int], ...]
    pieces: tuple[Piece, ...]
    is_inside: np.ndarray


def level_scales(height_px: int, width_px: int, *, min_face_size_px: int) -> np.ndarray:
    """Sizes of the pyramid's levels.

    Args:
        height_px: Height of the photograph.
        width_px: Its width.
        min_face_size_px: Side of the smallest face that is looked for.

    Returns:
        float64 `[L]`, largest first; none for a photograph smaller than the smallest face. For
        faces of 20 pixels these are the levels of package `mtcnn` 1.0.0, which takes the same
        number of levels for every other size, whatever becomes of the last ones.
    """
    shortest = min(height_px, width_px) * _FACE_SIZE_OF_COUNT_PX / min_face_size_px
    steps = np.log(shortest / P_NET_WINDOW_PX) / -np.log(SCALE_FACTOR)
    return P_NET_WINDOW_PX / min_face_size_px * SCALE_FACTOR ** np.arange(round(steps - 1))


@functools.lru_cache(maxsize=16)
def plan_layout(height_px: int, width_px: int, *, min_face_size_px: int) -> Layout:
    """Decides which canvases a photograph needs, and where on them its levels lie.

    Args:
        height_px: Height of the photograph.
        width_px: Its width.
        min_face_size_px: Side of the smallest face that is looked for.

    Returns:
        The layout: one canvas of the smallest size that suffices, or several of the largest.
    """
    scales = level_scales(height_px, width_px, min_face_size_px=min_face_size_px)
    sizes = tuple((int(height_px * scale), int(width_px * scale)) for scale in scales)
    for canvas_size_px in CANVAS_SIZES_PX:
        pieces = _place(_cut(sizes, canvas_size_px), canvas_size_px)
        num_canvases = max((piece.canvas + 1 for piece in pieces), default=0)
        if num_canvases <= 1:
            break
    is_inside = np.zeros((num_canvases, canvas_size_px - 2, canvas_size_px - 2), bool)
    for _, _, _, height, width, canvas, row, column in pieces:
        is_inside[canvas, row : row + height - 2, column : column + width - 2] = True
    return Layout(scales, sizes, tuple(pieces), is_inside)


def draw_canvases(image: np.ndarray, layout: Layout) -> np.ndarray:
    """Puts the levels of a photograph on their canvases.

    Args:
        image: uint8 `[H, W, C]`.
        layout: What `plan_layout` gave for its size.

    Returns:
        float32 `[num_canvases, S, S, C]`, as `mtcnn` takes pixels; 0 between the levels.
    """
    num_canvases, size = layout.is_inside.shape[0], layout.is_inside.shape[1] + 2
    canvases = np.zeros((num_canvases, size, size, image.shape[2]), np.float32)
    integral = _integral_image(image)
    for level, size_px in enumerate(layout.sizes_px):
        pixels = (_area_means(integral, size_px) - 127.5) / 128
        for piece in (piece for piece in layout.pieces if piece.level == level):
            _, top, left, height, width, canvas, row, column = piece
            canvases[canvas, row : row + height, column : column + width] = pixels[
                top : top + height, left : left + width
            ]
    return canvases


def _num_outputs(size_px: int) -> int:
    """Number of windows along a side; the last one may hang over the edge by a pixel."""
    return (size_px - 1) // 2 - 4


def _cut(sizes_px: tuple[tuple[int, int], ...], max_size_px: int) -> list[Piece]:
    """Cuts levels into pieces of at most a size, whose outputs side by side are the level's."""
    step = max_size_px - _OVERLAP_PX
    return [
        Piece(level, top, left, min(height - top, max_size_px), min(width - left, max_size_px))
        for level, (height, width) in enumerate(sizes_px)
        for top in range(0, height - _OVERLAP_PX, step)
        for left in range(0, width - _OVERLAP_PX, step)
    ]


def _place(pieces: list[Piece], canvas_size_px: int) -> list[Piece]:
    """Puts pieces in rows, high ones first, each into the first row that has room."""
    placed = []
    rows: list[list[int]] = []  # canvas, top, height, used width
    canvas, bottom = 0, 0
    for piece in sorted(pieces, key=lambda piece: (-piece.height, -piece.width)):
        # Even places: the outputs of P-Net are two pixels apart.
        height, width = piece.height + piece.height % 2, piece.width + piece.width % 2
        for row in rows:
            if row[3] + width <= canvas_size_px:  # high enough it is: high ones come first
                break
        else:
            if bottom + height > canvas_size_px:
                canvas, bottom = canvas + 1, 0
            row = [canvas, bottom, height, 0]
            rows.append(row)
            bottom += height
        placed.append(piece._replace(canvas=row[0], row=row[1], column=row[3]))
        row[3] += width
    return placed


def _integral_image(image: np.ndarray) -> np.ndarray:
    """Sums of all pixels above and left of each corner: float64 `[H+1, W+1, C]`, exact."""
    height, width, channels = image.shape
    integral = np.zeros((height + 1, width + 1, channels))
    np.cumsum(image, axis=0, out=integral[1:, 1:])
    np.cumsum(integral[1:, 1:], axis=1, out=integral[1:, 1:])
    return integral


def _area_means(integral: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """Shrinks a photograph: every new pixel is the mean of the area that it covers.

    Args:
        integral: What `_integral_image` gave.
        size_px: New height and width.

    Returns:
        float64 `[height, width, C]`.
    """
    sums = integral
    for axis in (0, 1):
        length = integral.shape[axis] - 1
        edges = np.linspace(0.0, length, size_px[axis] + 1)
        before = np.minimum(edges.astype(int), length - 1)
        share = (edges - before).reshape((-1, 1) if axis else (-1, 1, 1))
        low, high = np.take(sums, before, axis), np.take(sums, before + 1, axis)
        sums = low + share * (high - low)
    means = np.diff(np.diff(sums, axis=0), axis=1)
    return means * (size_px[0] * size_px[1] / ((integral.shape[0] - 1) * (integral.shape[1] - 1)))
