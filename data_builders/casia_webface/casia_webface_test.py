import zipfile

import numpy as np
import pytest
from PIL import Image
from tdgan_jax.data_builders.casia_webface.casia_webface_dataset_builder import Builder

from tdgan_jax.data.builders import open_dataset
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.preparation.contents import class_counts
from tdgan_jax.preparation.preparing import prepare_dataset
from tests.owners_files import picture, write_tree

IDENTITIES = [f"{45 + 27 * number:07d}" for number in range(23)]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Twenty-three people with one to three photographs each, in a zip file."""
    path = tmp_path_factory.mktemp("casia") / "CASIA-WebFace.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for seed, identity in enumerate(IDENTITIES[::-1]):
            for number in range(1, 2 + seed % 3):
                data = picture(100 * seed + number, mode="L" if number == 2 else "RGB")
                archive.writestr(f"CASIA-WebFace/{identity}/{number:03d}.jpg", data)
    return path


def test_first_twenty_identities_in_ascending_order(source, tmp_path):
    builder = prepare_dataset("casia_webface", source, data_dir=tmp_path, partial=True)
    assert builder.info.full_name == "casia_webface/20/1.0.0"
    assert "expression" not in builder.info.features
    assert builder.info.features["identity"].names == IDENTITIES[:20]
    counts = class_counts(builder, "identity")["train"]
    assert set(counts) == set(IDENTITIES[:20])
    assert set(counts.values()) == {1, 2, 3}
    for example in list(builder.as_data_source("train"))[::7]:
        assert example["image"].shape == (8, 8, 3)
        identity = IDENTITIES[int(example["identity"])]
        assert example["file"].decode().startswith(identity)
        assert example["subject"].decode() == identity


@pytest.mark.parametrize(("config", "count"), [("5", 5), ("23", 23), ("all", 23)])
def test_any_number_of_identities_is_a_configuration(config, count, source, tmp_path):
    prepare_dataset("casia_webface", source, config=config, data_dir=tmp_path, partial=True)
    builder = open_dataset("casia_webface", config, tmp_path)
    assert builder.info.features["identity"].names == IDENTITIES[:count]
    assert builder.data_path == tmp_path / "casia_webface" / config / "1.0.0"


def test_gray_photographs_are_stored_as_colours(source, tmp_path):
    builder = prepare_dataset("casia_webface", source, config="2", data_dir=tmp_path)
    grays = [e["image"] for e in builder.as_data_source("train") if b"/002" in e["file"]]
    assert grays
    for image in grays:
        np.testing.assert_array_equal(image[..., 0], image[..., 2])
        Image.fromarray(image)


def test_documented_numbers_and_missing_people(source, tmp_path):
    assert Builder.DOCUMENTED["20"] == {"images": 2894, "subjects": 20}
    with pytest.raises(UserError, match=r"casia_webface/20: there are 39 images where 2894 are"):
        prepare_dataset("casia_webface", source, data_dir=tmp_path)
    with pytest.raises(UserError, match="holds 23 identities where 24 are wanted"):
        prepare_dataset("casia_webface", source, config="24", data_dir=tmp_path)
    for wrong in ("0", "1", "020", "few"):
        with pytest.raises(UsageError, match=f"no configuration '{wrong}'"):
            prepare_dataset("casia_webface", source, config=wrong, data_dir=tmp_path)


def test_one_person_s_folder_is_one_level_too_deep(tmp_path):
    folder = write_tree(tmp_path / "casia" / "0000045", {"001.jpg": picture(1)})
    with pytest.raises(UserError, match=rf"1 level too deep; .*give {tmp_path}/casia$"):
        prepare_dataset("casia_webface", folder, data_dir=tmp_path / "data")
