import os
import zipfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.data.builders import open_dataset
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.preparation.contents import class_counts
from tdgan_jax.preparation.preparing import prepare_dataset
from tests.owners_files import (
    assert_ten_disjoint_folds,
    picture,
    subjects_by_split,
    write_tree,
)

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
        (
            {"l.csv": "image,label,subject\na.png,happy,x"},
            r"l\.csv has no column expression, and its column label is not read; rename it",
        ),
        (
            {"l.csv": "image,valence,arousal\na.png,0.1,0.2"},
            r"l\.csv has no column expression, and its column valence is not read",
        ),
        ({"l.csv": "image\n,\n"}, "line 2: the column image is empty"),
        ({"l.csv": "image\na.png", "k.csv": "image\nb.png"}, r"two tables, k\.csv and l\.csv"),
        ({"l.csv": b"image\n\xff.png"}, "is not a csv file in UTF-8"),
        (
            {"l.csv": "image,subject\na.png,Ann\nb.png,ann"},
            "image_folder: the subject Ann and the subject ann look like one in two spellings",
        ),
        ({"l.csv": "image,subject\na.png,s1\nb.png,s01"}, "the subject s01 and the subject s1 "),
        (
            {"l.csv": "image,subject,identity\na.png,x,Ann\nb.png,y,ann"},
            "the identity Ann and the identity ann ",
        ),
        (
            {"Bored/1.png": b"x", "bored/2.png": b"x"},
            "the expression Bored and the expression bored ",
        ),
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


def labels(builder) -> dict[str, str]:
    names = [*builder.info.features["expression"].names, "-1"]
    return {
        example["file"].decode(): names[int(example["expression"])]
        for split in builder.info.splits
        for example in builder.as_data_source(split)
    }


def test_a_table_with_semicolons_beside_a_folder_of_images(tmp_path):
    files = {f"images/{i}.png": picture(i) for i in range(3)}
    table = "image;expression\nimages/0.png;happy\nimages/1.png;sad\nimages/2.png;sad\n"
    builder = prepare(write_tree(tmp_path / "s", files | {"labels.csv": table}), tmp_path)
    assert labels(builder) == {
        "images/0.png": "happiness",
        "images/1.png": "sadness",
        "images/2.png": "sadness",
    }


@pytest.mark.parametrize(
    "table",
    ["file;label\nimages/0.png;happy\n", "images/0.png;happy\n", "", b"image\xe9;x\n"],
    ids="columns headless empty latin".split(),
)
@pytest.mark.parametrize("name", ["labels.csv", "s/labels.tsv"])
def test_a_table_that_cannot_be_read_is_never_passed_over_for_the_folders(table, name, tmp_path):
    folder = name.rpartition("/")[0]
    files = {f"{folder}/images/0.png".lstrip("/"): picture(0), "README.md": "x", name: table}
    with pytest.raises(UserError, match=rf"^{name} .*; or move the file out of the source"):
        prepare(write_tree(tmp_path / "s", files), tmp_path)


def test_one_person_in_two_forms_of_unicode_stands_in_one_fold(tmp_path):
    people = ("Zoé", "Zoe\u0301", "Bo")
    names = [f"{c}/{p}_{n}.png" for n, p in enumerate(people) for c in ("happy", "sad")]
    files = {name: picture(seed) for seed, name in enumerate(names)}
    source = write_tree(tmp_path / "s", files | {"scho\u0308n/Bo_1.png": picture(9)})
    # What is typed has either form, too.
    builder = prepare(source, tmp_path, subject_pattern="^(Zoe\u0301|Bo)_")
    assert builder.info.features["identity"].names == ["Bo", "Zoé"]
    assert subjects_by_split(builder) == {"fold_0": {"Bo"}, "fold_1": {"Zoé"}} or (
        subjects_by_split(builder) == {"fold_0": {"Zoé"}, "fold_1": {"Bo"}}
    )
    assert "schön" in builder.info.features["expression"].names


def test_the_same_file_in_two_forms_of_unicode_is_refused(tmp_path):
    files = {"happy/Zoé.png": picture(0), "happy/Zoe\u0301.png": picture(1)}
    with pytest.raises(UserError, match="two files of the name happy/Zoé.png"):
        prepare(write_tree(tmp_path / "s", files), tmp_path)


def test_jpegs_of_all_suffixes_are_taken(tmp_path):
    files = {
        "happy/1.jfif": picture(0, suffix="JPEG"),
        "happy/2.JFIF": picture(1, suffix="JPEG"),
        "sad/1.mpo": picture(2, suffix="MPO"),
        "sad/2.jpg": picture(3, suffix="JPEG"),
    }
    builder = prepare(write_tree(tmp_path / "s", files), tmp_path)
    assert labels(builder) == {
        name: "happiness" if name.startswith("happy") else "sadness" for name in files
    }
    assert "files_left_out" not in builder.info.metadata


@pytest.mark.parametrize(
    ("content", "there"),
    [
        ({}, "no file"),
        ({"1.heic": b"x"}, r"1 \.heic"),
        ({"a.mp4": b"x", "b.mp4": b"x", "c.txt": b"x"}, r"2 \.mp4, 1 \.txt"),
        ({"deep/1.txt": b"x"}, r"1 \.txt"),
    ],
)
def test_a_class_does_not_vanish(content, there, tmp_path, monkeypatch):
    monkeypatch.setattr("tdgan_jax.data.picture_files.READS_HEIC", False)
    source = write_tree(tmp_path / "s", {"all/happy/1.png": picture(0)})
    (source / "all/sad").mkdir()
    write_tree(source / "all/sad", content)
    with pytest.raises(UserError, match=f"the folder all/sad holds no picture .* but {there}"):
        prepare(source, tmp_path)


def test_what_is_left_out_is_counted(tmp_path):
    files = {"happy/1.png": picture(0), "sad/1.png": picture(1)}
    more = {"happy/1.psd": b"x", "sad/2.tga": b"x", "sad/3.tga": b"x", "notes.txt": b"x"}
    builder = prepare(write_tree(tmp_path / "s", files | more), tmp_path)
    assert builder.info.metadata["files_left_out"] == "2 .tga, 1 .psd, 1 .txt"
    assert len(labels(builder)) == 2


def test_only_heic_photographs_say_what_reads_them(tmp_path, monkeypatch):
    monkeypatch.setattr("tdgan_jax.data.picture_files.READS_HEIC", False)
    files = {f"happy/{i}.heic": b"x" for i in range(5)}
    with pytest.raises(
        UserError, match=r"found happy/0\.heic.*5 \.heic \(read with pillow-heif: pip"
    ):
        prepare(write_tree(tmp_path / "s", files), tmp_path)


def test_none_is_no_expression(tmp_path):
    files = {f"{c}/{n}.png": picture(n) for n, c in enumerate(("None", "neutral", "happy"))}
    builder = prepare(write_tree(tmp_path / "s", files), tmp_path)
    assert builder.info.features["expression"].names == ["happiness", "neutral"]
    assert labels(builder)["None/0.png"] == "-1"
    table = "image,expression\n0.png,None\n1.png,normal\n2.png,nan\n"
    files = {f"{n}.png": picture(n) for n in range(3)} | {"labels.csv": table}
    builder = prepare(write_tree(tmp_path / "t", files), tmp_path, overwrite=True)
    assert labels(builder) == {"0.png": "-1", "1.png": "neutral", "2.png": "-1"}


def test_folders_may_be_links(tmp_path):
    elsewhere = write_tree(tmp_path / "elsewhere", {"1.png": picture(0)})
    source = write_tree(tmp_path / "s", {"sad/1.png": picture(1)})
    (source / "happy").symlink_to(elsewhere)
    (source / "sad/loop").symlink_to(source)
    assert labels(prepare(source, tmp_path)) == {"happy/1.png": "happiness", "sad/1.png": "sadness"}


def test_what_is_no_file_is_named(tmp_path):
    source = write_tree(tmp_path / "s", {"happy/1.png": picture(0)})
    os.mkfifo(source / "happy/2.png")
    with pytest.raises(UserError, match=r"happy/2\.png: not a file; replace the file"):
        prepare(source, tmp_path)
    builder = prepare(source, tmp_path, on_bad_file="skip")
    assert len(labels(builder)) == 1 and builder.info.metadata["skipped_files"] == 1
