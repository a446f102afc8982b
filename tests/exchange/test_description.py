import json

import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.exchange.description import MODEL_FILE, read_description, write_description
from tdgan_jax.families.stored import ModelDescription, Preprocessing, describe_as_json

DESCRIPTION = ModelDescription(
    family="tdgan",
    architecture={"image_size_px": 64, "width_multiplier": 0.25},
    expression_names=("happiness", "sadness"),
    num_identities=2,
    identity_names=("anna", "ben"),
    preprocessing=Preprocessing(64, 1, "resize", {"style": "eyes", "margin": 0.2}),
)

PREPROCESSING = json.loads(json.dumps(describe_as_json(DESCRIPTION)))["preprocessing"]


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
        ({"expression_names": []}, "expression_names is empty"),
        ({"expression_names": ["happy", ""]}, "a name of expression_names is empty"),
        ({"identity_names": ["anna", ""]}, "a name of identity_names is empty"),
        ({"architecture": {"dropout_rate": 2}}, r"dropout_rate is 2, not a number in \[0, 1\)"),
        ({"architecture": {"generator_dropout_rate": -0.1}}, "generator_dropout_rate is -0.1"),
        ({"architecture": {"dropout_rate": "0"}}, "dropout_rate is '0'"),
        ({"architecture": {"dropout_rate": True}}, "dropout_rate is True"),
        ({"temperature": 10**400}, "temperature is 1000*, not a number above 0"),
        ({"temperature": 0}, "temperature is 0"),
        ({"class_frequencies": [0.5]}, r"class_frequencies is \[0.5\], not a number a class"),
        ({"balance": 1.5}, "balance is 1.5, not a number from 0 to 1"),
        ({"balance": True}, "balance is True"),
        (
            {"preprocessing": PREPROCESSING | {"image_channels": 2}},
            "image_channels is 2, not 1 or 3",
        ),
        (
            {"preprocessing": PREPROCESSING | {"image_size_px": 100_000}, "architecture": {}},
            r"image_size_px is 100000, not in \[1, 4096\]",
        ),
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


@pytest.mark.parametrize("depth", [50_000, 200_000])
def test_a_file_that_is_nested_too_deeply_is_named(depth, tmp_path):
    (tmp_path / MODEL_FILE).write_text('{"architecture":' * depth)
    with pytest.raises(UserError, match="model.json is damaged: it is nested too deeply"):
        read_description(tmp_path / MODEL_FILE)
