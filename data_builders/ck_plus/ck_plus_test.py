import itertools
from collections import Counter

import pytest
from tdgan_jax.data_builders.ck_plus.ck_plus_dataset_builder import SEQUENCES

from tdgan_jax.errors import UserError
from tdgan_jax.expressions import BASIC_EXPRESSIONS, CK_PLUS_CODES, SIX_EXPRESSIONS
from tdgan_jax.preparation.contents import class_counts
from tdgan_jax.preparation.preparing import prepare_dataset
from tests.owners_files import assert_ten_disjoint_folds, counted, picture, write_tree

CODES = {name: code for code, name in CK_PLUS_CODES.items()}
NUM_FRAMES = 6


def sequence(subject: str, session: str, expression: str | None, seed: int) -> dict:
    """A sequence of six frames, labelled or not."""
    name = f"{subject}/{session}/{subject}_{session}_"
    frames = {
        f"cohn-kanade-images/{name}{frame:08d}.png": picture(
            NUM_FRAMES * seed + frame, mode="L" if seed % 2 else "RGB"
        )
        for frame in range(1, NUM_FRAMES + 1)
    }
    if expression is not None:
        label = f"Emotion/{name}{NUM_FRAMES:08d}_emotion.txt"
        frames[label] = f"   {CODES[expression]}.0000000e+00\n"
    return frames


SMALL = sequence("S010", "001", "fear", 1) | sequence("S011", "002", "anger", 2)


@pytest.fixture(scope="module")
def owners_files():
    """All 327 labelled sequences of 118 people, and two without a label."""
    labels = [name for name, count in SEQUENCES.items() for _ in range(count)]
    people = itertools.cycle(f"S{number:03d}" for number in range(5, 123))
    files, sessions = {}, Counter()
    for seed, expression in enumerate([*labels, *["contempt"] * 18, None, None]):
        subject = next(people)
        sessions[subject] += 1
        files |= sequence(subject, f"{sessions[subject]:03d}", expression, seed)
    return files


@pytest.fixture(scope="module")
def source(owners_files, tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("CK+"), owners_files)


def expressions(builder) -> Counter:
    return sum(class_counts(builder, "expression").values(), start=Counter())


def test_tdgan_s_1236_images(source, tmp_path):
    builder = prepare_dataset("ck_plus", source, data_dir=tmp_path)
    assert builder.info.full_name == "ck_plus/with_neutral/1.0.0"
    assert tuple(builder.info.features["expression"].names) == BASIC_EXPRESSIONS
    assert expressions(builder) == {
        "surprise": 249,
        "fear": 75,
        "disgust": 177,
        "happiness": 207,
        "sadness": 84,
        "anger": 135,
        "neutral": 309,
    }
    assert sum(split.num_examples for split in builder.info.splits.values()) == 1236
    assert_ten_disjoint_folds(builder, 118)
    assert builder.info.metadata["unlabelled_sequences"] == 2
    names = builder.info.features["expression"]
    shown = {
        example["file"].decode().rpartition("_")[2]: names.int2str(int(example["expression"]))
        for split in builder.info.splits
        for example in builder.as_data_source(split)
        if example["file"].decode().startswith("cohn-kanade-images/S005/001/")
    }
    assert shown == {
        "00000001.png": "neutral",
        **dict.fromkeys(("00000004.png", "00000005.png", "00000006.png"), "anger"),
    }


def test_if_gan_s_927_images(source, tmp_path):
    counts = counted("ck_plus", source, "without_neutral")
    assert counts["images"] == 927 and counts["neutral"] == 0
    small = write_tree(tmp_path / "s", SMALL)
    builder = prepare_dataset(
        "ck_plus", small, config="without_neutral", data_dir=tmp_path / "data", partial=True
    )
    assert tuple(builder.info.features["expression"].names) == SIX_EXPRESSIONS
    assert expressions(builder) == {"fear": 3, "anger": 3}
    assert list(builder.info.splits) == ["fold_0", "fold_1"]


def test_owner_s_codes_by_name():
    assert CODES == dict(
        neutral=0, anger=1, contempt=2, disgust=3, fear=4, happiness=5, sadness=6, surprise=7
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda name: name.startswith("cohn"),
            r"no Emotion/S005.*; unpack Emotion_labels\.zip beside",
        ),
        (lambda name: name.startswith("Emotion"), "expected cohn-kanade-images/S005/001/"),
        (lambda name: True, "2 sequences carry a label where 327 are documented; unpack"),
    ],
)
def test_incomplete_trees_are_refused(change, message, tmp_path):
    files = {name: data for name, data in SMALL.items() if change(name)}
    with pytest.raises(UserError, match=message):
        prepare_dataset("ck_plus", write_tree(tmp_path / "s", files), data_dir=tmp_path / "data")


def test_label_without_images_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("tdgan_jax.data_builders.ck_plus.ck_plus_dataset_builder.NUM_LABELS", 2)
    files = {n: d for n, d in SMALL.items() if "S011" not in n or n.startswith("Emotion")}
    source = write_tree(tmp_path / "s", files)
    with pytest.raises(UserError, match=r"S011_002_00000006_emotion\.txt: its sequence has 0 ima"):
        prepare_dataset("ck_plus", source, data_dir=tmp_path / "data")


@pytest.mark.parametrize("code", ["9.0", "3.7", "-0.5", "inf", "nan", "none"])
def test_label_that_is_no_code_is_named(code, tmp_path):
    label = next(name for name in SMALL if name.startswith("Emotion"))
    source = write_tree(tmp_path / "s", SMALL | {label: f"{code}\n"})
    with pytest.raises(UserError, match=f"_emotion.txt holds '{code}', not a code from 0 to 7"):
        prepare_dataset("ck_plus", source, data_dir=tmp_path / "data", partial=True)


def test_a_sequence_with_two_labels_is_refused(tmp_path):
    label = next(name for name in SMALL if name.startswith("Emotion"))
    second = label.replace("00000006_", "00000005_")
    source = write_tree(tmp_path / "s", SMALL | {second: "1.0\n"})
    with pytest.raises(UserError, match="5_emotion.txt and .*6_emotion.txt label one sequence"):
        prepare_dataset("ck_plus", source, data_dir=tmp_path / "data", partial=True)


def test_part_of_the_set_without_the_images_of_a_label(tmp_path):
    files = {n: d for n, d in SMALL.items() if "S011" not in n or n.startswith("Emotion")}
    source = write_tree(tmp_path / "s", files)
    builder = prepare_dataset("ck_plus", source, data_dir=tmp_path / "data", partial=True)
    assert expressions(builder) == {"fear": 3, "neutral": 1}
    assert builder.info.metadata["folds"] == "none, because there is only one subject"
