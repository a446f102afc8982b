"""The pictures that a report shows of a trained model, drawn with a model made up here."""

import base64
import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tdgan_jax import api
from tdgan_jax.cli import report_pictures
from tdgan_jax.data import examples as examples_module
from tdgan_jax.probing import probed_features
from tdgan_jax.steps.state import Answers

NAMES = ("anger", "fear")


@pytest.fixture(scope="module")
def examples():
    """Three people with an angry and a fearful picture each; pixels are 10 times the position."""
    return examples_module.Examples(
        images=[np.full((8, 8, 1), 10 * index, np.uint8) for index in range(6)],
        expressions=np.array([0, 1, 0, 1, 0, 1], np.int32),
        expression_names=NAMES,
        identities=np.repeat(np.arange(3, dtype=np.int32), 2),
        identity_names=("ann", "ben", "carla"),
        groups=np.repeat(["ann", "ben", "carla"], 2),
        files=np.array([f"{index}.png" for index in range(6)]),
        duplicated_in_train=None,
    )


@pytest.fixture
def run():
    family = SimpleNamespace(recognisers=("classifier", "other"))
    return SimpleNamespace(
        config=SimpleNamespace(evaluation=SimpleNamespace(batch_size=4)),
        expression_names=NAMES,
        parameters={},
        program=SimpleNamespace(training=family, eval_step=None, mesh=None),
    )


def test_errors_come_with_their_images(run, examples):
    logits = np.array([[2.0, 0], [0, 2], [0, 3], [0, 2], [0, 5], [0, 2]])
    drawn = report_pictures._errors(run, examples, Answers(logits))
    assert drawn["recogniser"] == "classifier"
    assert [error["file"] for error in drawn["errors"]] == ["4.png", "2.png"]
    first = drawn["errors"][0]
    assert (first["answer"], first["truth"]) == ("fear", "anger")
    assert first["confidence"] == pytest.approx(1 / (1 + np.exp(-5)))
    image = Image.open(io.BytesIO(base64.b64decode(first["png"])))
    assert image.size == (8, 8) and image.getpixel((0, 0)) == 40


def test_maps_name_the_people_where_they_are_known(run, examples, monkeypatch):
    features = np.arange(12.0).reshape(6, 2)
    monkeypatch.setattr(probed_features, "probed_features", lambda *_: {"expression": features})
    drawn = report_pictures._features(run, examples)
    assert np.shape(drawn["maps"]["expression"]) == (6, 2)
    assert drawn["expressions"] == [0, 1, 0, 1, 0, 1]
    assert drawn["people"] == ["ann", "ann", "ben", "ben", "carla", "carla"]
    unknown = examples._replace(groups=np.array([f"{index:064x}" for index in range(6)]))
    assert report_pictures._features(run, unknown)["people"] is None


def test_the_strip_puts_two_expressions_on_the_face_of_somebody_else(
    examples, tmp_path, monkeypatch
):
    asked = []

    def interpolate(faces, expressions, *, num_frames, key):
        asked.append((faces.mean(), *expressions.mean(axis=(1, 2, 3))))
        return np.zeros((num_frames, 8, 8, 1), np.float32)

    monkeypatch.setattr(
        api, "load", lambda folder: SimpleNamespace(interpolate=interpolate, transfer=interpolate)
    )
    report_pictures._interpolation(tmp_path, examples, tmp_path / "strip.png")
    # Ben's face, Ann's two expressions.
    assert np.round(np.array(asked[0]) * 255).tolist() == [20, 0, 10]
    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.height == 8

    monkeypatch.setattr(api, "load", lambda folder: SimpleNamespace(predict=None))
    report_pictures._interpolation(tmp_path, examples, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
