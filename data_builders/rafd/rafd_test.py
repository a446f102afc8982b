import numpy as np
import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.expressions import BASIC_EXPRESSIONS
from tdgan_jax.preparation.contents import class_counts
from tdgan_jax.preparation.preparing import prepare_dataset
from tests.owners_files import assert_ten_disjoint_folds, counted, picture, write_tree

SPELLINGS = "angry contemptuous disgusted fearful happy neutral sad surprised".split()
# The owner's numbers have gaps; four of the people are children.
MODELS = [number for number in range(1, 74) if number not in (6, 13, 17, 34, 62, 66)]


def file_name(model: int, spelling: str, gaze: str, degrees: str = "090") -> str:
    group = "Kid" if 39 <= model <= 45 else "Caucasian"
    gender = "female" if model % 2 else "male"
    return f"Rafd{degrees}_{model:02d}_{group}_{gender}_{spelling}_{gaze}.jpg"


def owners_files(models: list[int]) -> dict[str, bytes]:
    names = [
        file_name(model, spelling, gaze)
        for model in models
        for spelling in SPELLINGS
        for gaze in ("frontal", "left", "right")
    ]
    return {f"frontal/{name}": picture(seed, suffix="JPEG") for seed, name in enumerate(names)} | {
        f"profile/{file_name(models[0], 'happy', 'frontal', '045')}": b"not looked at"
    }


def test_all_1407_frontal_photographs_are_found(tmp_path):
    counts = counted("rafd", write_tree(tmp_path, dict.fromkeys(owners_files(MODELS), b"")))
    assert counts["images"] == 1407 and counts["subjects"] == 67
    assert {name: counts[name] for name in BASIC_EXPRESSIONS} == dict.fromkeys(
        BASIC_EXPRESSIONS, 67 * 3
    )
    assert counts["contempt"] == 0


def test_ten_folds(tmp_path):
    people = MODELS[30:44]
    source = write_tree(tmp_path / "RaFD", owners_files(people))
    builder = prepare_dataset("rafd", source, data_dir=tmp_path / "data", partial=True)
    assert tuple(builder.info.features["expression"].names) == BASIC_EXPRESSIONS
    for counts in class_counts(builder, "expression").values():
        assert counts in (dict.fromkeys(BASIC_EXPRESSIONS, 3), dict.fromkeys(BASIC_EXPRESSIONS, 6))
    assert_ten_disjoint_folds(builder, 14)
    example = next(iter(builder.as_data_source("fold_4")))
    assert example["image"].shape == (8, 8, 3) and example["image"].dtype == np.uint8
    person = builder.info.features["identity"].int2str(int(example["identity"]))
    assert person == example["subject"].decode() == example["file"].decode()[8:10]
    assert builder.info.features["identity"].names == [f"{model:02d}" for model in people]


def test_children_and_expressions_are_read_from_the_name(tmp_path):
    names = [file_name(40, "surprised", "left"), file_name(2, "fearful", "right")]
    source = write_tree(tmp_path / "RaFD", {name: picture(i) for i, name in enumerate(names)})
    builder = prepare_dataset("rafd", source, data_dir=tmp_path / "data", partial=True)
    found = {
        example["subject"].decode(): builder.info.features["expression"].int2str(
            int(example["expression"])
        )
        for split in builder.info.splits
        for example in builder.as_data_source(split)
    }
    assert found == {"40": "surprise", "02": "fear"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"photo.jpg": b"x"}, r"expected Rafd090_01_Caucasian.*; found photo\.jpg"),
        ({file_name(1, "happy", "left", "135"): b"x"}, "no frontal photograph"),
        ({file_name(1, "smug", "left"): b"x"}, "unknown expression 'smug'"),
        (
            {f"{folder}/{file_name(1, 'happy', 'left')}": b"x" for folder in "ab"},
            "a/Rafd090_01.* and b/Rafd090_01.* are the same photograph",
        ),
        ({file_name(1, "happy", "left"): b"x"}, "rafd: there are 1 subjects where 67 are"),
    ],
)
def test_trees_that_are_refused(files, message, tmp_path):
    with pytest.raises(UserError, match=message):
        prepare_dataset("rafd", write_tree(tmp_path / "s", files), data_dir=tmp_path / "data")
