"""Makes the contact sheets of `synthetic_faces` in `docs/`.

Run with `python benchmarks/contact_sheet.py [--out docs]`. The first sheet
shows people against expressions in an even light; the second shows what each nuisance does to one
face, and below that pictures as they stand in the dataset.
"""

import argparse
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tdgan_jax.data_builders.synthetic_faces.drawing import DRAWN_SIZE_PX, draw
from tdgan_jax.data_builders.synthetic_faces.factors import (
    Nuisance,
    Picture,
    sample_expression,
    sample_identity,
)
from tdgan_jax.data_builders.synthetic_faces.workers import draw_picture

from tdgan_jax.expressions import BASIC_EXPRESSIONS

STUDIO = Nuisance(
    yaw=0.0,
    pitch=0.0,
    roll=0.0,
    scale=0.86,
    shift_x=0.0,
    shift_y=0.02,
    light_azimuth=0.4,
    light_elevation=0.5,
    ambient=0.4,
    exposure=1.1,
    gamma=0.9,
    background=0.62,
    background_slope_x=0.0,
    background_slope_y=-0.08,
    gaze_x=0.0,
    gaze_y=0.0,
    blur=0.0,
    noise=0.0,
    occlusion=0.0,
    occlusion_angle=0.6,
    occlusion_reach=0.4,
    occlusion_width=0.15,
)
"""A frontal picture in an even light."""

_IDENTITIES = (0, 12, 33, 45, 24, 42, 57)
_NUISANCE_RANGES = {
    "yaw": (-0.48, 0.48),
    "pitch": (-0.24, 0.24),
    "roll": (-0.24, 0.24),
    "scale": (0.76, 1.02),
    "light_azimuth": (-1.3, 1.3),
    "light_elevation": (-0.05, 0.95),
    "blur": (0.0, 1.5),
    "noise": (0.0, 0.04),
    "occlusion_angle": (-2.6, 2.6),
}
_TITLE_PX = 18
_LABEL_PX = 84


def _sheet(
    rows: Sequence[Sequence[np.ndarray]],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    cell_px: int,
) -> Image.Image:
    """Lays pictures into a labelled table."""
    size = (_LABEL_PX + cell_px * len(rows[0]), _TITLE_PX + cell_px * len(rows))
    sheet = Image.new("L", size, 255)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for column, label in enumerate(column_labels):
        middle = _LABEL_PX + int((column + 0.5) * cell_px)
        pen.text((middle, _TITLE_PX // 2), label, fill=0, font=font, anchor="mm")
    for number, (row, label) in enumerate(zip(rows, row_labels, strict=True)):
        top = _TITLE_PX + number * cell_px
        text = label.replace("_", "\n")
        pen.multiline_text((4, top + cell_px // 2), text, fill=0, font=font, anchor="lm")
        for column, gray in enumerate(row):
            cell = Image.fromarray(gray).resize((cell_px, cell_px), Image.Resampling.LANCZOS)
            sheet.paste(cell, (_LABEL_PX + column * cell_px, top))
    return sheet


def expression_sheet() -> Image.Image:
    """People against expressions.

    Returns:
        The sheet, mode "L".
    """
    rows = [
        [
            draw(sample_identity(who), sample_expression(who, name, 0), STUDIO, seed=(who,))
            for name in BASIC_EXPRESSIONS
        ]
        for who in _IDENTITIES
    ]
    labels = [f"identity_{who:03d}" for who in _IDENTITIES]
    return _sheet(rows, labels, BASIC_EXPRESSIONS, DRAWN_SIZE_PX)


def nuisance_sheet() -> Image.Image:
    """One face under each nuisance, and pictures as they stand in the dataset.

    Returns:
        The sheet, mode "L".
    """
    who, rows = 24, []
    for field, (low, high) in _NUISANCE_RANGES.items():
        row = []
        for value in np.linspace(low, high, len(BASIC_EXPRESSIONS)).tolist():
            nuisance = STUDIO._replace(**{field: value})
            if field == "occlusion_angle":
                nuisance = nuisance._replace(occlusion=0.2)
            expression = sample_expression(who, "happiness", 0)
            row.append(draw(sample_identity(who), expression, nuisance, seed=(who,)))
        rows.append(row)
    upper = _sheet(rows, list(_NUISANCE_RANGES), (), 88)
    people = (5, 30, 33, 57, 78)
    stored = [
        [draw_picture(Picture(who, name, 0), 128) for name in BASIC_EXPRESSIONS] for who in people
    ]
    lower = _sheet(stored, [f"train_{who:03d}" for who in people], BASIC_EXPRESSIONS, 88)
    both = Image.new("L", (upper.width, upper.height + lower.height), 255)
    both.paste(upper, (0, -_TITLE_PX // 2))
    both.paste(lower, (0, upper.height))
    return both


def main() -> None:
    """Writes both sheets."""
    parser = argparse.ArgumentParser(description="Make the contact sheets of synthetic_faces.")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("docs"))
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    expression_sheet().save(folder / "synthetic_faces.png", optimize=True)
    nuisance_sheet().save(folder / "synthetic_faces_nuisances.png", optimize=True)


if __name__ == "__main__":
    main()
