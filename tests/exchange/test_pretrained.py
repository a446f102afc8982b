"""The weights that come with the package."""

import csv
import io
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tdgan_jax
from tdgan_jax.cli.main import main
from tdgan_jax.errors import UserError
from tdgan_jax.exchange import opening
from tdgan_jax.exchange.checksums import write_sums
from tdgan_jax.expressions import BASIC_EXPRESSIONS, canonical_name

PUBLIC_TEST = Path(__file__).parents[3] / "shared" / "data" / "fer2013_raw.zip"
LARGEST_BYTES = 20_000_000


@pytest.fixture(scope="module")
def recogniser():
    return tdgan_jax.load("pretrained")


@pytest.fixture(scope="module")
def generator():
    return tdgan_jax.load("pretrained_tdgan")


@pytest.fixture
def copied(monkeypatch, tmp_path):
    shutil.copytree(opening.SHIPPED_FOLDER, tmp_path / "shipped")
    monkeypatch.setattr(opening, "SHIPPED_FOLDER", tmp_path / "shipped")
    return tmp_path / "shipped" / "pretrained_tdgan"


def test_they_are_small_and_whole(recogniser, generator):
    files = [path for name in opening.SHIPPED for path in (opening.SHIPPED_FOLDER / name).iterdir()]
    assert {path.name for path in files} == {"model.json", "weights.safetensors", "SHA256SUMS"}
    assert sum(path.stat().st_size for path in files) <= LARGEST_BYTES
    assert set(recogniser.expression_names) == {*BASIC_EXPRESSIONS, "contempt"}
    assert set(generator.expression_names) == set(BASIC_EXPRESSIONS)
    for model in (recogniser, generator):
        assert model.face_crop is not None  # photographs are cut like those that they learned from


@pytest.mark.skipif(not PUBLIC_TEST.is_file(), reason="the development data are not there")
def test_the_recogniser_names_photographs_of_the_test_split(recogniser):
    with zipfile.ZipFile(PUBLIC_TEST) as stored:
        names = sorted(name for name in stored.namelist() if "/PublicTest_" in name)[::16]
        pictures = [Image.open(io.BytesIO(stored.read(name))) for name in names]
    labels, probabilities = recogniser.without("contempt").predict(pictures)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    truth = [canonical_name(name.split("/")[-2]) for name in names]
    right = np.mean([label == true for label, true in zip(labels, truth, strict=True)])
    assert len(names) > 200 and right > 0.58


def test_the_generator_draws_the_expression_of_one_picture_on_another(generator):
    random = np.random.default_rng(0)
    size = generator.image_size_px
    faces, expressions = random.random((2, 2, size, size, 1), np.float32)
    images = generator.transfer(faces, expressions)
    assert images.shape == (2, size, size, 1)
    assert 0 <= images.min() < images.max() <= 1
    assert np.abs(images[0] - images[1]).mean() > 1e-3


def test_predict_and_transfer_use_it_unless_told_otherwise(tmp_path):
    picture = tmp_path / "face.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(picture)
    out = tmp_path / "rows.csv"
    assert main(["predict", str(picture), "--detect", "none", "--out", str(out)]) == 0
    (row,) = csv.DictReader(out.read_text().splitlines())
    assert row["status"] == "ok" and row["label"] in (*BASIC_EXPRESSIONS, "contempt")
    grid = tmp_path / "grid.png"
    command = ["transfer", "--face", str(picture), "--expression", str(picture), "--detect", "none"]
    assert main([*command, "--out", str(grid)]) == 0
    with Image.open(grid) as drawn:
        assert drawn.size == (64, 64)


def test_damage_is_found(copied):
    weights = copied / "weights.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(UserError, match="SHA-256 of weights.safetensors.*install the package"):
        tdgan_jax.load("pretrained_tdgan")
    write_sums(copied)  # as if it were another release
    tdgan_jax.load("pretrained_tdgan")
    weights.unlink()
    with pytest.raises(UserError, match="is damaged"):
        tdgan_jax.load("pretrained_tdgan")
    shutil.rmtree(copied)
    with pytest.raises(UserError, match="is damaged"):
        tdgan_jax.load("pretrained_tdgan")


def test_sums_are_those_of_the_usual_program():
    if shutil.which("sha256sum") is None:
        pytest.skip("there is no program sha256sum")
    command = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    for name in opening.SHIPPED:
        subprocess.run(command, cwd=opening.SHIPPED_FOLDER / name, check=True)


def test_opening_it_needs_neither_torch_nor_the_training_code():
    command = (
        "import sys, tdgan_jax; tdgan_jax.load('pretrained'); "
        "loaded = {'torch', 'tensorflow', 'tensorflow_datasets', 'grain'} & set(sys.modules); "
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", command], check=True)
