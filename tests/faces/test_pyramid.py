import numpy as np
import pytest

from tdgan_jax.faces.patches import cut_patches
from tdgan_jax.faces.pyramid import CANVAS_SIZES_PX, draw_canvases, level_scales, plan_layout


def test_levels_of_a_photograph():
    layout = plan_layout(243, 320, min_face_size_px=20)
    assert layout.sizes_px == (
        *((145, 192), (103, 136), (73, 96), (51, 68)),
        *((36, 48), (26, 34), (18, 24), (13, 17)),
    )
    assert layout.is_inside.shape == (1, 286, 286)


@pytest.mark.parametrize("min_face_size_px", [12, 20, 33, 80])
def test_the_smallest_level_holds_a_window(min_face_size_px):
    for side in range(1, 700, 7):
        scales = level_scales(side, 2 * side, min_face_size_px=min_face_size_px)
        assert all(int(side * scale) >= 11 for scale in scales)
        assert len(scales) or side < 1.2 * min_face_size_px


@pytest.mark.parametrize("size", [(24, 900), (243, 320), (600, 800), (1500, 700)])
def test_pieces_cover_every_level_once(size):
    layout = plan_layout(*size, min_face_size_px=20)
    num_canvases, side = layout.is_inside.shape[0], layout.is_inside.shape[1] + 2
    assert side in CANVAS_SIZES_PX
    owners = np.zeros((num_canvases, side, side), int)
    outputs = [
        np.zeros([(length - 1) // 2 - 4 for length in size], int) for size in layout.sizes_px
    ]
    for piece in layout.pieces:
        assert piece.row % 2 == piece.column % 2 == piece.top % 2 == piece.left % 2 == 0
        rows = slice(piece.row, piece.row + piece.height)
        owners[piece.canvas, rows, piece.column : piece.column + piece.width] += 1
        height, width = (part.stop - part.start for part in piece.outputs)
        top, left = piece.top // 2, piece.left // 2
        outputs[piece.level][top : top + height, left : left + width] += 1
    assert owners.max() == 1
    assert all((covered == 1).all() for covered in outputs)


def test_levels_are_means_of_areas():
    image = np.random.default_rng(0).integers(0, 256, (120, 180, 3), np.uint8)
    layout = plan_layout(120, 180, min_face_size_px=24)  # half the size, then 0.3545 of it
    canvas = draw_canvases(image, layout)[0]
    piece = layout.pieces[0]
    assert (piece.level, layout.sizes_px[0]) == (0, (60, 90))
    level = canvas[piece.row : piece.row + 60, piece.column : piece.column + 90]
    means = image.reshape(60, 2, 90, 2, 3).mean((1, 3))
    np.testing.assert_allclose(level, (means - 127.5) / 128, atol=1e-6)


def test_patches_are_sampled_between_pixels():
    rows, columns = np.mgrid[:40, :50].astype(np.uint8)
    image = np.stack([rows, columns, 0 * rows], axis=2)
    # A box in pixels is scaled by 39/40 downwards and 49/50 across.
    boxes = np.array([[10.0, 8, 40, 32], [-10, 20, 10, 60]])
    inside, across_edges = cut_patches(image, boxes, 5)
    levels = inside * 128 + 127.5
    np.testing.assert_allclose(levels[:, 0, 0], np.linspace(7.8, 31.2, 5), rtol=1e-5)
    np.testing.assert_allclose(levels[2, :, 1], np.linspace(9.8, 39.2, 5), rtol=1e-5)
    # Outside there is 0 as the networks take it.
    assert (across_edges[:, :2] == 0).all() and (across_edges[3:] == 0).all()
    np.testing.assert_allclose(across_edges[0, 2:, 1] * 128 + 127.5, [0, 4.9, 9.8], atol=1e-4)
