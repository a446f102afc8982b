import jax
import numpy as np
import pytest

from tdgan_jax.faces import mtcnn
from tdgan_jax.faces.mtcnn import load_weights, o_net, p_net, r_net
from tdgan_jax.faces.pyramid import draw_canvases, plan_layout
from tdgan_jax.faces.weights import convert


@pytest.fixture(scope="module")
def weights():
    return load_weights()


def test_shapes(weights):
    def shapes(network, *inputs):
        inputs = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in inputs]
        return [array.shape for array in jax.eval_shape(network, weights, *inputs)]

    canvas = ((2, 96, 96, 3), np.float32), ((2, 94, 94), np.bool_)
    assert shapes(p_net, *canvas) == [(2, 43, 43), (2, 43, 43, 4)]
    assert shapes(r_net, ((5, 24, 24, 3), np.float32)) == [(5,), (5, 4)]
    assert shapes(o_net, ((5, 48, 48, 3), np.float32)) == [(5,), (5, 4), (5, 5, 2)]
    assert sum(array.size for array in weights.values()) == 495_850


def test_damaged_weights_are_refused(monkeypatch):
    monkeypatch.setattr(mtcnn, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(RuntimeError, match="install the package again"):
        load_weights()


def test_the_weights_are_those_that_the_conversion_names(weights):
    names = {
        f"{network}/{layer}/{part}"
        for network, layers in convert.LAYERS.items()
        for layer, parts in layers
        for part in parts
    }
    assert names == weights.keys()


def test_the_conversion_opens_no_other_wheel(tmp_path):
    wheel = tmp_path / "mtcnn-1.0.0-py3-none-any.whl"
    wheel.write_bytes(b"pickles")
    with pytest.raises(ValueError, match="SHA-256"):
        convert.read_wheel(wheel)


def test_a_level_on_a_canvas_gives_what_it_gives_alone(weights, monkeypatch):
    """The photograph has levels of odd size, and its first one is cut into pieces."""
    monkeypatch.setattr("tdgan_jax.faces.pyramid.CANVAS_SIZES_PX", (96,))
    image = np.random.default_rng(0).integers(0, 256, (131, 215, 3), np.uint8)
    layout = plan_layout.__wrapped__(131, 215, min_face_size_px=20)
    assert sum(piece.level == 0 for piece in layout.pieces) == 2
    canvases = draw_canvases(image, layout)
    is_between = np.ones(canvases.shape[:3], bool)
    for piece in layout.pieces:
        is_between[place_on_canvas(piece)] = False
    # Between the pieces stands what would win every maximum.
    canvases[is_between] = 100.0
    found = jax.jit(p_net)(weights, canvases, layout.is_inside).face_probability

    for level in (0, 1, len(layout.sizes_px) - 1):
        height, width = layout.sizes_px[level]
        pixels = np.full((height, width, 3), np.nan, np.float32)
        scores = np.full(((height - 1) // 2 - 4, (width - 1) // 2 - 4), np.nan)
        for piece in (piece for piece in layout.pieces if piece.level == level):
            part = np.asarray(found[piece.canvas][piece.outputs])
            rows, columns = place_on_canvas(piece)[1:]
            pixels[piece.top :, piece.left :][: piece.height, : piece.width] = canvases[
                piece.canvas, rows, columns
            ]
            top, left = piece.top // 2, piece.left // 2
            scores[top : top + part.shape[0], left : left + part.shape[1]] = part
        alone = run_alone(weights, pixels)
        np.testing.assert_allclose(scores, alone, rtol=1e-4, atol=1e-6)


def place_on_canvas(piece):
    rows = slice(piece.row, piece.row + piece.height)
    return piece.canvas, rows, slice(piece.column, piece.column + piece.width)


@jax.jit
def run_alone(weights, pixels):
    """P-Net with Keras's `same` pooling, written with other operations."""
    x = mtcnn._conv_prelu(weights, "p_net/conv1", pixels[None])
    x = mtcnn._max_pool(x, window=2, padding="SAME")
    x = mtcnn._conv_prelu(weights, "p_net/conv2", x)
    x = mtcnn._conv_prelu(weights, "p_net/conv3", x)
    return jax.nn.softmax(mtcnn._conv(weights, "p_net/face", x))[0, ..., 1]
