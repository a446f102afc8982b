"""The released program's annotations, with its classes made up here."""

import pickle
import sys
import types

import numpy as np
import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.preparation.annotation_pickles import (
    AffectNetRow,
    AffWild2Row,
    read_aff_wild2_annotations,
    read_affectnet_annotations,
)


@pytest.fixture
def dataloading(monkeypatch):
    """The program's module, with the classes of its annotations."""
    module = types.ModuleType("dataloading")
    for name in ("AffectNet_annotation", "Affwild2_annotation", "Other"):
        kind = type(name, (), {"__module__": "dataloading", "__qualname__": name})
        setattr(module, name, kind)
    monkeypatch.setitem(sys.modules, "dataloading", module)
    return module


def annotation(kind, **fields):
    made = kind()
    made.__dict__.update(fields)
    return made


def affectnet(dataloading, **changes):
    fields = {
        "image_path": "689/abc.jpg",
        "face_x": np.int64(90),
        "face_y": np.int64(100),
        "face_width": 140,
        "face_height": "140",
        "expression": np.int64(3),
        "valence": np.float64(-0.25),
        "arousal": 0.5,
        "left_eye": np.array([120, 150]),
        "right_eye": np.array([180, 170], np.int32),
    }
    return annotation(dataloading.AffectNet_annotation, **(fields | changes))


def aff_wild2(dataloading, **changes):
    fields = {
        "frame_path": "videos/1-30-1280x720/00001.jpg",
        "expression": 4,
        "valence": 0.1,
        "arousal": -0.1,
    }
    return annotation(dataloading.Affwild2_annotation, **(fields | changes))


def written(tmp_path, content, protocol=4):
    path = tmp_path / "data.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_affectnet(tmp_path, dataloading, protocol):
    content = {
        "train": [affectnet(dataloading), affectnet(dataloading, expression=6, valence=-1)],
        "val": [affectnet(dataloading, image_path="1/x.png")],
    }
    rows = read_affectnet_annotations(written(tmp_path, content, protocol))
    row = AffectNetRow("689/abc.jpg", (90, 100, 140, 140), 3, -0.25, 0.5, (120, 150), (180, 170))
    assert rows == {
        "train": [row, row._replace(expression=6, valence=-1.0)],
        "val": [row._replace(image_path="1/x.png")],
    }


def test_aff_wild2(tmp_path, dataloading):
    content = {"train": [], "val": [aff_wild2(dataloading)]}
    rows = read_aff_wild2_annotations(written(tmp_path, content))
    expected = AffWild2Row("videos/1-30-1280x720/00001.jpg", 4, 0.1, -0.1)
    assert rows == {"train": [], "val": [expected]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"valence": -2.0}, r"train.1. ?: valence is -2.0, not in \[-1, 1\]"),
        ({"arousal": float("nan")}, r"train\[1\]: arousal is nan, not in"),
        ({"arousal": "much"}, r"train\[1\]: arousal is no number"),
        ({"expression": 1.5}, r"train\[1\]: expression is 1.5, no whole number"),
        ({"expression": float("inf")}, r"train\[1\]: expression is larger than 1000000000"),
        ({"face_x": 10**5000}, r"train\[1\]: face_x is larger than 1000000000"),
        ({"left_eye": np.array([np.nan, 1])}, r"train\[1\]: left_eye is no point of an image"),
        ({"right_eye": np.array([1, 1e300])}, r"train\[1\]: right_eye is no point of an image"),
        ({"image_path": 7}, r"train\[1\]: image_path is no text"),
        ({"left_eye": np.arange(3)}, r"train\[1\]: left_eye is no array of two numbers"),
        ({"left_eye": (1, 2)}, r"train\[1\]: left_eye is no array of two numbers"),
        ({"left_eye": np.array(["x", "y"])}, r"train\[1\]: "),
    ],
)
def test_impossible_values_are_named(tmp_path, dataloading, changes, message):
    content = {"train": [affectnet(dataloading), affectnet(dataloading, **changes)], "val": []}
    with pytest.raises(UserError, match=message):
        read_affectnet_annotations(written(tmp_path, content))


def test_missing_values_are_named(tmp_path, dataloading):
    broken = affectnet(dataloading)
    del broken.valence
    with pytest.raises(UserError, match=r"data.pkl: val\[0\] has no valence"):
        read_affectnet_annotations(written(tmp_path, {"train": [], "val": [broken]}))
    empty = dataloading.AffectNet_annotation()
    with pytest.raises(UserError, match=r"data.pkl: val\[0\]"):
        read_affectnet_annotations(written(tmp_path, {"train": [], "val": [empty]}))


@pytest.mark.parametrize("content", [[], {"train": []}, {"train": [], "val": {}}, 3])
def test_other_content_is_refused(tmp_path, content):
    with pytest.raises(UserError, match="data.pkl holds no annotations: no lists train and val"):
        read_affectnet_annotations(written(tmp_path, content))


def test_entries_of_another_kind_are_refused(tmp_path, dataloading):
    with pytest.raises(UserError, match=r"train\[0\] is no AffectNet_annotation"):
        read_affectnet_annotations(written(tmp_path, {"train": [{"valence": 0}], "val": []}))
    array = np.arange(2)
    with pytest.raises(UserError, match=r"train\[0\] is no AffectNet_annotation"):
        read_affectnet_annotations(written(tmp_path, {"train": [array], "val": []}))


def test_foreign_classes_are_refused_by_name(tmp_path, dataloading):
    content = {"train": [annotation(dataloading.Other)], "val": []}
    with pytest.raises(UserError, match="refers to dataloading.Other, which does not belong"):
        read_affectnet_annotations(written(tmp_path, content))
    content = {"train": [aff_wild2(dataloading)], "val": []}
    with pytest.raises(UserError, match="refers to dataloading.Affwild2_annotation"):
        read_affectnet_annotations(written(tmp_path, content))
