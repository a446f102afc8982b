"""The figures of the model card, on a stand-in for the model whose answers are known."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from benchmarks import pretrained
from tdgan_jax.data.examples import Examples
from tdgan_jax.errors import UserError
from tdgan_jax.inference.faces import whole_picture

NAMES = ("happiness", "surprise")


class Brightness:
    """Answers "surprise" with the picture's mean as the probability."""

    expression_names = ("surprise", "happiness")
    face_crop = None

    def predict(self, images):
        means = np.array([np.asarray(image).mean() / 255 for image in images])
        labels = ["surprise" if mean > 0.5 else "happiness" for mean in means]
        return labels, np.stack([means, 1 - means], axis=1)


def examples(values, labels) -> Examples:
    count = len(values)
    return Examples(
        images=[np.full((48, 48, 1), value, np.uint8) for value in values],
        expressions=np.array(labels, np.int32),
        expression_names=NAMES,
        identities=np.full(count, -1, np.int32),
        identity_names=(),
        groups=np.array([f"{i:064x}" for i in range(count)]),
        files=np.array([f"{i}.png" for i in range(count)]),
        duplicated_in_train=None,
    )


def test_figures_follow_the_names_and_not_the_order_of_the_models_classes():
    figures = pretrained.photograph_figures(Brightness(), examples([20, 240, 250], [0, 1, 0]))
    assert figures["accuracy"] == pytest.approx(2 / 3)
    assert figures["labels"] == list(NAMES)
    assert figures["confusion_matrix"] == [[1, 1], [0, 1]]
    # A uniform picture is the same at every size and blur.
    for field in ("by_size_px", "by_blur_px"):
        assert all(value == pytest.approx(2 / 3) for value in figures[field].values())
    (error,) = figures["confident_errors"]
    assert (error["file"], error["label"], error["answer"]) == ("2.png", "happiness", "surprise")
    assert error["probability"] == pytest.approx(250 / 255)
    assert "| accuracy, 3 photographs | 0.667" in pretrained.tables({"fer2013": figures})


def test_classes_that_are_not_the_models_are_refused():
    other = examples([0], [0])._replace(expression_names=("happiness", "fear"))
    with pytest.raises(UserError, match="the model names surprise, happiness; the dataset"):
        pretrained.photograph_figures(Brightness(), other)


def test_thirds_by_sharpness():
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (16, 16, 1), np.uint8)
    slope = np.tile(np.arange(16, dtype=np.uint8)[:, None, None] * 16, (1, 16, 1))
    middle = (slope // 2 + noise // 2).astype(np.uint8)
    found = pretrained.by_sharpness([noise, slope, middle], np.array([True, False, True]))
    assert found == {"blurred": 0.0, "middle": 1.0, "sharp": 1.0}


def test_yales_expressions_are_counted_and_its_other_photographs_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "face_finder", lambda detect, crop: whole_picture)
    archive = tmp_path / "yalefaces.zip"
    with zipfile.ZipFile(archive, "w") as stored:
        for name, value in (("01.happy", 10), ("01.wink", 10), ("02.happy.gif", 250)):
            buffer = io.BytesIO()
            Image.new("L", (20, 20), value).save(buffer, "GIF")
            stored.writestr(f"yalefaces/subject{name}", buffer.getvalue())
    found = pretrained.yale_figures(Brightness(), archive)
    assert found["answers"] == {"happiness": {"happiness": 1, "surprise": 1}}
    assert found["photographs_per_second"] > 0
    monkeypatch.setattr(pretrained, "face_finder", lambda detect, crop: lambda image: [])
    with pytest.raises(UserError, match="no face found in subject01.happy"):
        pretrained.yale_figures(Brightness(), archive)
