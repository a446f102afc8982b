"""Sample sheets: rows of examples, columns of what the networks made of them.

Images are float arrays [N, H, W, C] in [0, 1] with C = 1 (gray) or 3; sheets are RGB.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tdgan_jax.files import write_atomically

_PAPER = (255, 255, 255)
_INK = (40, 46, 58)


def sample_grid(
    columns: Sequence[np.ndarray], max_rows: int = 3, titles: Sequence[str] | None = None
) -> Image.Image:
    """Draws a sample sheet, one column per kind of image and one row per example.

    With the columns face, expression, generated, consistency-face and consistency-expression this
    is the sheet of the released program (tdgan.md, section 7): tiles without gaps, values times 255
    truncated to uint8.

    Args:
        columns: One array [N, H, W, C] in [0, 1] a column, all of one height, width and N; values
            outside the range are clipped.
        max_rows: The first so many examples are shown.
        titles: Column titles for a header above the tiles, or None for no header.

    Returns:
        An RGB image of min(N, max_rows) rows.

    Raises:
        ValueError: No column, shapes that differ, or another number of titles than of columns.
    """
    arrays = [np.asarray(column) for column in columns]
    if not arrays or any(array.ndim != 4 or array.shape[-1] not in (1, 3) for array in arrays):
        raise ValueError(f"columns must be [N, H, W, 1 or 3], got {[a.shape for a in arrays]}")
    if any(array.shape[:3] != arrays[0].shape[:3] for array in arrays):
        raise ValueError(f"columns differ in shape: {[array.shape for array in arrays]}")
    if titles is not None and len(titles) != len(arrays):
        raise ValueError(f"{len(titles)} titles for {len(arrays)} columns")
    sheet = Image.fromarray(np.concatenate([_column(array[:max_rows]) for array in arrays], axis=1))
    if titles is None:
        return sheet
    header = _header(titles, tile_width_px=arrays[0].shape[2])
    titled = Image.new("RGB", (sheet.width, sheet.height + header.height), _PAPER)
    titled.paste(header, (0, 0))
    titled.paste(sheet, (0, header.height))
    return titled


def save_png(image: Image.Image, path: Path) -> None:
    """Writes an image as PNG, atomically; missing folders are created.

    Raises:
        UserError: The file cannot be written.
    """
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    write_atomically(Path(path), buffer.getvalue())


def _column(images: np.ndarray) -> np.ndarray:
    """Stacks images [N, H, W, C] in [0, 1] into one uint8 strip [N * H, W, 3]."""
    _, _, width, channels = images.shape
    # Clipped first: a value above 1 would wrap around to black, and NaN has no integer.
    truncated = (np.clip(np.nan_to_num(images), 0.0, 1.0) * 255).astype(np.uint8)
    strip = truncated.reshape(-1, width, channels)
    return np.repeat(strip, 3, axis=2) if channels == 1 else strip


def _header(titles: Sequence[str], tile_width_px: int) -> Image.Image:
    """Titles centred above their columns, one word a line when a tile is too narrow."""
    size_px = max(8, min(14, tile_width_px // 8))
    font = ImageFont.load_default(size_px)
    fits = all(font.getlength(title) <= tile_width_px - 4 for title in titles)
    lines = list(titles) if fits else [title.replace(" ", "\n") for title in titles]
    height_px = (size_px + 4) * max(line.count("\n") + 1 for line in lines) + 4
    header = Image.new("RGB", (tile_width_px * len(titles), height_px), _PAPER)
    draw = ImageDraw.Draw(header)
    for index, line in enumerate(lines):
        centre = (tile_width_px * (index + 0.5), height_px / 2)
        draw.multiline_text(
            centre, line, fill=_INK, font=font, anchor="mm", align="center", spacing=2
        )
    return header
