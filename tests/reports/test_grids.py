import numpy as np
import pytest
from PIL import Image

from tdgan_jax.families.tdgan.step import SAMPLE_COLUMNS
from tdgan_jax.reports.grids import sample_grid, save_png


def columns(count=5, rows=4, size=16, channels=1):
    return [np.full((rows, size, size, channels), 0.2 * index) for index in range(count)]


def test_five_columns_of_three_rows_without_gaps():
    sheet = sample_grid(columns())
    assert sheet.mode == "RGB" and sheet.size == (5 * 16, 3 * 16)
    pixels = np.asarray(sheet)
    for index in range(5):
        tile = pixels[:, index * 16 : (index + 1) * 16]
        assert (tile == int(0.2 * index * 255)).all()


def test_values_are_truncated_and_clipped():
    values = np.array([0.999, 1.0, 1.5, -0.5, 0.5]).reshape(5, 1, 1, 1)
    sheet = sample_grid([values], max_rows=5)
    assert np.asarray(sheet)[:, 0, 0].tolist() == [254, 255, 255, 0, 127]


def test_rows_are_examples_and_fewer_examples_give_fewer_rows():
    images = np.arange(2, dtype=np.float32).reshape(2, 1, 1, 1) * np.ones((1, 4, 4, 1))
    sheet = np.asarray(sample_grid([images], max_rows=3))
    assert sheet.shape == (8, 4, 3)
    assert (sheet[:4] == 0).all() and (sheet[4:] == 255).all()


def test_colour_and_gray_columns_stand_side_by_side():
    red = np.zeros((1, 4, 4, 3))
    red[..., 0] = 1.0
    sheet = np.asarray(sample_grid([red, np.ones((1, 4, 4, 1))]))
    assert sheet[0, 0].tolist() == [255, 0, 0]
    assert sheet[0, 4].tolist() == [255, 255, 255]


@pytest.mark.parametrize("size", [32, 64, 128])
def test_header_stands_above_unchanged_tiles(size):
    plain = sample_grid(columns(size=size))
    titled = sample_grid(columns(size=size), titles=SAMPLE_COLUMNS)
    header_px = titled.height - plain.height
    assert titled.width == plain.width and 0 < header_px < 45
    assert np.array_equal(np.asarray(titled)[header_px:], np.asarray(plain))
    assert np.asarray(titled)[:header_px].min() < 100  # something is written


@pytest.mark.parametrize(
    ("given", "titles", "message"),
    [
        ([], None, "columns must be"),
        ([np.zeros((4, 4))], None, "columns must be"),
        ([np.zeros((1, 4, 4, 1)), np.zeros((1, 8, 8, 1))], None, "differ"),
        ([np.zeros((1, 4, 4, 1))], ["a", "b"], "2 titles for 1"),
    ],
)
def test_wrong_input_is_named(given, titles, message):
    with pytest.raises(ValueError, match=message):
        sample_grid(given, titles=titles)


def test_save_png(tmp_path):
    path = tmp_path / "samples" / "sheet.png"
    save_png(sample_grid(columns()), path)
    with Image.open(path) as image:
        assert image.size == (80, 48) and image.format == "PNG"
    assert [file.name for file in path.parent.iterdir()] == ["sheet.png"]
