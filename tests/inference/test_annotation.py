import numpy as np
import pytest
from PIL import Image

from tdgan_jax.inference.annotation import annotate
from tdgan_jax.inference.records import FaceRecord

NAMES = ("surprise", "fear", "anger")
BLUE, ORANGE = (0, 114, 178), (213, 94, 0)


def face(box, *probabilities, number=0):
    values = dict(zip(NAMES, probabilities, strict=True))
    return FaceRecord(
        face=number, box=box, status="ok", label=max(values, key=values.get), probabilities=values
    )


def count(image, colour):
    return int((np.asarray(image) == colour).all(axis=-1).sum())


def test_the_box_is_drawn_where_the_face_is():
    image = Image.new("RGB", (300, 300))
    sheet = annotate(image, [face((100.0, 120.0, 200.0, 260.0), 0.1, 0.2, 0.7)], NAMES)
    pixels = np.asarray(sheet)
    for x, y in ((100, 200), (200, 200), (150, 260)):
        assert tuple(pixels[y, x]) == BLUE
    assert tuple(pixels[200, 150]) == (0, 0, 0)
    assert not np.asarray(image).any()  # the picture itself is left alone


def test_bars_are_as_long_as_the_probabilities():
    box = (0.0, 0.0, 300.0, 300.0)
    half = annotate(Image.new("RGB", (300, 300)), [face(box, 0.0, 0.0, 0.5)], NAMES)
    full = annotate(Image.new("RGB", (300, 300)), [face(box, 0.0, 0.0, 1.0)], NAMES)
    panels = [sheet.crop((300, 0, sheet.width, sheet.height)) for sheet in (half, full)]
    # A bar is 11 pixels high and at most 90 long; the heading has the same colour in both.
    assert count(panels[1], BLUE) - count(panels[0], BLUE) == 11 * 45


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((300, 400), (300, 400)),
        ((64, 64), (256, 256)),  # enlarged, so that there is room for bars
        ((4000, 3000), (1280, 960)),
        ((8, 8000), (1, 1280)),
    ],
)
def test_pictures_are_scaled_to_a_useful_size(size, shown):
    sheet = annotate(Image.new("RGB", size, "red"), [face((0, 0, *size), 1, 0, 0)], NAMES)
    assert sheet.height == shown[1] and sheet.width - shown[0] == 238


def test_every_face_has_its_colour_and_many_faces_more_columns():
    image = Image.new("RGB", (300, 300))
    faces = [face((10 * i, 10, 10 * i + 8, 30), 0.2, 0.5, 0.3, number=i) for i in range(7)]
    sheet = annotate(image, faces, NAMES)
    # Three blocks of five lines fit beside the picture: three columns for seven faces.
    assert sheet.size == (300 + 3 * 238, 300)
    assert count(sheet.crop((300, 0, 538, 300)), ORANGE) > 0
    assert count(annotate(image, faces[:1], NAMES), ORANGE) == 0


def test_the_frames_of_a_video_have_one_size_however_many_faces_there_are():
    image = Image.new("RGB", (300, 300))
    faces = [face((10 * i, 10, 10 * i + 8, 30), 0.2, 0.5, 0.3, number=i) for i in range(7)]
    sheets = [annotate(image, faces[:count], NAMES, room_for=4) for count in (0, 1, 7)]
    assert {sheet.size for sheet in sheets} == {(300 + 2 * 238, 300)}


def test_a_face_has_the_number_and_the_colour_of_its_track():
    box = (100.0, 120.0, 200.0, 260.0)
    followed = face(box, 0.1, 0.2, 0.7)._replace(track=1)
    sheet = annotate(Image.new("RGB", (300, 300)), [followed], NAMES)
    assert count(sheet, ORANGE) > 0 and count(sheet, BLUE) == 0


def test_a_face_that_was_not_recognised_has_a_gray_box_and_no_bars():
    cut = FaceRecord(face=0, box=(100.0, 120.0, 200.0, 260.0), status="cut_off")
    sheet = np.asarray(annotate(Image.new("RGB", (300, 300)), [cut], NAMES))
    assert tuple(sheet[200, 100]) == (110, 112, 120)
    assert (sheet[:, 300:] < 140).any() and (sheet[60:, 300:] == 255).all()


def test_a_box_may_reach_over_the_edge_and_a_probability_may_be_no_number():
    broken = face((-5.0, -9.0, 900.0, 900.0), np.nan, 1.0, 0.0)
    sheet = annotate(Image.new("RGB", (300, 300)), [broken], NAMES)
    assert np.asarray(sheet)[299, 150].tolist() == list(BLUE)


def test_without_a_face_the_panel_says_so():
    sheet = annotate(Image.new("RGB", (300, 300)), [], NAMES)
    panel = np.asarray(sheet)[:, 300:]
    assert (panel < 100).any() and (panel == 255).mean() > 0.95
