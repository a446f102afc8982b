"""Pictures that show what a model recognised: a box around each face, and bars beside it."""

import functools
import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from tdgan_jax.inference.records import FaceRecord
from tdgan_jax.printing import printable

MIN_SIDE_PX, MAX_SIDE_PX = 256, 1280  # of the picture: bars need room, and larger files help no one

_PAPER, _INK, _TRACK = (255, 255, 255), (40, 46, 58), (232, 231, 227)
# Okabe and Ito's colour-blind safe set without its black and yellow.
_COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0))
_NOT_RECOGNISED = (110, 112, 120)  # faces that are cut off, or seen from the side
_FONT_PX = 13
_LINE_PX = 18
_NAME_PX, _BAR_PX, _PERCENT_PX, _MARGIN_PX = 82, 90, 42, 12
_PANEL_PX = _NAME_PX + _BAR_PX + _PERCENT_PX + 2 * _MARGIN_PX


def annotate(
    image: Image.Image,
    records: Sequence[FaceRecord],
    expression_names: Sequence[str],
    *,
    room_for: int | None = None,
) -> Image.Image:
    """Draws the picture with a box around each face, and the probabilities to its right.

    A face has the number of its track, or else that of the face, as in the table.

    Args:
        image: The RGB picture; scaled to sides between `MIN_SIDE_PX` and `MAX_SIDE_PX`.
        records: What is known of it; without a face, the panel says so.
        expression_names: Names in the order of the bars.
        room_for: How many faces there is room for at least, whether they are there or not, so that
            all frames of a video have one size; further ones may have no bars. As many as there
            are by default.

    Returns:
        An RGB image.
    """
    picture, scale = _scaled(image)
    faces = [record for record in records if record.box is not None]
    _draw_boxes(picture, faces, scale)
    block_px = (len(expression_names) + 2) * _LINE_PX
    blocks_a_column = max(1, picture.height // block_px)
    num_columns = max(1, -(-(len(faces) if room_for is None else room_for) // blocks_a_column))
    height = max(picture.height, block_px)
    sheet = Image.new("RGB", (picture.width + num_columns * _PANEL_PX, height), _PAPER)
    sheet.paste(picture, (0, 0))
    draw = ImageDraw.Draw(sheet)
    if not faces:
        left, top = picture.width + _MARGIN_PX, _LINE_PX
        draw.text((left, top), "no face found", fill=_INK, font=_font(), anchor="lm")
    for index, face in enumerate(faces[: num_columns * blocks_a_column]):
        column, row = divmod(index, blocks_a_column)
        corner = (picture.width + column * _PANEL_PX + _MARGIN_PX, row * block_px + _LINE_PX)
        _draw_bars(draw, corner, face, expression_names)
    return sheet


def _title(face: FaceRecord) -> str:
    return f"{_number(face)}  {printable(face.label or face.status)}"


def _number(face: FaceRecord) -> int:
    return (face.face or 0) if face.track is None else face.track


def _colour(face: FaceRecord) -> tuple[int, int, int]:
    return _NOT_RECOGNISED if face.label is None else _COLOURS[_number(face) % len(_COLOURS)]


def _scaled(image: Image.Image) -> tuple[Image.Image, float]:
    scale = max(1.0, MIN_SIDE_PX / min(image.size))
    # A long narrow picture stays within the upper limit, however thin it gets.
    scale = min(scale, MAX_SIDE_PX / max(image.size))
    if scale == 1.0:
        return image.copy(), scale
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BICUBIC), scale


def _draw_boxes(picture: Image.Image, faces: Sequence[FaceRecord], scale: float) -> None:
    draw = ImageDraw.Draw(picture)
    for face in faces:
        colour = _colour(face)
        limits = (picture.width, picture.height) * 2
        left, top, right, bottom = (
            min(max(0, round(edge * scale)), limit - 1)
            for edge, limit in zip(face.box or (), limits, strict=True)
        )
        draw.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=2)
        title = f" {_title(face)} "
        # Above the box where there is room, so that it hides nothing of the face.
        tag_top = top - _LINE_PX if top >= _LINE_PX else top
        tag_width = draw.textlength(title, font=_font())
        tag_left = max(0, min(left, picture.width - tag_width))
        draw.rectangle((tag_left, tag_top, tag_left + tag_width, tag_top + _LINE_PX), fill=colour)
        draw.text((tag_left, tag_top + 1), title, fill=_PAPER, font=_font())


def _draw_bars(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    face: FaceRecord,
    expression_names: Sequence[str],
) -> None:
    left, top = corner
    colour = _colour(face)
    draw.text((left, top), _title(face), fill=colour, font=_font(), anchor="lm")
    for line, name in enumerate(expression_names if face.probabilities else (), start=1):
        value = (face.probabilities or {})[name]
        value = 0.0 if math.isnan(value) else value
        middle = top + line * _LINE_PX
        bar_left = left + _NAME_PX
        upper, lower = middle - 5, middle + 5
        draw.text((left, middle), printable(name), fill=_INK, font=_font(), anchor="lm")
        draw.rectangle((bar_left, upper, bar_left + _BAR_PX, lower), fill=_TRACK)
        length_px = round(value * _BAR_PX)
        if length_px:
            draw.rectangle((bar_left, upper, bar_left + length_px, lower), fill=colour)
        right = bar_left + _BAR_PX + _PERCENT_PX
        draw.text((right, middle), f"{value:.0%}", fill=_INK, font=_font(), anchor="rm")


@functools.cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_PX)
