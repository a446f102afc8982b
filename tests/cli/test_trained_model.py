"""The commands with a real model, however small: what they write is what the model computes."""

import csv

import jax
import numpy as np
import pytest
from PIL import Image

import tdgan_jax
from tdgan_jax.cli.main import main
from tests.tiny_tdgan import IMAGE_SIZE_PX, make_run

OPTIONS = ["--detect", "none"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return str(make_run(tmp_path_factory.mktemp("run") / "run"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three pictures, none of the model's size."""
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("pictures")
    for number, shape in enumerate(((40, 50, 3), (20, 20), (90, 30))):
        pixels = random.integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return [str(folder / f"{number}.png") for number in range(3)]


def test_predict(run, pictures, tmp_path):
    out = tmp_path / "rows.csv"
    assert main(["predict", *pictures, "--model", run, "--out", str(out), *OPTIONS]) == 0
    model = tdgan_jax.load(run)
    labels, probabilities = model.predict(pictures)
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == labels
    assert np.allclose(
        [[float(row[name]) for name in model.expression_names] for row in rows],
        probabilities,
        atol=1e-6,
    )


def test_transfer_and_interpolate(run, pictures, tmp_path):
    one, many, animation = (tmp_path / name for name in ("one.png", "many.png", "way.gif"))
    options = ["--model", run, "--seed", "3", *OPTIONS]
    face, *expressions = pictures
    given = ["--face", face, "--expression"]
    assert main(["transfer", *given, expressions[1], "--out", str(one), *options]) == 0
    assert main(["transfer", *given, *expressions, "--out", str(many), *options]) == 0
    way = ["--frames", "3", "--out", str(animation)]
    assert main(["interpolate", *given, *expressions, *way, *options]) == 0

    key = jax.random.key(3)
    (expected,) = tdgan_jax.load(run).transfer(face, expressions[1], key=key)[..., 0]
    generated = np.asarray(Image.open(one))
    assert np.abs(generated - expected * 255.0).max() <= 0.51
    size = IMAGE_SIZE_PX
    assert np.array_equal(np.asarray(Image.open(many))[-size:, -size:], generated)
    with Image.open(animation) as frames:
        frames.seek(2)
        assert np.abs(np.asarray(frames.convert("L"), float) - generated).max() <= 1
