import csv
import io
import math
import pickle
import re
import sys
import types
import zipfile

import numpy as np
import pytest
from PIL import Image
from tdgan_jax.data_builders.affectnet.affectnet_dataset_builder import COUNTS, Builder
from tdgan_jax.data_builders.affectnet.rows import COLUMNS

from tdgan_jax.cli.main import main
from tdgan_jax.data.builders import new_builder, open_dataset
from tdgan_jax.data.examples import load_examples
from tdgan_jax.errors import UserError
from tdgan_jax.expressions import AFFECTNET_CODES, BASIC_EXPRESSIONS, EXPRESSIONS
from tdgan_jax.preparation import image_workers
from tdgan_jax.preparation.contents import class_counts
from tdgan_jax.preparation.preparing import prepare_dataset
from tdgan_jax.preparation.source_tree import SourceTree
from tdgan_jax.preparation.spool import Spool
from tests.owners_files import picture, write_tree

BOX = (3, 5, 8, 12)  # left, top, width, height
SIZE_PX = (24, 30)


def landmarks(left=(9, 10), right=(15, 10)) -> str:
    points = [(0, 0)] * 36 + [left] * 6 + [right] * 6 + [(0, 0)] * 20
    return ";".join(f"{x}.5;{y}.5" for x, y in points)


def row(number: int, code: int, valence="0.5", arousal="-0.25", box=BOX) -> list[str]:
    path = f"{number // 4}/{number:04d}abc.jpg"
    return [path, *map(str, box), landmarks(), str(code), valence, arousal]


# A training and a validation face of each category, none, uncertain and no face included.
TRAIN = [row(number, code) for number, code in enumerate([*range(11), 8, 10])]
TEST = [row(number, code) for number, code in enumerate(range(11), start=100)]


def table(rows, *, header: bool = True) -> str:
    file = io.StringIO()
    csv.writer(file).writerows([COLUMNS, *rows] if header else rows)
    return file.getvalue()


def owners_files(train=TRAIN, test=TEST, *, prefix="", header=False) -> dict[str, bytes | str]:
    files: dict[str, bytes | str] = {
        f"Manually_Annotated/Manually_Annotated_Images/{r[0]}": picture(
            number, size_px=SIZE_PX, suffix="PNG"
        )
        for number, r in enumerate([*train, *test])
    }
    tables = {"training": table(train), "validation": table(test, header=header)}
    return files | {f"{prefix}{name}.csv": text for name, text in tables.items()}


def prepare(source, tmp_path, **options):
    options = {"partial": True, "data_dir": tmp_path / "data", **options}
    return prepare_dataset("affectnet", source, **options)


def examples(builder) -> dict[str, dict]:
    return {
        example["file"].decode(): example
        for split in builder.info.splits
        for example in builder.as_data_source(split)
    }


def test_documented_counts_are_those_of_the_tables():
    assert sum(COUNTS["train"]) == 287651 and sum(COUNTS["train"][:-1]) == 283901
    assert Builder.DOCUMENTED["7"]["train/happiness"] == 134415
    assert sum(Builder.DOCUMENTED["7_level"].values()) == 283901 + 3500
    assert sum(Builder.DOCUMENTED["8"].values()) == 287651 + 4000


@pytest.mark.parametrize("config", ["8", "7"])
@pytest.mark.parametrize("prefix", ["", "Manually_"])
def test_owners_tables(config, prefix, tmp_path):
    source = write_tree(tmp_path / "s", owners_files(prefix=prefix))
    builder = prepare(source, tmp_path, config=config)
    names = EXPRESSIONS if config == "8" else BASIC_EXPRESSIONS
    assert tuple(builder.info.features["expression"].names) == names
    assert list(builder.info.splits) == ["train", "test"]
    for split, start in (("train", 0), ("test", 100)):
        assert class_counts(builder, "expression")[split] == dict.fromkeys(names, 1)
        for example in builder.as_data_source(split):
            number = int(example["file"].decode().partition("/")[2][:4])
            assert names[example["expression"]] == AFFECTNET_CODES[number - start]
            assert example["affect"].tolist() == [0.5, -0.25]
    dropped = {"8": "3 no face, 3 none, 2 uncertain"}
    dropped["7"] = "3 no face, 3 none, 2 contempt, 2 uncertain"
    counted = str(builder.info.metadata["faces_of_other_categories"])
    assert sorted(counted.split(", ")) == sorted(dropped[config].split(", "))


def test_the_face_is_what_stands_in_the_owner_s_box(tmp_path):
    source = write_tree(tmp_path / "s", owners_files())
    example = examples(prepare(source, tmp_path))["0/0001abc.jpg"]
    left, top, width, height = BOX
    assert example["image"].shape == (height, width, 3)
    whole = Image.open(io.BytesIO(picture(1, size_px=SIZE_PX))).crop(
        (left, top, left + width, top + height)
    )
    file = io.BytesIO()
    whole.save(file, "JPEG", quality=95)
    np.testing.assert_array_equal(example["image"], np.asarray(Image.open(file)))


def test_boxes_outside_are_black_there_and_large_faces_are_shrunk(tmp_path):
    white = io.BytesIO()
    Image.new("RGB", (600, 400), "white").save(white, "PNG")
    rows = [row(0, 0, box=(-100, 0, 200, 200)), row(1, 1, box=(0, 0, 600, 300))]
    files = owners_files(rows, TEST)
    for r in rows:
        files[f"Manually_Annotated/Manually_Annotated_Images/{r[0]}"] = white.getvalue()
    found = examples(prepare(write_tree(tmp_path / "s", files), tmp_path))
    outside = found["0/0000abc.jpg"]["image"]
    assert outside.shape == (200, 200, 3)
    assert outside[:, :95].max() < 20 and outside[:, 105:].min() > 235
    assert found["0/0001abc.jpg"]["image"].shape == (128, 256, 3)


def test_files_in_one_folder_and_a_zip(tmp_path):
    files = {
        f"Manually_Annotated_extracted/{name.rpartition('/')[2]}" if "Images" in name else name: d
        for name, d in owners_files().items()
    }
    with zipfile.ZipFile(tmp_path / "affectnet.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    assert len(examples(prepare(tmp_path / "affectnet.zip", tmp_path))) == 16


def test_unknown_valence_and_arousal(tmp_path):
    rows = [row(0, 0, "-2", "-2"), row(1, 1, "-2.0", "0.5"), row(2, 2, "-1", "1")]
    source = write_tree(tmp_path / "s", owners_files(rows))
    prepare(source, tmp_path)
    builder = open_dataset("affectnet", data_dir=tmp_path / "data")
    affect = load_examples(builder, "train", np.asarray).affect
    np.testing.assert_array_equal(affect, [[np.nan] * 2, [np.nan, 0.5], [-1, 1]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({7: "1.01"}, r"training.csv line 3: valence is 1.01, not in \[-1, 1\]"),
        ({8: "-1.5"}, r"training.csv line 3: arousal is -1.5, not in \[-1, 1\]"),
        ({8: "nan"}, r"training.csv line 3: arousal is nan, not in"),
        ({8: "high"}, "training.csv line 3: arousal is 'high', no number"),
        ({6: "11"}, "training.csv line 3: the expression 11 is not one of 0 to 10"),
        ({6: "1.5"}, "training.csv line 3: expression is '1.5', no whole number"),
        ({1: ""}, "training.csv line 3: face_x is '', no number"),
        ({3: "inf"}, "training.csv line 3: face_width is 'inf', no whole number"),
        ({0: ""}, "training.csv line 3: the path of the image is empty"),
        ({0: "0/a\x1b.jpg"}, r"line 3: the path of the image '0/a\\x1b.jpg' holds the character"),
        ({0: "9/gone.jpg"}, "9/gone.jpg: the file is missing"),
        ({3: "0"}, "0001abc.jpg: the box of the face has 0x12 pixels"),
        ({1: "24"}, r"0001abc.jpg: the box of the face, columns 24 to 32 and rows 5 to 17, lies"),
        ({3: "1000000", 4: "1000000"}, "0001abc.jpg: 1000000x1000000 pixels, more than"),
    ],
)
def test_impossible_rows_are_named_or_left_out(change, message, tmp_path):
    rows = [list(r) for r in TRAIN]
    files = owners_files()
    for column, value in change.items():
        rows[1][column] = value
    files["training.csv"] = table(rows)
    source = write_tree(tmp_path / "s", files)
    is_partial = "missing" not in message
    with pytest.raises(UserError, match=message):
        prepare(source, tmp_path, partial=is_partial) if is_partial else listed(source)
    builder = prepare(source, tmp_path, on_bad_file="skip")
    assert builder.info.splits["train"].num_examples == 7
    assert builder.info.metadata["skipped_files"] == int(is_partial)


def listed(source):
    with SourceTree(source) as tree:
        return new_builder("affectnet", None, None, source=str(source)).list_images(tree)


def test_tables_without_a_column_or_a_value_are_refused(tmp_path):
    files = owners_files()
    files["training.csv"] = table([r[:6] + r[7:] for r in TRAIN], header=False)
    with pytest.raises(UserError, match="training.csv line 1: "):
        prepare(write_tree(tmp_path / "s", files), tmp_path)
    text = str(owners_files()["training.csv"]).replace("valence", "joy")
    files["training.csv"] = text
    with pytest.raises(UserError, match="training.csv line 2: the column valence is missing"):
        prepare(write_tree(tmp_path / "s", files), tmp_path)


def test_two_faces_of_a_photograph_have_names_of_their_own(tmp_path):
    rows = [*TRAIN, row(0, 3, box=(0, 0, 6, 6))]
    found = examples(prepare(write_tree(tmp_path / "s", owners_files(rows)), tmp_path))
    assert found["0/0000abc.jpg"]["image"].shape == (12, 8, 3)
    assert found["0/0000abc.jpg#2"]["image"].shape == (6, 6, 3)


def test_a_face_of_two_expressions_is_counted(tmp_path):
    rows = [*TRAIN, row(0, 3), row(1, 1)]
    metadata = prepare(write_tree(tmp_path / "s", owners_files(rows)), tmp_path).info.metadata
    assert metadata["faces_with_two_expressions"] == 1


def test_a_photograph_that_is_there_twice(tmp_path):
    files = owners_files()
    images = "Manually_Annotated/Manually_Annotated_Images"
    files[f"{images}/77/0001abc.jpg"] = picture(5)
    prepare(write_tree(tmp_path / "s", files), tmp_path)
    files[f"copy/{TRAIN[1][0]}"] = picture(5)
    with pytest.raises(UserError, match="0/0001abc.jpg is there more than once, as "):
        prepare(write_tree(tmp_path / "s", files), tmp_path, overwrite=True)


def test_of_many_faces_few_wait_in_memory_and_none_is_read_to_open_them(tmp_path, monkeypatch):
    count, waiting, most = 700, 0, 0  # more than one process reads alone

    def counted(method, change):
        def replaced(self, *args):
            nonlocal waiting, most
            waiting += change
            most = max(most, waiting)
            return method(self, *args)

        return replaced

    rows = [row(number, number % 8, box=(0, 0, 8, 8)) for number in range(count)]
    files = {f"Manually_Annotated_Images/{r[0]}": picture(n) for n, r in enumerate(rows)}
    files |= {"training.csv": table(rows[:-8]), "validation.csv": table(rows[-8:])}
    source = write_tree(tmp_path / "s", files)
    monkeypatch.setattr(image_workers, "usable_cores", lambda: 2)
    monkeypatch.setattr(SourceTree, "read", counted(SourceTree.read, 1))
    monkeypatch.setattr(Spool, "append", counted(Spool.append, -1))
    prepare(source, tmp_path)
    assert waiting == 0 and 0 < most < 100
    builder = open_dataset("affectnet", data_dir=tmp_path / "data")
    kind = type(builder.as_data_source("train"))
    monkeypatch.setattr(kind, "__getitem__", None)
    monkeypatch.setattr(kind, "__getitems__", None)
    examples = load_examples(builder, "train+test", np.asarray)
    assert len(examples.files) == count
    assert examples.affect is not None and not np.isnan(examples.affect).any()


# What the programs wrote: by the name of the file, its expression and affect in thousandths.
PROGRAMS_NAMES = {
    "0/0000000s7s-653s653.jpg": ("contempt", -653, 653),
    "0/0000001s0s0s0.jpg": ("neutral", 0, 0),
    "1/0000500_6_-400_1000.jpg": ("anger", -400, 1000),
    "1/0000501_1_999_-1.JPG": ("happiness", 999, -1),
    "2/0001000s8s-2000s-2000.jpg": (None, 0, 0),
    "2/0001001s2s-2000s-2000.jpg": ("sadness", math.nan, math.nan),
}


@pytest.mark.parametrize("config", ["8", "7"])
def test_programs_folders(config, tmp_path):
    files = {
        f"AffectNet/{folder}/{name}": picture(10 * n + len(folder), suffix="JPEG")
        for n, name in enumerate(PROGRAMS_NAMES)
        for folder in ("Training_Labeled", "Validation", "Training_Unlabeled")
    }
    builder = prepare(write_tree(tmp_path / "s", files), tmp_path, config=config)
    names = builder.info.features["expression"].names
    kept = {k: v for k, v in PROGRAMS_NAMES.items() if v[0] in names}
    assert len(kept) == (5 if config == "8" else 4)
    found = examples(builder)
    assert len(found) == 2 * len(kept)
    for name, (expression, *affect) in kept.items():
        example = found[f"Training_Labeled/{name}"]
        assert names[example["expression"]] == expression
        np.testing.assert_array_equal(example["affect"], np.float32(affect) / np.float32(1000))
        file = files[f"AffectNet/Training_Labeled/{name}"]
        np.testing.assert_array_equal(example["image"], np.asarray(Image.open(io.BytesIO(file))))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("0000000s7s-1653s653.jpg", r"0000000s7s-1653s653.jpg: valence is -1.653, not in"),
        ("0000000s12s0s0.jpg", "the expression 12 is not one of 0 to 10"),
        ("0000000s7_0_0.jpg", r"does not look like affectnet: expected training\.csv and "),
    ],
)
def test_names_that_are_refused(name, message, tmp_path):
    source = write_tree(tmp_path / "s", {f"Training_Labeled/0/{name}": picture(0)})
    with pytest.raises(UserError, match=message):
        prepare(source, tmp_path)


@pytest.fixture
def annotation(monkeypatch):
    """The class of Emotion-GCN's program, in its module."""
    module = types.ModuleType("dataloading")
    kind = type("AffectNet_annotation", (), {"__module__": "dataloading"})
    monkeypatch.setattr(module, "AffectNet_annotation", kind, raising=False)
    monkeypatch.setitem(sys.modules, "dataloading", module)
    return kind


def annotations(kind, rows, eyes=((9, 10), (15, 10))) -> list:
    made = []
    for path, *box, _, code, valence, arousal in rows:
        one = kind()
        one.__dict__.update(
            image_path=path,
            **dict(
                zip(("face_x", "face_y", "face_width", "face_height"), map(int, box), strict=True)
            ),
            expression=np.int64(code),
            valence=float(valence),
            arousal=np.float64(arousal),
            left_eye=np.array(eyes[0]),
            right_eye=np.array(eyes[1]),
        )
        made.append(one)
    return made


@pytest.mark.parametrize("config", ["7", "7_level"])
def test_annotations_of_emotion_gcn_are_those_of_the_tables(config, annotation, tmp_path):
    rows = {"train": TRAIN[:7], "val": TEST[:7]}
    content = {part: annotations(annotation, of_part) for part, of_part in rows.items()}
    images = {n: d for n, d in owners_files().items() if not n.endswith(".csv")}
    files = {"data_affectnet.pkl": pickle.dumps(content)} | images
    from_pickle = examples(
        prepare(
            write_tree(tmp_path / "p", files), tmp_path, config=config, data_dir=tmp_path / "one"
        )
    )
    source = write_tree(tmp_path / "s", owners_files())
    from_tables = examples(prepare(source, tmp_path, config=config))
    assert from_pickle.keys() == from_tables.keys() and len(from_pickle) == 14
    for name, example in from_pickle.items():
        for feature, value in example.items():
            np.testing.assert_array_equal(value, from_tables[name][feature])


def test_level_eyes_turn_the_photograph(tmp_path):
    rows = [row(0, 0), row(1, 1)]
    rows[1][5] = landmarks((8, 8), (14, 11))
    found = examples(
        prepare(write_tree(tmp_path / "s", owners_files(rows)), tmp_path, config="7_level")
    )
    plain = examples(prepare(write_tree(tmp_path / "s", owners_files(rows)), tmp_path, config="7"))
    level, turned = "0/0000abc.jpg", "0/0001abc.jpg"
    np.testing.assert_array_equal(found[level]["image"], plain[level]["image"])
    assert not np.array_equal(found[turned]["image"], plain[turned]["image"])
    rows[0][5] = "1;2;3"
    source = write_tree(tmp_path / "s", owners_files(rows))
    with pytest.raises(UserError, match="line 2: facial_landmarks are not 68 points"):
        prepare(source, tmp_path, config="7_level", overwrite=True)
    files = {"Training_Labeled/0/0000000s1s0s0.jpg": picture(0)}
    with pytest.raises(UserError, match="where the eyes are, the owner's tables say"):
        prepare(write_tree(tmp_path / "f", files), tmp_path, config="8_level")


def test_counts_are_compared_with_the_owner_s(tmp_path, annotation):
    source = write_tree(tmp_path / "s", owners_files())
    message = "affectnet/8: train/surprise has 1 images where 14090 are documented; complete"
    with pytest.raises(UserError, match=message):
        prepare(source, tmp_path, partial=False)


def test_doctor(monkeypatch, tmp_path, capfd):
    few = {f"{split}/{name}": 1 for split in ("train", "test") for name in EXPRESSIONS}
    seven = {name: 1 for name in few if "contempt" not in name}
    monkeypatch.setattr(Builder, "DOCUMENTED", {"8": few, "7": seven})
    source = write_tree(tmp_path / "s", owners_files())
    assert main(["doctor", "affectnet", "--source", str(source)]) == 0
    lines = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert lines[1:3] == [["train", "test"], ["surprise", "1", "1"]]
    assert ["images", "8", "8"] in lines
    assert main(["doctor", "affectnet", "--config", "7", "--source", str(source)]) == 0
    capfd.readouterr()
    rows = [r for r in TRAIN if r[6] != "7"], [r for r in TEST if r[6] != "7"]
    source = write_tree(tmp_path / "seven", owners_files(*rows))
    assert main(["doctor", "affectnet", "--source", str(source)]) == 1
    err = capfd.readouterr().err
    assert re.search("contempt has 0 images where 1 .*these are the counts of --config 7$", err), (
        err
    )
