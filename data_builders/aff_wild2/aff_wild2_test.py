import pickle
import sys
import types
import zipfile

import numpy as np
import pytest

from tdgan_jax.cli.main import main
from tdgan_jax.data.builders import open_dataset
from tdgan_jax.data.examples import has_subjects, load_examples
from tdgan_jax.data.folds import assert_disjoint
from tdgan_jax.data.splits import validation_split
from tdgan_jax.errors import UserError
from tdgan_jax.expressions import AFF_WILD2_CODES, BASIC_EXPRESSIONS
from tdgan_jax.preparation.preparing import prepare_dataset
from tests.owners_files import picture, subjects_by_split, write_tree

CLASSES = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise\n"
AFFECT = "valence,arousal\n"
# By part and video the codes of the frames; and valence and arousal by another division.
CODES = {
    "Train": {"1-30": [0, 1, -1, 3, 4, 5], "7_left": [2, 2], "7_right": [6], "noframes": [0]},
    "Validation": {"12": [4, 7, 0, -1], "50": [1]},
}
AFFECTS = {
    "Train": {"1-30": [(0.5, -0.5), (-5, -5), (0, 0), (1, -1), (0.25, 1.5)], "12": [(0, 1)] * 4},
    "Validation": {"7_left": [(0.1, 0.2)] * 2, "7_right": [(0, 0)], "50": [(-5, 0)]},
}
# Frames that are there: one of 12 has no line, some lines have no frame.
FRAMES = {"1-30": (1, 2, 3, 4, 5), "7_left": (1, 2), "7_right": (1,), "12": (1, 2, 3, 4, 5)}
FRAMES |= {"50": (1,), "99": (1, 2)}
KEPT = {
    "train": {
        "1-30/00001.jpg": (0, 0.5, -0.5),
        "1-30/00004.jpg": (3, 1, -1),
        "7_left/00001.jpg": (2, 0.1, 0.2),
        "7_left/00002.jpg": (2, 0.1, 0.2),
        "7_right/00001.jpg": (6, 0, 0),
    },
    "test": {"12/00001.jpg": (4, 0, 1), "12/00003.jpg": (0, 0, 1)},
}
LEFT_OUT = {
    "videos_without_frames": 1,
    "videos_without_expressions": 1,
    "frames_without_a_line": 1,
    "labels_without_a_frame": 1,
    "frames_without_expression": 2,
    "frames_of_another_expression": 1,
    "frames_without_affect": 3,
}


def frame_files(frames=FRAMES, folder="cropped_aligned") -> dict[str, bytes | str]:
    names = [f"{video}/{number:05d}.jpg" for video, of in frames.items() for number in of]
    return {
        f"{folder}/{name}": picture(seed, suffix="JPEG") for seed, name in enumerate(sorted(names))
    }


def owners_files(codes=CODES, affects=AFFECTS, *, tasks=("EXPR_Set", "VA_Set")) -> dict:
    files = frame_files()
    for part, videos in codes.items():
        for video, of_frames in videos.items():
            text = CLASSES + "\n".join(map(str, of_frames)) + "\n"
            files[f"annotations/{tasks[0]}/{part}_Set/{video}.txt"] = text
    for part, videos in affects.items():
        for video, pairs in videos.items():
            text = AFFECT + "\n".join(f"{v},{a}" for v, a in pairs) + "\n"
            files[f"annotations/{tasks[1]}/{part}_Set/{video}.txt"] = text
    return files


# The tables of another year beside those of `owners_files`.
TWO_CHALLENGES = {
    "annotations/EXPR_Classification_Challenge/Train_Set/1-30.txt": CLASSES + "1\n0\n",
}


def prepare(source, tmp_path, **options):
    return prepare_dataset("aff_wild2", source, data_dir=tmp_path / "data", **options)


def check(builder, kept=KEPT) -> None:
    assert tuple(builder.info.features["expression"].names) == BASIC_EXPRESSIONS
    assert builder.info.features["identity"].names == []
    assert list(builder.info.splits) == list(kept)
    for split, expected in kept.items():
        found = {e["file"].decode(): e for e in builder.as_data_source(split)}
        assert found.keys() == expected.keys()
        for name, (code, *affect) in expected.items():
            assert BASIC_EXPRESSIONS[found[name]["expression"]] == AFF_WILD2_CODES[code]
            np.testing.assert_array_equal(found[name]["affect"], np.float32(affect))
            assert found[name]["image"].shape == (8, 8, 3)


@pytest.mark.parametrize("form", ["folder", "zip", "later names"])
def test_frames_with_both_labels(form, tmp_path):
    tasks = ("EXPR_Classification_Challenge", "VA_Estimation_Challenge")
    files = owners_files(tasks=tasks) if form == "later names" else owners_files()
    source = tmp_path / "s"
    if form == "zip":
        source = tmp_path / "s.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        write_tree(source, files)
    builder = prepare(source, tmp_path)
    check(builder)
    notes = builder.info.metadata
    assert {name: notes.get(name) for name in LEFT_OUT} == LEFT_OUT


def test_images_are_those_of_their_frames(tmp_path):
    files = owners_files()
    builder = prepare(write_tree(tmp_path / "s", files), tmp_path)
    name = next(iter(builder.as_data_source("test")))["file"].decode()
    assert f"cropped_aligned/{name}" in files


def test_splits_share_no_video_and_no_person(tmp_path):
    codes = {
        "Train": CODES["Train"] | {"12_left": [0, 0]},
        "Validation": CODES["Validation"] | {"7_right": [6]},
    }
    del codes["Train"]["7_right"]
    files = owners_files(codes)
    source = write_tree(tmp_path / "s", files)
    builder = prepare(source, tmp_path)
    # Both people of video 7 belong to the test, since one of them stands there.
    assert subjects_by_split(builder) == {"train": {"1-30"}, "test": {"12", "7"}}
    assert builder.info.metadata["training_frames_of_test_videos"] == 2


def test_a_validation_part_shares_no_video_with_the_rest(tmp_path):
    videos = [f"{n}{side}" for n in range(6) for side in ("", "_left", "_right")]
    codes = {"Train": {v: [0, 1, 2] for v in videos}, "Validation": {"80": [0]}}
    affects = {"Train": {v: [(0, 0)] * 3 for v in (*videos, "80")}}
    files = {n: c for n, c in owners_files(codes, affects).items() if n.endswith(".txt")}
    files |= frame_files({v: (1, 2, 3) for v in (*videos, "80")})
    prepare(write_tree(tmp_path / "s", files), tmp_path)
    examples = load_examples(
        open_dataset("aff_wild2", data_dir=tmp_path / "data"), "train", np.asarray
    )
    assert has_subjects(examples)
    fit, validation = validation_split(examples, fraction=0.3, seed=0)
    assert_disjoint({"fit": examples.groups[fit], "validation": examples.groups[validation]})
    assert set(examples.groups) == set("012345")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"EXPR_Set/Train_Set/1-30": CLASSES + "0\nsad\n"}, "1-30.txt line 3 is 'sad', not one of"),
        ({"EXPR_Set/Train_Set/1-30": CLASSES + "0\n\n1"}, "1-30.txt line 3 is '', not one of"),
        ({"EXPR_Set/Train_Set/1-30": CLASSES + "8"}, "1-30.txt line 2 is '8', not one of -1 to 7"),
        ({"EXPR_Set/Train_Set/1-30": "0\n1\n"}, "1-30.txt begins with '0', not with the names"),
        ({"VA_Set/Train_Set/1-30": "0.5,1\n0,0"}, "1-30.txt begins with '0.5,1', not with"),
        ({"VA_Set/Train_Set/1-30": AFFECT + "0.5"}, "1-30.txt line 2 is '0.5', not two numbers"),
        ({"VA_Set/Train_Set/1-30": AFFECT + "a,b"}, "1-30.txt line 2 is 'a,b', not two numbers"),
        ({"VA_Set/Validation_Set/1-30": AFFECT + "0,0"}, "1-30.txt both hold valence and arousal"),
        (
            {"VA_Set/Train_Set/1-30": "arousal,valence\n0.5,0"},
            "1-30.txt has the columns arousal, valence; the owner's are valence, arousal",
        ),
        (
            {"EXPR_Set/Train_Set/12": CLASSES.replace("Surprise", "Other,Surprise") + "1"},
            "12.txt has the classes neutral, .*, Other, surprise.*; the owner's are neutral",
        ),
        (
            {"EXPR_Set/Train_Set/12": "Anger;Neutral;Disgust\n1"},
            "12.txt has the classes anger, neutral, disgust; the owner's are neutral",
        ),
        (
            {"EXPR_Set/Train_Set/12": "Anger,Neutral,Disgust,Fear,Happiness,Sadness,Surprise\n1"},
            "12.txt has the classes anger, neutral, disgust, .*; the owner's are neutral, anger",
        ),
    ],
)
def test_lines_that_are_refused(change, message, tmp_path):
    files = owners_files() | {f"annotations/{n}.txt": text for n, text in change.items()}
    with pytest.raises(UserError, match=message):
        prepare(write_tree(tmp_path / "s", files), tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (frame_files(), "does not look like aff_wild2: expected EXPR_Set/Train_Set/<video>.txt"),
        (
            {n: c for n, c in owners_files().items() if n.endswith(".txt")},
            "does not look like aff_wild2: expected EXPR_Set.* with cropped_aligned/<video>/00001",
        ),
        (owners_files(affects={}), "does not look like aff_wild2: expected EXPR_Set"),
        (
            owners_files() | {"copy/1-30/00001.jpg": picture(0)},
            "frame 1 of the video 1-30 is there twice, as copy/1-30/00001.jpg and cropped",
        ),
        (owners_files(affects={"Train": {"1-30": [(-5, -5)]}}), "no readable image in the source"),
        (
            owners_files() | TWO_CHALLENGES,
            "aff_wild2: 1-30/00001.jpg is listed twice, as anger and as neutral; leave one of",
        ),
    ],
)
def test_sources_that_are_refused(files, message, tmp_path):
    with pytest.raises(UserError, match=message):
        prepare(write_tree(tmp_path / "s", files), tmp_path)


def test_not_a_number_is_no_affect(tmp_path):
    affects = AFFECTS | {"Train": AFFECTS["Train"] | {"1-30": [("nan", 0), (0, 0)]}}
    builder = prepare(write_tree(tmp_path / "s", owners_files(affects=affects)), tmp_path)
    found = {e["file"] for e in builder.as_data_source("train")}
    assert b"1-30/00001.jpg" not in found and b"1-30/00002.jpg" in found


@pytest.fixture
def annotation(monkeypatch):
    """Makes annotations of the class of Emotion-GCN's program, in its module."""
    module = types.ModuleType("dataloading")
    kind = type("Affwild2_annotation", (), {"__module__": "dataloading"})
    monkeypatch.setattr(module, "Affwild2_annotation", kind, raising=False)
    monkeypatch.setitem(sys.modules, "dataloading", module)

    def make(path, code, valence, arousal):
        made = kind()
        made.__dict__.update(
            frame_path=path,
            expression=np.int64(code),
            valence=np.float64(valence),
            arousal=arousal,
        )
        return made

    return make


def pickled(annotation, kept=KEPT) -> bytes:
    content = {
        part: [annotation(f"/data/aff/{name}", *labels) for name, labels in kept[split].items()]
        for part, split in (("train", "train"), ("val", "test"))
    }
    return pickle.dumps(content)


def test_annotations_of_emotion_gcn(annotation, tmp_path):
    files = frame_files() | {"data_affwild2.pkl": pickled(annotation)}
    check(prepare(write_tree(tmp_path / "s", files), tmp_path))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("00001.jpg", 0, 0, 0), "00001.jpg is no path such as <video>/00001.jpg"),
        (("1-30/face.jpg", 0, 0, 0), "1-30/face.jpg is no path such as"),
        (("1-30/00001.jpg", 7, 0, 0), "00001.jpg has the expression 7, not one of 0 to 6"),
        (("1-30/00001.jpg", 0, 2, 0), r"val\[0\]: valence is 2.0, not in \[-1, 1\]"),
        (("1-30/00009.jpg", 0, 0, 0), "1-30/00009.jpg: the file is missing"),
    ],
)
def test_annotations_that_are_refused(row, message, annotation, tmp_path):
    content = {"train": [annotation("x/1-30/00002.jpg", 0, 0, 0)], "val": [annotation(*row)]}
    files = frame_files() | {"data_affwild2.pkl": pickle.dumps(content)}
    with pytest.raises(UserError, match=message):
        prepare(write_tree(tmp_path / "s", files), tmp_path)


def test_an_annotation_that_is_there_twice(annotation, tmp_path):
    content = {"train": [annotation("x/1-30/00002.jpg", 0, 0, 0)] * 2, "val": []}
    files = frame_files() | {"data_affwild2.pkl": pickle.dumps(content)}
    with pytest.raises(UserError, match="x/1-30/00002.jpg is there twice"):
        prepare(write_tree(tmp_path / "s", files), tmp_path)


def test_doctor(tmp_path, capfd):
    source = write_tree(tmp_path / "s", owners_files())
    assert main(["doctor", "aff_wild2", "--source", str(source)]) == 0
    out = capfd.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert lines[1] == ["train", "test"] and ["images", "5", "2"] in lines
    assert "frames without affect: 3" in out
    broken = owners_files() | {"annotations/VA_Set/Train_Set/1-30.txt": AFFECT + "x"}
    assert main(["doctor", "aff_wild2", "--source", str(write_tree(tmp_path / "b", broken))]) == 1
    assert "1-30.txt line 2 is 'x', not two numbers" in capfd.readouterr().err
