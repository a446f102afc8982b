"""Datasets and models whose faces were cut out differently."""

from types import SimpleNamespace

import pytest
from ml_collections import ConfigDict

from tdgan_jax.data import crops
from tdgan_jax.errors import UserError
from tdgan_jax.faces.alignment import CropSettings

EYES, BOX = CropSettings(), CropSettings(style="box", margin=0.4)
STORED = {"raf": None, "fer": None, "yale": EYES, "ck": EYES, "casia": BOX}


@pytest.fixture(autouse=True)
def prepared(monkeypatch):
    """Datasets that differ in nothing but how their faces were cut out."""

    def open_dataset(name, builder_config, directory):
        crop = STORED[name]
        metadata = {} if crop is None else {"crop": crop.as_json()}
        return SimpleNamespace(info=SimpleNamespace(metadata=metadata))

    monkeypatch.setattr(crops, "open_dataset", open_dataset)


def config_of(expressions, faces="", additional="", allowed=False):
    data = {
        "directory": "",
        "allow_different_crops": allowed,
        "expressions": {"dataset": expressions, "builder_config": ""},
    }
    if faces:
        data["faces"] = {"dataset": faces, "builder_config": ""}
    if additional:
        data["additional_training_datasets"] = additional
    return ConfigDict({"data": data})


@pytest.mark.parametrize(
    "config", [config_of("ck", "yale"), config_of("ck", "ck"), config_of("ck", additional="yale")]
)
def test_sets_that_are_cut_alike_train_together(config):
    assert crops.training_crop(config) == EYES
    assert crops.crop_remarks(config) == []


@pytest.mark.parametrize(
    "config", [config_of("yale", "casia"), config_of("yale", additional="ck, casia/all")]
)
def test_sets_that_are_cut_otherwise_are_refused_unless_allowed(config):
    message = "style eyes in yale, box in casia; margin 0.2 in yale, 0.4 in casia.*different_crops"
    with pytest.raises(UserError, match=message):
        crops.training_crop(config)
    config.data.allow_different_crops = True
    assert crops.training_crop(config) == EYES


def test_additional_sets_are_compared_with_each_other_beside_an_owners_images():
    assert crops.training_crop(config_of("raf", "yale", "ck, fer")) is None
    config = config_of("raf", "yale", "fer, casia")
    with pytest.raises(UserError, match="style eyes in yale, box in casia"):
        crops.training_crop(config)
    config.data.allow_different_crops = True
    assert crops.training_crop(config) is None


def test_an_owners_images_are_remarked_on_beside_faces_that_were_cut_out():
    config = config_of("raf", "casia")
    assert crops.training_crop(config) is None
    (remark,) = crops.crop_remarks(config)
    assert "the faces of casia were found and cut out, the images of raf are as" in remark
    assert crops.crop_remarks(config_of("raf", "fer")) == []


def test_a_model_looks_at_no_dataset_that_is_cut_otherwise():
    config = config_of("yale")
    crops.check_dataset_crop(EYES.as_json(), config, "ck", "", override="--allow")
    crops.check_dataset_crop(None, config, "fer", "", override="--allow")
    with pytest.raises(UserError, match="margin 0.2 in the model's.*casia; prepare.*with --allow"):
        crops.check_dataset_crop(EYES.as_json(), config, "casia", "", override="--allow")
    with pytest.raises(UserError, match="those of fer were not"):
        crops.check_dataset_crop(EYES.as_json(), config, "fer", "", override="--allow")
    crops.check_dataset_crop(EYES.as_json(), config, "casia", "", override="")
