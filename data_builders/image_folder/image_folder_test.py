import zipfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.data.builders import open_dataset
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.preparation.contents import class_counts
from tdgan_jax.preparation.preparing import prepare_dataset
from tests.owners_files import assert_ten_disjoint_folds, picture, write_tree

CLASSES = ("Happy", "hap", "bored", "angry")


def own_files(people: int = 12) -> dict[str, bytes]:
    names = [f"{c}/S{p:02d}_été {c}.png" for p in range(people) for c in CLASSES]
    return {name: picture(seed) for seed, name in enumerate(names)}


def prepare(source, tmp_path, **options):
    return prepare_dataset("image_folder", source, data_dir=tmp_path / "data", **options)


def test_subjects_from_file_names_give_ten_folds(tmp_path):
    source = write_tree(tmp_path / "my faces", own_files())
    builder = prepare(source, tmp_path, subject_pattern=r"^(S\d+)_")
    # Two spellings of one expression are one class; the unknown class keeps its name.
    assert builder.info.features["expression"].names == ["happiness", "anger", "bored"]
    counts = sum(class_counts(builder, "expression").values(), start=Counter())
    assert counts == {"happiness": 24, "anger": 12, "bored": 12}
    assert_ten_disjoint_folds(builder, 12)
    assert builder.info.metadata["folds"] == "10"
    again = open_dataset("image_folder", data_dir=tmp_path / "data")
    assert again.info.features["expression"].names == ["happiness", "anger", "bored"]
    assert again.info.features["identity"].names == [f"S{p:02d}" for p in range(12)]
    example = next(iter(again.as_data_source("fold_2")))
    file = example["file"].decode()
    np.testing.assert_array_equal(example["image"], np.asarray(Image.open(source / file)))


def test_order_of_files_changes_neither_folds_nor_records(tmp_path):
    built = []
    files = own_files()
    for number, names in enumerate((sorted(files), sorted(files, reverse=True))):
        source = tmp_path / f"{number}.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for name in names:
                archive.writestr(name, files[name])
        builder = prepare_dataset(
            "image_folder",
            source,
            data_dir=tmp_path / f"data{number}",
            subject_pattern=r"(S\d+)",
        )
        built.append(
            {
                split: [e["file"] for e in builder.as_data_source(split)]
                for split in builder.info.splits
            }
        )
    assert built[0] == built[1]


def test_few_subjects_give_as_many_folds(tmp_path):
    source = write_tree(tmp_path / "s", own_files(4))
    builder = prepare(source, tmp_path, subject_pattern=r"^(S\d+)_")
    assert list(builder.info.splits) == ["fold_0", "fold_1", "fold_2", "fold_3"]
    assert builder.info.metadata["folds"] == "4, because there are only 4 subjects"


def test_without_a_pattern_there_is_one_split_and_no_identity(tmp_path):
    source = write_tree(tmp_path / "s", own_files(3))
    builder = prepare(source, tmp_path)
    assert list(builder.info.splits) == ["train"]
    assert builder.info.metadata["folds"] == "none, because the subjects are not known"
    assert {int(e["identity"]) for e in builder.as_data_source("train")} == {-1}
    assert (
        open_dataset("image_folder", data_dir=tmp_path / "data").info.features["identity"].names
        == []
    )


def test_csv_with_all_columns(tmp_path):
    files = {f"pics/{i}.png": picture(i) for i in range(24)}
    rows = [f"pics/{i}.png,{'smile' if i % 2 else ''},id{i % 3},p{i % 12}" for i in range(24)]
    table = "\ufeffimage,expression,identity,subject\n" + "\n".join(rows)
    source = write_tree(tmp_path / "s", files | {"labels.csv": table})
    for place in (source, source / "labels.csv"):
        builder = prepare(place, tmp_path, overwrite=True)
        assert builder.info.features["expression"].names == ["happiness"]
        assert builder.info.features["identity"].names == ["id0", "id1", "id2"]
        counts = sum(class_counts(builder, "expression").values(), start=Counter())
        assert counts == {"happiness": 12, "-1": 12}
        assert_ten_disjoint_folds(builder, 12)


def test_several_sets_stand_side_by_side_under_names_of_their_own(tmp_path):
    for name, people in (("mine", 2), ("yours", 3)):
        source = write_tree(tmp_path / name, own_files(people))
        prepare(source, tmp_path, config=name, subject_pattern=r"(S\d+)")
    names = [
        open_dataset("image_folder", name, tmp_path / "data").info.features["identity"].names
        for name in ("mine", "yours")
    ]
    assert names == [["S00", "S01"], ["S00", "S01", "S02"]]
    with pytest.raises(UsageError, match="no configurations; leave 'a/b' out"):
        prepare(tmp_path / "mine", tmp_path, config="a/b")


@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [
        (r"^(P\d+)_", UserError, r"'\^\(P.*finds no subject in Happy/S00"),
        (r"^S\d+_", UsageError, "has no group; put the part that is the subject in parentheses"),
        (r"^(S\d+_", UsageError, r"--subject-pattern .*unterminated|missing"),
    ],
)
def test_patterns_that_are_refused(pattern, error, message, tmp_path):
    source = write_tree(tmp_path / "s", own_files(2))
    with pytest.raises(error, match=message):
        prepare(source, tmp_path, subject_pattern=pattern)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"notes.txt": b"x"}, r"expected <class>/<image>, or a csv file.*; found notes\.txt"),
        ({"1.png": b"x"}, "1 level too deep"),
        ({"train/a/1.png": b"x", "test/a/2.png": b"x"}, "more than once, in test/ and in train/"),
        ({"a/1.png": b"x"}, r"a/1\.png: not a readable image"),
        ({"l.csv": "image,subject\na.png,x\na.png,y"}, r"line 3: a\.png stands in line 2 already"),
        ({"l.csv": "image,subject\na.png,x\nb.png,"}, r"b\.png has no subject, but other images"),
        ({"l.csv": "image\na.png"}, r"a\.png: the file is missing"),
        ({"l.csv": "image\n,\n"}, "line 2: the column image is empty"),
        ({"l.csv": "image\na.png", "k.csv": "image\nb.png"}, r"two tables, k\.csv and l\.csv"),
        ({"l.csv": b"image\n\xff.png"}, "is not a csv file in UTF-8"),
    ],
)
def test_sources_that_are_refused(files, message, tmp_path):
    with pytest.raises(UserError, match=message) as raised:
        prepare(write_tree(tmp_path / "s", files), tmp_path)
    assert "\n" not in str(raised.value)


def test_csv_without_an_image_column_and_pattern_for_another_dataset(tmp_path):
    source = write_tree(tmp_path / "s", {"table.csv": "name,label\na.png,x"})
    with pytest.raises(UserError, match="has no column image in its first line; the columns are"):
        prepare(source / "table.csv", tmp_path)
    with pytest.raises(UsageError, match="rafd knows its subjects; leave --subject-pattern out"):
        prepare_dataset("rafd", source, data_dir=tmp_path, subject_pattern="(x)")
