import csv
import io
import zipfile

import numpy as np
import pytest
from PIL import Image
from tdgan_jax.data_builders.att_faces.att_faces_dataset_builder import SUBJECTS

from tdgan_jax.data.builders import builder_class, open_dataset
from tdgan_jax.errors import UserError
from tdgan_jax.preparation.preparing import prepare_dataset


def draw_pgm(subject: int, number: int) -> bytes:
    """A 92x112 gray ramp that differs for each subject and number."""
    rows, columns = np.mgrid[0:112, 0:92]
    pixels = (rows + columns * subject + number * 7) % 256
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, format="PPM")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def owners_files() -> dict[str, bytes]:
    files = {
        f"att_faces/s{subject}/{number}.pgm": draw_pgm(subject, number)
        for subject in range(1, 41)
        for number in range(1, 11)
    }
    return files | {"att_faces/README": b"The ORL face database", "__MACOSX/s1/1.pgm": b"x"}


@pytest.fixture
def as_zip(tmp_path):
    def write(files: dict[str, bytes]):
        path = tmp_path / "att_faces.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path

    return write


def test_owners_zip(as_zip, owners_files, tmp_path):
    prepare_dataset("att_faces", as_zip(owners_files), data_dir=tmp_path / "data")
    builder = open_dataset("att_faces", data_dir=tmp_path / "data")
    assert builder.info.features["identity"].names == [f"s{number}" for number in range(1, 41)]
    assert builder.info.metadata == {"partial": False, "skipped_files": 0}
    examples = list(builder.as_data_source("train"))
    assert len(examples) == 400
    per_person = np.bincount([example["identity"] for example in examples], minlength=40)
    assert per_person.tolist() == [10] * 40
    for example in examples[::37]:
        subject, number = example["subject"].decode(), example["file"].decode()
        expected = Image.open(io.BytesIO(owners_files[f"att_faces/{number}"]))
        assert example["image"].shape == (112, 92, 1)
        assert example["image"].dtype == np.uint8
        np.testing.assert_array_equal(example["image"][..., 0], np.asarray(expected))
        assert SUBJECTS[example["identity"]] == subject == number.split("/")[0]


def test_part_of_a_folder_keeps_the_identity_numbers(owners_files, tmp_path):
    for name in ("att_faces/s3/1.pgm", "att_faces/s12/5.pgm"):
        path = tmp_path / "orl faces" / name.removeprefix("att_faces/")
        path.parent.mkdir(parents=True)
        path.write_bytes(owners_files[name])
    builder = prepare_dataset(
        "att_faces", tmp_path / "orl faces", data_dir=tmp_path / "data", partial=True
    )
    examples = {e["file"].decode(): int(e["identity"]) for e in builder.as_data_source("train")}
    assert examples == {"s3/1.pgm": 2, "s12/5.pgm": 11}
    assert builder.info.metadata["partial"] is True


def test_missing_and_damaged_files(as_zip, owners_files, tmp_path):
    files = dict(owners_files)
    del files["att_faces/s7/3.pgm"]
    files["att_faces/s9/2.pgm"] = files["att_faces/s9/2.pgm"][:500]
    files["att_faces/s9/4.pgm"] = b""
    source = as_zip(files)
    with pytest.raises(UserError, match=r"s7/3\.pgm: the file is missing.*--on-bad-file skip"):
        prepare_dataset("att_faces", source, data_dir=tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())
    builder = prepare_dataset("att_faces", source, data_dir=tmp_path / "data", on_bad_file="skip")
    assert builder.info.splits["train"].num_examples == 397
    assert builder.info.metadata["skipped_files"] == 3
    with open(builder.data_path / "skipped_files.csv", newline="") as file:
        skipped = {row["file"]: row["reason"] for row in csv.DictReader(file)}
    assert list(skipped) == ["s7/3.pgm", "att_faces/s9/2.pgm", "att_faces/s9/4.pgm"]
    assert "not a readable image" in skipped["att_faces/s9/2.pgm"]
    assert skipped["att_faces/s9/4.pgm"] == "the file is empty"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"att_faces/s41/1.pgm": b"x"}, r"att_faces/s41/1\.pgm is not one of the 40 x 10"),
        ({"copy/s1/1.pgm": b"x"}, r"more than once, in att_faces/ and in copy/"),
    ],
)
def test_trees_that_are_refused(change, message, as_zip, owners_files, tmp_path):
    with pytest.raises(UserError, match=message):
        prepare_dataset("att_faces", as_zip(owners_files | change), data_dir=tmp_path / "data")


def test_nothing_readable_is_an_error(as_zip, tmp_path):
    source = as_zip({"s1/1.pgm": b"x"})
    with pytest.raises(UserError, match="att_faces: no readable image in the source"):
        prepare_dataset("att_faces", source, data_dir=tmp_path / "data", on_bad_file="skip")


def test_another_tree_is_named_with_what_was_expected(as_zip, tmp_path):
    source = as_zip({"photos/holiday.jpg": b"x"})
    with pytest.raises(UserError, match=r"expected s1/1\.pgm to s40/10\.pgm; found photos/holid"):
        prepare_dataset("att_faces", source, data_dir=tmp_path / "data")


def test_metadata_files_are_read():
    metadata = builder_class("att_faces").get_metadata()
    assert "Olivetti Research Laboratory" in metadata.description
    assert "samaria1994" in metadata.citation
    assert metadata.tags == ["content.data-type.image"]
