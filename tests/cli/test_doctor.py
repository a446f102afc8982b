"""Sound sources pass; each broken tree is named with its fault and its cure."""

import os
import re
import zipfile

import pytest
from tdgan_jax.data_builders.ck_plus.ck_plus_test import sequence
from tdgan_jax.data_builders.raf_db.raf_db_dataset_builder import Builder as RafDb
from tdgan_jax.data_builders.raf_db.raf_db_test import FEW_DOCUMENTED, owners_archive
from tdgan_jax.data_builders.yale_faces.yale_faces_test import owners_files as yale_files

from tdgan_jax.cli.main import main
from tests.owners_files import picture, write_tree


def own_pictures(*names: str) -> dict[str, bytes | str]:
    return {name: picture(seed) for seed, name in enumerate(names)}


def test_a_complete_source_is_shown_as_a_table(tmp_path, capfd):
    source = write_tree(tmp_path / "yale", yale_files())
    assert main(["doctor", "yale_faces", "--source", str(source)]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    first, *table = out.splitlines()
    assert first == f"{source} is a complete source of yale_faces"
    assert [line.split() for line in table] == [
        ["train"],
        ["surprise", "15"],
        ["happiness", "15"],
        ["sadness", "15"],
        ["neutral", "15"],
        ["-1", "15"],
        ["images", "75"],
        ["identities", "15"],
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["yale"]


def test_splits_of_the_owner_are_shown_side_by_side(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(RafDb, "DOCUMENTED", FEW_DOCUMENTED)
    source = write_tree(tmp_path / "raf", owners_archive())
    assert main(["doctor", "raf_db", "--source", str(source)]) == 0
    table = [line.split() for line in capfd.readouterr().out.splitlines()[1:]]
    assert table[:3] == [["train", "test"], ["surprise", "4", "2"], ["fear", "2", "1"]]
    assert table[-1] == ["images", "35", "18"]


CK_PLUS = sequence("S010", "001", "fear", 1) | sequence("S011", "001", None, 2)
RAF_LIST = "basic/EmoLabel/list_patition_label.txt"

# What is wrong, the dataset, its files, where below the tree the source is, and what is said.
BROKEN_TREES = {
    "wrong root folder": (
        "rafd",
        {"holiday/beach.jpg": b"x", "holiday/sunset.jpg": b"x"},
        "",
        r"does not look like rafd: expected Rafd090_01_.*; found holiday/beach\.jpg",
    ),
    "root folder too deep": (
        "bu3dfe",
        own_pictures("BU_3DFE/F0001/F0001_AN03WH_F2D.bmp"),
        "BU_3DFE/F0001",
        r"F0001 is 1 level too deep; expected F0001/F0001_AN03WH.*; give \S+/BU_3DFE$",
    ),
    "missing list file": (
        "raf_db",
        {name: data for name, data in owners_archive().items() if name != RAF_LIST},
        "",
        r"the images are there, but not EmoLabel/list_patition_label\.txt; unpack",
    ),
    "wrong counts per class": (
        "raf_db",
        owners_archive(),
        "",
        r"train/surprise has 4 images where 1290 are documented; complete the source",
    ),
    "file of the list is missing": (
        "raf_db",
        {n: d for n, d in owners_archive().items() if "aligned/train_00002" not in n},
        "",
        r"train_00002_aligned\.jpg: the file is missing; replace the file, or leave such files",
    ),
    "unreadable image": (
        "image_folder",
        own_pictures("happy/1.png", "sad/1.png") | {"sad/2.png": picture(9)[:80]},
        "",
        r"sad/2\.png: not a readable image .*; replace the file",
    ),
    "empty image": (
        "image_folder",
        own_pictures("happy/1.png", "sad/1.png") | {"sad/2.png": b""},
        "",
        r"sad/2\.png: the file is empty; replace the file",
    ),
    "no labels": (
        "ck_plus",
        {name: data for name, data in CK_PLUS.items() if name.startswith("cohn")},
        "",
        r"no Emotion/S005.*; unpack Emotion_labels\.zip beside cohn-kanade-images",
    ),
    "unlabelled sequences": (
        "ck_plus",
        CK_PLUS,
        "",
        r"1 sequences carry a label where 327 are documented; unpack Emotion_labels\.zip again",
    ),
    "unknown class folder": (
        "baum2i",
        own_pictures("happy/S001_1.png", "puzzled/S001_2.png"),
        "",
        r"unknown expression 'puzzled'; known are surprise, fear, disgust, happiness",
    ),
    "people who share pictures": (
        "image_folder",
        own_pictures("happy/ann_1.png", "sad/ann_2.png")
        | {"happy/bob_1.png": picture(0), "sad/bob_2.png": picture(5)},
        "",
        r"subjects ann and bob share 1 identical pictures \(happy/ann_1\.png is happy/bob_1\.png\)",
    ),
    "people spelled in two ways": (
        "image_folder",
        own_pictures("happy/ann_1.png", "sad/Ann_2.png"),
        "",
        r"the subject Ann and the subject ann look like one in two spellings; spell them alike, or",
    ),
    "set that is there twice": (
        "ck_plus",
        {f"{copy}/{name}": data for copy in ("CK+", "CK+ old") for name, data in CK_PLUS.items()},
        "",
        r"holds the files more than once, in CK\+ old/ and in CK\+/; give one of them",
    ),
    "numbered classes in an unknown order": (
        "raf_db",
        own_pictures("train/0/train_00001_aligned.jpg", "test/0/test_0001_aligned.jpg"),
        "",
        r"folder 0 has 1 training and 1 test images, which fits no expression; complete the set",
    ),
}


BROKEN_TREES |= {
    "photographs that are not read": (
        "image_folder",
        own_pictures("happy/1.png", "sad/1.png") | {"sad/2.psd": b"x", "read me.txt": b"x"},
        "",
        r"prepare does not take 1 \.psd, the first of which is sad/2\.psd; convert or move",
    ),
    "a picture beside the classes": (
        "image_folder",
        own_pictures("happy/1.png", "sad/1.png", "2.png"),
        "",
        r"prepare does not take 1 \.png, the first of which is 2\.png",
    ),
    "pictures that stand in no line": (
        "image_folder",
        own_pictures("p/1.png", "p/2.png", "p/3.png")
        | {"labels.csv": "image,expression\np/2.png,happy"},
        "",
        r"prepare does not take 2 \.png, the first of which is p/1\.png",
    ),
    "labels that are not read": (
        "image_folder",
        own_pictures("images/1.png", "images/2.png") | {"labels.json": "{}"},
        "",
        r"prepare does not take 1 \.json, the first of which is labels\.json",
    ),
    "class without a picture": (
        "image_folder",
        own_pictures("happy/1.png") | {"sad/1.txt": b"x"},
        "",
        r"the folder sad holds no picture that is read, but 1 \.txt; if it is a class, give it",
    ),
    "unclosed quote": (
        "image_folder",
        own_pictures("p/0.png", "p/1.png")
        | {"labels.csv": 'image,expression,subject\np/0.png,"happy,S0\np/1.png,sad,S1\n'},
        "",
        r"labels\.csv line 2: a quote is not closed",
    ),
    "classes spelled in two ways": (
        "image_folder",
        own_pictures("bored/1.png", "Bored/2.png"),
        "",
        r"the expression Bored and the expression bored look like one in two spellings; spell",
    ),
    "control characters": (
        "image_folder",
        own_pictures("happy/1.png", "a\x1b[31mb/2.png"),
        "",
        r"the class 'a\\x1b\[31mb' holds the character U\+001B, which cannot be shown",
    ),
}


@pytest.mark.parametrize("fault", BROKEN_TREES)
def test_fault_is_named_with_its_cure(fault, tmp_path, capfd):
    dataset, files, below, message = BROKEN_TREES[fault]
    source = write_tree(tmp_path / "source", files) / below
    arguments = ["doctor", dataset, "--source", str(source)]
    if dataset == "image_folder" and "_" in next(iter(files)):
        arguments += ["--subject-pattern", "^([A-Za-z]+)_"]
    assert main(arguments) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("tdgan-jax: ") and err.count("\n") == 1
    assert re.search(message, err.rstrip()), err


def test_texts_beside_the_images_are_counted_and_not_missed(tmp_path, capfd):
    files = own_pictures("happy/1.jfif", "sad/1.png") | {"notes.txt": "x", "README": "x"}
    source = write_tree(tmp_path / "s", files)
    assert main(["doctor", "image_folder", "--source", str(source)]) == 0
    out, err = capfd.readouterr()
    assert err == "" and out.startswith(f"{source} is a complete source of image_folder\n")
    assert out.splitlines()[-1] == "files left out: 1 without a suffix, 1 .txt"


@pytest.mark.parametrize("command", ["doctor", "prepare"])
@pytest.mark.parametrize("kind", ["pipe", "device", "text", "bytes"])
def test_what_cannot_be_read_never_hangs_and_is_one_line(command, kind, tmp_path, capfd):
    source = write_tree(tmp_path / "s", own_pictures("happy/1.png"))
    if kind == "pipe":
        os.mkfifo(source / "happy/2.png")
    elif kind == "device":
        (source / "happy/2.png").symlink_to("/dev/zero")
    elif kind == "bytes":
        (source / os.fsdecode(b"happy/\xff\xfe.png")).write_bytes(picture(3))
    else:
        (source / "happy/2.png").write_bytes(b"text")
    arguments = [command, "image_folder", "--source", str(source)]
    assert main(arguments + [f"--data-dir={tmp_path}"] * (command == "prepare")) == 1
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("tdgan-jax: ")


def test_zip_cut_off_while_downloading(tmp_path, capfd):
    whole = tmp_path / "faces.zip"
    with zipfile.ZipFile(whole, "w") as archive:
        for name, data in own_pictures("happy/1.png", "sad/1.png").items():
            archive.writestr(name, data)
    (tmp_path / "cut.zip").write_bytes(whole.read_bytes()[:-60])
    assert main(["doctor", "image_folder", "--source", str(tmp_path / "cut.zip")]) == 1
    assert "is neither a folder nor an intact zip file" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["doctor"], "the following arguments are required: DATASET, --source"),
        (["doctor", "ck_pluss", "--source", "x"], "did you mean 'ck_plus'?"),
        (["doctor", "synthetic_faces", "--source", "x"], "drawn by a program; there is nothing"),
        (
            ["doctor", "ck_plus", "--subject-pattern", "x", "--source", "x"],
            "ck_plus knows its subjects; leave --subject-pattern out",
        ),
        (["doctor", "ck_plus", "--config", "tdgan", "--source", "x"], "no configuration 'tdgan'"),
    ],
)
def test_wrong_use_is_exit_code_2(arguments, message, capfd):
    assert main(arguments) == 2
    assert message in capfd.readouterr().err


def test_help_has_an_example(capfd):
    assert main(["doctor", "--help"]) == 0
    assert "example: tdgan-jax doctor ck_plus --source" in capfd.readouterr().out
