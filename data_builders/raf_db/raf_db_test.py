import io

import numpy as np
import pytest
from PIL import Image
from tdgan_jax.data_builders.raf_db.raf_db_dataset_builder import COUNTS, Builder, recognise_order

from tdgan_jax.cli.main import main
from tdgan_jax.data.builders import open_dataset
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.expressions import BASIC_EXPRESSIONS
from tdgan_jax.preparation.contents import class_counts
from tdgan_jax.preparation.preparing import prepare_dataset
from tests.owners_files import picture, write_tree

# Orders in which folders 0 to 6 are numbered in copies of the set.
ALPHABETICAL = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
NEUTRAL_FIRST = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")
# Seven different numbers, as in the real set.
FEW = {"train": (4, 2, 3, 8, 6, 7, 5), "test": (2, 1, 3, 5, 4, 1, 2)}


FEW_DOCUMENTED = {
    "raf_db": {
        f"{split}/{name}": count
        for split, counts in FEW.items()
        for name, count in zip(BASIC_EXPRESSIONS, counts, strict=True)
    }
}


@pytest.fixture
def few(monkeypatch):
    """A set that is complete with 53 images."""
    numbered = {"numbered": FEW_DOCUMENTED["raf_db"]}
    monkeypatch.setattr(Builder, "DOCUMENTED", FEW_DOCUMENTED | numbered)


def labels(split: str) -> list[str]:
    return [n for n, count in zip(BASIC_EXPRESSIONS, FEW[split], strict=True) for _ in range(count)]


def image_name(split: str, number: int) -> str:
    return f"{split}_{number:0{5 if split == 'train' else 4}d}"


def owners_archive() -> dict[str, bytes | str]:
    files: dict[str, bytes | str] = {}
    lines = []
    for split in ("test", "train"):
        for number, name in enumerate(labels(split), start=1):
            image = image_name(split, number)
            lines.append(f"{image}.jpg {BASIC_EXPRESSIONS.index(name) + 1}")
            data = picture(number + 100 * (split == "test"), suffix="JPEG")
            files[f"basic/Image/aligned/{image}_aligned.jpg"] = data
            files[f"basic/Image/original/{image}.jpg"] = b"not looked at"
    return files | {"basic/EmoLabel/list_patition_label.txt": "\n".join(lines) + "\n"}


def class_folders(folder_of: dict[str, str]) -> dict[str, bytes | str]:
    return {
        f"DATASET/{split}/{folder_of[name]}/{image_name(split, number)}_aligned.jpg": picture(
            number + 100 * (split == "test"), suffix="JPEG"
        )
        for split in ("test", "train")
        for number, name in enumerate(labels(split), start=1)
    }


def check(builder) -> None:
    assert tuple(builder.info.features["expression"].names) == BASIC_EXPRESSIONS
    assert list(builder.info.splits) == ["train", "test"]
    counts = class_counts(builder, "expression")
    for split in ("train", "test"):
        assert counts[split] == dict(zip(BASIC_EXPRESSIONS, FEW[split], strict=True))
        for example in builder.as_data_source(split):
            name, _, number = example["file"].decode().partition("_")
            expression = BASIC_EXPRESSIONS[int(example["expression"])]
            assert (name, expression) == (split, labels(split)[int(number) - 1])
            assert example["image"].shape == (8, 8, 3)
    assert "identity" not in builder.info.features


def test_owner_s_archive_with_its_list_file(few, tmp_path):
    source = write_tree(tmp_path / "RAF-DB", owners_archive())
    check(prepare_dataset("raf_db", source, data_dir=tmp_path / "data"))


NUMBERINGS = {
    "owner_s": {name: str(code) for code, name in enumerate(BASIC_EXPRESSIONS, start=1)},
    "owner_s_less_one": {name: str(code) for code, name in enumerate(BASIC_EXPRESSIONS)},
    "alphabetical": {name: str(code) for code, name in enumerate(ALPHABETICAL)},
    "neutral_first": {name: str(code) for code, name in enumerate(NEUTRAL_FIRST)},
    "words": {name: name.title() for name in BASIC_EXPRESSIONS} | {"happiness": "happy"},
}


@pytest.mark.parametrize("numbering", NUMBERINGS)
def test_numbered_folders_are_recognised_by_their_counts(numbering, few, tmp_path):
    source = write_tree(tmp_path / "archive", class_folders(NUMBERINGS[numbering]))
    check(prepare_dataset("raf_db", source, data_dir=tmp_path / "data"))


@pytest.mark.parametrize("numbering", ["owner_s", "alphabetical", "neutral_first"])
def test_order_of_the_real_numbers_by_name(numbering):
    found = {
        split: {
            NUMBERINGS[numbering][name]: count
            for name, count in zip(BASIC_EXPRESSIONS, COUNTS[split], strict=True)
        }
        for split in ("train", "test")
    }
    order = recognise_order(found, Builder.DOCUMENTED["raf_db"])
    assert order == {folder: name for name, folder in NUMBERINGS[numbering].items()}


def test_documented_numbers_add_up():
    assert {split: sum(counts) for split, counts in COUNTS.items()} == {
        "train": 12271,
        "test": 3068,
    }
    assert dict(zip(BASIC_EXPRESSIONS, COUNTS["test"], strict=True)) == dict(
        surprise=329, fear=74, disgust=160, happiness=1185, sadness=478, anger=162, neutral=680
    )


def test_numbers_that_fit_no_or_two_expressions_are_refused():
    documented = dict(Builder.DOCUMENTED["raf_db"])
    with pytest.raises(UserError, match="folder 3 has 100 training and 3 test images, which fits"):
        recognise_order({"train": {"3": 100}, "test": {"3": 3}}, documented)
    documented |= {"train/fear": 281, "test/fear": 74, "train/anger": 281, "test/anger": 74}
    with pytest.raises(UserError, match="fits fear and anger; complete the set, or rename"):
        recognise_order({"train": {"1": 281}, "test": {"1": 74}}, documented)


def test_training_copies_of_test_images_are_removed(few, tmp_path):
    files = owners_archive()
    copy = files["basic/Image/aligned/test_0001_aligned.jpg"]
    files["basic/Image/aligned/train_00002_aligned.jpg"] = copy
    source = write_tree(tmp_path / "RAF-DB", files)
    builder = prepare_dataset("raf_db", source, data_dir=tmp_path / "data")
    assert "train_00002" not in {e["file"].decode() for e in builder.as_data_source("train")}
    assert builder.info.metadata["removed_from_train"] == 1
    marked = {e["file"] for e in builder.as_data_source("test") if e["duplicated_in_train"]}
    assert marked == {b"test_0001"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"basic/EmoLabel/list_patition_label.txt": None}, "but not EmoLabel/list_patition_label"),
        ({"basic/Image/aligned/train_00003_aligned.jpg": None}, "train_00003.*the file is missing"),
        (
            {"basic/EmoLabel/list_patition_label.txt": "train_00001.jpg 8\n"},
            r"line 1 is 'train_00001\.jpg 8', not like 'train_00001\.jpg 5'",
        ),
        (
            {"basic/EmoLabel/list_patition_label.txt": "train_00001.jpg 5\n"},
            "train/surprise has 0 images where 4 are documented",
        ),
        (
            {"basic/EmoLabel/list_patition_label.txt": "train_00001.jpg 5\ntrain_00001.jpg 4\n"},
            "train_00001 is listed twice, as sadness and as happiness; leave one of them out",
        ),
        (
            {"basic/EmoLabel/list_patition_label.txt": "train_00001.jpg 5\n" * 2},
            "train_00001 is listed twice; leave one of them out",
        ),
    ],
)
def test_incomplete_archives_are_refused(change, message, few, tmp_path):
    files = {name: data for name, data in (owners_archive() | change).items() if data is not None}
    with pytest.raises(UserError, match=message):
        prepare_dataset("raf_db", write_tree(tmp_path / "s", files), data_dir=tmp_path / "data")


def test_part_of_the_set(tmp_path):
    source = write_tree(tmp_path / "RAF-DB", owners_archive())
    builder = prepare_dataset("raf_db", source, data_dir=tmp_path / "data", partial=True)
    assert builder.info.splits["train"].num_examples == sum(FEW["train"])
    with pytest.raises(UserError, match="which fits no expression"):
        folders = write_tree(tmp_path / "archive", class_folders(NUMBERINGS["owner_s"]))
        prepare_dataset("raf_db", folders, data_dir=tmp_path / "other", partial=True)


def numbered_folders(folder_of: dict[str, str]) -> dict[str, bytes | str]:
    return {
        f"raf/{split}/{folder_of[name]}/face {number} of {split}.jpg": picture(
            number + 100 * (split == "test"), suffix="JPEG"
        )
        for split in ("test", "train")
        for number, name in enumerate(labels(split), start=1)
    }


@pytest.mark.parametrize("numbering", ["owner_s", "neutral_first"])
def test_folders_of_the_programs_with_files_of_any_name(numbering, few, tmp_path):
    folder_of = NUMBERINGS[numbering]
    files = numbered_folders(folder_of)
    source = write_tree(tmp_path / "s", files)
    builder = prepare_dataset("raf_db", source, config="numbered", data_dir=tmp_path / "data")
    assert builder.info.full_name == "raf_db/numbered/1.0.0"
    assert tuple(builder.info.features["expression"].names) == BASIC_EXPRESSIONS
    counts = class_counts(builder, "expression")
    for split in ("train", "test"):
        assert counts[split] == dict(zip(BASIC_EXPRESSIONS, FEW[split], strict=True))
        for example in builder.as_data_source(split):
            file = example["file"].decode()
            folder = folder_of[BASIC_EXPRESSIONS[int(example["expression"])]]
            assert file.startswith(f"{split}/{folder}/")
            pixels = np.asarray(Image.open(io.BytesIO(files[f"raf/{file}"])))
            np.testing.assert_array_equal(example["image"], pixels)


def test_the_configuration_without_a_name_stays_where_it_was(few, tmp_path, capfd):
    source = write_tree(tmp_path / "s", owners_archive())
    builder = prepare_dataset("raf_db", source, data_dir=tmp_path / "data")
    assert builder.info.full_name == "raf_db/1.0.0"
    folders = write_tree(tmp_path / "f", numbered_folders(NUMBERINGS["owner_s"]))
    prepare_dataset("raf_db", folders, config="numbered", data_dir=tmp_path / "data")
    for config, example in ((None, "train_00001"), ("numbered", "train/1/face 1 of train.jpg")):
        opened = open_dataset("raf_db", config, tmp_path / "data")
        assert example in {e["file"].decode() for e in opened.as_data_source("train")}
    with pytest.raises(UsageError, match="no configuration 'numberd'; did you mean 'numbered'"):
        open_dataset("raf_db", "numberd", tmp_path / "data")
    assert main(["doctor", "raf_db", "--config", "numbered", "--source", str(folders)]) == 0
    assert "images" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ({"1", "2"}, "the folders are numbered 1, 2; expected 1 to 7 in the owner's order"),
        ({"0", "7"}, "the folders are numbered 0, 7; expected"),
        ({"1", "8"}, "the folders are numbered 1, 8; expected"),
    ],
)
def test_numbers_that_tell_no_order(folders, message, tmp_path):
    files = {f"train/{folder}/{folder}.jpg": picture(int(folder)) for folder in folders}
    with pytest.raises(UserError, match=message):
        prepare_dataset(
            "raf_db",
            write_tree(tmp_path / "s", files),
            config="numbered",
            data_dir=tmp_path / "data",
            partial=True,
        )


def test_another_order_of_the_same_numbers_is_noticed(few, tmp_path):
    source = write_tree(tmp_path / "s", numbered_folders(NUMBERINGS["alphabetical"]))
    with pytest.raises(UserError, match="train/surprise has 8 images where 4 are documented"):
        prepare_dataset("raf_db", source, config="numbered", data_dir=tmp_path / "data")
