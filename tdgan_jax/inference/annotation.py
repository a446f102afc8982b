"""Pictures that show what a model recognised: a box around each face, and bars beside it."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tdgan_jax.inference.recognition import RecognisedFace

MIN_SIDE_PX, MAX_SIDE_PX = 256, 1280  # of the picture: bars need room, large files serve nobody

_PAPER, _INK, _TRACK = (255, 255, 255), (40, 46, 58), (232, 231, 227)
# Okabe and Ito's colour-blind safe set without its black and yellow.
_COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0))
_FONT_PX = 13
_LINE_PX = 18
_NAME_PX, _BAR_PX, _PERCENT_PX, _MARGIN_PX = 82, 90, 42, 12
_PANEL_PX = _NAME_PX + _BAR_PX + _PERCENT_PX + 2 * _MARGIN_PX


def annotate(
    image: Image.Image, faces: Sequence[RecognisedFace], expression_names: Sequence[str]
) -> Image.Image:
    """Draws the picture with numbered boxes, and the probabilities of each face to its right.

    Args:
        image: The RGB picture; scaled to sides between `MIN_SIDE_PX` and `MAX_SIDE_PX`.
        faces: The faces in it; without one, the panel says so.
        expression_names: Names in the order of the probabilities.

    Returns:
        An RGB image.
    """
    picture, scale = _scaled(image)
    _draw_boxes(picture, faces, scale)
    block_px = (len(expression_names) + 2) * _LINE_PX
    blocks_a_column = max(1, picture.height // block_px)
    columns = max(1, -(-len(faces) // blocks_a_column))
    height = max(picture.height, block_px)
    sheet = Image.new("RGB", (picture.width + columns * _PANEL_PX, height), _PAPER)
    sheet.paste(picture, (0, 0))
    draw = ImageDraw.Draw(sheet)
    if not faces:
        left, top = picture.width + _MARGIN_PX, _LINE_PX
        draw.text((left, top), "no face found", fill=_INK, font=_font(), anchor="lm")
    for index, face in enumerate(faces):
        column, row = divmod(index, blocks_a_column)
        corner = (picture.width + column * _PANEL_PX + _MARGIN_PX, row * block_px + _LINE_PX)
        _draw_bars(draw, corner, index, face, expression_names)
    return sheet


def _scaled(image: Image.Image) -> tuple[Image.Image, float]:
    scale = max(1.0, MIN_SIDE_PX / min(image.size))
    # A long narrow picture stays within the upper limit, however thin it gets.
    scale = min(scale, MAX_SIDE_PX / max(image.size))
    if scale == 1.0:
        return image.copy(), scale
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BICUBIC), scale


def _draw_boxes(picture: Image.Image, faces: Sequence[RecognisedFace], scale: float) -> None:
    draw = ImageDraw.Draw(picture)
    for index, face in enumerate(faces):
        colour = _COLOURS[index % len(_COLOURS)]
        limits = (picture.width, picture.height) * 2
        left, top, right, bottom = (
            min(max(0, round(edge * scale)), limit - 1)
            for edge, limit in zip(face.box, limits, strict=True)
        )
        draw.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=2)
        title = f" {index + 1} {face.label} "
        # Above the box where there is room, so that it hides nothing of the face.
        tag_top = top - _LINE_PX if top >= _LINE_PX else top
        tag_right = left + draw.textlength(title, font=_font())
        draw.rectangle((left, tag_top, tag_right, tag_top + _LINE_PX), fill=colour)
        draw.text((left, tag_top + 1), title, fill=_PAPER, font=_font())


def _draw_bars(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    index: int,
    face: RecognisedFace,
    expression_names: Sequence[str],
) -> None:
    left, top = corner
    colour = _COLOURS[index % len(_COLOURS)]
    draw.text((left, top), f"{index + 1}  {face.label}", fill=colour, font=_font(), anchor="lm")
    probabilities = np.nan_to_num(np.asarray(face.probabilities, dtype=float))
    for line, (name, value) in enumerate(
        zip(expression_names, probabilities, strict=True), start=1
    ):
        middle = top + line * _LINE_PX
        bar_left = left + _NAME_PX
        upper, lower = middle - 5, middle + 5
        draw.text((left, middle), name, fill=_INK, font=_font(), anchor="lm")
        draw.rectangle((bar_left, upper, bar_left + _BAR_PX, lower), fill=_TRACK)
        length_px = round(value * _BAR_PX)
        if length_px:
            draw.rectangle((bar_left, upper, bar_left + length_px, lower), fill=colour)
        right = bar_left + _BAR_PX + _PERCENT_PX
        draw.text((right, middle), f"{value:.0%}", fill=_INK, font=_font(), anchor="rm")


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_PX)
