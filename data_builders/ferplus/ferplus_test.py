import csv
import io
import zipfile
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.data.builders import builder_class, open_dataset
from tdgan_jax.data.examples import load_examples, with_expression
from tdgan_jax.data.images import resize_exactly
from tdgan_jax.errors import UserError
from tdgan_jax.expressions import EXPRESSIONS
from tdgan_jax.preparation.contents import class_counts
from tdgan_jax.preparation.preparing import prepare_dataset
from tests.owners_files import picture, write_tree

Builder = builder_class("ferplus")

REAL_DATA = Path(__file__).parents[3] / "shared" / "data" / "ferplus.zip"

COLUMNS = (
    "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
)
# Votes as the owner writes them, and the expression that most raters saw.
VOTES = {
    "4,0,0,1,3,2,0,0,0,0": None,
    "6,0,1,1,0,0,0,0,2,0": "neutral",
    "3,0,0,5,0,0,0,0,2,0": None,
    "0,0,0,0,2,1,0,7,0,0": "contempt",
    "0,0,8,0,0,0,2,0,0,0": "surprise",
    "0,0,0,0,0,0,9,0,0,0": "fear",
}
PARTS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
# What stands in `full`: by the file's number its part and its votes.
RATED = {
    number: (part, votes)
    for number, (part, votes) in enumerate(
        (part, votes) for part in PARTS.values() for votes in VOTES
    )
}


def photograph(seed: int) -> bytes:
    return picture(seed, size_px=(48, 48), mode="L")


def label_table(part: str) -> str:
    return "".join(
        f'fer{number:07d}.png,"(0, 0, 48, 48)",{votes}\n'
        for number, (folder, votes) in RATED.items()
        if folder == part
    )


def owners_files(*, labels: str = "", images: str = "") -> dict[str, bytes | str]:
    files: dict[str, bytes | str] = {
        f"{images}{part}/fer{number:07d}.png": photograph(number)
        for number, (part, _) in RATED.items()
    }
    return files | {f"{labels}{part}/label.csv": label_table(part) for part in PARTS.values()}


def new_table() -> str:
    usage_of = {folder: usage for usage, folder in PARTS.items()}
    rows = [
        f"{usage_of[part]},fer{number:07d}.png,{votes}" for number, (part, votes) in RATED.items()
    ]
    # A photograph without a name is not in FER+.
    return "\n".join([COLUMNS, *rows, "PrivateTest,,0,0,0,0,0,0,0,0,0,10", ""])


def pixel_table(num_rows: int) -> str:
    usages = {number: "Training PublicTest PrivateTest".split()[number // 6] for number in RATED}
    lines = ["emotion,pixels,Usage"]
    for number in range(num_rows):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 48), dtype=np.uint8)
        text = " ".join(map(str, pixels.ravel()))
        lines.append(f'0,"{text}",{usages.get(number, "PrivateTest")}')
    return "\n".join(lines)


def prepare(source, tmp_path, **options):
    options = {"partial": True, **options}
    return prepare_dataset("ferplus", source, data_dir=tmp_path / "data", **options)


def read(builder, split):
    return {e["file"].decode(): e for e in builder.as_data_source(split)}


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_documented_counts_are_those_of_the_majority_rule():
    expressions = {
        split: sum(
            count
            for name, count in Builder.DOCUMENTED["full"].items()
            if name.startswith(f"{split}/")
        )
        for split in ("train", "validation", "test")
    }
    assert expressions == {"train": 25045, "validation": 3191, "test": 3137}
    without_test = Builder.DOCUMENTED["without_test"]
    assert without_test["train"] == 28558 and without_test["test"] == 3579


def test_photographs_at_the_size_and_in_the_channels_of_esr(tmp_path):
    prepare(write_tree(tmp_path / "source", owners_files()), tmp_path)
    builder = open_dataset("ferplus", data_dir=tmp_path / "data")
    resized = partial(resize_exactly, size_px=96, channels=3)
    examples = with_expression(load_examples(builder, "train", resized))
    assert [EXPRESSIONS[label] for label in examples.expressions] == [
        expression for expression in VOTES.values() if expression is not None
    ]
    assert examples.images[0].shape == (96, 96, 3)
    gray = Image.open(io.BytesIO(photograph(1))).resize((96, 96), Image.Resampling.BILINEAR)
    for channel in range(3):
        np.testing.assert_array_equal(examples.images[0][..., channel], np.asarray(gray))


@pytest.mark.parametrize(("labels", "images"), [("", ""), ("Labels/", "Images/"), ("data/",) * 2])
def test_owners_layout(labels, images, tmp_path):
    source = write_tree(tmp_path / "source", owners_files(labels=labels, images=images))
    builder = prepare(source, tmp_path)
    assert builder.info.full_name == "ferplus/full/1.0.0"
    assert tuple(builder.info.features["expression"].names) == EXPRESSIONS
    assert list(builder.info.splits) == ["train", "validation", "test"]
    examples = read(builder, "train")
    assert list(sorted(examples)) == [f"FER2013Train/fer{number:07d}.png" for number in range(6)]
    found = [examples[file] for file in sorted(examples)]
    names = [None if e["expression"] < 0 else EXPRESSIONS[e["expression"]] for e in found]
    assert names == list(VOTES.values())
    # surprise, fear, disgust, happiness, sadness, anger, neutral, contempt
    assert found[0]["expression_votes"].tolist() == [0, 0, 2, 0, 1, 3, 4, 0]
    assert found[1]["other_votes"].tolist() == [2, 0]
    assert found[0]["expression_votes"].dtype == np.float32
    assert found[0]["image"].shape == (48, 48, 1)


def test_votes_beside_the_pixels_of_fer2013_give_the_same_examples(tmp_path):
    archive = tmp_path / "both.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("fer2013new.csv", new_table())
        file.writestr("fer2013/fer2013.csv", pixel_table(len(RATED) + 1))
    votes_and_folders = {
        name: data for name, data in owners_files().items() if name.endswith(".png")
    } | {"fer2013new.csv": new_table()}
    sources = (
        write_tree(tmp_path / "owners", owners_files()),
        archive,
        write_tree(tmp_path / "folders", votes_and_folders),
    )
    of_each = []
    for number, source in enumerate(sources):
        builder = prepare(source, tmp_path / str(number))
        of_each.append(
            {
                file: (e["image"].tobytes(), int(e["expression"]), e["expression_votes"].tolist())
                for split in builder.info.splits
                for file, e in read(builder, split).items()
            }
        )
    assert len(of_each[0]) == len(RATED)
    assert of_each[0] == of_each[1] == of_each[2]


def test_missing_part_is_a_smaller_configuration(tmp_path, monkeypatch):
    files = {n: data for n, data in owners_files().items() if not n.startswith("FER2013Test")}
    source = write_tree(tmp_path / "source", files)
    monkeypatch.setattr(
        Builder,
        "DOCUMENTED",
        {
            "full": {"train": 6, "validation": 6, "test": 6},
            "without_test": {"train": 6, "test": 6},
        },
    )
    with pytest.raises(UserError, match="test has 0 images .* counts of --config without_test$"):
        prepare(source, tmp_path, partial=False)
    builder = prepare(source, tmp_path, config="without_test", partial=False)
    assert {split: len(read(builder, split)) for split in builder.info.splits} == {
        "train": 6,
        "test": 6,
    }
    assert all(file.startswith("FER2013Valid/") for file in read(builder, "test"))


def test_training_copies_of_test_pictures_are_removed_and_listed(tmp_path):
    files = owners_files() | {"FER2013Train/fer0000003.png": photograph(17)}
    builder = prepare(write_tree(tmp_path / "source", files), tmp_path)
    assert len(read(builder, "train")) == 5
    assert rows_of(builder.data_path / "removed_duplicates.csv") == [
        {
            "removed_file": "FER2013Train/fer0000003.png",
            "removed_expression": "contempt",
            "test_file": "FER2013Test/fer0000017.png",
            "test_expression": "fear",
        }
    ]
    marked = [f for f, e in read(builder, "test").items() if e["duplicated_in_train"]]
    assert marked == ["FER2013Test/fer0000017.png"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('fer0000000.png,"(0, 0, 48, 48)",4,0,0', "label.csv line 1: 5 values instead of 12"),
        (f'fer0000000.png,"(4, 0, 48, 48)",{"0," * 9}1', r"line 1: the box '\(4, 0, 48, 48\)' is"),
        (f'fer0000000.png,"(0, 0, 48, 48)",{"0," * 9}x', "line 1: the votes .* whole numbers"),
        (f'fer0000000.png,"(0, 0, 48, 48)",{"0," * 9}11', "line 1: the votes .* of 10 raters"),
        (f'fer0000000.png,"(0, 0, 48, 48)",{"0," * 9}{"9" * 400}', "line 1: .* of 10 raters"),
        (f'fer0000099.png,"(0, 0, 48, 48)",{"0," * 9}1', "fer0000099.png: the file is missing"),
    ],
)
def test_bad_line_is_named(line, message, tmp_path, monkeypatch):
    monkeypatch.setattr(Builder, "DOCUMENTED", {})
    source = write_tree(
        tmp_path / "source", owners_files() | {"FER2013Train/label.csv": line + "\n"}
    )
    with pytest.raises(UserError, match=message):
        prepare(source, tmp_path, partial=False)
    builder = prepare(source, tmp_path, partial=False, on_bad_file="skip")
    assert builder.info.metadata["skipped_files"] == 1


TWICE = owners_files()
TWICE["FER2013Train/label.csv"] += 'fer0000000.png,"(0, 0, 48, 48)",0,0,0,0,0,0,9,0,0,0\n'


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"fer2013new.csv": COLUMNS + "\n"}, "holds the votes, but not the photographs"),
        (
            {"fer2013new.csv": new_table(), "train/sad/Training_1.jpg": b"x"},
            "Training_<n>.jpg do not say which votes are theirs",
        ),
        (
            {"fer2013new.csv": new_table(), "fer2013.csv": pixel_table(5)},
            "not of the same photographs: line 7 has the Usage 'Training' in the one and ''",
        ),
        ({"fer2013.csv": pixel_table(5)}, r"expected FER2013Train/label\.csv with"),
        ({"fer2013new.csv": "Usage,Image name\n"}, "lacks the column NF in its first line"),
        (TWICE, r"FER2013Train/fer0000000\.png is listed twice, as .* and as fear; leave one of"),
    ],
)
def test_trees_that_are_refused(files, message, tmp_path):
    with pytest.raises(UserError, match=message):
        prepare(write_tree(tmp_path / "source", files), tmp_path)


def test_metadata_files_are_read():
    metadata = Builder.get_metadata()
    assert "370 training" in metadata.description
    assert "barsoum2016" in metadata.citation
    assert "content.data-type.image" in metadata.tags


@pytest.mark.skipif(not REAL_DATA.is_file(), reason="the development data are not there")
def test_real_ferplus(tmp_path):
    # That the source has the spec's counts, before copies are removed, is checked by the build.
    builder = prepare(REAL_DATA, tmp_path, config="without_test", partial=False)
    counts = class_counts(builder, "expression")
    train = (2999, 523, 107, 7247, 2980, 2050, 8691, 116, 3475)
    test = (411, 60, 25, 862, 348, 289, 1180, 16, 388)
    names = (*EXPRESSIONS, "-1")
    assert counts == {
        "train": Counter(dict(zip(names, train, strict=True))),
        "test": Counter(dict(zip(names, test, strict=True))),
    }
    assert dict(builder.info.metadata) == {
        "partial": False,
        "skipped_files": 0,
        "empty_pictures": 0,
        "removed_from_train": 370,
        "test_images_duplicated_in_train": 291,
        "near_duplicates_across_splits": 49,
    }
