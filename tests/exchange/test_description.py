import json

import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.exchange.description import MODEL_FILE, read_description, write_description
from tdgan_jax.families.stored import ModelDescription, Preprocessing

DESCRIPTION = ModelDescription(
    family="tdgan",
    architecture={"image_size_px": 64, "width_multiplier": 0.25},
    expression_names=("happiness", "sadness"),
    num_identities=2,
    identity_names=("anna", "ben"),
    preprocessing=Preprocessing(64, 1, "resize", {"style": "eyes", "margin": 0.2}),
)


def write(folder, **changes):
    write_description(folder, DESCRIPTION, weights="torch", parity={"tensors": 3})
    path = folder / MODEL_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def test_what_is_written_is_read(tmp_path):
    path = write(tmp_path, a_field_of_a_later_version=1)
    assert read_description(path) == (DESCRIPTION, "torch")
    assert json.loads(path.read_text())["parity"] == {"tensors": 3}
    assert read_description(write(tmp_path, identity_names=None))[0].identity_names is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 3}, "format version 3, this program reads 2; install"),
        ({"format_version": True}, "format_version is True"),
        ({"family": None}, "family is None"),
        ({"architecture": []}, "architecture is"),
        ({"expression_names": "abc"}, "expression_names is 'abc'"),
        ({"expression_names": ["a", 1]}, "no list of different names"),
        ({"expression_names": ["a", "a"]}, "no list of different names"),
        ({"num_identities": "2"}, "num_identities is '2'"),
        ({"preprocessing": {"image_size_px": 64}}, "image_channels is None"),
        (
            {"preprocessing": DESCRIPTION.preprocessing._replace(image_size_px=32)._asdict()},
            "two different values of image_size_px",
        ),
        (
            {"preprocessing": DESCRIPTION.preprocessing._replace(test_transform="x")._asdict()},
            "known: resize, centre_crop",
        ),
        (
            {"preprocessing": DESCRIPTION.preprocessing._asdict() | {"crop": "eyes"}},
            "crop is 'eyes', not of type dict",
        ),
        ({"weights": "keras"}, "known: torch, safetensors, onnx"),
    ],
)
def test_damage_is_named(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        read_description(write(tmp_path, **changes))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\ufeff{}"])
def test_a_file_that_is_no_object_is_named(tmp_path, text):
    (tmp_path / MODEL_FILE).write_text(text)
    with pytest.raises(UserError, match=MODEL_FILE):
        read_description(tmp_path / MODEL_FILE)
